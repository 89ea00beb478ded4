# SPDX-License-Identifier: AGPL-3.0-or-later
"""Floods of what must be refused, beside honest users: everyone of them is served."""

import socket
import statistics

import clients
import load
import pytest
from federation import Federation, dfaas
from hostile import Flood, issue_certificate
from waiting import wait_until

SECONDS = 4
PER_SECOND = 25
THREADS = 8
CONNECTIONS_MAX = 20  #: Of one address.
FLOOD_ADDRESS = "127.0.0.2"  #: Honest users come from 127.0.0.1.


@pytest.fixture(scope="module")
def federation():
    with Federation("light", "mid", settings={"light": {
            "user.connections_per_source": CONNECTIONS_MAX}}) as federation:
        federation.deploy("cat", "cat", {"light": 4})
        federation.add("stranger")
        yield federation


def handshake_and_call(port, context, sender):
    """The status of a call with this id in its header."""
    return clients.tls_request(port, context, "POST", "/function/cat", b"x", {"DFaaS-Node-ID": sender}).status


def spoofed_id(federation, _):
    light, mid = federation["light"], federation["mid"]
    context = mid.tls_context()
    return lambda: handshake_and_call(light.peer_port, context, light.id), {403}


def certificate_of_no_member(federation, _):
    light, stranger = federation["light"], federation["stranger"]
    context = stranger.tls_context()
    return lambda: handshake_and_call(light.peer_port, context, stranger.id), {403}


def certificate_of_nobody_we_trust(federation, place):
    light, mid = federation["light"], federation["mid"]
    dfaas("pki", "ca", "create", "--dir", place / "evil", "--organisation", "acme")
    context = clients.tls_context(issue_certificate(place, mid.id, place / "evil"))
    return lambda: handshake_and_call(light.peer_port, context, mid.id), {"closed"}


def no_certificate(federation, _):
    light, mid = federation["light"], federation["mid"]
    context = clients.tls_context()
    return lambda: handshake_and_call(light.peer_port, context, mid.id), {"closed"}


def no_tls(federation, _):
    light = federation["light"]

    def attempt():
        with socket.create_connection(("127.0.0.1", light.peer_port), timeout=10) as line:
            line.sendall(b"POST /function/cat HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            while line.recv(1000):
                pass
        return "closed"

    return attempt, {"closed"}


def connections_beyond_the_limit(federation, _):
    """Those within it are held, with heads that do not end."""
    light = federation["light"]
    held = []

    def attempt():
        line = socket.create_connection(("127.0.0.1", light.user_port), timeout=10, source_address=(FLOOD_ADDRESS, 0))
        try:
            line.sendall(b"GET /function/cat HTTP/1.1\r\nX-Slow: ")
            line.settimeout(0.2)
            if line.recv(1000) == b"":
                return "closed"
        except TimeoutError:
            held.append(line)
            return "held"
        finally:
            if line not in held:
                line.close()
        return "answered"

    return attempt, {"closed", "held"}


def honest_users(light):
    calls = load.open_loop(light.user_port, "/function/cat", per_second=PER_SECOND, seconds=SECONDS, body=b"x").join()
    return load.statuses(calls), statistics.median(call.seconds for call in calls), max(call.seconds for call in calls)


@pytest.mark.parametrize("kind", [spoofed_id, certificate_of_no_member, certificate_of_nobody_we_trust, no_certificate,
                                  no_tls, connections_beyond_the_limit])
def test_flood_of_what_is_refused_costs_no_user(federation, tmp_path, kind):
    light, mid = federation["light"], federation["mid"]
    _, alone, slowest_alone = honest_users(light)
    attempt, expected = kind(federation, tmp_path)
    with Flood(attempt, THREADS) as flood:
        wait_until(lambda: len(flood.outcomes) > THREADS, "the flood to be on")
        before = len(flood.outcomes)
        served, median, slowest = honest_users(light)
        per_second = (len(flood.outcomes) - before) / SECONDS
        assert light.peer_state(mid) == "up", "its neighbours stay"
    print(f"measured: {kind.__name__}: {per_second:.0f} attempts a second, {flood.counts()}; honest users {dict(served)}, "
          f"median {1000 * median:.1f} ms (alone {1000 * alone:.1f}), "
          f"slowest {1000 * slowest:.0f} ms ({1000 * slowest_alone:.0f})")
    assert served == {200: PER_SECOND * SECONDS}
    assert set(flood.outcomes) <= expected and len(flood.outcomes) > 3 * THREADS, flood.counts()
