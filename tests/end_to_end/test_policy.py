# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a node accepts from whom: lists, limits of organisations, functions shared by name, credits."""

import json

import load
import pytest
from federation import Federation, dfaas
from waiting import wait_until

#: Nobody waits in line for a slot: what has none is refused, so that outcomes can be counted.
NO_WAITING = {"dispatcher.user_wait_ratio": 0, "dispatcher.guest_wait_ratio": 0,
              "dispatcher.spill_wait_ratio": 0}

#: Reads its body, so that a test can hold its slot, and takes longer than anybody may wait.
READER = "sh -c 'cat; sleep 0.3'"


@pytest.fixture(scope="module")
def members():
    """light and mid are of acme, foreign of globex, third of initech. light takes one call of globex at a time, and
    none of initech."""
    with Federation("light", "mid", "foreign", "third",
                    organisations={"foreign": "globex", "third": "initech"},
                    settings={**NO_WAITING,
                              "light": {"policy.limits": "globex=1,*=0"}}) as federation:
        yield federation


def guests(node, name, **labels):
    return node.metrics().sum("dfaas_gateway_guests_total", function_name=f"{name}.openfaas-fn", **labels)


def functions_of(node, other):
    """What `node` has heard that `other` has for it."""
    peer, = [peer for peer in node.peers()["peers"] if peer["id"] == other.id]
    return {function["name"] for function in peer["functions"]}


def test_an_organisation_has_no_more_calls_here_than_its_limit_and_its_users_go_elsewhere(members):
    light, mid, foreign, third = members
    for node, slots in ((light, 8), (mid, 8), (foreign, 1)):
        node.deploy("limited", READER, slots=slots, labels={"dfaas.share": "federation"})
    wait_until(lambda: all("limited.openfaas-fn" in functions_of(foreign, node) for node in (light, mid)),
               "foreign to hear of both")
    members.wait_planned()
    foreign.call("limited")
    with foreign.occupied("limited", 1):
        calls = load.burst(foreign.user_port, "/function/limited", 6)
    served = load.served_by(calls)
    assert load.statuses(calls) == {200: 6}, load.statuses(calls)
    assert served[light.id] <= 1 and served[mid.id] >= 5, served
    note = dfaas("peers", "--dir", light.directory).stdout
    assert "at most 1 calls of globex here" in note and "at most 0 calls of initech here" in note

    # Past its own gateway's manners: the limit is kept where the calls arrive.
    with light.occupied("limited", 8):
        pass  # light's own users are not limited.
    assert functions_of(third, light) == set(), "who may send nothing hears of nothing"
    assert functions_of(mid, light) >= {"limited.openfaas-fn"}
    refused = light.peer_request(third, "POST", "/function/limited", b"x")
    assert (refused.status, refused.headers["DFaaS-Outcome"]) == (429, "limit")
    assert guests(light, "limited", peer="third", outcome="limit") == 1


def test_a_function_is_shared_with_the_organisations_that_it_names_and_no_other(members):
    light, mid, foreign, third = members
    mid.deploy("named", READER, slots=4, labels={"dfaas.share": "globex"})
    foreign.deploy("named", READER, slots=1, labels={"dfaas.share": "acme"})
    third.deploy("named", READER, slots=1, labels={"dfaas.share": "federation"})
    wait_until(lambda: "named.openfaas-fn" in functions_of(foreign, mid), "foreign to hear of mid")
    wait_until(lambda: "named.openfaas-fn" in functions_of(mid, third), "mid to hear of third")
    members.wait_planned()
    for node in (foreign, third):
        node.call("named")
    with foreign.occupied("named", 1), third.occupied("named", 1):
        of_foreign = foreign.call("named", b"x")
        of_third = third.call("named", b"x")
    assert (of_foreign.status, of_foreign.node_id) == (200, mid.id)
    assert (of_third.status, of_third.node_id) == (503, third.id)
    # One that asks all the same is refused.
    refused = mid.peer_request(third, "POST", "/function/named", b"x")
    assert refused.headers["DFaaS-Outcome"] == "limit"


def test_an_organisation_that_nobody_knows_is_named(members):
    answer = members["light"].try_deploy("typo", "cat", labels={"dfaas.share": "globx"})
    assert answer.status == 400
    assert "\"globx\" is not trusted here: acme, globex, initech" in answer.text
    assert members["light"].call("typo").status == 404


def test_who_is_denied_is_no_neighbour_and_no_other_is():
    with Federation("light", "mid", "foreign", organisations={"foreign": "globex"}, connect=False,
                    settings={**NO_WAITING, "light": {"policy.deny": "globex"}}) as federation:
        light, mid, foreign = federation
        federation.write_peers()
        federation.wait_connected([light, mid])
        federation.wait_connected([mid, foreign])
        wait_until(lambda: "neighbour_denied" in light.log(), "light to tell of the denial")
        for node in federation:
            node.deploy("work", READER, slots=1, labels={"dfaas.share": "federation"})
        wait_until(lambda: "work.openfaas-fn" in functions_of(foreign, mid), "foreign to hear of mid")
        federation.wait_planned()
        for node in federation:
            node.call("work")

        answer = light.peer_request(foreign, "POST", "/function/work", b"x")
        assert (answer.status, answer.text) == (403, "unknown node\n")
        with foreign.occupied("work", 1), mid.occupied("work", 1):
            assert foreign.call("work").status == 503
            assert light.peer_state(foreign) is None
        with light.occupied("work", 1), mid.occupied("work", 1):
            assert light.call("work").status == 503
        assert guests(light, "work") == guests(foreign, "work", peer="light") == 0

        denied, = light.peers()["unproved"]
        assert denied["denied"] and foreign.id in denied["why"] and "policy.deny" in denied["why"]
        assert "(denied)" in dfaas("peers", "--dir", light.directory).stdout
        told = [line for line in light.log().splitlines() if "neighbour_denied" in line]
        assert len(told) == 1, told


def test_a_neighbour_that_is_denied_by_a_reload_is_shut_out():
    with Federation("light", "foreign", organisations={"foreign": "globex"}) as federation:
        light, foreign = federation
        federation.deploy("work", "cat", {"light": 2, "foreign": 2}, labels={"dfaas.share": "federation"})
        assert light.peer_request(foreign, "POST", "/function/work", b"x").status == 200
        with open(light.directory / "node.toml", "a", encoding="utf-8") as file:
            file.write("\npolicy.deny = \"globex\"\n")
        light.reload()
        wait_until(lambda: light.peer_request(foreign, "POST", "/function/work", b"x").status == 403,
                   "foreign to be shut out")
        wait_until(lambda: light.peer_state(foreign) is None and not light.plan()["peers"],
                   "the plan to be without foreign")
        assert light.peers()["unproved"][0]["denied"]


def test_credits_are_kept_over_a_restart():
    with Federation("light", "foreign", organisations={"foreign": "globex"},
                    settings={**NO_WAITING, "policy.credits": "yes"}) as federation:
        light, foreign = federation
        federation.deploy("work", READER, {"light": 4, "foreign": 1},
                          labels={"dfaas.share": "federation"})
        foreign.call("work")
        light.call("work")
        with foreign.occupied("work", 1):
            calls = load.burst(foreign.user_port, "/function/work", 4)
        assert load.served_by(calls)[light.id] == 4

        def account(node, organisation):
            told = json.loads(dfaas("peers", "--dir", node.directory, "-o", "json").stdout)
            return {entry["organisation"]: entry for entry in told["credits"]}.get(organisation)

        wait_until(lambda: (account(light, "globex") or {}).get("for_them_s", 0) > 0.8,
                   "light to count what it did")
        wait_until(lambda: (account(foreign, "acme") or {}).get("for_us_s", 0) > 0.8,
                   "foreign to count what it got")
        before = account(light, "globex")["for_them_s"]
        light.stop()
        assert (light.directory / "state" / "credits.json").stat().st_mode & 0o777 == 0o600
        light.start()
        assert account(light, "globex")["for_them_s"] == pytest.approx(before, rel=0.01)

        light.stop()
        (light.directory / "state" / "credits.json").write_text("{\"unix_s\": \"yesterday\"}")
        light.start()
        assert account(light, "globex") is None
        assert "credits_not_read" in light.log() and "unix_s" in light.log()
