# SPDX-License-Identifier: AGPL-3.0-or-later
"""Five nodes with addresses of their own, asked for three times what they can do, or parted: all is well soon after.

With DFAAS_LONG=1 overload and partition last for a minute, as in the published figures.
"""

import contextlib
import time

import pytest
from field import IS_LONG, Field, needs_networks, report, scenario_text
from load import GeneratedLoad, TriesWitness

pytestmark = needs_networks

SLOTS = {"a": 2, "b": 4, "c": 4, "d": 2, "e": 4}
SERVICE_SECONDS = 0.3
BODY = str(int(SERVICE_SECONDS * 1e6))
CAPACITY = sum(SLOTS.values()) / SERVICE_SECONDS  #: Calls/s.
#: 0.8 of the capacity, most of it where there is least: "a" and "d" are asked for twice what they can do.
USUAL = {name: 2 * SLOTS[name] / SERVICE_SECONDS if name in "ad" else 0.0 for name in SLOTS}
USUAL |= {name: (0.8 * CAPACITY - USUAL["a"] - USUAL["d"]) / 3 for name in "bce"}
OVERLOAD = {name: 3 * slots / SERVICE_SECONDS for name, slots in SLOTS.items()}
BAD_SECONDS = 60 if IS_LONG else 8
WELL_SECONDS = 5  #: Within so many, all is well again.
AFTER_SECONDS = 20 if IS_LONG else 10
#: A run whose generator was later than that (p99) was one of another load.
LATE_MS_MAX = 10


@pytest.fixture(scope="module")
def field():
    with Field(scenario_text(SLOTS, functions=("once",), deadline=5)) as field:
        field.wait_agreed(functions=1)
        yield field
        assert not any(node.deaths() for node in field)


def offered(field, rates, seconds, meanwhile=None):
    """[(totals of a node, its seconds), ...] of `dfaas load` in every node's network."""
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(GeneratedLoad(field[name], "once", rate, seconds, body=BODY,
                                                  network=field[name].network))
                for name, rate in rates.items()]
        if meanwhile is not None:
            meanwhile()
        return [run.results() for run in runs]


def counted(results, since):
    """(offered, not served) of the seconds from `since` on."""
    seconds = [second for _, lines in results for second in lines if second["second"] >= since]
    return (sum(second["offered"] for second in seconds),
            sum(second["refused"] + second["failed"] + second["transport_errors"] for second in seconds))


def late_ms(results):
    return max(total["generator_late_ms_p99"] for total, _ in results)


def until_not_void(run):
    """A run whose load was another one, because the machine had other things to do, is made again; the third
    one counts all the same."""
    for _ in range(3):
        outcome, late = run()
        if late <= LATE_MS_MAX:
            break
    return outcome


def check(outcome):
    sent, missed, tries, worst = outcome
    assert sent >= 0.7 * CAPACITY * (AFTER_SECONDS - WELL_SECONDS)
    assert missed <= 0.001 * sent
    assert tries <= 1.2 and worst <= 1.2


def test_after_threefold_overload_everywhere_all_is_well(field):
    def run():
        with TriesWitness(field) as witness:
            bad = offered(field, OVERLOAD, BAD_SECONDS)
            good = offered(field, USUAL, AFTER_SECONDS)
        sent, missed = counted(good, WELL_SECONDS)
        bad_sent, bad_missed = counted(bad, 0)
        late = max(late_ms(bad), late_ms(good))
        report(overload_s=BAD_SECONDS, offered=bad_sent, served=bad_sent - bad_missed, then_offered=sent, not_served=missed,
               all_not_served_after=counted(good, 0)[1], tries_per_call=round(witness.of_all(), 3),
               worst_3_s=round(witness.worst(), 3), late_ms=round(late, 1))
        assert bad_sent - bad_missed >= 0.8 * CAPACITY * BAD_SECONDS, "what can be served, is"
        return (sent, missed, witness.of_all(), witness.worst()), late

    check(until_not_void(run))


def test_after_a_partition_heals_all_is_well(field):
    def run():
        healed = []

        def part_and_heal():
            begun = time.monotonic()
            time.sleep(2)  # All is as usual first.
            field.tell("partition a d")
            time.sleep(BAD_SECONDS)
            field.tell("healall")
            healed.append(time.monotonic() - begun)

        with TriesWitness(field) as witness:
            results = offered(field, USUAL, 2 + BAD_SECONDS + AFTER_SECONDS + 1, part_and_heal)
        well = int(healed[0]) + 1 + WELL_SECONDS
        sent, missed = counted(results, well)
        report(parted_s=BAD_SECONDS, offered=counted(results, 0)[0], not_served=counted(results, 0)[1],
               not_served_from_heal=counted(results, int(healed[0]) + 1)[1], then_offered=sent, then_not_served=missed,
               tries_per_call=round(witness.of_all(), 3), worst_3_s=round(witness.worst(), 3),
               late_ms=round(late_ms(results), 1))
        assert counted(results, 0)[1] - missed > BAD_SECONDS, "the smaller part has not enough slots"
        return (sent, missed, witness.of_all(), witness.worst()), late_ms(results)

    check(until_not_void(run))
