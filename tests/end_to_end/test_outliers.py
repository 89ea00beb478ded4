# SPDX-License-Identifier: AGPL-3.0-or-later
"""Neighbours that do much worse than the others are set aside, and come back by themselves."""

import contextlib
import time

import load
import pytest
from federation import Federation, dfaas
from waiting import wait_until

NEIGHBOURS = ("east", "west", "north")
GOOD = "sleep 0.1"


@pytest.fixture(scope="module")
def federation():
    with Federation("home", *NEIGHBOURS, settings={"dispatcher.user_wait_ratio": 10}) as federation:
        yield federation


def deploy(federation, name, bad):
    """Everywhere, and north has other code under the name. Each call may run anywhere."""
    labels = {"dfaas.match": "name"}
    slots = {"home": 1, "east": 6, "west": 6, "north": 6}
    for node in federation:
        node.deploy(name, bad if node.name == "north" else GOOD, slots=slots[node.name], labels=labels)
    federation.wait_spread(name, slots)


def ejected(node, name):
    """{neighbour: why} as `dfaas peers` has it."""
    return {peer["name"]: entry["why"] for peer in node.peers()["peers"]
            for entry in peer.get("ejected", []) if entry["function"] == f"{name}.openfaas-fn"}


def asked(home, name):
    """Calls that north had."""
    return home.metrics().sum("dfaas_gateway_forwards_total", function_name=f"{name}.openfaas-fn", peer="north")


@contextlib.contextmanager
def load_until_ejected(home, name, why):
    with load.open_loop(home.user_port, f"/function/{name}", per_second=25, seconds=30) as calls:
        wait_until(lambda: ejected(home, name) == {"north": why}, f"north to be set aside for {why}", 15.0)
        yield calls


def test_a_neighbour_that_errs_is_set_aside_told_of_and_taken_back(federation):
    home, north = federation["home"], federation["north"]
    deploy(federation, "errs", "sh -c 'sleep 0.1; exit 1'")
    labels = {"function_name": "errs.openfaas-fn", "peer": "north"}
    with load_until_ejected(home, "errs", "errors") as under_way:
        begun = len(under_way.calls)
        under_way.wait_for(begun + 40)
        failed = [call for call in under_way.calls if call.status >= 500]
        later = [call for call in under_way.calls[begun + 20:] if call.status >= 500]
        assert 4 <= len(failed) <= 40, len(failed)
        # North may answer what it had, and gets one call on trial in 5 s.
        assert len(later) <= 1, later
        metrics = home.metrics()
        assert metrics.sum("dfaas_gateway_peer_ejected", reason="errors", **labels) == 1
        assert metrics.sum("dfaas_gateway_peer_ejected", reason="slow", **labels) == 0
        assert metrics.sum("dfaas_gateway_ejections_total", **labels) >= 1
        assert "set aside for errs.openfaas-fn: errors" in dfaas("peers", "--dir", home.directory).stdout

        def explained():
            answer = home.call("errs", headers={"DFaaS-Explain": "1"})
            return answer.headers.get("DFaaS-Decision", "")

        wait_until(lambda: "north set aside: errors" in explained(), "the reason in an answer")

        north.deploy("errs", GOOD, slots=6, labels={"dfaas.match": "name"})
        before = asked(home, "errs")
        wait_until(lambda: not ejected(home, "errs") and asked(home, "errs") > before + 5,
                   "north to be taken back", 25.0)
        under_way.stop()


def test_a_neighbour_that_is_slow_is_set_aside(federation):
    home = federation["home"]
    deploy(federation, "lags", "sleep 0.7")  # A silence of a second would be called stalled.
    with load_until_ejected(home, "lags", "slow") as under_way:
        begun = len(under_way.calls)
        under_way.wait_for(begun + 30)  # What it had is over: forwards count at their end.
        before = asked(home, "lags")
        under_way.wait_for(begun + 60)
        assert asked(home, "lags") <= before + 1, "but for one on trial"
        quick = [call.seconds for call in under_way.calls[begun + 30:]]
        under_way.stop()
    assert {call.status for call in under_way.join()} == {200}
    assert sorted(quick)[len(quick) // 2] < 0.6


def held_seconds(home, other):
    """For how long `home` still holds it back, as `dfaas peers` has it."""
    return next(peer.get("held_ms", 0) / 1000 for peer in home.peers()["peers"] if peer["id"] == other.id)


def test_a_neighbour_that_comes_and_goes_is_held_back_and_taken_in_again(federation):
    home, north = federation["home"], federation["north"]
    deploy(federation, "steady", GOOD)
    holds, quiet = [], []
    with load.open_loop(home.user_port, "/function/steady", per_second=25, seconds=60) as under_way:
        for _ in range(3):
            north.freeze()
            try:
                wait_until(lambda: home.peer_state(north) == "silent", "home to miss north")
            finally:
                north.thaw()
            wait_until(lambda: home.peer_state(north) == "up", "home to hear it again")
            before = time.monotonic()
            holds.append(held_seconds(home, north))
            quiet.append((time.monotonic(), before + holds[-1]))
        returned = time.monotonic()
        wait_until(lambda: any(call.node_id == north.id and call.started > returned for call in under_way.calls),
                   "north to serve again")
        under_way.stop()
        calls = under_way.join()
    print("measured: held back for", [round(hold, 2) for hold in holds], "s; served", load.statuses(calls))
    assert holds[0] == 0 < holds[1] <= 1 and 0 < holds[2] <= 2, holds
    margin = 0.1  # Of the agent's plan on its way.
    sent = [call for call in calls for begun, until in quiet
            if call.node_id == north.id and begun < call.started < until - margin]
    assert not sent, sent
