# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bodies of every size, framing and rhythm, through a full node to that one of two neighbours that is
not busy; and memory that does not grow with them."""

import hashlib

import clients
import pytest
from federation import Federation
from waiting import memory_peak_bytes, wait_until

#: Up to 4096 bytes wait in the pipe before the process is there.
SIZES = {"1 B": 1, "4096 B": 4096, "4097 B": 4097, "15 kB": 15_000, "200 kB": 200_000, "5 MB": 5_000_000}


@pytest.fixture(scope="module")
def federation():
    """light and busy have no free slot, and nobody waits for one; free has room."""
    settings = {"dispatcher.user_wait_ratio": 0, "dispatcher.guest_wait_ratio": 0}
    with Federation("light", "busy", "free", settings=settings) as federation:
        # cat and sum are not so quick that a user would rather wait for a slot than go elsewhere.
        for name, process in (("cat", "sh -c 'cat; sleep 0.03'"),
                              ("sum", "sh -c 'sha256sum; sleep 0.03'"),
                              ("deaf", "echo hello"), ("head", "head -c 10")):
            federation.deploy(name, process, {"light": 1, "busy": 1, "free": 8})
        yield federation


@pytest.fixture
def full(federation, request):
    """light and busy hold all their slots of the function while the test runs."""
    name = request.param
    with federation["light"].occupied(name, 1), federation["busy"].occupied(name, 1):
        yield name


def content(size):
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def request_pieces(name, body, framing, writes):
    """The request as the pieces that are written one after the other."""
    head = f"POST /function/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    if framing == "length":
        text = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        split_at = len(text) - len(body) // 2 - 1
    else:
        middle = len(body) // 2
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part)
                          for part in (body[:middle], body[middle:]) if part)
        text = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
        split_at = len(text) - len(chunks) // 2 - 5
    return [text] if writes == 1 else [text[:split_at], text[split_at:]]


@pytest.mark.parametrize("full", ["sum"], indirect=True)
@pytest.mark.parametrize("writes", [1, 2])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_body_reaches_the_neighbour_that_has_room(federation, full, size, framing, writes):
    body = content(SIZES[size])
    pieces = request_pieces("sum", body, framing, writes)
    for _ in range(6):  # Two choices: some of them try the busy neighbour first.
        answer, = federation["light"].raw(pieces).answers()
        assert answer.status == 200, answer
        assert answer.node_id == federation["free"].id
        assert answer.body.split()[0].decode() == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("full", ["cat"], indirect=True)
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_body_comes_back_whole(federation, full, size, framing):
    body = content(SIZES[size])
    answer = federation["light"].call("cat", body if framing == "length" else iter([body]))
    assert (answer.status, answer.node_id) == (200, federation["free"].id)
    assert answer.body == body


@pytest.mark.parametrize("full", ["sum"], indirect=True)
def test_user_who_asks_first_is_told_to_send(federation, full):
    """Expect: 100-continue of the user: the body is asked for once somebody wants it."""
    body = content(300_000)
    head = (f"POST /function/sum HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    exchange = federation["light"].raw([head, body], pause_seconds=0.3)
    assert exchange.received.startswith(b"HTTP/1.1 100 Continue\r\n")
    answer, = exchange.answers()
    assert answer.body.split()[0].decode() == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("name, result", [("deaf", b"hello\n"), ("head", content(10))])
@pytest.mark.parametrize("place", ["here", "at a neighbour"])
def test_function_that_does_not_read_its_input_still_answers(federation, name, result, place):
    light = federation["light"]
    body = content(5_000_000)
    if place == "at a neighbour":
        light.remove(name)
        federation.wait_planned()
    try:
        for _ in range(5):
            answer = light.call(name, body)
            assert (answer.status, answer.body) == (200, result)
    finally:
        if place == "at a neighbour":
            light.deploy(name, {"deaf": "echo hello", "head": "head -c 10"}[name], slots=1)


def test_large_answer_of_a_neighbour_is_whole():
    with Federation("light", "mid") as pair:
        pair.deploy("zeros", "head -c 30000000 /dev/zero", {"light": 1, "mid": 4})
        light = pair["light"]
        light.remove("zeros")
        pair.deploy("zeros-here", "cat", {"light": 1})
        pair.wait_planned()
        answer = light.call("zeros")
        assert (answer.status, len(answer.body), answer.node_id) == (200, 30_000_000, pair["mid"].id)


def test_memory_stays_flat_while_200_mb_pass(federation):
    """Here, and through the gateways of two nodes. With a length: see decision 16 for chunked bodies on
    their way to a neighbour."""
    size = 200_000_000
    length = {"Content-Length": str(size)}
    growth_max = 24_000_000  # Of either gateway; buffers are some hundred kB.
    light, free = federation["light"], federation["free"]
    gateways = [light.pid("gateway"), free.pid("gateway")]
    federation_full = [light.occupied("sum", 1), federation["busy"].occupied("sum", 1)]
    for occupied in (False, True):
        before = [memory_peak_bytes(pid) for pid in gateways]
        if occupied:
            with federation_full[0], federation_full[1]:
                answer = light.call("sum", zeros(size), headers=length)
        else:
            answer = light.call("sum", zeros(size), headers=length)
        assert answer.status == 200, answer
        assert answer.node_id == (free.id if occupied else light.id)
        for pid, peak in zip(gateways, before):
            assert memory_peak_bytes(pid) - peak < growth_max


def zeros(size):
    """`size` bytes in pieces, never all in memory."""
    piece = bytes(1_000_000)
    return iter([piece] * (size // len(piece)))


def test_user_who_breaks_off_a_body_leaves_nothing_running(federation):
    light, free = federation["light"], federation["free"]
    with light.occupied("cat", 1), federation["busy"].occupied("cat", 1):
        call = clients.HeldCall(light.user_port, "/function/cat")
        wait_until(lambda: free.in_flight("cat") == 1, "the call to reach its neighbour")
        call.abandon()
        wait_until(lambda: free.in_flight("cat") == 0, "the neighbour to end it", 1.5)
    wait_until(lambda: not free.function_processes(), "its process to end", 1.5)
