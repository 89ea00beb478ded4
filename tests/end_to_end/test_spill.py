# SPDX-License-Identifier: AGPL-3.0-or-later
"""What happens to requests that a node has no free slot for."""

import load
import pytest
from federation import Federation


@pytest.fixture(scope="module")
def pair():
    with Federation("light", "mid") as federation:
        yield federation


def test_exactly_the_slots_in_use_are_served_here_and_the_rest_by_the_neighbour(pair):
    pair.deploy("nap", "sleep 0.5", {"light": 2, "mid": 4})

    calls = load.burst(pair["light"].user_port, "/function/nap", 6)

    assert load.served_by(calls) == {pair["light"].id: 2, pair["mid"].id: 4}
