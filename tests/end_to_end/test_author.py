# SPDX-License-Identifier: AGPL-3.0-or-later
"""The path of a function's author: a new function with its test, a stack file, the store, many nodes."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from federation import BINARY, Federation, dfaas
from pictures import picture_of

LANGUAGES = {
    "python": ["python3", "-m", "unittest", "handler_test"],
    "node": ["node", "--test", "handler_test.js"],
    "bash": ["bash", "handler_test.sh"],
    "c++": ["sh", "-c", "g++ -std=c++17 -o handler_test handler.cpp handler_test.cpp && ./handler_test"],
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """Where functions are written and built, readable for them."""
    directory = tmp_path_factory.mktemp("workshop")
    for path in (directory, directory.parent):
        path.chmod(0o755)
    return directory


@pytest.fixture(scope="module")
def federation(workshop):
    settings = {"sandbox.read_paths": workshop, "sandbox.host_network": "yes"}
    with Federation("light", "heavy", connect=False, settings=settings) as federation:
        for node in federation:
            node.staying = ("import http.server",)  # Of the store, mode http.
        yield federation


@pytest.fixture(scope="module")
def node(federation):
    return federation["light"]


# --- new and up


@pytest.mark.parametrize("lang", LANGUAGES)
def test_new_function_passes_its_test_and_runs(node, workshop, lang):
    project = workshop / lang
    project.mkdir()
    name = "upper-" + lang.replace("+", "p")
    made = dfaas("new", name, "--lang", lang, cwd=project)
    assert made.stdout.strip() == name
    tested = subprocess.run(LANGUAGES[lang], cwd=project / name, capture_output=True, text=True,
                            timeout=120)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    dfaas("up", "--dir", node.directory, cwd=project, timeout=120.0)
    assert node.call(name, b"hello").body == b"HELLO"
    assert node.call(name, b"").body == b""


@pytest.mark.parametrize("lang, file, good, bad", [
    ("python", "handler.py", "body.upper()", "1 / 0"),
    ("node", "handler.js", "body.toString().toUpperCase()", "nothing.here"),
    ("bash", "handler.sh", "tr '[:lower:]' '[:upper:]'", "exit 3")])
def test_failure_of_a_handler_is_500_and_up_again_mends_it(node, workshop, lang, file, good, bad):
    project = workshop / f"broken-{lang}"
    project.mkdir()
    dfaas("new", f"broken-{lang}", "--lang", lang, cwd=project)
    handler = project / f"broken-{lang}" / file
    text = handler.read_text()
    assert good in text
    handler.write_text(text.replace(good, bad))
    dfaas("up", "--dir", node.directory, cwd=project)
    assert node.call(f"broken-{lang}", b"x").status == 500
    handler.write_text(text)
    dfaas("up", "--dir", node.directory, cwd=project)
    assert node.call(f"broken-{lang}", b"x").body == b"X"


def test_function_that_does_not_compile_deploys_nothing(node, workshop):
    project = workshop / "uncompiled"
    project.mkdir()
    dfaas("new", "first", "--lang", "bash", cwd=project)
    dfaas("new", "second", "--lang", "c++", cwd=project)
    (project / "second" / "handler.cpp").write_text("this is not C++")
    failed = dfaas("up", "--dir", node.directory, cwd=project, check=False, timeout=60.0)
    assert failed.returncode == 1 and "second" in failed.stderr
    assert node.call("first").status == 404


def test_new_adds_to_a_stack_file_and_never_overwrites(workshop):
    project = workshop / "twice"
    project.mkdir()
    dfaas("new", "one", "--lang", "python", cwd=project)
    dfaas("new", "two", "--lang", "bash", cwd=project)
    before = (project / "stack.yml").read_text()
    for arguments in (["one", "--lang", "python"], ["a/b", "--lang", "python"],
                      ["../x", "--lang", "bash"], ["three", "--lang", "cobol"]):
        assert dfaas("new", *arguments, cwd=project, check=False).returncode != 0
    assert (project / "stack.yml").read_text() == before
    assert sorted(path.name for path in project.iterdir()) == ["one", "stack.yml", "two"]


def test_up_takes_what_a_stack_file_says(node, workshop):
    project = workshop / "full"
    project.mkdir()
    dfaas("new", "full", "--lang", "bash", cwd=project)
    (project / "full" / "handler.sh").write_text("env; cat $secret_mount_path/key")
    (project / "more.yml").write_text("environment:\n  FROM_FILE: f\n  BOTH: file\n")
    (project / "stack.yml").write_text(f"""
version: 1.0
provider:
  name: openfaas
  gateway: http://127.0.0.1:1
functions:
  full:
    lang: bash
    handler: ./full
    namespace: team
    environment: {{BOTH: stack, TAG: "${{TAG:-none}}"}}
    environment_file: [more.yml]
    labels: {{dfaas.slots: 3}}
    annotations: {{topic: x}}
    secrets: [key]
  ready:
    skip_build: true
    image: "host:cat"
""")
    node.system("POST", "/system/secrets", {"name": "key", "namespace": "team", "value": "hush"})
    dfaas("up", "--dir", node.directory, cwd=project, env={**os.environ, "TAG": "v2"})
    seen = node.call("full.team").text.splitlines()
    assert {"BOTH=stack", "FROM_FILE=f", "TAG=v2", "hush"} <= set(seen)
    described = json.loads(node.system("GET", "/system/function/full.team").text)
    assert described["labels"]["dfaas.slots"] == "3" and described["annotations"] == {"topic": "x"}
    assert node.call("ready", b"x").body == b"x"


def test_up_filters_and_builds_alone(node, workshop):
    project = workshop / "filtered"
    project.mkdir()
    dfaas("new", "left", "--lang", "bash", cwd=project)
    dfaas("new", "right", "--lang", "bash", cwd=project)
    dfaas("up", "--skip-deploy", cwd=project)
    assert (project / "build" / "left" / "handler.sh").exists()
    assert node.call("left").status == 404
    dfaas("up", "--filter", "right", "--dir", node.directory, cwd=project)
    assert (node.call("left").status, node.call("right", b"x").body) == (404, b"X")
    assert dfaas("up", "--filter", "nobody", cwd=project, check=False).returncode == 1


@pytest.mark.parametrize("text, expected", [
    ("", "not a map"), ("functions: {}", "there is none"),
    ("functions:\n  a:\n    lang: cobol\n    handler: ./a", "cobol"),
    ("functions:\n  a:\n    lang: bash\n    handler: ./nowhere", "nowhere"),
    ("functions:\n  a:\n    image: ${UNSET_FOR_SURE}", "UNSET_FOR_SURE"),
    ("functions: [", "line")])
def test_stack_file_that_cannot_be_is_told_in_one_sentence(tmp_path, text, expected):
    (tmp_path / "stack.yml").write_text(text)
    failed = dfaas("up", cwd=tmp_path, check=False)
    assert failed.returncode in (1, 2)
    assert expected in failed.stderr and len(failed.stderr.splitlines()) == 1, failed.stderr


# --- the store


def test_store_is_listed_and_its_functions_work(node):
    names = [line.split()[0] for line in dfaas("store", "list").stdout.splitlines()[1:]]
    assert names == ["figlet", "shasum", "ocr", "thumbnail", "env", "curl", "hello-python"]
    for name in ("figlet", "shasum", "ocr", "thumbnail", "env", "hello-python"):
        dfaas("store", "deploy", name, "--dir", node.directory)
    drawn = subprocess.run(["figlet"], input="hi", text=True, check=True, capture_output=True).stdout
    assert node.call("figlet", b"hi").text == drawn
    assert "HELLO" in node.call("ocr", picture_of("HELLO")).text
    small = node.call("thumbnail", picture_of("HELLO"))
    assert small.headers["Content-Type"] == "image/png"
    assert small.body.startswith(b"\x89PNG") and max(png_size(small.body)) == 128
    assert "Http_Method=POST" in node.call("env").text
    assert node.call("hello-python", b"you").text == "Hello you\n"


def png_size(picture):
    return int.from_bytes(picture[16:20], "big"), int.from_bytes(picture[20:24], "big")


def test_store_of_the_gateway_is_what_faas_cli_reads(node):
    answer = node.request("GET", "/store.json")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    store = json.loads(answer.text)
    assert store == json.loads(dfaas("store", "list", "-o", "json").stdout)
    for item in store["functions"]:
        assert {"name", "title", "description", "fprocess"} <= item.keys()
        assert {"x86_64", "arm64"} <= item["images"].keys()


def test_store_deploys_under_another_name_with_more_labels(node):
    dfaas("store", "deploy", "SHA-512 sum", "--name", "sum.team", "-l", "dfaas.slots=7", "-e", "A=b",
          "--dir", node.directory)
    described = json.loads(node.system("GET", "/system/function/sum.team").text)
    assert described["labels"] == {"dfaas.retry": "safe", "dfaas.slots": "7"}
    assert described["envVars"] == {"A": "b"}
    assert dfaas("store", "deploy", "nobody", check=False).returncode == 1


def test_curl_of_the_store_fetches_addresses_and_takes_no_options(node):
    dfaas("store", "deploy", "curl", "--dir", node.directory)
    assert node.call("curl", f"http://127.0.0.1:{node.user_port}/healthz\n".encode()).text == "OK\n"
    for body in (b"file:///etc/passwd", b"-V", b"-o /tmp/x http://127.0.0.1:1/"):
        answer = node.call("curl", body)
        assert answer.status == 500 and b"root:" not in answer.body and b"Release-Date" not in answer.body


# --- many nodes


def nodes_file(federation, path, directories=True):
    path.write_text("# name and place\n" + "".join(
        f"{node.name}  {node.directory if directories else address_of(node)}\n" for node in federation))
    path.chmod(0o600)
    return path


def address_of(node):
    words = [(node.directory / "secrets" / f"basic-auth-{part}").read_text().strip()
             for part in ("user", "password")]
    return f"http://{words[0]}:{words[1]}@127.0.0.1:{node.user_port}"


@pytest.mark.parametrize("directories", [True, False])
def test_deploy_to_all_nodes_and_to_some(federation, tmp_path, directories):
    file = nodes_file(federation, tmp_path / "nodes.txt", directories)
    name = f"spread-{directories}".lower()
    done = dfaas("deploy", name, "--process", "cat", "--nodes", "all", "--nodes-file", file)
    assert sorted(done.stdout.split()) == sorted(f"deployed {name}.openfaas-fn to heavy deployed "
                                                 f"{name}.openfaas-fn to light".split())
    assert done.stderr == ""
    assert {node.call(name, b"x").body for node in federation} == {b"x"}
    dfaas("deploy", name, "--process", "rev", "--nodes", "heavy", "--nodes-file", file)
    assert federation["light"].call(name, b"ab\n").body == b"ab\n"
    assert federation["heavy"].call(name, b"ab\n").body == b"ba\n"


def test_one_node_that_fails_does_not_keep_the_others_from_it(federation, tmp_path):
    file = nodes_file(federation, tmp_path / "nodes.txt")
    file.write_text(file.read_text() + "gone http://a:b@127.0.0.1:1\n")
    done = dfaas("deploy", "partly", "--process", "cat", "--nodes", "all", "--nodes-file", file,
                 check=False)
    assert done.returncode == 1 and "1 of 3 nodes" in done.stderr and "gone" in done.stderr
    assert {node.call("partly", b"x").body for node in federation} == {b"x"}


@pytest.mark.parametrize("text, nodes, expected", [
    ("light\n", "all", "line 1"), ("light here\nlight there\n", "all", "twice"),
    ("Bad_Name x\n", "all", "line 1"), ("light /nowhere\n", "light", "/nowhere"),
    ("", "all", "names no node"), ("light x\n", "dark", "dark")])
def test_nodes_that_cannot_be_are_told(tmp_path, text, nodes, expected):
    file = tmp_path / "nodes.txt"
    file.write_text(text)
    file.chmod(0o600)
    failed = dfaas("deploy", "f", "--process", "cat", "--nodes", nodes, "--nodes-file", file,
                   check=False, cwd=tmp_path)
    assert failed.returncode in (1, 2) and expected in failed.stderr, failed.stderr


def test_functions_of_the_experiments_go_to_numbered_nodes(federation, tmp_path):
    """The three arguments of the original: number, prefix, suffix."""
    for number, node in enumerate(federation, 1):
        os.symlink(node.directory, tmp_path / f"dfaas-node-{number}-x")
    tool = Path(__file__).resolve().parents[2] / "tools" / "deploy-functions-to-nodes"
    environment = {**os.environ, "DFAAS": BINARY, "DFAAS_PAUSE": "0.1", "DFAAS_TRIES": "2"}
    done = subprocess.run([tool, "2", "dfaas-node-", "-x"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for node in federation:
        rates = {name: json.loads(node.system("GET", f"/system/function/{name}").text)["labels"]
                 ["dfaas.maxrate"] for name in ("ocr", "shasum", "figlet")}
        assert rates == {"ocr": "10", "shasum": "20", "figlet": "30"}
    failed = subprocess.run([tool, "3", "dfaas-node-", "-x"], cwd=tmp_path, env=environment,
                            capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1 and "dfaas-node-3-x" in failed.stderr
    for arguments in ([], ["0", "x"], ["many", "x"]):
        assert subprocess.run([tool, *arguments], capture_output=True, timeout=10).returncode == 2


def test_command_line_finds_a_node_by_its_directory_alone(node):
    dfaas("deploy", "by-directory", "--process", "cat", "--dir", node.directory)
    assert "by-directory" in dfaas("list", "--dir", node.directory).stdout
    done = dfaas("invoke", "by-directory", "--dir", node.directory, "-d", "x")
    assert done.stdout == "x"
    missing = dfaas("list", "--dir", "/nowhere", check=False)
    assert missing.returncode == 1 and "no node in /nowhere" in missing.stderr
