# SPDX-License-Identifier: AGPL-3.0-or-later
"""Five nodes with addresses of their own, whose links are cut: both ways, one way, all of a node's, two from three.

With DFAAS_LONG=1 the network is parted for a minute, as in the published figures.
"""

import time

import pytest
from field import (HEALED_SECONDS_BAR, IS_LONG, NAMES, NOISE, OUT_SECONDS_BAR, SLOTS, Field, Losses,
                   needs_networks, report)

pytestmark = needs_networks

VICTIM = "c"
PARTED_SECONDS = 60 if IS_LONG else 8


@pytest.fixture(scope="module")
def field():
    with Field() as field:
        field.wait_agreed()
        yield field


@pytest.fixture(scope="module")
def users(field):
    with field.users_at(field) as users:
        yield users


class Trial:
    """Links are cut and mended while users call everywhere."""

    def __init__(self, field, users):
        self.field = field
        self.users = users
        self._programs = {name: field.programs(name) for name in NAMES}

    def run(self, sides, cut, mend, seconds):
        """`sides` are the nodes that still know each other. Returns the figures."""
        users = self.users
        users.steady("b", "c", "e")
        at_cut = time.monotonic()
        self.field.tell(*cut)
        out = users.seconds_until_parted(sides, at_cut)
        # How long it lasts: users go on calling, and nothing may go wrong.
        time.sleep(max(0.0, at_cut + seconds - time.monotonic()))
        still_out = users.seconds_until_parted(sides, at_cut)
        at_heal = time.monotonic()
        self.field.tell(*mend)
        healed = users.seconds_until_in(NAMES, at_heal)
        helped = max(users.await_help_of(name, at_heal) for name in ("b", "c", "e")) - at_heal
        users.await_calls(40, time.monotonic())
        calls = users.settled(at_cut)
        self.field.wait_agreed()
        losses = Losses(self.field, calls, at_cut)
        report(sides="|".join("".join(side) for side in sides), **losses.figures(), cut_s=round(at_heal - at_cut, 1),
               last_bad_s=round(losses.last_seconds, 2), out_after_s=round(out, 2),
               healed_after_s=round(healed, 2), helps_again_after_s=round(helped, 2))
        # "a" keeps one helper of three where the network is parted.
        losses.check(sum(SLOTS.values()), helpers_gone=2 if "ab" in sides else 1)
        assert out <= NOISE * OUT_SECONDS_BAR and still_out == out
        assert healed <= NOISE * HEALED_SECONDS_BAR
        assert {name: self.field.programs(name) for name in NAMES} == self._programs
        assert not self.field.ended_by_themselves()
        assert not any(node.deaths() for node in self.field)


def test_parted_network_costs_what_was_in_flight_between_its_parts(field, users):
    Trial(field, users).run(["ab", "cde"], ["partition a b"], ["healall"], PARTED_SECONDS)


@pytest.mark.parametrize("how", ["mute", "deaf"])
def test_link_that_loses_one_way_is_a_link_that_is_cut(field, users, how):
    """What the node says is lost, or what is said to it."""
    pairs = [(VICTIM, name) if how == "mute" else (name, VICTIM) for name in "abde"]
    Trial(field, users).run([VICTIM, "abde"], [f"cut {speaker} {hearer} one-way" for speaker, hearer in pairs],
                            ["healall"], 4)


def test_node_without_network_serves_its_own_users(field, users):
    Trial(field, users).run([VICTIM, "abde"], [f"down {VICTIM}"], [f"up {VICTIM}"], 4)
