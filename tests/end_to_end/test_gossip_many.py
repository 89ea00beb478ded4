# SPDX-License-Identifier: AGPL-3.0-or-later
"""Gossip of nodes that join by a token, of strangers that got hold of the key, and of twenty nodes."""

import os
import time

import load
import pytest
from federation import Federation, Node, dfaas, free_ports
from gossip import Gossip, Stranger, members, processes, stop_together, tags_of, wait_known
from waiting import wait_until


def test_garbage_in_the_gossip_is_ignored_and_told_once():
    with Gossip("light", "mid", joins={"light": ["mid"]}) as pair:
        pair.wait_connected()
        pair.deploy("nap", "sleep 0.3", {"light": 1, "mid": 2})
        check_that_garbage_is_ignored(pair)


def check_that_garbage_is_ignored(pair):
    light = pair["light"]
    port, other_port = free_ports(2)
    stranger_id = "a" * 32
    lies = {
        "copy": tags_of(light.id, port),
        "noise": {"dfaas": "1", "federation": "dfaas", "id": "\x01\xff;rm -rf /", "port": "x" * 200},
        "silent": tags_of(stranger_id, port),
        "twin": tags_of(stranger_id, other_port),
        "impostor": tags_of(pair["mid"].id, other_port),
        "mirror": tags_of("b" * 32, light.user_port),
        "future": {"dfaas": "2", "anything": "y" * 300},
        "no-node": {},
    }
    agents = [Stranger(pair, name, tags, ["light"]) for name, tags in lies.items()]
    try:
        wait_until(lambda: members(light)["gossip"]["ignored_copies_of_self"] >= 1, "the copy")
        wait_until(lambda: members(light)["gossip"]["ignored_malformed"] >= 3, "the others")
        hopeless = {f"127.0.0.1:{place}" for place in (port, other_port, light.user_port)}
        wait_until(lambda: hopeless == {member["address"] for member in members(light)["members"]
                                        if member["state"] == "unproved" and member["why"]},
                   "what might be nodes to be tried, in vain")
        assert len(light.peers()["peers"]) == 1
        assert all(peer["state"] == "up" for peer in light.peers()["peers"])
        calls = load.burst(light.user_port, "/function/nap", 3)
        assert {call.status for call in calls} == {200}
        told = [line for line in light.log().splitlines() if "member_ignored" in line]
        assert len([line for line in told if "says that it is this node" in line]) == 1, told
        assert light.pid("agent") and light.pid("serf")
    finally:
        for agent in agents:
            agent.end()


def test_nodes_join_by_token_and_gossip():
    """Three nodes in three commands: what the first one gossips with comes with the token."""
    with Federation(connect=False) as federation:
        join_port, *ports = free_ports(4)

        def make(name, words, **settings):
            node = Node(federation.directory / name, name, make=words, settings={
                "gossip.bind": f"127.0.0.1:{ports[len(federation.nodes)]}", **settings})
            federation.nodes[name] = node
            node.start()
            return node

        east = make("east", ("federation", "create", "--organisation", "acme"),
                    **{"join.bind": f"127.0.0.1:{join_port}", "membership.kind": "serf"})
        token = dfaas("federation", "invite", "--uses", "2", "--dir", east.directory).stdout.strip()
        for name in ("west", "north"):
            make(name, ("join", token))
        federation.wait_connected()
        west = members(federation["west"])
        north = [member for member in west["members"] if member["id"] == federation["north"].id]
        assert "serf" in north[0]["sources"]
        assert west["gossip"]["connected"]
        stop_together(federation)


def packets_sent():
    """(datagrams of UDP, segments of TCP) of this machine since it started."""
    with open("/proc/net/snmp", encoding="ascii") as file:
        lines = [line.split() for line in file]
    counters = {(names[0], name): int(value) for names, values in zip(lines[::2], lines[1::2])
                for name, value in zip(names[1:], values[1:])}
    return counters["Udp:", "OutDatagrams"], counters["Tcp:", "OutSegs"]


@pytest.mark.skipif(not os.environ.get("DFAAS_LONG"), reason="DFAAS_LONG=1: up to 20 nodes on one machine")
@pytest.mark.parametrize("count", [10, 20])
def test_many_nodes_know_each_other_soon_and_talk_as_much_as_few(count):
    names = [f"n{number}" for number in range(count)]
    calm = {"strategy.period_ms": 2000, "exchange.heartbeat_ms": 500, "membership.neighbours_max": 6}
    with Gossip(*names, joins={name: ["n0"] for name in names[1:]},
                settings={name: calm for name in names}) as federation:
        started = time.monotonic()
        for node in federation:
            wait_known(node, [other for other in federation if other is not node])
        known = time.monotonic() - started
        print("measured: all know all", round(known, 2), "s after the last start")
        wait_until(lambda: is_connected(federation), "neighbours to connect all of them")
        print("measured: connected", round(time.monotonic() - started, 2), "s after the last start")
        wait_until(lambda: max(len(node.peers()["peers"]) for node in federation) <= 6,
                   "nobody to have more than six neighbours")
        time.sleep(5)  # Not for an event: what the start itself costs is not to be measured.
        before = [processes(node)[0] for node in federation]
        sent = packets_sent()
        begun = time.monotonic()
        time.sleep(15)  # The time over which idle nodes are measured.
        spent = time.monotonic() - begun
        print("measured: packets a second per node, UDP and TCP:",
              *(round((now - was) / spent / count, 1) for now, was in zip(packets_sent(), sent)))
        used = [(processes(node)[0] - was) / spent for node, was in zip(federation, before)]
        _, resident, proportional = zip(*[processes(node) for node in federation])
        print("measured: idle, percent of a core per node:", round(100 * sum(used) / len(used), 2),
              "MB per node:", round(sum(proportional) / len(proportional) / 1e6, 1),
              "with shared pages counted in each process:", round(sum(resident) / len(resident) / 1e6, 1))
        assert known < 30  # On a machine with nothing else to do it is under 5.


def is_connected(federation):
    """Over pairs of which each has heard from the other."""
    up = {node.id: {peer["id"] for peer in node.peers()["peers"] if peer["state"] == "up"}
          for node in federation}
    reached, unvisited = set(), [next(iter(up))]
    while unvisited:
        here = unvisited.pop()
        reached.add(here)
        unvisited += [there for there in up[here] if here in up[there] and there not in reached]
    return len(reached) == len(up)
