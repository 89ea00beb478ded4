# SPDX-License-Identifier: AGPL-3.0-or-later
"""Input that is wrong: one clear sentence that names the thing, the value and what would be right, a
telling exit status, and nothing half done. A peer's or a user's input never stops a process."""

import json
import os
import shutil
import socket

import clients
import pytest
from federation import Federation, Node, dfaas, temporary_directory
from waiting import wait_until

PROGRAMS = ("gateway", "haproxy", "agent", "launcher")


@pytest.fixture(scope="module")
def pair():
    with Federation("light", "mid") as federation:
        federation.deploy("cat", "cat", {"light": 2, "mid": 2})
        yield federation


@pytest.fixture
def light(pair):
    return pair["light"]


@pytest.fixture(autouse=True)
def no_program_died(pair):
    """Whatever a test sends, the programs of both nodes go on."""
    before = {(node.name, name): node.pid(name) for node in pair for name in PROGRAMS}
    yield
    assert {(node.name, name): node.pid(name) for node in pair for name in PROGRAMS} == before


@pytest.fixture
def stopped():
    """A node that was made and not started."""
    directory = temporary_directory()
    node = Node(directory / "node", "solo")
    yield node
    node.stop()
    shutil.rmtree(directory)


def sentence_of(done):
    """The complaint of a command that failed: one line, no more."""
    assert done.returncode in (1, 2), done
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("dfaas: "), done.stderr
    assert done.stdout == ""
    return lines[0]


def refused_start(node, *arguments, environment=None):
    done = dfaas("node", "run", "--dir", node.directory, *arguments, check=False,
                 env={**os.environ, **(environment or {})})
    leftovers = [path.name for path in (node.directory / "run").iterdir()
                 if path.suffix == ".sock"] if (node.directory / "run").exists() else []
    assert leftovers == []
    return done.returncode, sentence_of(done)


# --- settings


@pytest.mark.parametrize("setting, words", [
    ("strategy.perod_ms=1000", ["strategy.perod_ms", "--set", "strategy.period_ms"]),
    ("strategy.period_ms=5", ["strategy.period_ms", "5", "500", "600000"]),
    ("strategy.period_ms=fast", ["strategy.period_ms", "fast", "integer"]),
    ("dispatcher.retry_ratio=nan", ["dispatcher.retry_ratio", "nan", "0 to 10"]),
    ("strategy.name=magic", ["strategy.name", "magic", "grant_and_spill"]),
    ("log.level=loud", ["log.level", "loud", "debug|info|warn|error"]),
    ("policy.deny=Globex", ["policy.deny", "Globex", "names of organisations and ids of nodes"]),
    ("policy.limits=globex=many", ["policy.limits", "globex=many", "ORGANISATION=SLOTS"]),
    ("policy.credits=maybe", ["policy.credits", "maybe", "no|yes"]),
    ("user.bind=8080", ["user.bind", "8080", "HOST:PORT"]),
    ("user.bind=127.0.0.1:99999", ["user.bind", "99999", "65535"]),
    ("user.bind=no.such.host.invalid:8080", ["user.bind", "no.such.host.invalid"]),
    ("user.bind", ["user.bind", "NAME=VALUE"])])
def test_wrong_setting_stops_the_start_and_names_what_is_allowed(stopped, setting, words):
    status, sentence = refused_start(stopped, "--set", setting)
    assert all(word in sentence for word in words), sentence
    assert status == 2


def test_wrong_setting_in_the_environment_names_the_variable(stopped):
    status, sentence = refused_start(stopped, environment={"DFAAS_LOG_LEVEL": "loud"})
    assert "DFAAS_LOG_LEVEL" in sentence and status == 2


@pytest.mark.parametrize("line, words", [
    ("strategy.period_ms = 5", ["node.toml", "strategy.period_ms", "5"]),
    ("colour = 'blue'", ["node.toml", "colour"]),
    ("strategy.period_ms = ", ["node.toml", "line"])])
def test_wrong_settings_file_is_named(stopped, line, words):
    file = stopped.directory / "node.toml"
    kept = [text for text in file.read_text().splitlines() if not text.startswith("strategy.")]
    file.write_text("\n".join([*kept, line]) + "\n")
    status, sentence = refused_start(stopped)
    assert all(word in sentence for word in words), sentence
    assert status == 2


def test_wrong_setting_makes_no_node(tmp_path):
    done = dfaas("node", "init", "--dir", tmp_path / "new", "--name", "x", "--set",
                 "strategy.period_ms=1", check=False)
    assert "strategy.period_ms" in sentence_of(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "-x", "UPPER", "a.b", "a b", "x" * 64, "../x", "ümlaut"])
def test_wrong_node_name_makes_no_node(tmp_path, name):
    done = dfaas("node", "init", "--dir", tmp_path / "new", "--name", name, check=False)
    assert "a-z" in sentence_of(done) and done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_directory_in_use_is_not_overwritten(stopped):
    key = (stopped.directory / "pki" / "node.key").read_bytes()
    done = dfaas("node", "init", "--dir", stopped.directory, "--name", "other", check=False)
    assert "not empty" in sentence_of(done)
    assert (stopped.directory / "pki" / "node.key").read_bytes() == key


def test_missing_directory_is_named(tmp_path):
    done = dfaas("node", "run", "--dir", tmp_path / "nowhere", check=False)
    assert str(tmp_path / "nowhere") in sentence_of(done)


def test_unknown_command_and_option_are_misuse():
    for arguments in (["fly"], ["node", "run", "--colour", "blue"], ["node"], []):
        done = dfaas(*arguments, check=False)
        assert done.returncode == 2 and done.stderr, arguments


# --- certificates


@pytest.mark.parametrize("file, text", [
    ("node.crt", None), ("node.crt", "not a certificate"), ("node.key", None),
    ("node.key", "not a key"), ("ca.pem", None), ("ca.pem", "nothing of an authority")])
def test_unreadable_certificate_is_named(stopped, file, text):
    path = stopped.directory / "pki" / file
    path.unlink() if text is None else path.write_text(text)
    status, sentence = refused_start(stopped)
    assert str(path) in sentence, sentence
    assert status in (1, 2)


def test_key_of_another_node_is_refused(stopped, light):
    path = stopped.directory / "pki" / "node.key"
    path.write_text((light.directory / "pki" / "node.key").read_text())
    _, sentence = refused_start(stopped)
    assert str(path) in sentence, sentence


def test_missing_authority_makes_no_node(tmp_path):
    done = dfaas("node", "init", "--dir", tmp_path / "new", "--name", "x", "--ca",
                 tmp_path / "no-ca", check=False)
    assert "no-ca" in sentence_of(done)
    assert list(tmp_path.iterdir()) == []


# --- the machine


@pytest.mark.parametrize("port", ["user", "peer", "admin"])
def test_port_in_use_is_named(stopped, port):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", getattr(stopped, f"{port}_port")))
        holder.listen()
        status, sentence = refused_start(stopped)
    assert f"{port}.bind" in sentence and str(getattr(stopped, f"{port}_port")) in sentence
    assert status == 1
    stopped.start()  # And nothing of the failed start is in the way.


def test_second_node_in_one_directory_is_refused(light):
    done = dfaas("node", "run", "--dir", light.directory, check=False)
    assert "already running" in sentence_of(done)
    assert light.call("cat", b"x").body == b"x"


def test_missing_haproxy_is_named_with_its_remedy(stopped):
    status, sentence = refused_start(stopped, "--set", "haproxy.program=/no/such/haproxy")
    assert "/no/such/haproxy" in sentence and "2.6" in sentence
    assert status == 1


@pytest.mark.parametrize("version", ["HAProxy version 2.4.22-0ubuntu0.22.04.3 2023/12/04",
                                     "HA-Proxy version 1.8.30", "something else"])
def test_haproxy_that_is_too_old_is_named_with_its_version(stopped, version):
    program = stopped.directory / "it's an old haproxy"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    status, sentence = refused_start(stopped, "--set", f"haproxy.program={program}")
    assert version in sentence and "2.6" in sentence
    assert status == 1


# --- deployments


@pytest.mark.parametrize("options, words", [
    ({"process": "no-such-program"}, ["no-such-program", "/usr/bin"]),
    ({"process": "/no/such/program"}, ["/no/such/program", "executable"]),
    ({"process": __file__}, [__file__, "executable"]),
    ({"process": "bin/cat"}, ["bin/cat", "absolute"]),
    ({"process": ""}, ["names no program"]),
    ({"process": "cat 'open"}, ["open"]),
    ({"process": "cat", "image": "figlet:latest"}, ["figlet:latest", "images.registries", "host:"]),
    ({"process": "cat", "labels": {"dfaas.slots": "many"}}, ["dfaas.slots", "many", "number"]),
    ({"process": "cat", "labels": {"dfaas.slots": "0"}}, ["dfaas.slots", "0", "1 to"]),
    ({"process": "cat", "labels": {"dfaas.slots": "-1"}}, ["dfaas.slots", "-1"]),
    ({"process": "cat", "labels": {"dfaas.slots": "2.5"}}, ["dfaas.slots", "2.5"]),
    ({"process": "cat", "labels": {"dfaas.slots": ""}}, ["dfaas.slots"]),
    ({"process": "cat", "labels": {"dfaas.share": "all"}}, ["dfaas.share", "\"all\" is not trusted here: acme"]),
    ({"process": "cat", "labels": {"dfaas.share": "acme,federation"}}, ["dfaas.share", "acme,federation", "organisation"]),
    ({"process": "cat", "labels": {"dfaas.timeout_ms": "1s"}}, ["dfaas.timeout_ms", "1s"]),
    ({"process": "cat", "labels": {"dfaas.slot": "2"}}, ["dfaas.slot", "dfaas.slots"])])
def test_wrong_deployment_changes_nothing_and_says_why(light, options, words):
    before = light.system("GET", "/system/functions").text
    answer = light.try_deploy("new", **options)
    assert 400 <= answer.status < 500, answer
    assert len(answer.text.splitlines()) == 1
    assert all(word in answer.text for word in words), answer.text
    assert light.system("GET", "/system/functions").text == before


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", "ä", "a" * 64, "a\n", "a;b", ".", "a.b.c d",
                                  "a\u0000b", "$(id)"])
def test_function_name_with_illegal_characters_is_refused_everywhere(light, name):
    answer = light.try_deploy(name, "cat")
    assert answer.status == 400, answer
    assert "a-z" in answer.text and len(answer.text.splitlines()) == 1
    if "\u0000" not in name:  # No command line can carry it.
        gateway = ("-g", f"http://127.0.0.1:{light.user_port}", "--dir", light.directory)
        for command in (["deploy", name, *gateway, "--process", "cat"], ["describe", name, *gateway],
                        ["remove", name, *gateway], ["invoke", name, *gateway, "-d", "x"]):
            done = dfaas(*command, check=False)
            sentence = sentence_of(done)
            assert "a-z" in sentence or "NAME.NAMESPACE" in sentence, sentence
            assert done.returncode == 2


def test_program_that_went_away_is_a_500_and_comes_back(light):
    directory = light.shared_directory()
    program = directory / "program"
    program.write_text("#!/bin/sh\necho here\n")
    program.chmod(0o755)
    light.deploy("volatile", str(program))
    assert light.call("volatile").text == "here\n"
    program.rename(directory / "away")
    answer = light.call("volatile")
    assert answer.status == 500 and len(answer.text.splitlines()) == 1
    (directory / "away").rename(program)
    assert light.call("volatile").text == "here\n"


def test_wrong_gateway_address_is_named():
    for gateway in ("https://", "127.0.0.1:notaport", "http://"):
        done = dfaas("list", "-g", gateway, check=False)
        assert gateway in sentence_of(done) and done.returncode == 2, gateway


def test_gateway_that_does_not_answer_is_named():
    assert "127.0.0.1:1" in sentence_of(dfaas("list", "-g", "http://127.0.0.1:1", check=False))


def test_call_that_is_not_known_is_named(light):
    done = dfaas("why", "no-such-call", "--dir", light.directory, check=False)
    assert "no-such-call" in sentence_of(done)


# --- messages of a member that are wrong


def exchange_message(**changes):
    message = {"version": 1, "boot": "b", "seq": 1, "lifetime_ms": 1000, "name": "mid",
               "draining": False, "functions": [], "asks": [], "grants": []}
    return json.dumps({**message, **changes}).encode()


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"{}" * 10, b'{"version": 1}',
    b"[" * 30_000, exchange_message(version=99), exchange_message(version="1"),
    exchange_message(seq=-1), exchange_message(seq=1e300), exchange_message(lifetime_ms=-5),
    exchange_message(lifetime_ms=10**15), exchange_message(name="../../etc"),
    exchange_message(name=7), exchange_message(functions="all"),
    exchange_message(functions=[{"name": "a b", "digest": "x", "slots": 1}]),
    exchange_message(functions=[{"name": "cat", "slots": -1}]),
    exchange_message(asks=[{"function": "cat", "rate": -1}]),
    exchange_message(asks=[{"function": "cat", "rate": "NaN"}]),
    exchange_message(padding="x" * 70_000)])
def test_malformed_exchange_message_is_400_and_the_node_goes_on(pair, light, body):
    malformed = light.peers()["malformed_messages"]
    answer = light.peer_request(pair["mid"], "POST", "/dfaas/v1/exchange", body,
                                {"Content-Type": "application/json"})
    assert answer.status == 400, answer
    assert json.loads(answer.text)["error"]
    assert light.peers()["malformed_messages"] == malformed + 1
    assert light.peer_state(pair["mid"]) == "up"


@pytest.mark.parametrize("method, target", [
    ("GET", "/dfaas/v1/exchange"), ("POST", "/dfaas/v1/plan"), ("POST", "/dfaas/../v1/exchange"),
    ("DELETE", "/dfaas/")])
def test_agent_has_one_path_for_neighbours(pair, light, method, target):
    assert light.peer_request(pair["mid"], method, target, b"").status == 404


def test_wrong_lines_among_the_neighbours_are_complained_of_and_skipped(pair, light):
    draft = light.directory / "peers.txt.new"
    draft.write_text(f"what is this\n127.0.0.1:99999\n127.0.0.1:{pair['mid'].peer_port} # good\n")
    draft.rename(light.directory / "peers.txt")
    wait_until(lambda: "what is this" in light.log() and "99999" in light.log(), "the complaints")
    assert light.peer_state(pair["mid"]) == "up"
    light.list_peers([pair["mid"].peer_port])


def test_forwarded_call_with_odd_headers_is_served_or_refused(pair, light):
    for headers in ({"DFaaS-Deadline-Ms": "soon"}, {"DFaaS-Deadline-Ms": "-1"},
                    {"DFaaS-Deadline-Ms": "9" * 40}, {"DFaaS-Deadline-Ms": "0"},
                    {"DFaaS-Function": ";;;"}, {"DFaaS-Function": "x" * 5000},
                    {"DFaaS-Room": "-1"}, {"DFaaS-Outcome": "busy"}, {"DFaaS-To": "p99"}):
        answer = light.peer_request(pair["mid"], "POST", "/function/cat", b"x", headers)
        assert answer.status in (200, 404, 504), (headers, answer)


def test_garbage_on_every_port_stops_nothing(light):
    for port in (light.user_port, light.peer_port, light.admin_port):
        for garbage in (b"\x00" * 100, b"\xff" * 5000, b"GET", b"\r\n\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM"):
            clients.raw_exchange(port, garbage, half_close=True)
    assert light.call("cat", b"x").body == b"x"
