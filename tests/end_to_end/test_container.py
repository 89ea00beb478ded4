# SPDX-License-Identifier: AGPL-3.0-or-later
"""The container image: one node by itself, and the three of compose.yaml, in containers without any privilege.

The image is built by the Containerfile, on a Debian of our own instead of the one of a registry. It has what the package
depends on already, because there is no network to get it from.
"""

import os
import shutil
import time

import pytest
from engine import Engine
from federation import BINARY
from machine import PROJECT, build_package, debian_tree, dependencies_of
from waiting import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an engine with a network of its own needs root")

NODE = "/var/lib/dfaas/node"
#: Prints which nodes served.
_TWO_CALLS = r"""
for call in 1 2; do
  curl --silent --output /dev/null --write-out '%header{x-server}\n' --data '' http://127.0.0.1:8081/function/nap &
done
wait
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    context = tmp_path_factory.mktemp("context")
    package = build_package(BINARY, context / "build" / "package")
    for name in ("Containerfile", ".containerignore", "compose.yaml"):
        shutil.copy(PROJECT / name, context)
    with Engine() as engine:
        engine.run("podman", "import", "--quiet", debian_tree([*dependencies_of(package), "procps"]), "debian")
        engine.run("podman", "build", "--isolation", "chroot", "--build-arg", "BASE=localhost/debian",
                   "--tag", "dfaas", "--file", "Containerfile", ".", cwd=context)
        engine.context = context
        yield engine


def call(engine, port, path, *options):
    return engine.run("curl", "--silent", "--fail-with-body", "--max-time", "20", *options,
                      f"http://127.0.0.1:{port}{path}").stdout


def test_image_holds_no_node_and_no_secret(engine):
    found = engine.run("podman", "run", "--rm", "dfaas", "find", "/var/lib/dfaas").stdout
    assert found.split() == ["/var/lib/dfaas"]
    assert engine.run("podman", "run", "--rm", "dfaas", "id", "--user", "--name").stdout == "dfaas\n"


def test_one_container_is_a_whole_node_that_stops_in_time_and_comes_back(engine):
    engine.run("podman", "run", "--detach", "--name", "alone", "--publish", "8080:8080",
               "--cap-drop", "all", "--security-opt", "no-new-privileges", "dfaas")
    engine.ports_answer(8080)
    status = engine.run("podman", "exec", "alone", "dfaas", "status", "--dir", NODE).stdout
    assert "sandbox   landlock" in status
    engine.run("podman", "exec", "alone", "dfaas", "deploy", "turn", "--dir", NODE, "--process", "rev")
    assert call(engine, 8080, "/function/turn", "--data-binary", "abc").strip() == "cba"

    began = time.monotonic()
    engine.run("podman", "stop", "--time", "30", "alone")
    assert time.monotonic() - began < 10.0
    assert engine.run("podman", "inspect", "--format", "{{.State.ExitCode}}", "alone").stdout == "0\n"

    engine.run("podman", "start", "alone")
    engine.ports_answer(8080)
    assert call(engine, 8080, "/function/turn", "--data-binary", "abc").strip() == "cba"
    engine.run("podman", "rm", "--force", "--volumes", "alone")


def test_compose_makes_a_federation_of_three(engine):
    compose = ["podman-compose", "--file", "compose.yaml"]
    engine.run(*compose, "up", "--detach", cwd=engine.context)
    engine.ports_answer(8081, 8082, 8083)
    for node in (1, 2, 3):
        wait_until(lambda node=node: engine.run(
            "podman", "exec", f"dfaas-node-{node}", "dfaas", "peers", "--dir", NODE).stdout.count(" up ") == 2,
            f"node {node} to know both others", 60.0)
        engine.run("podman", "exec", f"dfaas-node-{node}", "dfaas", "deploy", "turn", "--dir", NODE,
                   "--process", "rev")
        assert call(engine, 8080 + node, "/function/turn", "--data-binary", "abc").strip() == "cba"
        # The authority's key lies at the first node alone, where the others renew.
        found = engine.run("podman", "exec", f"dfaas-node-{node}", "find", "/var/lib/dfaas", "-name", "ca.key").stdout
        assert found.split() == ([f"{NODE}/ca/ca.key"] if node == 1 else [])
    members = engine.run("podman", "exec", "dfaas-node-1", "dfaas", "federation", "members", "--dir", NODE).stdout
    assert "compose" in members and "dfaas-node-2" in members and "dfaas-node-3" in members
    # Together they have three slots for it: of two calls at once, a neighbour serves one.
    for node in (1, 2, 3):
        engine.run("podman", "exec", f"dfaas-node-{node}", "dfaas", "deploy", "nap", "--dir", NODE,
                   "--process", "sleep 0.5", "-l", "dfaas.slots=1")
    wait_until(lambda: len(set(engine.run("sh", "-c", _TWO_CALLS).stdout.split())) == 2, "a call to spill")

    # Making the federation again changes nothing.
    identity = engine.run("podman", "exec", "dfaas-node-1", "dfaas", "pki", "show", f"{NODE}/pki/node.crt").stdout
    [maker] = engine.run("podman", "ps", "--all", "--quiet", "--filter",
                         "label=com.docker.compose.service=federation").stdout.split()
    engine.run("podman", "start", "--attach", maker)
    assert engine.run("podman", "exec", "dfaas-node-1", "dfaas", "pki", "show",
                      f"{NODE}/pki/node.crt").stdout == identity
    engine.run(*compose, "down", "--volumes", cwd=engine.context)
    assert engine.run("podman", "ps", "--all", "--quiet").stdout == ""
