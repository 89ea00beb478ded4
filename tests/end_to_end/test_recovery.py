# SPDX-License-Identifier: AGPL-3.0-or-later
"""kill -9 of each program that runs functions, under load: who loses a call, and how soon all is well again."""

import os
import shutil
import signal
import time
from pathlib import Path

import load
import pytest
from federation import Federation
from waiting import children_of, descendants_of, wait_until

SLOTS = 8
RATE = 40
#: The bar is 1 s; the rest is for machines with other work to do.
WHOLE_AGAIN_SECONDS = 4.0
#: What a user may be told when what served the call was killed.
TRUE_STATUSES = {500, 502, 503, 504}


@pytest.fixture(scope="module")
def node():
    settings = {"dispatcher.user_wait_ratio": "100"}
    with Federation("solo", connect=False, settings=settings) as federation:
        node = federation["solo"]
        node.staying = ("echo_server.py",)
        shutil.copy(Path(__file__).with_name("echo_server.py"), node.shared)
        node.deploy("nap", "sleep 0.1", slots=SLOTS)
        node.deploy("stays", f"python3 {node.shared}/echo_server.py", env={"mode": "http"}, slots=SLOTS)
        node.deploy("bystander", "sleep 0.1", slots=SLOTS)
        node.deploy("safe", "sleep 0.17", slots=SLOTS, labels={"dfaas.retry": "safe"})
        for name in ("nap", "bystander", "safe"):
            assert node.call(name).status == 200
        assert node.request("GET", "/function/stays/nap?0.1").status == 200
        yield node


def keeper_of(node, program):
    """The keeper in whose replica a process with this command line runs."""
    def find():
        for keeper in node.keepers():
            for pid in descendants_of(keeper):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if program in [word.decode() for word in words]:
                    return keeper, pid
        return None

    return wait_until(find, f"a process of {program}")


def kill_under_load(node, target, victim):
    """(calls, when it was killed): load on `target`, and SIGKILL to what `victim()` returns."""
    with load.open_loop(node.user_port, target, per_second=RATE, seconds=60) as run:
        wait_until(lambda: len([call for call in list(run.calls) if call.status == 200]) >= 20,
                   "some calls to be served")
        pid = victim()
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len([call for call in list(run.calls)
                                if call.started > killed + WHOLE_AGAIN_SECONDS]) >= 20,
                   "calls after its end")
        run.stop()
        calls = run.join()
    return calls, killed


def check(calls, killed, lost_max, statuses=frozenset(TRUE_STATUSES)):
    failed = [call for call in calls if call.status != 200]
    assert {call.status for call in failed} <= statuses, load.statuses(calls)
    assert len(failed) <= lost_max, load.statuses(calls)
    late = [call for call in failed if call.started > killed + WHOLE_AGAIN_SECONDS]
    assert not late, late
    print("measured: lost", len(failed), "of", len(calls), "last failure after",
          max((round(call.started - killed, 2) for call in failed), default=0), "s")


def test_launcher_killed_costs_nothing_and_is_replaced(node):
    old = node.pid("launcher")
    keepers = set(node.keepers())
    calls, killed = kill_under_load(node, "/function/nap", lambda: old)
    check(calls, killed, lost_max=0)
    node.wait_replaced("launcher", old)
    # Replicas live on, and new ones are made.
    assert all(Path(f"/proc/{keeper}").exists() for keeper in keepers)
    node.deploy("after", "cat")
    assert node.call("after", b"x").body == b"x"


def test_keeper_killed_costs_its_calls_in_flight(node):
    calls, killed = kill_under_load(node, "/function/nap", lambda: keeper_of(node, "0.1")[0])
    check(calls, killed, lost_max=SLOTS)
    assert node.call("bystander").status == 200


def test_keeper_killed_costs_nothing_where_calls_may_run_twice(node):
    """Its calls run once more, in the sandbox that takes the place of the old one."""
    before = node.metrics().sum("dfaas_gateway_runs_lost_total")
    calls, killed = kill_under_load(node, "/function/safe", lambda: keeper_of(node, "0.17")[0])
    check(calls, killed, lost_max=0)
    lost = node.metrics().sum("dfaas_gateway_runs_lost_total") - before
    again = [call for call in calls if call.started <= killed <= call.started + call.seconds]
    print("measured: runs lost", lost, "of", len(again), "in flight; slowest",
          max(round(call.seconds, 2) for call in again), "s")
    assert 1 <= lost <= SLOTS


def test_function_killed_costs_its_own_call(node):
    calls, killed = kill_under_load(node, "/function/nap", lambda: keeper_of(node, "0.1")[1])
    check(calls, killed, lost_max=1)


def test_process_that_stays_killed_costs_its_calls_in_flight(node):
    place = str(node.shared / "echo_server.py")
    calls, killed = kill_under_load(node, "/function/stays/nap?0.1",
                                    lambda: keeper_of(node, place)[1])
    check(calls, killed, lost_max=SLOTS)


def test_gateway_killed_costs_its_calls_in_flight(node):
    old = node.pid("gateway")
    calls, killed = kill_under_load(node, "/function/nap", lambda: old)
    # On a connection that carried answers before, HAProxy says nothing and closes: the client decides.
    check(calls, killed, lost_max=SLOTS + 2, statuses=TRUE_STATUSES | {0})
    node.wait_replaced("gateway", old)
    wait_until(lambda: children_of(node.pid("gateway")), "its launcher")
