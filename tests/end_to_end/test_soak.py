# SPDX-License-Identifier: AGPL-3.0-or-later
"""Half load for a while, with a deployment and a removal each second: nothing is left behind.

DFAAS_SOAK_SECONDS says how long (60). What may be left is the same for every length, so a longer run finds
smaller leaks: `make soak` takes 15 minutes.
"""

import collections
import itertools
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import load
import pytest
from federation import Federation
from waiting import wait_until

SECONDS = float(os.environ.get("DFAAS_SOAK_SECONDS", "60"))
ROUNDS = 4  #: Counted after each; the first one warms up.
SLOTS = 4
NAP = 0.1  #: Seconds; SLOTS / NAP / 2 calls a second are half load.

#: What the last count may show beyond the first.
MEMORY_GROWTH_BYTES = 4_000_000
DESCRIPTORS_GROWTH = 8  #: Connections that are kept for the next call come and go.

PROGRAMS = ("supervisor", "gateway", "launcher", "agent", "haproxy")


@dataclass
class Count:
    """What a node holds, at a moment without calls."""

    memory: dict  #: Bytes that only this process holds, by program.
    descriptors: dict  #: Open ones, by program.
    processes: int
    zombies: int
    groups: int  #: Directories of control groups that belong to its launcher.
    mounts: int  #: Seen by the gateway and by the launcher.
    files: int  #: In the node's directory, and in the directory for temporary files.


def private_bytes(pid):
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:")):
            total += int(line.split()[1]) * 1024
    return total


def zombies_of(family):
    found = 0
    for entry in os.listdir("/proc"):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if entry.isdigit() and fields[0] == "Z" and int(fields[1]) in family:
            found += 1
    return found


def groups_of(launcher):
    """Control groups are named after the launcher that made them."""
    return sum(len(entries) for _, entries, _ in
               itertools.chain.from_iterable(os.walk(place) for place in
                                             Path("/sys/fs/cgroup").rglob(f"dfaas-{launcher}")))


def count(node):
    pids = {program: node.pid(program) for program in PROGRAMS}
    family = set(node.family())
    temporary = Path(os.environ.get("TMPDIR", "/tmp"))
    return Count(
        memory={program: private_bytes(pid) for program, pid in pids.items()},
        descriptors={program: len(os.listdir(f"/proc/{pid}/fd")) for program, pid in pids.items()},
        processes=len(family), zombies=zombies_of(family), groups=groups_of(pids["launcher"]),
        mounts=sum(len(Path(f"/proc/{pids[program]}/mountinfo").read_text().splitlines())
                   for program in ("gateway", "launcher")),
        files=sum(1 for _ in node.directory.rglob("*"))
        + sum(1 for _ in temporary.glob(f"dfaas-{pids['launcher']}*")))


class Churn:
    """Deploys, calls and removes functions of every mode, each under a name of its own."""

    def __init__(self, node):
        self._node = node
        self._numbers = itertools.count()
        self._there = collections.deque()

    def step(self):
        number = next(self._numbers)
        name = f"passing-{number}"
        server = f"python3 {self._node.shared}/echo_server.py"
        way = number % 4
        if way == 0:
            self._node.deploy(name, "cat", slots=2)
        elif way == 1:
            self._node.deploy(name, server, env={"mode": "http"}, slots=2)
        elif way == 2:
            self._node.deploy(name, "cat", annotations={"dfaas.prefork": "2"}, env={"cgi_headers": "false"})
        else:
            self._node.deploy(name, "sh -c 'echo passing >&2; cat'",
                              labels={"com.openfaas.scale.min": "2"})
        assert self._node.call(name, b"hello").status == 200, name
        self._there.append(name)
        if len(self._there) > 2:
            self._remove_oldest()

    def _remove_oldest(self):
        self._node.remove(self._there.popleft())

    def end(self):
        while self._there:
            self._remove_oldest()


@pytest.fixture(scope="module")
def node():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        node.staying = ("echo_server.py", "cat")
        shutil.copy(Path(__file__).with_name("echo_server.py"), node.shared)
        node.deploy("nap", f"sleep {NAP}", slots=SLOTS)
        node.deploy("stays", f"python3 {node.shared}/echo_server.py", env={"mode": "http"}, slots=SLOTS)
        yield node


def round_of_load(node, churn, seconds):
    """Calls of every kind, a deployment each second; returns the calls."""
    half = SLOTS / NAP / 2
    with load.open_loop(node.user_port, "/function/nap", per_second=half, seconds=seconds) as naps, \
            load.open_loop(node.user_port, f"/function/stays/nap?{NAP}", per_second=half,
                           seconds=seconds, method="GET") as stays, \
            load.open_loop(node.user_port, "/async-function/stays", per_second=2,
                           seconds=seconds) as later:
        start = time.monotonic()
        for second in itertools.count(1):
            churn.step()
            if time.monotonic() - start >= seconds:
                break
            # The pace of the churn, not a wait for something to happen.
            time.sleep(max(0.0, start + second - time.monotonic()))
        calls = [run.join(seconds + 60) for run in (naps, stays, later)]
    churn.end()
    return calls


def settle(node):
    wait_until(lambda: not any(node.in_flight(name) for name in ("nap", "stays")), "calls to end")
    wait_until(lambda: len(node.keepers()) == 2, "the replicas of removed functions to end")
    wait_until(lambda: node.metrics().sum("dfaas_async_calls") == 0, "asynchronous calls to end")


def test_nothing_is_left_behind(node):
    churn = Churn(node)
    counts, tally = [], collections.Counter()
    for _ in range(ROUNDS):
        for calls in round_of_load(node, churn, SECONDS / ROUNDS):
            tally += load.statuses(calls)
        settle(node)
        counts.append(count(node))
    first, last = counts[0], counts[-1]
    served = tally[200] + tally[202]
    print("measured:", sum(tally.values()), "calls, answers", dict(tally))
    for name, seen in (("first", first), ("last", last)):
        print(f"  {name}: {seen}")
    assert served >= 0.99 * sum(tally.values()), tally
    for program in PROGRAMS:
        assert last.descriptors[program] <= first.descriptors[program] + DESCRIPTORS_GROWTH, program
        assert last.memory[program] <= first.memory[program] + MEMORY_GROWTH_BYTES, program
    assert last.zombies == 0
    assert (last.processes, last.groups, last.mounts, last.files) == (
        first.processes, first.groups, first.mounts, first.files)
