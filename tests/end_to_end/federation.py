# SPDX-License-Identifier: AGPL-3.0-or-later
"""Real federations for tests: `dfaas node run` with its HAProxy, gateway and agent, in own directories.

    with Federation("light", "mid") as federation:
        federation.deploy("cat", "cat", slots={"light": 1, "mid": 2})
        answer = federation["light"].call("cat", b"hello")

Guarantees  Every wait has a deadline. Leaving the `with` block stops every node and removes its
            directory; a node that does not stop in time fails the test. conftest.py prints the logs
            of all running nodes when a test fails.
"""

import base64
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import clients
from waiting import (children_of, command_line, descendants_of, end_process, end_processes, process_name,
                     wait_until)

BINARY = os.environ.get(
    "DFAAS_BINARY", str(Path(__file__).resolve().parents[2] / "build" / "dev" / "dfaas"))

#: Short periods, so that tests wait for little; and nothing is fetched from anywhere.
FAST = {"strategy.period_ms": 500, "exchange.heartbeat_ms": 100, "images.registries": "",
        "user.wrong_credentials_per_minute": 1_000_000}

_START_SECONDS = 30.0
_STOP_SECONDS = 25.0

running_nodes = []  #: For the logs of a failure and the search for left-over processes.


def dfaas(*arguments, check=True, timeout=30.0, **options):
    """Runs the command line. Returns subprocess.CompletedProcess with texts."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"dfaas {' '.join(map(str, arguments))} ended with "
                             f"{done.returncode}: {done.stderr}{done.stdout}")
    return done


def free_ports(count):
    """Ports that nobody listens on, below those that outgoing connections get."""
    held = []
    try:
        while len(held) < count:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", random.randrange(10_000, 32_000)))
            except OSError:
                probe.close()
                continue
            held.append(probe)
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def temporary_directory():
    """A short path: those of unix sockets end at 107 bytes."""
    return Path(tempfile.mkdtemp(prefix="dfaas-", dir="/tmp"))


class Node:
    """One node in its directory: made by init, then started and stopped as often as a test likes."""

    def __init__(self, directory, name, authority=None, settings=None, make=("node", "init")):
        """`make` are the words of the command that makes it: join and a token, for one."""
        self.name = name
        self.directory = Path(directory)
        self.user_port, self.peer_port, self.admin_port = free_ports(3)
        self.log_file = self.directory.with_suffix(".log")
        self._process = None
        self.staying = ()  #: Parts of the command lines of processes that outlive their calls.
        self.runs_functions = (settings or {}).get("platform.kind") != "openfaas"
        self.user = None  #: Number of the user that runs it; None for ours.
        #: What functions of this node can write to; several nodes of a federation share it.
        self.shared = self.directory.parent / "shared"
        self.shared.mkdir(exist_ok=True)
        self.shared.chmod(0o777)
        self.directory.parent.chmod(0o711)  # Functions run as other users.
        chosen = {**FAST, "sandbox.write_paths": self.shared, **(settings or {}), "user.bind": f"127.0.0.1:{self.user_port}",
                  "peer.bind": f"127.0.0.1:{self.peer_port}",
                  "admin.bind": f"127.0.0.1:{self.admin_port}"}
        arguments = [*make, "--dir", self.directory, "--name", name]
        if authority is not None:
            arguments += ["--ca", authority]
        for setting, value in chosen.items():
            arguments += ["--set", f"{setting}={value}"]
        self.id = dfaas(*arguments).stdout.strip()

    # --- life

    def start(self, *arguments, wait=True, environment=None):
        assert self._process is None, f"{self.name} runs already"
        if self.user is not None:
            self._give_to_user()
        with open(self.log_file, "ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [BINARY, "node", "run", "--dir", str(self.directory), *arguments], stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})},
                start_new_session=True, user=self.user, group=self.user,
                extra_groups=None if self.user is None else [])
        running_nodes.append(self)
        if wait:
            self.wait_started()

    def _give_to_user(self):
        for place in [self.directory, self.shared, *self.directory.rglob("*")]:
            os.chown(place, self.user, self.user, follow_symlinks=False)

    def wait_started(self):
        def is_started():
            assert self._process.poll() is None, f"{self.name} ended at its start:\n{self.log()}"
            return f"node {self.name} " in self.log()[self._log_start:]

        wait_until(is_started, f"{self.name} to serve users", _START_SECONDS)

    def stop(self, by_terminal=False):
        """SIGTERM, as an operator would, or what Ctrl-C does; returns the exit status."""
        process = self._process
        if process is None:
            return None
        family = [process.pid, *descendants_of(process.pid)]
        for pid in family:
            self._signal(pid, signal.SIGCONT)  # One that a test stopped could not end.
        if by_terminal:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in family:
                end_process(pid)
            process.wait()
            raise AssertionError(f"{self.name} did not stop within {_STOP_SECONDS} s") from None
        finally:
            self._forget()

    def kill(self):
        """kill -9 of the supervisor, as a crash of the node would be. The rest must end by itself."""
        self._process.kill()
        self._process.wait()
        self._forget()

    def wait_ended(self, seconds=_STOP_SECONDS):
        """For a start that must fail: its exit status."""
        try:
            return self._process.wait(seconds)
        finally:
            if self._process.poll() is not None:
                self._forget()

    def _forget(self):
        self._process = None
        running_nodes.remove(self)

    @property
    def is_running(self):
        return self._process is not None and self._process.poll() is None

    # --- processes

    def pid(self, program="supervisor"):
        """Of "supervisor", "gateway", "haproxy", "agent", "serf", "launcher" or "keeper" (the first one). KeyError
        when it is not there."""
        if program == "supervisor":
            return self._process.pid
        if program == "keeper":
            keepers = self.keepers()
            if not keepers:
                raise KeyError(f"{self.name} has no keeper")
            return keepers[0]
        parent = self.pid("gateway") if program == "launcher" else self._process.pid
        for child in reversed(children_of(parent)):  # An HAProxy that was replaced may still finish calls.
            words = command_line(child)
            is_ours = words[:1] == [BINARY] and words[1:2] == [program]
            is_other = program in ("haproxy", "launcher", "serf") and words and words[0].endswith(
                {"haproxy": "/haproxy", "launcher": "/dfaas-launcher", "serf": "/serf"}[program])
            if is_ours or is_other:
                return child
        raise KeyError(f"{self.name} has no {program}")

    def keepers(self):
        """Process ids of the first processes of all replicas, also of those whose launcher was killed."""
        if not self.runs_functions:
            return []
        candidates = children_of(self.pid("launcher")) + children_of(self._process.pid)
        return [pid for pid in candidates if process_name(pid) == "dfaas-keeper"]

    def family(self):
        """Ids of all processes of the node: supervisor, programs, functions."""
        return [self._process.pid, *descendants_of(self._process.pid)]

    def freeze(self):
        """SIGSTOP to all of them, as a machine that hangs. Ends with thaw(), or stop()."""
        frozen = set()
        while new := set(self.family()) - frozen:
            for pid in new:
                self._signal(pid, signal.SIGSTOP)
            frozen |= new

    def thaw(self):
        for pid in self.family():
            self._signal(pid, signal.SIGCONT)

    def crash(self):
        """kill -9 of all of them at once, as a machine that loses power. start() brings it back."""
        self.freeze()  # So that none starts another meanwhile.
        end_processes(reversed(self.family()))
        self._process.wait()
        self._forget()

    @staticmethod
    def _signal(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def kill_program(self, program):
        """kill -9; returns the process id that it had. The supervisor starts another one."""
        pid = self.pid(program)
        os.kill(pid, signal.SIGKILL)
        return pid

    def pause_program(self, program):
        os.kill(self.pid(program), signal.SIGSTOP)

    def resume_program(self, program):
        os.kill(self.pid(program), signal.SIGCONT)

    def reload(self):
        """Its programs are replaced in turn; returns when all are. Those that were replaced may still finish calls."""
        told = len(self.log())
        os.kill(self._process.pid, signal.SIGHUP)

        def end():
            lines = [line for line in self.log()[told:].splitlines() if "event=node_" in line]
            assert not [line for line in lines if "event=node_not_reloaded" in line], lines
            return any("event=node_reloaded" in line for line in lines)

        wait_until(end, f"{self.name} to have reloaded", 40.0)

    def pids(self):
        return {program: self.pid(program) for program in ("supervisor", "gateway", "haproxy", "agent")}

    def wait_replaced(self, program, old_pid):
        """Until another process than `old_pid` runs as `program`."""
        return wait_until(lambda: self.pid(program) != old_pid and self.pid(program),
                          f"a new {program} of {self.name}")

    def function_processes(self):
        """Of calls: without those of `staying`."""
        def stays(pid):
            words = " ".join(command_line(pid))
            return any(part in words for part in self.staying)

        return [pid for keeper in self.keepers() for pid in descendants_of(keeper) if not stays(pid)]

    # --- functions

    def credentials(self):
        words = [(self.directory / "secrets" / f"basic-auth-{part}").read_text().strip()
                 for part in ("user", "password")]
        return {"Authorization": "Basic " + base64.b64encode(":".join(words).encode()).decode()}

    def system(self, method, target, body=None):
        """A call of the REST API with this node's credentials. A body that is no text goes as JSON."""
        text = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        return self.request(method, target, text, self.credentials())

    def try_deploy(self, name, process="", image="host:", slots=None, labels=None, env=None, **more):
        """PUT, then POST when it is new, as faas-cli does. `more` are other fields of a deployment. Returns
        the last answer."""
        labels = dict(labels or {})
        if slots is not None:
            labels["dfaas.slots"] = str(slots)
        deployment = {"service": name, "image": image, "envProcess": process, "labels": labels,
                      "envVars": env or {}, **more}
        answer = self.system("PUT", "/system/functions", deployment)
        if answer.status == 404:
            answer = self.system("POST", "/system/functions", deployment)
        return answer

    def deploy(self, name, process="", **options):
        answer = self.try_deploy(name, process, **options)
        assert answer.status == 202, f"{self.name} did not deploy {name}: {answer}"

    def remove(self, name):
        answer = self.system("DELETE", "/system/functions", {"functionName": name})
        assert answer.status == 202, f"{self.name} did not remove {name}: {answer}"

    def shared_directory(self):
        """A new directory that functions of all nodes of the federation can write to."""
        directory = Path(tempfile.mkdtemp(dir=self.shared))
        directory.chmod(0o777)
        return directory

    # --- requests

    def request(self, method, target, body=None, headers=None, **options):
        """On the user port."""
        return clients.request(self.user_port, method, target, body, headers, **options)

    def call(self, name, body=b"", method="POST", headers=None, **options):
        return self.request(method, f"/function/{name}", body, headers, **options)

    @contextlib.contextmanager
    def occupied(self, name, slots):
        """Users of this node hold `slots` slots of a function that reads its body, such as cat."""
        before = self.in_flight(name)
        held = [clients.HeldCall(self.user_port, f"/function/{name}") for _ in range(slots)]
        try:
            wait_until(lambda: self.in_flight(name) >= before + slots,
                       f"{slots} calls of {name} to run at {self.name}")
            yield
        except BaseException:
            for call in held:
                call.abandon()
            raise
        answers = [call.finish() for call in held]
        assert all((answer.status, answer.node_id) == (200, self.id) for answer in answers), answers

    def tls_context(self):
        """Of a client with this node's certificate."""
        return clients.tls_context(self.directory / "pki" / "node.pem")

    def peer_request(self, as_node, method, target, body=b"", headers=None):
        """On the peer port of this node, with the certificate and the id of `as_node`."""
        told = {"DFaaS-Node-ID": as_node.id, **(headers or {})}
        return clients.tls_request(self.peer_port, as_node.tls_context(), method, target, body, told)

    def raw(self, pieces, **options):
        """Exactly these bytes on the user port."""
        return clients.raw_exchange(self.user_port, pieces, **options)

    def raw_to_peer_port(self, as_node, pieces, **options):
        """The same on the peer port, in TLS with the certificate of `as_node`."""
        return clients.raw_exchange(self.peer_port, pieces, context=as_node.tls_context(), **options)

    # --- what it says of itself

    def admin(self, target):
        answer = clients.request(self.admin_port, "GET", target)
        assert answer.status == 200, f"{self.name} answered {target} with {answer}"
        return answer.text

    def status(self):
        return json.loads(self.admin("/dfaas/v1/status"))

    def plan(self):
        """The routing plan that the gateway follows now."""
        return json.loads(self._control("GET", "/v1/plan").text)

    def install_plan(self, plan):
        """What the agent does. The agent's own next plan replaces it."""
        answer = self._control("PUT", "/v1/plan", json.dumps(plan))
        assert answer.status == 200, f"{self.name} refused a plan: {answer}"

    def _control(self, method, target, body=None):
        socket_path = str(self.directory / "run" / "gateway-control.sock")
        return clients.unix_request(socket_path, method, target, body)

    def metrics(self):
        return Metrics(self.admin("/metrics"))

    def in_flight(self, name):
        """Calls of a function that hold a slot now."""
        full = name if "." in name else f"{name}.openfaas-fn"
        for function in self.status()["functions"]:
            if function["name"] == full:
                return function["in_flight"]
        return 0

    def peers(self):
        """What the agent knows: {"peers": [...], "unproved": [...], ...}"""
        return json.loads(clients.unix_request(
            str(self.directory / "run" / "agent.sock"), "GET", "/v1/peers").text)

    def peer_state(self, other):
        """"new", "up", "silent" or "draining"; None for a node that is no neighbour."""
        for peer in self.peers()["peers"]:
            if peer["id"] == other.id:
                return peer["state"]
        return None

    def list_peers(self, ports):
        """Writes the file of neighbours, as a whole: the agent may read it at any time."""
        draft = self.directory / "peers.txt.new"
        draft.write_text("".join(f"127.0.0.1:{port}\n" for port in ports))
        draft.rename(self.directory / "peers.txt")

    def why(self, call_id):
        """The decisions of a call, newest first."""
        return json.loads(dfaas("why", call_id, "--dir", self.directory, "-o", "json").stdout)

    def log(self):
        try:
            return self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""


class Metrics:
    """Numbers in the text format of Prometheus."""

    _LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
    _LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.samples = []
        for line in text.splitlines():
            match = self._LINE.match(line)
            if match:
                labels = dict(self._LABEL.findall(match[2] or ""))
                self.samples.append((match[1], labels, float(match[3])))

    def sum(self, name, **labels):
        """Of all samples with this name that carry these labels."""
        return sum(value for known, found, value in self.samples
                   if known == name and labels.items() <= found.items())


class Federation:
    """Nodes that are each other's neighbours.

    Input  names of the nodes; `organisations`, a name for each node that is not of "acme"; `settings`
           for all nodes, or for one under its name: {"light": {...}}.
    """

    def __init__(self, *names, organisations=None, settings=None, connect=True):
        self.directory = temporary_directory()
        self.nodes = {}
        self._connect = connect
        organisations = organisations or {}
        settings = settings or {}
        common = {key: value for key, value in settings.items() if "." in key}
        for name in names:
            authority = self.authority(organisations.get(name, "acme"))
            self.nodes[name] = Node(self.directory / name, name, authority,
                                    {**common, **settings.get(name, {})})

    def authority(self, organisation):
        """The directory of an organisation's authority; made when it is new."""
        directory = self.directory / f"ca-{organisation}"
        if not directory.exists():
            dfaas("pki", "ca", "create", "--dir", directory, "--organisation", organisation)
        return directory

    def __enter__(self):
        try:
            self._trust_each_other()
            if self._connect:
                self.write_peers()
            for node in self:
                node.start(wait=False)
            for node in self:
                node.wait_started()
            if self._connect:
                self.wait_connected()
            return self
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *_):
        try:
            problems = []
            for node in self:
                try:
                    node.stop()
                except AssertionError as problem:
                    problems.append(str(problem))
            assert not problems, problems
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __getitem__(self, name):
        return self.nodes[name]

    def __iter__(self):
        return iter(self.nodes.values())

    def _trust_each_other(self):
        """Every node trusts the authorities of all organisations."""
        authorities = sorted(self.directory.glob("ca-*/ca.crt"))
        texts = "".join(path.read_text() for path in authorities)
        for node in self:
            (node.directory / "pki" / "ca.pem").write_text(texts)

    def add(self, name, organisation="acme", settings=None):
        """One more node, made but neither started nor listed."""
        node = Node(self.directory / name, name, self.authority(organisation), settings)
        self.nodes[name] = node
        self._trust_each_other()
        return node

    def write_peers(self, nodes=None):
        """Lists `nodes` (all) at each of them. Running agents read the file again."""
        nodes = list(nodes or self)
        for node in nodes:
            node.list_peers(other.peer_port for other in nodes if other is not node)

    def wait_connected(self, nodes=None):
        """Until each of `nodes` (all) has heard from all the others."""
        nodes = list(nodes or self)
        for node in nodes:
            for other in nodes:
                if other is not node:
                    wait_until(lambda: node.peer_state(other) == "up",
                               f"{node.name} to hear from {other.name}")

    def deploy(self, name, process, slots, **options):
        """On the nodes of `slots` ({"light": 2, ...}); returns when all plans know of it."""
        for node_name, count in slots.items():
            self.nodes[node_name].deploy(name, process, slots=count, **options)
        self.wait_spread(name, slots)

    def wait_spread(self, name, slots):
        """Until every other running node has heard that the nodes of `slots` have the function, as
        far as they share it, and has planned since. What must not be shared cannot be waited for:
        pass the nodes that do share."""
        full = name if "." in name else f"{name}.openfaas-fn"
        running = [node for node in self if node.is_running]

        def is_heard(node, other):
            offers = [offer for peer in node.peers()["peers"] if peer["id"] == other.id
                      for offer in peer["functions"]]
            return {"name": full, "slots": slots[other.name]} in offers

        for node in running:
            for other in running:
                if other is not node and other.name in slots:
                    wait_until(lambda: is_heard(node, other),
                               f"{node.name} to hear of {name} at {other.name}")
        self.wait_planned(running)

    def wait_planned(self, nodes=None):
        """Until each of `nodes` (all) that runs installed a plan that was made after now: the next one may have
        been under way already, the one after it was not."""
        nodes = [node for node in nodes or self if node.is_running]
        versions = [(node, node.status()["plan_version"]) for node in nodes]
        for node, version in versions:
            wait_until(lambda: node.status()["plan_version"] >= version + 2,
                       f"{node.name} to install two more plans")
