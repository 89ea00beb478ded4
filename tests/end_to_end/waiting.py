# SPDX-License-Identifier: AGPL-3.0-or-later
"""Waiting for something to become true, never longer than a deadline, and looking at processes."""

import ctypes
import os
import select
import signal
import time

PATIENCE_SECONDS = 20.0
_POLL_SECONDS = 0.02
_PR_SET_CHILD_SUBREAPER = 36


def wait_until(condition, what, seconds=PATIENCE_SECONDS):
    """Returns the first true value of condition(). Fails, naming `what` and what was seen last.

    A condition that cannot be evaluated yet may raise OSError, KeyError or ValueError.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            seen = condition()
            if seen:
                return seen
        except (OSError, KeyError, ValueError) as problem:
            seen = problem
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds} s in vain for: {what} (last seen: {seen!r})")
        time.sleep(_POLL_SECONDS)


def adopt_orphans():
    """From now on every process that loses its parent becomes a child of ours, so none can hide."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _stat_fields(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def children_of(pid):
    """Process ids of the children of `pid` that are not zombies."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            state, parent = _stat_fields(entry)[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(entry))
    return sorted(found)


def descendants_of(pid):
    found = []
    for child in children_of(pid):
        found.append(child)
        found.extend(descendants_of(child))
    return found


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [word.decode(errors="replace") for word in file.read().split(b"\0")[:-1]]
    except (FileNotFoundError, ProcessLookupError):
        return []


def process_name(pid):
    """What the process calls itself, at most 15 characters; "" when it is gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def memory_peak_bytes(pid):
    """The largest resident size that the process ever had (VmHWM)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has no VmHWM")


def has_pending(pid, number):
    """Whether this signal was sent to the process and has not reached it yet."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("ShdPnd:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    raise ValueError(f"process {pid} has no ShdPnd")


def end_process(pid):
    """SIGKILL to this one process; it may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_processes(pids, seconds=10.0):
    """SIGKILL to each in this order; returns once all are over and what they held open is closed."""
    handles = []
    try:
        for pid in pids:
            try:
                handles.append((pid, os.pidfd_open(pid)))
            except ProcessLookupError:
                continue
            end_process(pid)
        for pid, handle in handles:
            assert select.select([handle], [], [], seconds)[0], f"process {pid} does not end"
    finally:
        for _, handle in handles:
            os.close(handle)


def reap_adopted(own):
    """Collects the exit of adopted orphans. `own` are children that somebody else waits for."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in own:
            continue
        try:
            if int(_stat_fields(entry)[1]) == os.getpid():
                os.waitpid(int(entry), os.WNOHANG)
        except (FileNotFoundError, ProcessLookupError, ChildProcessError):
            continue
