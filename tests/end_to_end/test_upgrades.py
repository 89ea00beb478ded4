# SPDX-License-Identifier: AGPL-3.0-or-later
"""Programs of a node are replaced under load, as by an upgrade: nobody notices."""

import os
import signal
import time

import load
import pytest
from federation import Federation
from waiting import wait_until

#: As often each program is replaced.
ROUNDS = int(os.environ.get("DFAAS_UPGRADE_ROUNDS", "3"))
PER_SECOND = 120


@pytest.fixture(scope="module")
def trio():
    """The users of light need more than it has; mid or heavy alone can take the rest."""
    with Federation("light", "mid", "heavy") as federation:
        federation.deploy("nap", "sleep 0.05", {"light": 2, "mid": 16, "heavy": 16})
        yield federation


def assert_none_lost(calls):
    lost = [call for call in calls if call.status != 200]
    assert not lost, (f"{len(lost)} of {len(calls)} calls were lost: {load.statuses(calls)}, "
                      f"first: {lost[0]}")


def under_load(nodes, replace, rounds=ROUNDS):
    """Users of each node at a constant rate, on connections that stay, while `replace` is called again and again."""
    runs = [load.open_loop(node.user_port, "/function/nap", PER_SECOND / len(nodes), seconds=120) for node in nodes]
    try:
        for turn in range(rounds):
            for run in runs:
                run.wait_for(len(run.calls) + 60)
            replace()
            for run in runs:
                run.wait_for(len(run.calls) + 60)
    finally:
        for run in runs:
            run.stop()
    return [call for run in runs for call in run.join()]


@pytest.mark.parametrize("where", ["light", "mid"])
def test_node_reloaded_under_load_costs_no_call(trio, where):
    """Gateway, HAProxy and agent in turn, of the node whose users call and of one that serves them."""
    node = trio[where]
    seconds = []

    def replace():
        before = node.pids()
        begun = time.monotonic()
        node.reload()
        seconds.append(time.monotonic() - begun)
        after = node.pids()
        assert before.keys() == after.keys()
        assert all(before[program] != after[program] for program in ("gateway", "haproxy", "agent"))

    calls = under_load([trio["light"], trio["mid"]], replace)
    print(f"measured: {where} reloaded {ROUNDS} times, {len(calls)} calls, lost "
          f"{len([call for call in calls if call.status != 200])}, longest {max(call.seconds for call in calls):.2f} s, "
          f"a reload took {max(seconds):.2f} s at most")
    assert_none_lost(calls)
    assert load.served_by(calls)[trio["heavy"].id] > 0


def test_reload_with_a_wrong_setting_changes_nothing(trio):
    node = trio["heavy"]
    before = node.pids()
    settings = node.directory / "node.toml"
    text = settings.read_text()
    try:
        settings.write_text(text + '\n[strategy]\nname = "none"\n')
        told = refused_reload(node)
    finally:
        settings.write_text(text)
    assert node.pids() == before, told
    assert "strategy" in told, told
    assert node.call("nap").status == 200


def test_front_door_that_cannot_take_over_leaves_the_old_one(trio):
    """The maps of the new one cannot be read: HAProxy says so and ends, and the one that runs goes on."""
    node = trio["heavy"]
    before = node.pids()
    maps = node.directory / "maps"
    try:
        (maps / "cn.map").rename(maps / "away")
        (maps / "cn.map").mkdir()
        told = refused_reload(node)
    finally:
        (maps / "cn.map").rmdir()
        (maps / "away").rename(maps / "cn.map")
    assert node.pids() == before, told
    assert "haproxy" in told, told
    assert node.call("nap").status == 200
    node.reload()
    assert node.call("nap").status == 200


def refused_reload(node):
    """The line that says why."""
    told = len(node.log())
    os.kill(node.pid(), signal.SIGHUP)
    return wait_until(lambda: [line for line in node.log()[told:].splitlines() if "event=node_not_reloaded" in line],
                      f"{node.name} to refuse")[0]
