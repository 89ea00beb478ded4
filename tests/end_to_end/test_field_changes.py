# SPDX-License-Identifier: AGPL-3.0-or-later
"""Five nodes with addresses of their own, of which one changes under load: restarted as itself and as another, its
clock moved by an hour, its disk full.

The clock is moved by libfaketime (Debian: faketime), which every program of the node has loaded, because a time
namespace does not move the clock of the day; the node's monotonic clock, which the kernel keeps, stays as it is. The
disk is a small file system in memory for the node's state directory, which is filled to the last byte.
"""

import contextlib
import glob
import shutil
import time

import pytest
from federation import dfaas
from field import (FUNCTIONS, NAMES, NOISE, OUT_SECONDS_BAR, SLOTS, Field, Losses, needs_networks,
                   report)
from waiting import wait_until

pytestmark = needs_networks

VICTIM = "c"
HOUR = 3600


@pytest.fixture(scope="module")
def field():
    with Field() as field:
        field.wait_agreed()
        yield field
        assert not field.ended_by_themselves()
        assert not any(node.deaths() for node in field)


@pytest.fixture(scope="module")
def users(field):
    with field.users_at(field) as users:
        yield users


OTHERS = [name for name in NAMES if name != VICTIM]


def check(field, users, broken, lost_once_max, nodes=None):
    losses = Losses(field, users.settled(broken, nodes), broken)
    losses.check(lost_once_max, helpers_gone=0 if nodes is None else 1)
    return losses


def test_restart_as_itself_costs_nothing(field, users):
    before = field[VICTIM].id
    users.steady(VICTIM)
    stopped = time.monotonic()
    field.tell(f"stop {VICTIM}")
    down = time.monotonic()
    users.await_calls(40, down)
    started = time.monotonic()
    field.tell(f"start {VICTIM}")
    back = users.seconds_until_in([VICTIM], started, OTHERS)
    helped = users.await_help_of(VICTIM, started) - started
    users.await_calls(40, time.monotonic())
    losses = check(field, users, stopped, 0, OTHERS)
    field.wait_agreed()
    assert field[VICTIM].status()["id"] == before
    report(restarted=VICTIM, **losses.figures(), stop_s=round(down - stopped, 2), back_after_s=round(back, 2),
           helps_again_after_s=round(helped, 2))
    assert back <= NOISE * OUT_SECONDS_BAR + 2


def new_identity(field, name):
    """A key and a certificate of the same authority, as on a machine that was made anew. Its new id."""
    node = field[name]
    fresh = field.directory / "fresh"
    made = dfaas("node", "init", "--dir", fresh, "--name", name, "--ca",
                 field.directory / "nodes/authorities/org").stdout.strip()
    shutil.copy(node.directory / "pki/ca.pem", fresh / "pki/ca.pem")
    shutil.rmtree(node.directory / "pki")
    (fresh / "pki").rename(node.directory / "pki")
    shutil.rmtree(fresh)
    return made


def test_new_identity_at_an_old_address_takes_its_place(field, users):
    old = field[VICTIM].id
    users.steady(VICTIM)
    killed = time.monotonic()
    field.tell(f"kill {VICTIM}")
    field[VICTIM].id = new_identity(field, VICTIM)
    assert field[VICTIM].id != old
    started = time.monotonic()
    field.tell(f"start {VICTIM}")
    back = users.seconds_until_in([VICTIM], started, OTHERS)
    helped = users.await_help_of(VICTIM, started) - started
    gone = users.seconds_until(killed, lambda _, states: states and states.get(old) != "up",
                               "the old identity to be out")
    users.await_calls(60, time.monotonic())
    losses = check(field, users, killed, SLOTS[VICTIM], OTHERS)
    field.wait_agreed()
    report(new_identity=VICTIM, **losses.figures(), old_out_after_s=round(gone, 2), new_in_after_s=round(back, 2),
           helps_after_s=round(helped, 2))
    assert gone <= NOISE * OUT_SECONDS_BAR
    assert back <= NOISE * OUT_SECONDS_BAR + 2


# --- the clock

FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


class Clock:
    """Of one node: all its programs read it from a file."""

    def __init__(self, field, name):
        self._field = field
        self._name = name
        self._file = field.directory / "clock"
        self.move(0)

    def move(self, seconds):
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+d}\n")
        draft.chmod(0o644)
        draft.rename(self._file)

    def variables(self):
        return " ".join([f"LD_PRELOAD={FAKETIME[0]}", f"FAKETIME_TIMESTAMP_FILE={self._file}",
                         "FAKETIME_CACHE_DURATION=1", "DONT_FAKE_MONOTONIC=1",
                         "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_DISABLE_SHM=1"])

    def offset(self):
        """By the time that the node says a call of its users came, in nanoseconds."""
        answer = self._field[self._name].request("POST", "/function/once", b"1000")
        return int(answer.headers["X-Start-Time"]) / 1e9 - time.time()


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not here: tools/setup installs it")
@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_clock_of_a_node_moved_by_an_hour_costs_nothing(field, users, seconds):
    clock = Clock(field, VICTIM)
    field.tell(f"stop {VICTIM}", f"start {VICTIM} {clock.variables()}")
    field.wait_agreed()
    users.steady(VICTIM)
    moved = time.monotonic()
    clock.move(seconds)
    wait_until(lambda: abs(clock.offset() - seconds) < 60, "its clock to be another")
    saw = time.monotonic() - moved
    users.await_calls(120, time.monotonic())
    stayed = users.seconds_until_in(NAMES, moved)
    restarted = time.monotonic()
    field.tell(f"stop {VICTIM}", f"start {VICTIM} {clock.variables()}")
    back = users.seconds_until_in(NAMES, restarted)
    helped = users.await_help_of(VICTIM, restarted) - restarted
    users.await_calls(60, time.monotonic())
    # Its own users are there while it is stopped, too, and hear that nobody is.
    losses = check(field, users, moved, 0, OTHERS)
    assert abs(clock.offset() - seconds) < 60
    field.wait_agreed()
    report(clock_moved_s=seconds, **losses.figures(), seen_after_s=round(saw, 1), all_up_after_s=round(stayed, 2),
           restarted_with_it_back_after_s=round(back, 2), helps_again_after_s=round(helped, 2))
    field.tell(f"stop {VICTIM}", f"start {VICTIM}")
    field.wait_agreed()


# --- the disk

DISK_BYTES = 4 << 20


@contextlib.contextmanager
def small_disk(field, name):
    """The state directory of a node on a file system of its own, under which the old one is untouched."""
    state = field[name].directory / "state"
    kept = field.directory / "kept"
    field.tell(f"stop {name}")
    field.run_beside("cp", "-a", str(state), str(kept))
    field.run_beside("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "small", str(state))
    field.run_beside("cp", "-a", f"{kept}/.", str(state))
    field.tell(f"start {name}")
    try:
        yield state
    finally:
        field.tell(f"stop {name}")
        field.run_beside("umount", str(state))
        field.tell(f"start {name}")


def test_full_disk_stops_changes_and_no_call(field, users):
    node = field[VICTIM]
    with small_disk(field, VICTIM) as state:
        field.wait_agreed()
        users.steady(VICTIM)
        filled = time.monotonic()
        fill = field.run(VICTIM, "dd", "if=/dev/zero", f"of={state}/filler", "bs=4k", check=False)
        assert "No space left" in fill.stderr
        log_before = len(node.log())
        deployment = {"service": "late", "image": "host:", "envProcess": "cat",
                      "envVars": {"note": "x" * 20_000}}
        refused = node.system("POST", "/system/functions", deployment)
        queued = node.request("POST", "/async-function/once", b"1000")
        known = [function["name"] for function in node.status()["functions"]]
        time.sleep(2)  # A full disk lasts: periods of control pass, and users call.
        users.await_calls(60, time.monotonic())
        again = node.system("POST", "/system/functions", deployment)
        told = [line for line in node.log()[log_before:].splitlines() if "level=error" in line or "level=warn" in line]
        print("answers:", refused.status, refused.text, queued.status, queued.text, again.status, again.text)
        print("log:", *told, sep="\n  ")
        field.run(VICTIM, "rm", f"{state}/filler")
        wait_until(lambda: node.system("POST", "/system/functions", deployment).status == 202, "room to help")
        room = time.monotonic()
        accepted = node.request("POST", "/async-function/once", b"1000")
        assert node.system("DELETE", "/system/functions", {"functionName": "late"}).status == 202
        users.await_calls(40, room)
        losses = check(field, users, filled, 0)
        assert users.served_by(VICTIM, filled)
    report(full=VICTIM, **losses.figures(), deployment=refused.status, asynchronous=queued.status)
    assert refused.status in (500, 507) and refused.text.count("\n") == 1
    assert again.status == refused.status
    assert queued.status in (500, 503, 507) and queued.text.count("\n") == 1
    assert "late.openfaas-fn" not in known, "what was refused is not half there"
    assert {f"{name}.openfaas-fn" for name in FUNCTIONS} <= set(known)
    assert accepted.status == 202
    assert 1 <= len(told) <= 3, told
    field.wait_agreed()
