# SPDX-License-Identifier: AGPL-3.0-or-later
"""What functions use of processors and memory, as `?usage=1`, `dfaas describe` and `dfaas list -v` tell it.

Once per way in which a node may run functions here, because the kernel shows it at different places.
"""

import contextlib
import json
import socket

import pytest
from federation import dfaas
from sandboxed import sandboxed_node
from waiting import wait_until

BUSY_MILLIS = 100  #: Of a spinning process, on however crowded a machine.
IDLE_MILLIS = 30
HELD_BYTES = 48 << 20
SPIN = "sh -c 'while :; do :; done'"
SPIN_A_LITTLE = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'"
HOLD = f"""python3 -c 'import sys; held = b"x" * {HELD_BYTES}; print(len(sys.stdin.read()))'"""


@pytest.fixture(scope="module", params=["root-namespaces", "user-namespaces", "user-landlock"])
def node(request):
    with sandboxed_node(*request.param.split("-")) as node:
        node.deploy("idle", "cat")
        wait_until(lambda: described(node, "idle")["availableReplicas"] == 1, "the idle one")
        yield node


def described(node, name, query=""):
    return json.loads(node.system("GET", f"/system/function/{name}{query}").text)


def usage(node, name):
    return described(node, name, "?usage=1")["usage"]


def cpu(node, name):
    return usage(node, name)["cpu"]


def memory(node, name):
    return usage(node, name)["totalMemoryBytes"]


@contextlib.contextmanager
def calling(node, name):
    """A call that ends when its user hangs up."""
    with socket.create_connection(("127.0.0.1", node.user_port), 10) as line:
        line.sendall(f"POST /function/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        wait_until(lambda: node.in_flight(name) == 1, f"{name} to run")
        yield


def test_nobody_is_told_who_did_not_ask(node):
    assert "usage" not in described(node, "idle")
    listed = json.loads(node.system("GET", "/system/functions").text)
    assert not [entry for entry in listed if "usage" in entry]


def test_busy_function_uses_a_processor_and_an_idle_one_none(node):
    node.deploy("spins", SPIN)
    with calling(node, "spins"):
        wait_until(lambda: cpu(node, "spins") > BUSY_MILLIS, "the busy one to be seen")
        listed = json.loads(node.system("GET", "/system/functions?usage=1").text)
        by_name = {entry["name"]: entry["usage"] for entry in listed}
        assert by_name["spins"]["cpu"] > BUSY_MILLIS
        wait_until(lambda: cpu(node, "idle") < IDLE_MILLIS, "the idle one to be seen")
        assert 0 < by_name["idle"]["totalMemoryBytes"] < HELD_BYTES
    wait_until(lambda: cpu(node, "spins") < IDLE_MILLIS, "the busy one to be idle again")
    node.remove("spins")


def test_time_of_processes_that_ended_counts(node):
    node.deploy("short", SPIN_A_LITTLE)

    def spends():
        assert node.call("short").status == 200
        return cpu(node, "short") > BUSY_MILLIS

    wait_until(spends, "short calls to be seen")
    node.remove("short")


def test_memory_grows_with_what_the_function_holds(node):
    node.deploy("holds", HOLD, slots=1)
    wait_until(lambda: described(node, "holds")["availableReplicas"] == 1, "a replica")
    before = memory(node, "holds")
    with node.occupied("holds", 1):
        wait_until(lambda: memory(node, "holds") > before + HELD_BYTES * 0.9, "the memory to be seen")
    wait_until(lambda: memory(node, "holds") < before + HELD_BYTES * 0.5, "the memory to be given back")
    node.remove("holds")


def test_function_without_replicas_uses_nothing(node):
    node.deploy("asleep", "cat", labels={"com.openfaas.scale.zero": "true"})
    answer = node.system("POST", "/system/scale-function/asleep", {"serviceName": "asleep", "replicas": 0})
    assert answer.status == 202
    assert usage(node, "asleep") == {"cpu": 0, "totalMemoryBytes": 0}
    node.remove("asleep")


def test_command_line_shows_it(node):
    login = ("--dir", node.directory)
    assert "m of a processor" in dfaas("describe", "idle", *login).stdout
    told = json.loads(dfaas("describe", "idle", *login, "-o", "json").stdout)
    assert told["usage"]["totalMemoryBytes"] > 0
    title, line = dfaas("list", "-v", *login).stdout.splitlines()
    assert "CPU" in title and "MEMORY" in title
    assert float(line.split()[4]) > 0
    assert "CPU" not in dfaas("list", *login).stdout
