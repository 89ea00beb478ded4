# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests that two programs could read in two ways, and requests that are too large.

Every hostile request goes to the user port as it is and to the peer port in TLS with the certificate
of a member. What may never happen: two answers to one request, a hidden second request that runs, or
a function that runs twice.
"""

import pytest
from federation import Federation
from waiting import wait_until

BODY_BYTES_MAX = 1_000_000


@pytest.fixture(scope="module")
def federation():
    with Federation("light", "mid", settings={"gateway.request_bytes_max": BODY_BYTES_MAX,
                                              "gateway.system_body_bytes_max": 2000,
                                              "dispatcher.user_wait_ratio": 0}) as federation:
        federation.deploy("cat", "cat", {"light": 2, "mid": 2})
        # Not so quick that a user would rather wait for its slot than go to a neighbour.
        federation.deploy("sum", "sh -c 'sha256sum; sleep 0.03'", {"light": 1, "mid": 2})
        yield federation


@pytest.fixture
def light(federation):
    return federation["light"]


@pytest.fixture(params=["user", "peer"])
def door(request, federation, light):
    return Door(federation, light, request.param)


class Door:
    """The user port or the peer port of a node, for raw requests. {id} in a text becomes the header
    that the peer port asks for."""

    def __init__(self, federation, node, name):
        self.name = name
        self._node = node
        self._member = federation["mid"]

    def send(self, text, **options):
        told = f"DFaaS-Node-ID: {self._member.id}\r\n" if self.name == "peer" else ""
        raw = text.replace(b"{id}", told.encode())
        if self.name == "user":
            return self._node.raw(raw, **options)
        return self._node.raw_to_peer_port(self._member, raw, **options)


class Runs:
    """A function that counts its runs in a file."""

    def __init__(self, node, directory, name):
        self.name = name
        self._file = directory / "runs"
        self._file.touch()
        self._file.chmod(0o666)  # Each node runs functions as a user of its own.
        node.deploy(name, f"sh -c 'cat >/dev/null; echo run >> {self._file}; echo done'")

    def count(self):
        return len(self._file.read_text().splitlines()) if self._file.exists() else 0


@pytest.fixture
def runs(federation, light):
    directory = light.shared_directory()
    # The same on both, so that the peer port admits it.
    counter = Runs(federation["mid"], directory, "counter")
    Runs(light, directory, "counter")
    federation.wait_planned()
    return counter


HIDDEN = b"POST /function/counter HTTP/1.1\r\nHost: x\r\n{id}Content-Length: 0\r\n\r\n"


def request(*lines, body=b""):
    head = b"\r\n".join([b"POST /function/cat HTTP/1.1", *lines]) + b"\r\n"
    return head + b"{id}\r\n" + body


SMUGGLING = {
    "two lengths": request(
        b"Host: x", b"Content-Length: 0", b"Content-Length: 60", body=HIDDEN),
    "lengths in a list": request(b"Host: x", b"Content-Length: 0, 60", body=HIDDEN),
    "length with a sign": request(b"Host: x", b"Content-Length: +5", body=b"hello" + HIDDEN),
    "negative length": request(b"Host: x", b"Content-Length: -1", body=HIDDEN),
    "hexadecimal length": request(b"Host: x", b"Content-Length: 0x5", body=b"hello" + HIDDEN),
    "length beyond any": request(
        b"Host: x", b"Content-Length: 99999999999999999999999", body=HIDDEN),
    "empty length": request(b"Host: x", b"Content-Length: ", body=HIDDEN),
    "blank before the colon": request(b"Host: x", b"Content-Length : 5", body=b"hello" + HIDDEN),
    "blank in a name": request(b"Host: x", b"Content Length: 5", body=b"hello" + HIDDEN),
    "chunked twice": request(
        b"Host: x", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
        body=b"0\r\n\r\n" + HIDDEN),
    "chunked twice in a list": request(
        b"Host: x", b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n" + HIDDEN),
    "chunked not last": request(
        b"Host: x", b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + HIDDEN),
    "unknown coding": request(
        b"Host: x", b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + HIDDEN),
    "coding with a vertical tab": request(
        b"Host: x", b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n" + HIDDEN),
    "coding and length, obfuscated": request(
        b"Host: x", b"Content-Length: 5", b"Transfer-Encoding: x", body=b"0\r\n\r\n" + HIDDEN),
    "chunk size with a sign": request(
        b"Host: x", b"Transfer-Encoding: chunked", body=b"+5\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "chunk size beyond any": request(
        b"Host: x", b"Transfer-Encoding: chunked",
        body=b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "chunk longer than told": request(
        b"Host: x", b"Transfer-Encoding: chunked", body=b"2\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "carriage return alone": request(b"Host: x", b"X-Odd: a\rContent-Length: 5",
                                     body=b"hello" + HIDDEN),
    "no blank after the method": b"POST/function/cat HTTP/1.1\r\nHost: x\r\n{id}\r\n" + HIDDEN,
}


@pytest.mark.parametrize("case", SMUGGLING)
def test_ambiguous_request_is_refused_and_the_connection_dropped(door, runs, case):
    exchange = door.send(SMUGGLING[case])

    answers = [answer.status for answer in exchange.answers()]
    # What the front door cannot read at all it may drop without a word.
    assert len(answers) <= 1 and all(400 <= status < 600 for status in answers), exchange
    assert exchange.closed
    assert runs.count() == 0


def counted(*lines, body=b"hello"):
    """A request of the counter that ends the connection."""
    head = b"\r\n".join([b"POST /function/counter HTTP/1.1", b"Host: x", b"Connection: close", *lines])
    return head + b"\r\n{id}\r\n" + body


#: RFC 9112 leaves it to a server to take these or not; in any case there is one way to read them.
TOLERATED = {
    "bare line feeds": b"POST /function/counter HTTP/1.1\nHost: x\n{id}Content-Length: 5\n"
                       b"Connection: close\n\nhello",
    "the same length twice": counted(b"Content-Length: 5", b"Content-Length: 5"),
    # Section 6.3: chunked wins, and the connection ends. What the length would hide stays unread.
    "length and chunked": counted(b"Content-Length: 4", b"Transfer-Encoding: chunked",
                                  body=b"0\r\n\r\n" + HIDDEN),
    "chunked and length": counted(b"Transfer-Encoding: chunked", b"Content-Length: 4",
                                  body=b"0\r\n\r\n" + HIDDEN),
    "chunk extension": counted(b"Transfer-Encoding: chunked", body=b"5;a=b\r\nhello\r\n0\r\n\r\n"),
    "trailer": counted(b"Transfer-Encoding: chunked",
                       body=b"5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n"),
    "unusual case": counted(b"TRANSFER-ENCODING: CHUNKED", body=b"5\r\nhello\r\n0\r\n\r\n"),
    "folded line": counted(b"X-Folded: a", b" Content-Length: 9", b"Content-Length: 5"),
    "zero byte in a header": counted(b"X-Odd: a\x00b", b"Content-Length: 5"),
    "unknown version": counted(b"Content-Length: 5").replace(b"HTTP/1.1", b"HTTP/9.9"),
}


@pytest.mark.parametrize("case", TOLERATED)
def test_odd_but_unambiguous_request_has_one_reading(door, runs, case):
    exchange = door.send(TOLERATED[case])
    answers = exchange.answers()
    assert len(answers) == 1 and exchange.closed
    status = answers[0].status
    assert status == 200 or 400 <= status < 500
    assert runs.count() == (1 if status == 200 else 0)


def test_two_requests_in_one_packet_get_two_answers_in_order(door):
    one = b"POST /function/cat HTTP/1.1\r\nHost: x\r\n{id}Content-Length: 3\r\n\r\none"
    two = (b"POST /function/cat HTTP/1.1\r\nHost: x\r\n{id}Connection: close\r\n"
           b"Content-Length: 3\r\n\r\ntwo")
    answers = door.send(one + two).answers()
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"one"), (200, b"two")]


@pytest.mark.parametrize("target", [
    "/function/../system/functions", "/function/cat/../../system/functions", "/function//cat",
    "//function/cat", "/function/cat//x", "/function/%2e%2e/system/functions", "/function%2Fcat",
    "/function/cat%2F..%2Fx", "/function/cat%2fx", "/function/cat/./x", "/./function/cat",
    "/function/cat%5c..%5cx", "/function/cat\\x", "/function/cat%00", "/function/", "/function/.",
    "/function/..", "/function/cat.", "/function/.openfaas-fn", "/function/c%61t",
    "/function/cat.openfaas-fn.openfaas-fn", "/function/a,b"])
def test_raw_path_is_never_normalised(door, target):
    exchange = door.send(f"POST {target} HTTP/1.1\r\nHost: x\r\n".encode() +
                         b"{id}Connection: close\r\nContent-Length: 2\r\n\r\nhi")
    status, = [answer.status for answer in exchange.answers()]
    assert status in (400, 404), exchange
    assert b"envProcess" not in exchange.received


@pytest.mark.parametrize("target", ["http://x/function/cat", "*", "x:80"])
def test_target_that_is_no_path_is_refused_or_read_as_one(door, target):
    exchange = door.send(f"POST {target} HTTP/1.1\r\nHost: x\r\n".encode() +
                         b"{id}Connection: close\r\nContent-Length: 2\r\n\r\nhi")
    status, = [answer.status for answer in exchange.answers()]
    assert 400 <= status < 500 or (status == 200 and target.startswith("http")), exchange


def test_sub_paths_and_queries_reach_the_function(light):
    light.deploy("env", "env")
    answer = light.request("GET", "/function/env/a/b.c?d=/../e%2F")
    assert "Http_Path=/a/b.c\n" in answer.text
    assert "Http_Query=d=/../e%2F\n" in answer.text


@pytest.mark.parametrize("hosts", [[], [b"Host: a", b"Host: b"]])
def test_exactly_one_host_is_needed(door, hosts):
    exchange = door.send(request(*hosts, b"Connection: close", b"Content-Length: 0"))
    assert [answer.status for answer in exchange.answers()] == [400]


def test_old_protocol_version_is_served(light):
    exchange = light.raw(b"POST /function/cat HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
    answer, = exchange.answers()
    assert (answer.status, answer.body, exchange.closed) == (200, b"hi", True)


def test_unknown_expectation_is_417(door):
    exchange = door.send(request(b"Host: x", b"Expect: a-miracle", b"Connection: close",
                                 b"Content-Length: 0"))
    assert [answer.status for answer in exchange.answers()] == [417]


# --- sizes


@pytest.mark.parametrize("size", [20_000, 100_000, 2_000_000])
def test_header_that_is_too_large_is_refused(door, size):
    exchange = door.send(request(b"Host: x", b"X-Large: " + b"x" * size, b"Content-Length: 0"))
    answers = [answer.status for answer in exchange.answers()]
    assert answers in ([400], [431], []), exchange  # [] where the door was shut in mid-sentence.
    assert exchange.closed


def test_many_headers_are_refused(door):
    lines = [b"X-%d: y" % at for at in range(2000)]
    exchange = door.send(request(b"Host: x", *lines, b"Content-Length: 0"))
    assert [answer.status for answer in exchange.answers()] in ([400], [431])
    assert exchange.closed


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("place", ["here", "at a neighbour"])
def test_body_over_the_limit_is_413_and_at_the_limit_is_served(federation, light, framing, place):
    with light.occupied("sum", 1 if place == "at a neighbour" else 0):
        for size, status in ((BODY_BYTES_MAX, 200), (BODY_BYTES_MAX + 1, 413)):
            body = b"x" * size
            answer = light.call("sum", body if framing == "length" else iter([body]))
            assert answer.status == status, answer
            if status == 413:
                assert str(BODY_BYTES_MAX) in answer.text
    for node in (light, federation["mid"]):
        wait_until(lambda: not node.function_processes(), "the function to be ended")


def test_body_that_is_told_to_be_too_large_runs_nothing(light, runs):
    assert light.call(runs.name, b"x" * (BODY_BYTES_MAX + 1)).status == 413
    assert runs.count() == 0


def test_deployment_that_is_too_large_is_413(light):
    answer = light.system("POST", "/system/functions", "x" * 2001)
    assert answer.status == 413
    assert "2000" in answer.text


def test_half_a_request_starts_nothing(door, runs):
    exchange = door.send(b"POST /function/counter HTTP/1.1\r\nHost: x\r\n{id}Content-Length: 9\r\n"
                         b"\r\nhalf", half_close=True)
    assert [answer.status for answer in exchange.answers() if answer.status < 400] == []
    assert runs.count() == 0
