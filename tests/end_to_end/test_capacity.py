# SPDX-License-Identifier: AGPL-3.0-or-later
"""How soon an agent knows what its node can run: the gateway tells it, it does not wait for its heartbeat.

Heartbeats are made so long here that none of them can explain what is seen.
"""

import json
import os
import signal
import statistics
import time

import pytest
from federation import Federation
from platform_fake import PASSWORD, FakePlatform
from test_external import external_settings, write_password
from waiting import wait_until

HEARTBEAT_MS = 5_000
GOAL_MS = 100  #: What an operator may expect on a machine that is not busy.


def view_of(node, name):
    """(slots, replicas that are ready) as the agent knows them; None when it knows no such function."""
    for function in node.peers()["functions"]:
        if function["name"] == f"{name}.openfaas-fn":
            return function["slots"], function["replicas_ready"]
    return None


@pytest.fixture(scope="module")
def federation():
    with FakePlatform() as platform:
        settings = {"exchange.heartbeat_ms": HEARTBEAT_MS, "strategy.period_ms": HEARTBEAT_MS}
        federation = Federation("solo", "own", "mid", settings={
            **settings, "own": {**external_settings(platform.url), "platform.period_ms": 100}})
        write_password(federation["own"], PASSWORD)
        federation.platform = platform
        with federation:
            yield federation


def told(what, seconds):
    median_ms = 1000 * statistics.median(seconds)
    print(f"{what}: median {median_ms:.1f} ms of {len(seconds)}, longest {1000 * max(seconds):.1f} ms, "
          f"heartbeat {HEARTBEAT_MS} ms, goal {GOAL_MS} ms")
    assert median_ms < HEARTBEAT_MS / 10


def test_deployments_reach_the_agent_at_once(federation):
    solo = federation["solo"]
    seconds = []
    for round_ in range(7):
        slots = 3 + round_ % 2
        solo.deploy("fresh", "cat", slots=slots)
        since = time.monotonic()
        wait_until(lambda: (view_of(solo, "fresh") or (0, 0))[0] == slots, "the agent to know")
        seconds.append(time.monotonic() - since)
    told("deployment", seconds)


def test_scaling_reaches_the_agent_at_once(federation):
    solo = federation["solo"]
    solo.deploy("scaled", "cat", env={"max_inflight": "2"})
    seconds = []
    for round_ in range(7):
        replicas = 3 - round_ % 2
        answer = solo.system("POST", "/system/scale-function/scaled", {"replicas": replicas})
        assert answer.status == 202
        since = time.monotonic()
        wait_until(lambda: (view_of(solo, "scaled") or (0, 0))[0] == 2 * replicas, "the agent to know")
        seconds.append(time.monotonic() - since)
    told("scaling", seconds)


def test_a_replica_that_dies_and_comes_back_reaches_the_agent_at_once(federation):
    solo = federation["solo"]
    for name in ("fresh", "scaled"):
        if view_of(solo, name):
            solo.remove(name)
    wait_until(lambda: not solo.keepers(), "the other functions to be gone")
    solo.deploy("mortal", "cat", slots=4)
    wait_until(lambda: view_of(solo, "mortal") == (4, 1), "its replica to be ready")
    dead, alive = [], []
    for _ in range(5):
        keeper = solo.pid("keeper")
        pushes = solo.peers()["pushed_changes"]
        since = time.monotonic()
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: solo.peers()["pushed_changes"] > pushes, "the agent to hear of the death")
        dead.append(time.monotonic() - since)
        # The gateway takes its time to start another one after an early death; that is not what is measured.
        wait_until(lambda: solo.pid("keeper") != keeper, "its next replica")
        since = time.monotonic()
        wait_until(lambda: view_of(solo, "mortal") == (4, 1), "the agent to hear that it is ready")
        alive.append(time.monotonic() - since)
    told("death of a replica", dead)
    told("start of a replica", alive)


def test_a_platform_that_loses_its_replicas_reaches_the_neighbour_too(federation):
    own, mid, platform = federation["own"], federation["mid"], federation.platform
    platform.add("far", labels={"dfaas.share": "organisation"}, env={"max_inflight": "2"}, available=2)

    def slots_at_mid():
        return [offer["slots"] for peer in mid.peers()["peers"] if peer["id"] == own.id
                for offer in peer["functions"] if offer["name"] == "far.openfaas-fn"]

    wait_until(lambda: view_of(own, "far") == (4, 2), "the function to be found")
    wait_until(lambda: slots_at_mid() == [4], "the neighbour to know of it")
    # One change is told ahead of each heartbeat; the next one, of a later heartbeat, is what is timed.
    time_of_heartbeat = HEARTBEAT_MS / 1000
    since = time.monotonic()
    wait_until(lambda: time.monotonic() - since > time_of_heartbeat, "a heartbeat to pass")
    platform.add("far", env={"max_inflight": "2"}, available=1)
    platform.wait_read()
    since = time.monotonic()
    wait_until(lambda: view_of(own, "far") == (2, 1) and slots_at_mid() == [2],
               "agent and neighbour to know", HEARTBEAT_MS / 1000 / 2)
    print(f"neighbour: {1000 * (time.monotonic() - since):.1f} ms after the platform was read, "
          f"heartbeat {HEARTBEAT_MS} ms")


def test_a_replica_that_flaps_makes_no_storm(federation):
    """However often it changes: at most one exchange ahead of each heartbeat."""
    own, mid, platform = federation["own"], federation["mid"], federation.platform
    plans = own.status()["plan_version"]
    pushes = own.peers()["pushed_changes"]
    since = time.monotonic()
    while time.monotonic() - since < 3:
        for available in (1, 3):
            platform.add("far", env={"max_inflight": "2"}, available=available)
            platform.wait_read()
    assert own.peers()["pushed_changes"] - pushes >= 4, "the agent heard of the changes"
    seconds = time.monotonic() - since
    assert own.status()["plan_version"] - plans <= 10 * seconds + 2
    assert json.loads(own.admin("/dfaas/v1/status"))["healthy"] and mid.pid("agent")
