# SPDX-License-Identifier: AGPL-3.0-or-later
"""Functions that bring their own files: a directory of the node instead of the host's programs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from federation import Federation


def copy_with_libraries(program, root):
    """A program of this host and what it is linked with, at the same paths below `root`."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in [program, *re.findall(r"(/\S+) \(0x", listed)]:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(path).resolve(), target)


@pytest.fixture(scope="module")
def node():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        root = node.directory / "images" / "small"
        for program in ("/bin/cat", "/bin/sh", "/bin/ls"):
            copy_with_libraries(program, root)
        (root / "data").mkdir()
        (root / "data" / "model").write_text("of the image")
        (root / "link").symlink_to("/data/model")
        (root / "var" / "own").mkdir(parents=True)
        if node.status()["sandbox"]["tier"] != "namespaces":
            pytest.skip("images need namespaces")
        yield node


def test_function_sees_its_image_and_nothing_of_the_host(node):
    node.deploy("lister", "ls / /data /var", image="dir:small")
    words = node.call("lister").text.split()
    assert {"data", "link", "model", "own", "proc", "tmp", "dev"} <= set(words)
    assert "etc" not in words and "usr" not in words


def test_links_lead_inside(node):
    node.deploy("follower", "cat /link", image="dir:small")
    assert node.call("follower").text == "of the image"


def test_image_is_read_only_and_has_room(node):
    node.deploy("writer", "sh -c 'echo x > /data/x || echo refused; echo y > /tmp/y && cat /tmp/y'",
                image="dir:small", env={"combine_output": "false"})
    assert node.call("writer").text == "refused\ny\n"
    assert not (node.directory / "images" / "small" / "data" / "x").exists()


@pytest.mark.parametrize("image, status", [("dir:missing", 404), ("dir:../pki", 400), ("dir:", 400),
                                           ("dir:/etc", 400), ("dir:.", 400), ("ghcr.io/some/thing", 400)])
def test_wrong_image_is_refused_and_changes_nothing(node, image, status):
    answer = node.try_deploy("refused", "cat", image=image)
    assert answer.status == status and len(answer.text.splitlines()) == 1, answer
    assert node.call("refused").status == 404


def test_program_must_be_in_the_image(node):
    answer = node.try_deploy("refused", "python3", image="dir:small")
    assert answer.status == 404 and "its image" in answer.text
