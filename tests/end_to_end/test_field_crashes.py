# SPDX-License-Identifier: AGPL-3.0-or-later
"""Five nodes with addresses of their own: started in any order, and killed program by program, node by node.

Users call at the nodes that stay. With DFAAS_LONG=1 more orders are tried and pauses are longer.
"""

import random
import time

import pytest
from field import (IS_LONG, NAMES, NOISE, OUT_SECONDS_BAR, SLOTS, Field, Losses, needs_networks,
                   report)
from waiting import wait_until

pytestmark = needs_networks

VICTIM = "c"
#: Programs whose supervisor says that they died.
SUPERVISED = ("agent", "gateway", "haproxy")
#: How many processes end with a program: the gateway takes its launcher along, and both keepers.
ENDS_WITH = {"gateway": 4, "agent": 1, "haproxy": 1, "launcher": 1, "keeper": 1}


@pytest.fixture(scope="module")
def field():
    with Field() as field:
        field.wait_agreed()
        yield field


@pytest.fixture(scope="module")
def users(field):
    """At all nodes but the one that is killed most."""
    with field.users_at(field.others(VICTIM)) as users:
        yield users


class Trial:
    """Something is broken under load, mended, and all is as before but for what was broken."""

    def __init__(self, field, victims):
        self.field = field
        self.victims = victims
        self.nodes = field.others(*victims)
        self.names = [node.name for node in self.nodes]
        self._programs = {node.name: field.programs(node.name) for node in self.nodes}
        self._deaths = {node.name: len(node.deaths()) for node in field}
        self._ended = len(field.ended_by_themselves())

    def deaths(self, name):
        return self.field[name].deaths()[self._deaths[name]:]

    def check_survivors(self):
        """None of their programs has ended, nor has another taken its place."""
        for node in self.nodes:
            assert self.field.programs(node.name) == self._programs[node.name]
            assert self.deaths(node.name) == []

    def ended_by_themselves(self):
        return self.field.ended_by_themselves()[self._ended:]


def names(programs):
    return sorted(name for name, _ in programs)


def in_flight_max(victims):
    """Of calls that may not run twice: what the killed nodes can hold."""
    return sum(SLOTS[name] for name in victims)


def check_losses(trial, users, broken):
    losses = Losses(trial.field, users.settled(broken, trial.names), broken)
    losses.check(in_flight_max(trial.victims), helpers_gone=len(trial.victims))
    return losses


@pytest.mark.parametrize("seed", range(6 if IS_LONG else 2))
def test_nodes_start_in_any_order(field, seed):
    order = list(NAMES)
    random.Random(seed).shuffle(order)
    field.tell(*(f"kill {name}" for name in NAMES))
    began = time.monotonic()
    if seed % 2 == 0:  # Each when the one before it takes calls; else all at once.
        field.tell(*(f"start {name}" for name in order))
    else:
        field.tell("start " + " ".join(order))
    started = time.monotonic()
    field.wait_agreed()
    agreed = time.monotonic()
    with field.users_at(field) as users:
        steady = users.steady("b", "c", "e")
        helped = {name: len(users.served_by(name)) for name in "bce"}
    assert not any(node.deaths() for node in field)
    report(order="".join(order), started_s=round(started - began, 1),
           agreed_after_s=round(agreed - started, 2), steady_after_s=round(steady, 2),
           helped=helped)


@pytest.mark.parametrize("program", ["gateway", "agent", "haproxy", "launcher", "keeper", "supervisor"])
def test_killed_program_costs_what_was_in_flight_in_it(field, users, program):
    trial = Trial(field, [VICTIM])
    before = field.programs(VICTIM)
    users.steady(VICTIM)
    killed = time.monotonic()
    field.tell(f"kill {VICTIM} {program}")
    if program == "supervisor":
        wait_until(lambda: field.is_down(VICTIM), "what it had started to end with it")
        down = time.monotonic() - killed
        field.tell(f"start {VICTIM}")
    else:
        down = 0.0
        wait_until(lambda: names(field.programs(VICTIM)) == names(before)
                   and field.programs(VICTIM) != before, f"another {program}")
    whole = time.monotonic()
    helped = users.await_help_of(VICTIM, whole) - killed
    right = users.seconds_until_in([VICTIM], killed)
    users.await_calls(40, whole)
    losses = check_losses(trial, users, killed)
    field.wait_agreed()
    report(killed=program, **losses.figures(), last_bad_s=round(losses.last_seconds, 2),
           its_programs_ended_s=round(down, 2), helps_again_after_s=round(helped, 2), all_up_after_s=round(right, 2))
    trial.check_survivors()
    assert trial.ended_by_themselves() == ([VICTIM] if program == "supervisor" else [])
    assert trial.deaths(VICTIM) == ([(program, 137)] if program in SUPERVISED else [])
    if program != "supervisor":
        assert len(set(before) - set(field.programs(VICTIM))) == ENDS_WITH[program]


@pytest.mark.parametrize("victims", [["c"], ["b", "c"]], ids=["one", "two_at_once"])
def test_killed_nodes_cost_what_was_in_flight_in_them(field, users, victims):
    trial = Trial(field, victims)
    users.steady(*victims)
    killed = time.monotonic()
    field.tell(*(f"kill {name}" for name in victims))
    out = users.seconds_until_out(victims, killed, trial.names)
    users.await_calls(200 if IS_LONG else 60, time.monotonic())
    started = time.monotonic()
    field.tell("start " + " ".join(victims))
    ready = time.monotonic()
    back = users.seconds_until_in(victims, ready, trial.names)
    helped = max(users.await_help_of(name, started) for name in victims) - ready
    users.await_calls(40, time.monotonic())
    losses = check_losses(trial, users, killed)
    field.wait_agreed()
    report(killed="+".join(victims), **losses.figures(), last_bad_s=round(losses.last_seconds, 2),
           out_after_s=round(out, 2), start_s=round(ready - started, 2), back_after_s=round(back, 2),
           helps_again_after_s=round(helped, 2))
    assert out <= NOISE * OUT_SECONDS_BAR
    assert back <= NOISE * OUT_SECONDS_BAR
    trial.check_survivors()
    assert not trial.ended_by_themselves()
    assert not any(trial.deaths(name) for name in victims)


def test_hung_node_costs_what_was_in_flight_in_it(field, users):
    trial = Trial(field, [VICTIM])
    users.steady(VICTIM)
    hung = time.monotonic()
    field.tell(f"freeze {VICTIM}")
    out = users.seconds_until_out([VICTIM], hung)
    users.await_calls(60, time.monotonic())
    thawed = time.monotonic()
    field.tell(f"thaw {VICTIM}")
    back = users.seconds_until_in([VICTIM], thawed)
    helped = users.await_help_of(VICTIM, thawed) - thawed
    users.await_calls(40, time.monotonic())
    losses = check_losses(trial, users, hung)
    field.wait_agreed()
    report(hung=VICTIM, **losses.figures(), out_after_s=round(out, 2), back_after_s=round(back, 2),
           helps_again_after_s=round(helped, 2))
    assert out <= NOISE * OUT_SECONDS_BAR
    assert back <= NOISE * OUT_SECONDS_BAR
    trial.check_survivors()
    assert not trial.ended_by_themselves() and not trial.deaths(VICTIM)
