# SPDX-License-Identifier: AGPL-3.0-or-later
"""Users who stop reading, and users who leave: they harm nobody else, and nothing goes on for them."""

import socket
import time

import load
import pytest
from federation import Federation
from waiting import wait_until

LARGE = 32_000_000  #: Bytes: more than all buffers on the way hold together.


@pytest.fixture(scope="module")
def pair():
    with Federation("light", "mid") as federation:
        yield federation


def report(**figures):
    print("measured:", ", ".join(f"{name} {value}" for name, value in figures.items()))


def open_request(node, text):
    connection = socket.create_connection(("127.0.0.1", node.user_port), timeout=20)
    connection.sendall(text)
    return connection


def percentile(calls, ratio):
    return sorted(call.seconds for call in calls)[int(ratio * (len(calls) - 1))]


def test_user_who_stops_reading_delays_no_other_forwarded_request(pair):
    light, mid = pair
    for name, process in (("large", f"head -c {LARGE} /dev/zero"), ("small", "cat")):
        mid.deploy(name, process, slots=8)
        pair.wait_spread(name, {"mid": 8})

    def others():
        calls = load.open_loop(light.user_port, "/function/small", per_second=40, seconds=4).join()
        assert load.served_by(calls)[mid.id] >= 155  # When the machine stalls, windows fill up.
        return calls

    # Windows open as a neighbour proves that it serves: only then is it the reader that is measured.
    load.open_loop(light.user_port, "/function/small", per_second=40, seconds=2).join()
    stalled = open_request(light, load.request_text("/function/large"))
    try:
        # It fills the buffers on its way and then stands still: its function cannot write on.
        assert stalled.recv(1000).startswith(b"HTTP/1.1 200")
        wait_until(lambda: mid.in_flight("large") == 1, "the large answer to be on its way")
        disturbed = others()
        assert mid.in_flight("large") == 1, "else nobody stood in the way"
    finally:
        stalled.close()
    wait_until(lambda: mid.in_flight("large") == 0, "the large answer to be given up")
    alone = others()

    figures = {f"p{round(100 * ratio)}_ms": tuple(round(1000 * percentile(calls, ratio), 1)
                                                  for calls in (alone, disturbed))
               for ratio in (0.5, 0.9, 0.99, 1)}
    report(**figures)
    assert percentile(disturbed, 0.9) < percentile(alone, 0.9) + 0.05
    assert percentile(disturbed, 1) < percentile(alone, 1) + 0.5  # The rest is the machine's noise.


#: One function for each place and label, so that every call ends where the test looks.
LONG = {"here": "light", "neighbour": "mid"}
LABELS = {"once": {}, "retry-safe": {"dfaas.retry": "safe"}}
#: A large body is more than a pipe holds, so the gateway stands still with it. It is less than the
#: buffers up to HAProxy hold: beyond those, HAProxy does not see the end of a connection either.
REQUESTS = {
    "GET": lambda target: load.request_text(target, method="GET"),
    "POST": lambda target: load.request_text(target, body=b"hello"),
    "large-body": lambda target: load.request_text(target, body=b"x" * 120_000),
    "unfinished-body": lambda target: load.request_text(target, body=b"x" * 100_000)[:-1000],
}


@pytest.fixture(scope="module")
def pair_with_long_functions(pair):
    for place, node_name in LONG.items():
        for label, labels in LABELS.items():
            # Most programs end when their input does; this one is none of them.
            pair[node_name].deploy(f"{place}-{label}", "sleep 30", slots=1, labels=labels)
    for place, node_name in LONG.items():
        for label in LABELS:
            pair.wait_spread(f"{place}-{label}", {node_name: 1})
    return pair


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("place", LONG)
@pytest.mark.parametrize("request_name", REQUESTS)
def test_user_who_leaves_leaves_no_process_behind(pair_with_long_functions, place, request_name,
                                                  label):
    light, server = pair_with_long_functions["light"], pair_with_long_functions[LONG[place]]
    name = f"{place}-{label}"
    connection = open_request(light, REQUESTS[request_name](f"/function/{name}"))
    wait_until(lambda: server.in_flight(name) == 1 and server.function_processes(),
               "the function to run")
    left = time.monotonic()
    connection.close()
    wait_until(lambda: not server.function_processes(), "the function to be ended", 5.0)
    ended = time.monotonic() - left
    wait_until(lambda: server.in_flight(name) == 0, "its slot to be free", 5.0)
    report(ended_s=round(ended, 3))
    assert ended < 2  # The bar is 1 s; the rest is the machine's noise.


def test_user_who_leaves_the_queue_gives_up_the_place(pair):
    light = pair["light"]
    light.deploy("one", "sleep 1", slots=1)
    light.call("one")  # Now the node knows how long it takes.
    running = load.closed_loop(light.user_port, "/function/one", clients=1, count=1)
    wait_until(lambda: light.in_flight("one") == 1, "the first to run")
    waiting = open_request(light, load.request_text("/function/one"))

    def queued():
        return next(function["queued"] for function in light.status()["functions"]
                    if function["name"] == "one.openfaas-fn")

    wait_until(lambda: queued() == 1, "the second to wait")
    waiting.close()
    wait_until(lambda: queued() == 0 or light.in_flight("one") == 0, "its place to be free", 2.0)
    assert load.statuses(running.join()) == {200: 1}
    wait_until(lambda: light.in_flight("one") == 0, "nobody to run for the one who left", 2.0)
