# SPDX-License-Identifier: AGPL-3.0-or-later
"""Members that lie, boast, swallow calls or send what they like: our users are served as without them."""

import clients
import load
import pytest
from federation import Federation
from hostile import Flood, HostileMember
from waiting import wait_until

NAP = "sleep 0.2"
SLOTS = {"light": 2, "mid": 6, "heavy": 6}
RATE = 25  #: Calls/s at light, which serves 10 of them: mid and heavy have room for the rest twice over.
SECONDS = 5


@pytest.fixture(scope="module")
def federation():
    with Federation(*SLOTS, settings={"dispatcher.user_wait_ratio": 10}) as federation:
        federation.deploy("nap", NAP, SLOTS, labels={"dfaas.retry": "safe"})
        federation.add("liar")
        yield federation


def success_of_users(light):
    calls = load.open_loop(light.user_port, "/function/nap", per_second=RATE, seconds=SECONDS,
                           body=b"x").join()
    good = [call for call in calls if call.status == 200]
    print("measured:", dict(load.statuses(calls)), "slowest", round(max(call.seconds for call in calls), 2))
    return len(good) / len(calls)


@pytest.mark.parametrize("how", ["swallow", "garbage", "refuse", "close"])
def test_a_member_that_boasts_and_lies_costs_no_user(federation, how):
    light, liar = federation["light"], federation["liar"]
    federation.write_peers([federation[name] for name in SLOTS])
    with HostileMember(liar, how) as member:
        light.list_peers([federation[name].peer_port for name in ("mid", "heavy", "liar")])
        wait_until(lambda: light.peer_state(liar) == "up", "light to believe the liar")
        federation.wait_planned([light])
        success = success_of_users(light)
        print("measured: the liar was asked", dict(member.asked), "success", success)
        assert member.asked[how] > 0, "else nothing was tried"
        assert success >= 0.99
        light.list_peers([federation[name].peer_port for name in ("mid", "heavy")])
        wait_until(lambda: light.peer_state(liar) is None, "light to forget the liar")


def test_a_member_that_sends_ten_times_what_it_was_granted_costs_own_users_nothing(federation):
    light, mid, heavy = (federation[name] for name in SLOTS)
    federation.write_peers([light, mid, heavy])
    federation.wait_connected([light, mid, heavy])

    def own_users():
        calls = load.open_loop(mid.user_port, "/function/nap", per_second=15, seconds=SECONDS,
                               body=b"x").join()
        return sum(call.status == 200 for call in calls) / len(calls)

    alone = own_users()

    context = heavy.tls_context()

    def call_past_its_own_gateway():
        answer = clients.tls_request(mid.peer_port, context, "POST", "/function/nap", b"x",
                                     {"DFaaS-Node-ID": heavy.id})
        return answer.headers.get("DFaaS-Outcome", answer.status)

    with Flood(call_past_its_own_gateway, threads=30) as flood:
        wait_until(lambda: len(flood.outcomes) > 30, "the flood to be on")
        flooded = own_users()
    seen = flood.counts()
    print("measured: own users alone", alone, "flooded", flooded, "the flood got", seen)
    assert alone == 1
    assert flooded >= 0.99
    assert seen.get("busy", 0) + seen.get("limit", 0) > 0, "else it was no flood"
