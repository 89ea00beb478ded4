# SPDX-License-Identifier: AGPL-3.0-or-later
"""Many requests at once: a small load generator on asyncio that keeps a record of every call."""

import asyncio
import collections
import ctypes
import json
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field

from clients import Headers, split_answer
from federation import BINARY
from waiting import wait_until

_PATIENCE_SECONDS = 60.0
_CLONE_NEWNET = 0x40000000


@dataclass
class Call:
    """One request of a load, and how it ended."""

    started: float  #: time.monotonic() of its intended start.
    seconds: float = 0.0
    status: int = 0  #: 0: no answer, see `error`.
    node_id: str = ""  #: DFaaS-Node-ID: who served it, or who refused it.
    call_id: str = ""
    headers: Headers = field(default_factory=lambda: Headers([]))
    body: bytes = b""
    error: str = ""


def statuses(calls):
    return collections.Counter(call.status for call in calls)


def served_by(calls):
    """How many calls each node answered with 200."""
    return collections.Counter(call.node_id for call in calls if call.status == 200)


def request_text(target, method="POST", body=b"", headers=None):
    lines = [f"{method} {target} HTTP/1.1", "Host: node", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 1"):
        head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    received = head
    if b"transfer-encoding: chunked" in lower:
        while True:
            size_line = await reader.readuntil(b"\r\n")
            received += size_line + await reader.readexactly(int(size_line, 16) + 2)
            if int(size_line, 16) == 0:
                break
    elif b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        received += await reader.readexactly(length)
    answer, _ = split_answer(received)
    return answer, b"connection: close" not in lower


class Load:
    """A load under way in a thread of its own. Make one with burst(), closed_loop() or open_loop()."""

    def __init__(self, port, request, work, network=None):
        self.calls = []
        self.open = set()  #: Intended starts of calls that are not over.
        self._network = network
        self._port = port
        self._request = request
        self._idle = []
        self._is_stopped = False
        self._failure = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """However a test ends, its load ends with it."""
        self._is_stopped = True
        self._thread.join(_PATIENCE_SECONDS)

    def stop(self):
        """No new calls; join() returns those that were begun."""
        self._is_stopped = True

    def join(self, seconds=_PATIENCE_SECONDS):
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"the load did not end within {seconds} s"
        if self._failure is not None:
            raise self._failure
        return self.calls

    def wait_for(self, count, seconds=_PATIENCE_SECONDS):
        """Until `count` calls are over."""
        wait_until(lambda: len(self.calls) >= count, f"{count} calls to end", seconds)

    def _run(self, work):
        try:
            if self._network is not None:
                enter_network(self._network)
            asyncio.run(self._work(work))
        except Exception as problem:  # Shown by join().
            self._failure = problem

    async def _work(self, work):
        try:
            await work(self)
        finally:
            for _, writer in self._idle:
                writer.close()

    async def _call(self, intended):
        call = Call(started=intended)
        self.open.add(intended)
        try:
            await asyncio.wait_for(self._exchange(call), _PATIENCE_SECONDS)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as problem:
            call.error = f"{type(problem).__name__}: {problem}"
        call.seconds = time.monotonic() - intended
        self.calls.append(call)
        self.open.discard(intended)

    async def _connection(self):
        """An idle one; but servers close those that were idle for a minute."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and reader.exception() is None:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)

    async def _exchange(self, call):
        reader, writer = await self._connection()
        try:
            writer.write(self._request)
            await writer.drain()
            answer, may_reuse = await _read_answer(reader)
        except BaseException:
            writer.close()
            raise
        call.status, call.headers, call.body = answer.status, answer.headers, answer.body
        call.node_id = answer.node_id or ""
        call.call_id = answer.headers.get("X-Call-Id", "")
        if may_reuse:
            self._idle.append((reader, writer))
        else:
            writer.close()


def enter_network(descriptor):
    """Moves the calling thread, and no other, into a network namespace; for good."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "the network could not be entered")


def closed_loop(port, target, clients, count=None, seconds=None, **request):
    """`clients` users, each of whom calls again when it has its answer: `count` calls or `seconds`."""
    until = None if seconds is None else time.monotonic() + seconds
    left = [count]

    def may_call(load):
        if load._is_stopped or (until is not None and time.monotonic() >= until):
            return False
        if left[0] is None:
            return True
        left[0] -= 1
        return left[0] >= 0

    async def user(load):
        while may_call(load):
            await load._call(time.monotonic())

    async def work(load):
        await asyncio.gather(*(user(load) for _ in range(clients)))

    return Load(port, request_text(target, **request), work)


def burst(port, target, count, **request):
    """`count` calls at once. Returns them when all are over."""
    return closed_loop(port, target, clients=count, count=count, **request).join()


def open_loop(port, target, per_second, seconds, network=None, **request):
    """Calls at a constant rate, whether or not earlier ones have been answered. `network` is a descriptor of
    the network namespace that they come from."""

    async def work(load):
        tasks = []
        begun = time.monotonic()
        for at in range(int(per_second * seconds)):
            intended = begun + at / per_second
            await asyncio.sleep(max(0.0, intended - time.monotonic()))
            if load._is_stopped:
                break
            tasks.append(asyncio.create_task(load._call(intended)))
        await asyncio.gather(*tasks)

    return Load(port, request_text(target, **request), work, network)


_EXIT_RATE_NOT_KEPT = 3


class GeneratedLoad:
    """`dfaas load` under way against one function; from a network namespace, where `network` is its descriptor."""

    def __init__(self, node, name, rate, seconds, arrivals="constant", seed=1, body="x", network=None):
        self._results = tempfile.NamedTemporaryFile(suffix=".json")  # pylint: disable=R1732
        self._seconds = seconds
        self._process = subprocess.Popen(
            [*(() if network is None else ("nsenter", f"--net=/proc/{os.getpid()}/fd/{network}")),
             BINARY, "load", f"http://127.0.0.1:{node.user_port}/function/{name}", "-d", body,
             "--rate", str(rate), "--duration", f"{round(seconds * 1000)}ms", "--arrivals",
             arrivals, "--seed", str(seed), "-o", "json", "--json", self._results.name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._results.close()

    def results(self):
        """Waits for the end. (total, one entry per second) in the form of docs/reference/results.md."""
        lines, complaints = self._process.communicate(timeout=self._seconds + 60)
        assert self._process.returncode in (0, _EXIT_RATE_NOT_KEPT), complaints
        with open(self._results.name, encoding="utf-8") as file:
            total = json.load(file)["total"]
        parsed = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
        return total, [line for line in parsed if "second" in line]


def generated(*arguments, **options):
    with GeneratedLoad(*arguments, **options) as run:
        return run.results()


class TriesWitness:
    """Looks all the time how many tries at neighbours the nodes make for the calls of their users."""

    _PERIOD_SECONDS = 0.5
    _WINDOW_SECONDS = 3.0
    _CALLS_MIN = 40  #: In a window; of fewer, the tries that were saved up before are a large part.

    def __init__(self, nodes):
        self._nodes = list(nodes)
        self._seen = []  # (time, offered, tries)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._look_once()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join(_PATIENCE_SECONDS)
        self._look_once()

    def _look_once(self):
        samples = [node.metrics() for node in self._nodes]
        self._seen.append((time.monotonic(),
                           sum(sample.sum("dfaas_gateway_offered_total") for sample in samples),
                           sum(sample.sum("dfaas_gateway_forwards_total") for sample in samples)))

    def _look(self):
        while not self._is_over.wait(self._PERIOD_SECONDS):
            self._look_once()

    def of_all(self):
        """Tries per call."""
        (_, calls_before, tries_before), (_, calls, tries) = self._seen[0], self._seen[-1]
        return (tries - tries_before) / (calls - calls_before)

    def worst(self):
        """In any few seconds."""
        worst = 0.0
        for number, (begin, calls_before, tries_before) in enumerate(self._seen):
            for at, calls, tries in self._seen[number + 1:]:
                if at - begin >= self._WINDOW_SECONDS:
                    if calls - calls_before >= self._CALLS_MIN:
                        worst = max(worst, (tries - tries_before) / (calls - calls_before))
                    break
        return worst
