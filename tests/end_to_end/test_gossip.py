# SPDX-License-Identifier: AGPL-3.0-or-later
"""Nodes that find each other by gossip: real serf beside real nodes."""

import json
import socket
import threading

import load
import pytest
from federation import Node, dfaas, free_ports
from gossip import Gossip, known_ids, members, wait_known
from waiting import wait_until


@pytest.fixture(scope="module")
def trio():
    """Each knows one other, in a chain; they start at the same time."""
    with Gossip("light", "mid", "heavy", joins={"light": ["mid"], "mid": ["heavy"]}) as federation:
        federation.wait_connected()
        federation.deploy("nap", "sleep 0.3", {"light": 1, "mid": 2, "heavy": 2})
        yield federation


def settings_file(node):
    return node.directory / "node.toml"


def test_nodes_that_gossip_know_each_other_and_spill(trio):
    for node in trio:
        known = members(node)
        assert {member["id"] for member in known["members"]} == {
            other.id for other in trio if other is not node}
        assert all(member["neighbour"] and member["sources"] == ["serf"] and member["rtt_ms"] > 0
                   for member in known["members"]), known
        assert known["gossip"]["connected"]
        assert {member["name"] for member in known["members"]} == {
            other.name for other in trio if other is not node}
    assert json.loads(dfaas("members", "--dir", node.directory, "-o", "json").stdout)["gossip"]["members"] == 2
    table = dfaas("members", "--dir", node.directory).stdout
    assert trio["light"].id in table and "gossip of dfaas: connected, 2 members" in table
    calls = load.burst(trio["light"].user_port, "/function/nap", 5)
    assert load.served_by(calls) == {trio["light"].id: 1, trio["mid"].id: 2, trio["heavy"].id: 2}


def test_status_and_metrics_say_whom_a_node_knows(trio):
    light = trio["light"]
    wait_until(lambda: light.metrics().sum("dfaas_agent_neighbours", state="up") == 2,
               "light to count its neighbours")
    known = light.metrics()
    assert known.sum("dfaas_agent_gossip_connected") == 1 and known.sum("dfaas_agent_gossip_members") == 2
    assert known.sum("dfaas_agent_members", state="proved") == known.sum("dfaas_agent_members") == 2
    status = json.loads(dfaas("status", "--dir", light.directory, "-o", "json").stdout)["membership"]
    assert status["neighbours"] == {"up": 2, "draining": 0, "silent": 0, "new": 0}
    assert (status["gossip"]["federation"], status["gossip"]["connected"]) == ("dfaas", True)
    table = dfaas("status", "--dir", light.directory).stdout
    assert "peers     2 up\n" in table and "gossip    dfaas: 2 other members\n" in table, table
    # A gateway that began anew knows nothing: the agent tells it again.
    old = light.kill_program("gateway")
    light.wait_replaced("gateway", old)
    wait_until(lambda: light.call("nap").status == 200, "the new gateway to serve")
    wait_until(lambda: light.metrics().sum("dfaas_agent_gossip_members") == 2, "the new gateway to know")


def doctors_findings(node):
    done = dfaas("doctor", "--dir", node.directory, "-o", "json", check=False)
    return {entry["what"]: entry for entry in json.loads(done.stdout)["findings"]}


def test_doctor_says_whom_gossip_knows(trio):
    found = doctors_findings(trio["light"])
    assert found["serf"]["state"] == "ok" and found["gossip"]["state"] == "ok", found
    assert "2 other members" in found["gossip"]["text"]


def test_secrets_of_gossip_are_nobody_elses(trio):
    for node in trio:
        for file in ("secrets/gossip-keys", "run/serf.json"):
            assert (node.directory / file).stat().st_mode & 0o777 == 0o600, file
        key = json.loads((node.directory / "secrets" / "gossip-keys").read_text())[0]
        door = json.loads((node.directory / "run" / "serf.json").read_text())
        with open(f"/proc/{node.pid('serf')}/cmdline", "rb") as file:
            words = file.read().decode()
        assert key not in words and door["rpc_auth"] not in words and key not in json.dumps(door)
        assert key not in node.log()


def test_serf_that_is_killed_is_replaced_and_nothing_is_lost(trio):
    mid = trio["mid"]
    gone = {node.name: node.log().count("neighbour_gone") for node in trio}
    with load.open_loop(mid.user_port, "/function/nap", per_second=4, seconds=60) as run:
        wait_until(lambda: len(list(run.calls)) >= 4, "some calls")
        links = mid.log().count("gossip_connected")
        old = mid.kill_program("serf")
        mid.wait_replaced("serf", old)
        wait_until(lambda: mid.log().count("gossip_connected") > links, "the agent to follow it")
        wait_until(lambda: len(known_ids(mid)) == 2, "mid to know the others again")
        seen = len(list(run.calls))
        wait_until(lambda: len(list(run.calls)) >= seen + 4, "more calls")
    assert {call.status for call in run.calls} == {200}
    assert gone == {node.name: node.log().count("neighbour_gone") for node in trio}


def test_node_that_crashes_comes_back_with_its_id_from_the_snapshot_alone(trio):
    light, heavy = trio["light"], trio["heavy"]
    admitted = light.log().count(f"peer={heavy.id}")
    heavy.crash()
    wait_until(lambda: light.peer_state(heavy) != "up", "light to miss heavy")
    heavy.start()
    trio.wait_connected()
    assert admitted >= 1 and heavy.id in known_ids(light)
    # It names nobody to join: serf's snapshot did.
    assert 'gossip.join = ""' in settings_file(heavy).read_text()
    trio.wait_spread("nap", {"light": 1, "mid": 2, "heavy": 2})


def test_node_that_stops_in_order_is_let_go_and_found_again(trio):
    mid, heavy = trio["mid"], trio["heavy"]
    heavy.stop()
    wait_until(lambda: heavy.id not in known_ids(mid), "mid to let go of heavy", 30)
    heavy.start()
    trio.wait_connected()


def shown_keys(node):
    return json.loads(dfaas("gossip", "key", "show", "--dir", node.directory, "-o", "json",
                            check=False).stdout)


def test_key_is_changed_on_all_members_while_they_work(trio):
    light = trio["light"]
    before = (light.directory / "secrets" / "gossip-keys").read_text()
    # Nodes of other tests may still be thought to be there: then nothing would be changed.
    wait_until(lambda: shown_keys(light)["members"] == 3, "the three members to be alone")
    done = dfaas("gossip", "key", "rotate", "--dir", light.directory)
    shown = shown_keys(trio["mid"])
    assert shown["members"] == 3
    assert shown["keys"] == [{"key": done.stdout.strip(), "members": 3, "used": True}]
    files = [node.directory / "secrets" / "gossip-keys" for node in trio]
    assert len({file.read_text() for file in files}) == 1 and files[0].read_text() != before
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    for node in trio:
        assert json.loads(files[0].read_text())[0] not in done.stdout + done.stderr
        assert node.peer_state(next(other for other in trio if other is not node)) == "up"
    refused = dfaas("gossip", "key", "remove", done.stdout.strip(), "--dir", light.directory, check=False)
    assert refused.returncode != 0 and "is in use" in refused.stderr
    unknown = dfaas("gossip", "key", "remove", "0" * 16, "--dir", light.directory, check=False)
    assert unknown.returncode != 0 and "no member has a key" in unknown.stderr


def test_addresses_that_do_not_help_are_told_of_and_tried_again(trio):
    """A key of its own, nobody at an address, somebody else at another: then a file names a member."""
    closed, = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_as_somebody_else, args=(server,), daemon=True).start()
        elsewhere = server.getsockname()[1]
        loner = trio.add_gossiping("loner", settings={"gossip.join": ",".join(
            [f"127.0.0.1:{closed}", f"127.0.0.1:{elsewhere}", trio.gossip_address("light")])}, key=False)
        loner.start()
        complaints = wait_until(lambda: (told := members(loner)["gossip"]["not_joined"])
                                and len(told) == 3 and told, "three complaints")
        assert "gossips with another key" in complaints[trio.gossip_address("light")]
        assert "is not reached" in complaints[f"127.0.0.1:{closed}"]
        assert "but not as a member's gossip" in complaints[f"127.0.0.1:{elsewhere}"]
        assert loner.id not in known_ids(trio["light"]) and not known_ids(loner)
        assert loner.log().count("gossips with another key") == 1
        found = doctors_findings(loner)
        assert found["gossip"]["state"] == "warning" and found["gossip"]["remedy"], found
        assert found["gossip.join"]["state"] == "warning", found
    loner.stop()
    assert "free" in doctors_findings(loner)["gossip.bind"]["text"]
    trio.give_key(loner)
    loner.start("--set", f"gossip.join=127.0.0.1:{closed}")
    (loner.directory / "gossip.txt").write_text(f"# one of them\n{trio.gossip_address('mid')}\n")
    trio.wait_connected()
    loner.stop()
    del trio.nodes["loner"]


def answer_as_somebody_else(server):
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def test_gossip_of_another_federation_is_ignored(trio):
    other = trio.add_gossiping("other", ["light"], {"membership.federation": "other"})
    other.start()
    wait_until(lambda: members(trio["light"])["gossip"]["ignored_other_federation"] >= 1,
               "light to see it")
    wait_until(lambda: members(other)["gossip"]["ignored_other_federation"] >= 1, "it to see light")
    assert other.id not in known_ids(trio["light"])
    assert not known_ids(other)
    other.stop()
    del trio.nodes["other"]


def test_topology_names_the_only_neighbours(trio):
    picky = trio.add_gossiping("picky", ["light"], {"membership.topology": f"mid, {trio['heavy'].id}"})
    picky.start()
    wait_known(picky, [trio["light"], trio["mid"], trio["heavy"]])
    wait_until(lambda: picky.peer_state(trio["mid"]) == picky.peer_state(trio["heavy"]) == "up",
               "picky to have its neighbours")
    assert picky.peer_state(trio["light"]) is None
    assert [member["neighbour"] for member in members(picky)["members"]
            if member["id"] == trio["light"].id] == [False]
    picky.stop()
    del trio.nodes["picky"]


def own_serf(place, name, script):
    program = place / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"serf.program": str(program)}


def test_serf_that_ends_at_once_is_started_again_with_another_port(trio):
    """As when somebody took the port that was free when it was chosen."""
    seen = trio.directory / "seen"
    unlucky = trio.add_gossiping("unlucky", ["light"], own_serf(
        trio.directory, "unlucky-serf", f'[ -e {seen} ] && exec serf "$@"\ntouch {seen}\nexit 1'))
    unlucky.start()
    wait_known(unlucky, [trio["light"], trio["mid"], trio["heavy"]])
    assert sum("event=program_started name=serf" in line for line in unlucky.log().splitlines()) == 2
    unlucky.stop()
    del trio.nodes["unlucky"]


def test_serf_that_never_starts_ends_the_start_of_the_node(trio):
    broken = trio.add_gossiping("broken", ["light"], own_serf(trio.directory, "broken-serf", "exit 7"))
    broken.start(wait=False)
    assert broken.wait_ended() != 0
    assert "serf ended with status 7 before it was ready" in broken.log().splitlines()[-1]
    del trio.nodes["broken"]


@pytest.mark.parametrize("setting, value, words", [
    ("serf.program", "/nowhere/serf", "setting serf.program: \"/nowhere/serf\" is not an executable"),
    ("membership.federation", "No Name", "setting membership.federation"),
    ("gossip.bind", "192.0.2.1:7946", "setting gossip.bind: 192.0.2.1:7946 cannot be used"),
    ("gossip.advertise", "host.invalid:1", "setting gossip.advertise"),
])
def test_what_cannot_work_is_told_before_anything_listens(trio, setting, value, words):
    wrong = Node(trio.directory / f"wrong-{setting}", "wrong", trio.authority("acme"),
                 {"membership.kind": "serf", "gossip.bind": f"127.0.0.1:{free_ports(1)[0]}"})
    wrong.start("--set", f"{setting}={value}", wait=False)
    assert wrong.wait_ended() != 0
    lines = wrong.log().splitlines()
    assert words in lines[-1] and not any("program_started" in line for line in lines), lines
