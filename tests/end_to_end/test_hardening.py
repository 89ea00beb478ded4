# SPDX-License-Identifier: AGPL-3.0-or-later
"""What users and strangers meet: https, guessed passwords, slow and greedy senders, headers of our own pages."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import clients
import load
import pytest
from federation import BINARY, Federation, dfaas
from waiting import wait_until


@pytest.fixture(scope="module")
def node():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        node.deploy("cat", "cat", slots=8)
        yield node


# --- https for users


@pytest.fixture(scope="module")
def server_certificate(tmp_path_factory):
    """(file for the node, file that a client trusts), for the name localhost."""
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", place / "key.pem", "-out", place / "cert.pem", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)
    both = place / "both.pem"
    both.write_text((place / "cert.pem").read_text() + (place / "key.pem").read_text())
    return both, place / "cert.pem"


@pytest.fixture(scope="module")
def secure(server_certificate):
    settings = {"user.certificate": server_certificate[0]}
    with Federation("secure", connect=False, settings=settings) as federation:
        yield federation["secure"]


def test_users_speak_https(secure, server_certificate):
    # By the command line of the node itself, then as a client elsewhere that trusts the certificate.
    dfaas("deploy", "cat", "--dir", secure.directory, "--process", "cat")
    trusting = {**os.environ, "SSL_CERT_FILE": str(server_certificate[1])}
    done = dfaas("invoke", "cat", "-d", "hello", "-g", f"https://localhost:{secure.user_port}",
                 env=trusting)
    assert done.stdout == "hello"
    curl = subprocess.run(["curl", "-sS", "--cacert", server_certificate[1], "-d", "by curl",
                           f"https://localhost:{secure.user_port}/function/cat"],
                          capture_output=True, text=True, check=True)
    assert curl.stdout == "by curl"


def test_client_that_does_not_trust_the_certificate_says_so(secure):
    done = dfaas("list", "-g", f"https://localhost:{secure.user_port}", check=False)
    assert done.returncode != 0 and "no authority that is trusted" in done.stderr
    wrong_name = dfaas("list", "-g", f"https://127.0.0.1:{secure.user_port}", check=False)
    assert wrong_name.returncode != 0


def test_plain_http_is_not_answered_where_https_is_spoken(secure):
    answer = secure.raw([b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"])
    assert not answer.received.startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize("content, words", [(None, "No such file"), ("", "no readable certificate"),
                                            ("certificate alone", "no readable private key")])
def test_certificate_that_cannot_be_used_stops_the_start(tmp_path, server_certificate, content, words):
    file = tmp_path / "user.pem"
    if content is not None:
        file.write_text(server_certificate[1].read_text() if content else "")
    with Federation("stopped", connect=False) as federation:
        stopped = federation["stopped"]
        stopped.stop()
        done = subprocess.run([BINARY, "node", "run", "--dir", stopped.directory, "--set",
                               f"user.certificate={file}"], capture_output=True, text=True, timeout=20)
        assert done.returncode != 0
        assert "user.certificate" in done.stderr and words in done.stderr, done.stderr


# --- the system's paths


def test_paths_of_the_system_are_guarded():
    with Federation("fresh", connect=False,
                    settings={"user.wrong_credentials_per_minute": 20}) as federation:
        fresh = federation["fresh"]
        answer = fresh.system("GET", "/system/functions")
        assert answer.status == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        fresh.deploy("cat", "cat")
        assert "X-Frame-Options" not in fresh.call("cat", b"x").headers  # It is the function's to say.
        # Guessed passwords are slowed down; calls of functions from the same address go on.
        wrong = {"Authorization": "Basic YWRtaW46Z3Vlc3M="}
        answers = [fresh.request("GET", "/system/functions", None, wrong).status for _ in range(30)]
        assert answers[:20] == [401] * 20 and answers[-1] == 429, answers
        assert fresh.call("cat", b"x").body == b"x"


# --- slow and greedy senders


def held_connections(port, count, text):
    lines = []
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port), timeout=20)
        line.sendall(text)
        lines.append(line)
    return lines


def test_hundreds_of_slow_senders_do_not_keep_others_out(node):
    slow = held_connections(node.user_port, 400, b"POST /function/cat HTTP/1.1\r\nHost: node\r\n")
    slow += held_connections(node.user_port, 100, b"POST /function/cat HTTP/1.1\r\nHost: node\r\n"
                                                  b"Content-Length: 100000\r\n\r\nslowly")
    # Who sends enough to be taken for honest, and then stands still, holds a slot for five seconds.
    slow += held_connections(node.user_port, 6, b"POST /function/cat HTTP/1.1\r\nHost: node\r\n"
                                                b"Content-Length: 100000\r\n\r\n" + b"x" * 20_000)
    try:
        begun = time.monotonic()
        calls = load.open_loop(node.user_port, "/function/cat", per_second=40, seconds=6,
                               body=b"x").join()
        served = load.statuses(calls)
        print("measured: of honest users", dict(served), "beside 500 slow senders, in",
              round(time.monotonic() - begun, 1), "s")
        assert served[200] >= 0.99 * len(calls), served
    finally:
        for line in slow:
            line.close()
    wait_until(lambda: node.in_flight("cat") == 0, "the slow ones to be given up")


@pytest.mark.parametrize("mode", ["classic", "http"])
def test_body_that_stands_still_is_given_up_with_408_and_its_slot_is_free(node, mode):
    if mode == "http":
        shutil.copy(Path(__file__).with_name("echo_server.py"), node.shared)
        node.staying = ("echo_server.py",)
        node.deploy("stays", f"python3 {node.shared}/echo_server.py", env={"mode": "http"}, slots=2)
    name = "stays" if mode == "http" else "cat"
    line = held_connections(node.user_port, 1, b"POST /function/" + name.encode() +
                            b" HTTP/1.1\r\nHost: node\r\nContent-Length: 100000\r\n\r\n" + b"x" * 40_000)[0]
    wait_until(lambda: node.in_flight(name) == 1, "the call to run")
    begun = time.monotonic()
    line.settimeout(30)
    assert line.recv(1000).startswith(b"HTTP/1.1 408")
    print("measured: given up after", round(time.monotonic() - begun, 1), "s")
    assert time.monotonic() - begun > 3
    wait_until(lambda: node.in_flight(name) == 0, "its slot to be free")


def test_slow_but_steady_body_is_served(node):
    pieces = [b"POST /function/cat HTTP/1.1\r\nHost: node\r\nContent-Length: 60000\r\n\r\n"]
    answer = node.raw(pieces + [b"y" * 6000] * 10, pause_seconds=0.7, silence_seconds=3)
    assert answer.received.startswith(b"HTTP/1.1 200") and answer.received.count(b"y") >= 60000


def test_headers_that_never_end_are_cut_off_in_time(node):
    line = held_connections(node.user_port, 1, b"GET /function/cat HTTP/1.1\r\n")[0]
    begun = time.monotonic()
    line.settimeout(30)
    answer = line.recv(1000)
    assert answer.startswith(b"HTTP/1.1 408") and time.monotonic() - begun > 5


def test_one_address_has_a_limit_of_connections():
    with Federation("few", connect=False,
                    settings={"user.connections_per_source": 20}) as federation:
        few = federation["few"]
        held = held_connections(few.user_port, 20, b"GET /")
        try:
            with pytest.raises((OSError, AssertionError, ValueError, EOFError)):
                few.request("GET", "/healthz")
        finally:
            for line in held:
                line.close()
        wait_until(lambda: few.request("GET", "/healthz").status == 200, "room again")
