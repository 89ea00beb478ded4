# SPDX-License-Identifier: AGPL-3.0-or-later
"""Five real nodes in networks of their own: `dfaas emulate --shell`, told what to do, with users and witnesses.

    with Field() as field:
        with field.users_at(field.others("c")) as users:
            users.steady("c")
            field.tell("kill c")
            ...

Nodes "a" and "d" have fewer slots than their users need, so calls go to "b", "c" and "e" all the time. Of the two
functions, "safe" may run twice (dfaas.retry=safe) and "once" may not.

Guarantees  Every wait has a deadline. Leaving the `with` block ends every node, and removes every file and mount.
"""

import collections
import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import threading
import time

import clients
import federation
import load
import pytest
from federation import BINARY, Metrics, temporary_directory
from waiting import end_process, wait_until

needs_networks = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/net/tun"),
                                    reason="networks of their own need root and /dev/net/tun")
IS_LONG = os.environ.get("DFAAS_LONG") == "1"

#: What the issue of this federation asks for; tests assert NOISE times as much, on machines with other work to do.
OUT_SECONDS_BAR = 2.0
HEALED_SECONDS_BAR = 10.0
NOISE = 2.5

NAMES = ("a", "b", "c", "d", "e")
FUNCTIONS = ("safe", "once")
SLOTS = {"a": 1, "b": 16, "c": 16, "d": 1, "e": 16}  #: Of each function.
RATES = {"a": 10, "b": 2, "c": 2, "d": 10, "e": 2}  #: Calls/s of each function.
SERVICE_SECONDS = 0.3
#: Longer than any wait in here; a call that is lost shall not hide behind it.
DEADLINE_SECONDS = 10

_USER_PORT = 8080  #: Of every emulated node.
_START_SECONDS = 90.0
_ANSWER_SECONDS = 100.0
_POLL_SECONDS = 0.1
#: More than a period of control, strategy.period_ms.
_STEADY_SECONDS = 2.2
#: Programs of a node that live until somebody ends them.
_LASTING = ("supervisor", "agent", "gateway", "haproxy", "launcher", "keeper")


def scenario_text(slots=None, functions=FUNCTIONS, deadline=DEADLINE_SECONDS):
    """Nodes on one switch. Their users are ours, so it has no load."""
    lines = ['name = "field"', 'duration = "600s"', 'topology = "full"', 'rtt = "2ms"']
    for function in functions:
        lines += ["[[function]]", f'name = "{function}"', f'service = "{int(SERVICE_SECONDS * 1000)}ms"',
                  'distribution = "deterministic"', f'deadline = "{deadline}s"',
                  f"retry_safe = {'true' if function == 'safe' else 'false'}"]
    for name, count in (slots or SLOTS).items():
        lines += ["[[node]]", f'name = "{name}"', f"slots = {count}", f"functions = {json.dumps(functions)}"]
    return "\n".join(lines) + "\n"


def report(**figures):
    print("measured:", ", ".join(f"{name} {value}" for name, value in figures.items()))


class FieldNode:
    """One of the nodes, by the sockets in its directory: files are the host's, and so are these."""

    def __init__(self, field, name, number):
        self.name = name
        self.address = f"10.77.0.{number}"
        self.directory = field.directory / "nodes" / name
        self.log_file = self.directory / "node.log"
        self.user_port = _USER_PORT  #: In its own network.
        self.network = None  #: Descriptor of its network namespace, which outlives its processes.
        self.id = None

    def peers(self):
        return json.loads(self._ask("agent", "/v1/peers").text)

    def states(self):
        """{id: "up", "silent", ...} of its neighbours; empty while its agent does not answer."""
        try:
            return {peer["id"]: peer["state"] for peer in self.peers()["peers"]}
        except (OSError, KeyError, ValueError, clients.http.client.HTTPException):
            return {}

    def status(self):
        return json.loads(self._ask("gateway-admin", "/dfaas/v1/status").text)

    def metrics(self):
        return Metrics(self._ask("gateway-admin", "/metrics").text)

    def system(self, method, target, body=None):
        """A call of the REST API, past the front door, with this node's credentials."""
        return self.request(method, target, None if body is None else json.dumps(body),
                            federation.credentials_of(self.directory))

    def request(self, method, target, body=None, headers=None):
        """What a user asks, past the front door."""
        return clients.unix_request(str(self.directory / "run/gateway-user.sock"), method, target, body, headers)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def deaths(self):
        """What its supervisor says of programs that ended: [("agent", 137), ...]"""
        found = re.findall(r"event=program_died name=(\S+) status=(\d+)", self.log())
        return [(name, int(status)) for name, status in found]

    def _ask(self, sock, target):
        answer = clients.unix_request(str(self.directory / f"run/{sock}.sock"), "GET", target, timeout=2.0)
        if answer.status != 200:
            raise ValueError(f"{self.name} answered {target} with {answer}")
        return answer


class Field:
    """The emulation. `tell` speaks with its shell."""

    def __init__(self, scenario=None):
        self.directory = temporary_directory()
        self.directory.chmod(0o711)
        self.name = "the emulation"
        text = scenario or scenario_text()
        self._scenario = self.directory / "field.toml"
        self._scenario.write_text(text)
        names = re.findall(r'\[\[node\]\]\nname = "(\w+)"', text)
        self.nodes = {name: FieldNode(self, name, number) for number, name in enumerate(names, 1)}
        self._said = []
        self._lines = queue.Queue()
        self._marks = 0
        self._process = None

    # --- life

    def __enter__(self):
        # A mount namespace of its own: what a test mounts there ends with it.
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", BINARY, "emulate", str(self._scenario),
             "--shell", "--dir", str(self.directory / "nodes")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        federation.running_nodes.append(self)
        try:
            threading.Thread(target=self._listen, daemon=True).start()
            self.tell(seconds=_START_SECONDS)
            for name, line in self._node_lines().items():
                pid = int(re.search(r"up, pid (\d+)", line).group(1))
                self.nodes[name].network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                self.nodes[name].id = self.nodes[name].status()["id"]
            return self
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *_):
        try:
            with contextlib.suppress(OSError):
                self._process.stdin.write("quit\n")
                self._process.stdin.close()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                end_process(self._process.pid)
                self._process.wait()
                raise AssertionError("the emulation did not end within 30 s") from None
        finally:
            federation.running_nodes.remove(self)
            for node in self:
                if node.network is not None:
                    os.close(node.network)
            shutil.rmtree(self.directory, ignore_errors=True)

    def __getitem__(self, name):
        return self.nodes[name]

    def __iter__(self):
        return iter(self.nodes.values())

    def others(self, *names):
        return [node for node in self if node.name not in names]

    # What conftest.py asks of a running node.
    is_running = False

    def pid(self):
        return self._process.pid

    def log(self):
        texts = [f"--- {node.name}\n" + "\n".join(node.log().splitlines()[-10:]) for node in self]
        return "\n".join(self._said + texts)

    def state(self):
        views = {node.name: node.states() for node in self}
        return f"{views}\n{self.disagreements()}"

    # --- the shell

    def _listen(self):
        for line in self._process.stdout:
            self._said.append(line.rstrip("\n"))
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def tell(self, *commands, seconds=_ANSWER_SECONDS, may_fail=False):
        """What the shell answered to these commands, line by line. Fails when one of them did."""
        self._marks += 1
        mark = f"mark {self._marks}"
        self._process.stdin.write("".join(f"{command}\n" for command in (*commands, f"echo {mark}")))
        self._process.stdin.flush()
        until = time.monotonic() + seconds
        lines = []
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no answer to {commands} within {seconds} s, but {lines}") from None
            assert line is not None, f"the emulation ended with {self._process.wait()}: {self._said[-10:]}"
            if line == mark:
                break
            lines.append(line)
        verbs = {command.split()[0] for command in commands}
        failed = [line for line in lines if line.partition(": ")[0] in verbs]
        assert may_fail or not failed, failed
        return lines

    def _node_lines(self):
        lines = self.tell("nodes")
        return {line.split()[0]: line for line in lines if " slots " in line}

    def is_down(self, name):
        return "slots  down" in self._node_lines()[name]

    def programs(self, name):
        """[("agent", 123), ...] of its processes that last; none while it is down. As two listings in a row have
        them: one was seen that had missed some."""
        listed = self._listed_programs(name)
        while (again := self._listed_programs(name)) != listed:
            listed = again
        return listed

    def _listed_programs(self, name):
        found = re.search(r"up, pid \d+,(.*)", self._node_lines()[name])
        words = found.group(1).split() if found else []
        return [(program, int(pid)) for program, pid in zip(words[::2], words[1::2]) if program in _LASTING]

    def ended_by_themselves(self):
        """Nodes, as often as one of them did."""
        return re.findall(r"node (\S+) ended by itself", "\n".join(self._said))

    def run(self, name, *words, check=True):
        """A program among the processes, files and devices of a node."""
        pid = int(re.search(r"up, pid (\d+)", self._node_lines()[name]).group(1))
        done = subprocess.run(["nsenter", "--target", str(pid), "--mount", "--net", "--pid", "--", *words],
                              capture_output=True, text=True, timeout=30, check=False)
        assert not check or done.returncode == 0, done
        return done

    def run_beside(self, *words):
        """A program that sees the files and mounts of the emulation."""
        subprocess.run(["nsenter", "--target", str(self._process.pid), "--mount", "--", *words], check=True,
                       timeout=30)

    # --- who knows whom

    def disagreements(self, nodes=None, functions=len(FUNCTIONS)):
        """What keeps each of `nodes` (all) from knowing just the others as up, with so many functions."""
        nodes = list(nodes or self)
        wrong = []
        for node in nodes:
            try:
                peers = {peer["id"]: peer for peer in node.peers()["peers"] if peer["state"] == "up"}
            except (OSError, KeyError, ValueError) as problem:
                wrong.append(f"{node.name}: {problem!r}")
                continue
            expected = {other.id: other.name for other in nodes if other is not node}
            if set(peers) != set(expected):
                known = sorted(peer["name"] for peer in peers.values())
                wrong.append(f"{node.name} knows {known}")
            wrong += [f"{node.name} of {peer['name']}: {peer['functions']}" for peer in peers.values()
                      if len(peer["functions"]) < functions]
        return wrong

    def wait_agreed(self, nodes=None, seconds=60.0, functions=len(FUNCTIONS)):
        wrong = ["nobody was asked"]

        def is_agreed():
            wrong[:] = self.disagreements(nodes, functions)
            return not wrong

        try:
            wait_until(is_agreed, "all to know all others", seconds)
        except AssertionError:
            raise AssertionError(f"no agreement in {seconds} s: {wrong}") from None

    def why(self, name, call_id):
        """What a node did with a call, step by step; nothing when it is too long ago."""
        decisions = json.loads(self[name]._ask("gateway-admin", f"/dfaas/v1/decisions?call_id={call_id}").text)
        return [f"{step['where']}: {step['what']} {step['ms']:.0f} ms" for decision in decisions
                for step in decision["steps"]]

    def users_at(self, nodes, functions=FUNCTIONS, rates=None, body=None):
        return Users(self, nodes, functions, rates or RATES, body)


class Users:
    """Those of some nodes: a constant rate of calls of each function from within each node's network, with a
    witness who looks all the time whom these nodes take for being there."""

    def __init__(self, field, nodes, functions, rates, body):
        self.nodes = list(nodes)
        self._field = field
        body = body or str(int(SERVICE_SECONDS * 1e6)).encode()
        self._loads = {
            (node.name, function): load.open_loop(
                _USER_PORT, f"/function/{function}", per_second=rates[node.name], seconds=3600,
                network=node.network, body=body)
            for node in self.nodes for function in functions}
        self.seen = collections.deque()  #: (time.monotonic(), {node: {id: state}})
        self._begun = time.monotonic()
        self._is_over = threading.Event()
        self._witness = threading.Thread(target=self._look, daemon=True)
        self._witness.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for run in self._loads.values():
            run.stop()
        for run in self._loads.values():
            run.__exit__()
        self._witness.join(10)

    def _look(self):
        while not self._is_over.wait(_POLL_SECONDS):
            views = {node.name: node.states() for node in self.nodes}
            self.seen.append((time.monotonic(), views))

    # --- calls

    def calls(self, since=0.0, nodes=None):
        """[(node, function, Call)] of those that are over, but were not at `since`."""
        return [(node, name, call) for (node, name), run in self._loads.items()
                if nodes is None or node in nodes
                for call in list(run.calls) if call.started + call.seconds >= since]

    def settled(self, since, nodes=None):
        """The same, once every call that has begun by now is over."""
        until = time.monotonic()
        loads = [run for (node, _), run in self._loads.items() if nodes is None or node in nodes]
        wait_until(lambda: all(at > until for run in loads for at in list(run.open)), "every call to end")
        return [entry for entry in self.calls(since, nodes) if entry[2].started <= until]

    def served_by(self, name, since=0.0):
        """Calls of other nodes' users that began after `since` and that this node has served."""
        wanted = self._field[name].id
        return [call for node, _, call in self.calls(since) if call.status == 200 and node != name
                and call.node_id == wanted and call.started >= since]

    def steady(self, *helpers):
        """Until all has been well for a period of control and more, so that every plan is made of this load, and
        these nodes serve others' users."""
        begun = time.monotonic()

        def is_steady():
            since = time.monotonic() - _STEADY_SECONDS
            late = self.calls(since)
            return (since >= self._begun and len(late) >= 20
                    and all(call.status == 200 for _, _, call in late if call.started >= since)
                    and all(self.served_by(name, since) for name in helpers))

        wait_until(is_steady, f"all to be well, and {helpers} to help", 60.0)
        return time.monotonic() - begun

    def await_calls(self, count, since):
        """Until so many calls that began after `since` are over."""
        wait_until(lambda: sum(call.started >= since for _, _, call in self.calls(since)) >= count,
                   f"{count} calls", 60.0)

    def await_help_of(self, name, since):
        """When the first call that began after `since` was served by this node."""
        found = wait_until(lambda: self.served_by(name, since), f"{name} to help", 60.0)
        return min(call.started + call.seconds for call in found)

    # --- what the witness saw

    def seconds_until(self, since, is_right, what, nodes=None):
        """How long after `since` the view of every one of `nodes` (all) was right, and stayed so until now.
        `is_right(name, states)` judges that of one node."""
        def first_right():
            right = None
            for at, views in list(self.seen):
                if at < since:
                    continue
                if not all(is_right(name, states) for name, states in views.items()
                           if nodes is None or name in nodes):
                    right = None
                elif right is None:
                    right = at
            return right

        return wait_until(first_right, what, 60.0) - since

    def seconds_until_out(self, names, since, nodes=None):
        gone = {self._field[name].id for name in names}
        return self.seconds_until(since, lambda _, states: states and not any(
            states.get(node) == "up" for node in gone), f"{names} to be out", nodes)

    def seconds_until_in(self, names, since, nodes=None):
        def is_right(name, states):
            return all(states.get(self._field[known].id) == "up" for known in names if known != name)

        return self.seconds_until(since, is_right, f"{names} to be back", nodes)

    def seconds_until_parted(self, sides, since):
        """Until every node takes just the others of its side for being there."""
        side_of = {name: side for side in sides for name in side}

        def is_right(name, states):
            up = {node for node, state in states.items() if state == "up"}
            return up == {self._field[other].id for other in side_of[name] if other != name}

        return self.seconds_until(since, is_right, f"the sides {sides}")


#: Calls that may be refused, though there was room, until those that are gone are out of the plans, by how many of the
#: three helpers are gone. Each try at one that is silent counts against the budget of tries
#: (dispatcher.retry_ratio), which is soon used up where most of them are.
REFUSED_MAX = {0: 0, 1: 2, 2: 12}


class Losses:
    """Calls that got no good answer, against the moment at which something was broken."""

    def __init__(self, field, calls, broken):
        """`broken` is when something in which calls may have been in flight was ended."""
        self.calls = calls
        self._field = field
        self._broken = broken
        bad = [(node, function, call) for node, function, call in calls if call.status != 200]
        #: Told to come again: nothing of them was started.
        self.refused = [entry for entry in bad if entry[2].status == 503 and "Retry-After" in entry[2].headers]
        self.lost = [entry for entry in bad if entry not in self.refused]
        self.of = collections.Counter(function for _, function, _ in self.lost)
        #: The clock of a call starts before its first byte.
        self.not_in_flight = [
            (node, function, call) for node, function, call in self.lost
            if not call.started <= broken <= call.started + call.seconds]
        self.last_seconds = max((call.started - broken for _, _, call in bad), default=0.0)

    def check(self, once_max, helpers_gone):
        """Only calls that may not run twice are lost, of those only what was in flight, and no more than that."""
        assert self.of["safe"] == 0, self.text()
        assert self.of["once"] <= once_max, self.text()
        assert not self.not_in_flight, self.text()
        assert len(self.refused) <= REFUSED_MAX[helpers_gone], self.text()

    def text(self):
        return "\n".join(
            f"{function} at {node}, {call.started - self._broken:.2f} s later: {call.status} after {call.seconds:.2f} s "
            f"{call.error} {call.body[:80]} {self._field.why(node, call.call_id)}"
            for node, function, call in sorted(self.lost + self.refused, key=lambda entry: entry[2].started)[:20])

    def figures(self):
        return {"calls": len(self.calls), "lost_once": self.of["once"], "lost_safe": self.of["safe"],
                "refused": len(self.refused)}
