# SPDX-License-Identifier: AGPL-3.0-or-later
"""More load than slots: who is served, how fast the rest is refused, and how soon all is well again.

With DFAAS_LONG=1 the loads last as long as in the published measurements; by default they are short.
"""

import os

import load
import pytest
from federation import Federation
from load import GeneratedLoad, TriesWitness, generated
from waiting import wait_until

NAP = "sleep 0.2"  #: A fixed duration, so that a slot serves 5 calls a second on any machine.
PER_SLOT = 5
IS_LONG = os.environ.get("DFAAS_LONG") == "1"

#: As measured: a run whose generator was later than that (p99) does not count.
LATE_MS_MAX = 10

def report(**figures):
    print("measured:", ", ".join(f"{name} {value}" for name, value in figures.items()))


def short(total):
    latency = total["latency_ms"]
    return (f"{total['served']}/{total['offered']} p99 {latency['p99']:.0f} ms "
            f"late {total['generator_late_ms_p99']:.1f} ms")


def outside(total):
    return total["refused"] + total["failed"] + total["transport_errors"]


@pytest.fixture(scope="module")
def trio():
    with Federation("light", "mid", "heavy") as federation:
        federation.deploy("nap", NAP, {"light": 2, "mid": 4, "heavy": 6})
        federation.deploy("home", NAP, {"light": 2, "mid": 8, "heavy": 1})
        federation.deploy("published", NAP, {"light": 4, "mid": 9, "heavy": 14})
        yield federation


def offered_and_tries(nodes, name):
    offered = tries = 0
    for node in nodes:
        metrics = node.metrics()
        labels = {"function_name": f"{name}.openfaas-fn"}
        offered += metrics.sum("dfaas_gateway_offered_total", **labels)
        tries += metrics.sum("dfaas_gateway_forwards_total", **labels)
    return offered, tries


def test_all_nodes_full_refuse_without_asking_around(trio):
    light, mid, heavy = trio
    with (GeneratedLoad(mid, "nap", rate=2 * 4 * PER_SLOT, seconds=6) as at_mid,
          GeneratedLoad(heavy, "nap", rate=2 * 6 * PER_SLOT, seconds=6) as at_heavy):
        wait_until(lambda: mid.in_flight("nap") == 4 and heavy.in_flight("nap") == 6,
                   "the neighbours to be full")
        before, before_all = offered_and_tries([light], "nap"), offered_and_tries(trio, "nap")
        burst = load.burst(light.user_port, "/function/nap", 200)
        in_burst = offered_and_tries([light], "nap")
        stream = load.open_loop(light.user_port, "/function/nap", per_second=100, seconds=2).join()
        after, after_all = offered_and_tries([light], "nap"), offered_and_tries(trio, "nap")
        at_mid.results(), at_heavy.results()

    tries_in_burst = (in_burst[1] - before[1]) / (in_burst[0] - before[0])
    tries_in_stream = (after[1] - in_burst[1]) / (after[0] - in_burst[0])
    tries_of_all = (after_all[1] - before_all[1]) / (after_all[0] - before_all[0])
    refused = [call for call in burst + stream if call.status == 503]
    slowest = max(call.seconds for call in refused)
    report(tries_per_request_burst=tries_in_burst, stream=tries_in_stream,
           all_nodes=round(tries_of_all, 2), refused=len(refused), slowest_refusal_s=slowest)
    assert after[0] - before[0] == 400
    assert tries_in_burst <= 1.2 and tries_in_stream <= 1.2 and tries_of_all <= 1.2
    assert set(load.statuses(burst + stream)) <= {200, 503}
    assert len(refused) > 200
    assert all(call.headers.get("Retry-After") == "1" for call in refused)
    assert slowest < 5


def test_after_threefold_overload_all_is_well_within_five_seconds(trio):
    light = trio["light"]
    capacity = (2 + 4 + 6) * PER_SLOT
    with TriesWitness(trio) as witness:
        overload, _ = generated(light, "nap", rate=3 * capacity, seconds=60 if IS_LONG else 8)
        total, seconds = generated(light, "nap", rate=0.8 * capacity, seconds=20 if IS_LONG else 10)
    later = [second for second in seconds if second["second"] >= 5]
    offered, lost = sum(s["offered"] for s in later), sum(outside(s) for s in later)
    report(overload=short(overload), by_peer=overload["served_by_peer"], after=short(total), lost_after_5_s=lost,
           of=offered, tries_per_call=round(witness.of_all(), 3), worst_3_s=round(witness.worst(), 3))
    assert overload["refused"] > overload["offered"] / 3
    assert offered > 0.8 * capacity * 4
    assert lost <= 0.001 * offered
    assert witness.of_all() <= 1.2 and witness.worst() <= 1.2


def test_neighbour_under_tenfold_load_costs_own_users_nothing(trio):
    light, mid = trio["light"], trio["mid"]
    seconds = 40 if IS_LONG else 10
    own = {"rate": 0.6 * 8 * PER_SLOT, "seconds": seconds, "arrivals": "poisson", "seed": 7}
    alone, _ = generated(mid, "home", **own)
    with GeneratedLoad(light, "home", rate=10 * 2 * PER_SLOT, seconds=seconds) as neighbour:
        helping, _ = generated(mid, "home", **own)
        flood, _ = neighbour.results()

    cost = alone["success_ratio"] - helping["success_ratio"]
    report(alone=short(alone), helping=short(helping), cost=f"{cost:.2%}",
           guests=flood["served_by_peer"].get("mid"), flood=short(flood))
    assert alone["offered"] == helping["offered"]
    assert flood["served_by_peer"]["mid"] > 10, "else nobody was helped"
    assert cost <= 0.005
    # One more run of the function is what waiting for a guest's slot may cost.
    assert helping["latency_ms"]["p99"] < alone["latency_ms"]["p99"] + 400


@pytest.mark.parametrize("run", range(3 if IS_LONG else 1))
def test_published_test_1_has_no_bad_second(trio, run):
    """Light alone gets 1.25 times what it can serve: the original lost 2 to 4 %, most of it in a
    minute of 503 after the start."""
    for _ in range(3):
        total, seconds = generated(trio["light"], "published", rate=1.25 * 4 * PER_SLOT,
                                   seconds=60 if IS_LONG else 12)
        worst = min(second["success_ratio"] for second in seconds[1:] if second["offered"] > 0)
        report(run=run, total=short(total), worst_second=worst, by_peer=total["served_by_peer"])
        assert sum(total["served_by_peer"].values()) >= 0.2 * total["offered"]
        assert total["success_ratio"] >= 0.999
        assert worst >= 0.99
        if total["generator_late_ms_p99"] <= LATE_MS_MAX or not IS_LONG:
            return
    pytest.fail("three runs are void: the generator was late, so it was another load")
