# SPDX-License-Identifier: AGPL-3.0-or-later
"""Federations whose nodes find each other by gossip, and agents of serf that are no nodes."""

import json
import os
import signal
import subprocess

import clients
from federation import Federation, free_ports
from waiting import end_process, wait_until


class Gossip(Federation):
    """All nodes have the gossip key of the first one. `joins`: who knows whom to begin with, {"b": ["a"]}."""

    def __init__(self, *names, joins=None, settings=None):
        self.gossip_ports = dict(zip(names, free_ports(len(names))))
        chosen = {name: self._settings(name, (joins or {}).get(name, [])) for name in names}
        for name, more in (settings or {}).items():
            chosen[name].update(more)
        super().__init__(*names, connect=False, settings=chosen)
        for node in self:
            self.give_key(node)

    def __exit__(self, *reason):
        stop_together(self)
        super().__exit__(*reason)

    def _settings(self, name, joins):
        return {"membership.kind": "serf", "gossip.bind": self.gossip_address(name),
                "gossip.join": ",".join(map(self.gossip_address, joins))}

    def gossip_address(self, name):
        return f"127.0.0.1:{self.gossip_ports[name]}"

    def give_key(self, node):
        first = next(iter(self))
        (node.directory / "secrets" / "gossip-keys").write_bytes(
            (first.directory / "secrets" / "gossip-keys").read_bytes())

    def add_gossiping(self, name, joins=(), settings=None, key=True):
        self.gossip_ports[name] = free_ports(1)[0]
        node = self.add(name, settings={**self._settings(name, joins), **(settings or {})})
        if key:
            self.give_key(node)
        return node


def stop_together(nodes):
    """Asks all of them to stop: serf needs some seconds to say goodbye. stop() waits for each."""
    for node in nodes:
        if node.is_running:
            os.kill(node.pid(), signal.SIGTERM)


def members(node):
    """What the agent knows: {"members": [...], "gossip": {...}}"""
    return json.loads(clients.unix_request(
        str(node.directory / "run" / "agent.sock"), "GET", "/v1/members").text)


def known_ids(node):
    return {member["id"] for member in members(node)["members"]}


class Stranger:
    """An agent of serf with the right key that is no node: whoever got hold of the key."""

    def __init__(self, federation, name, tags, joins):
        self.port, rpc = free_ports(2)
        first = next(iter(federation))
        keys = federation.directory / f"{name}.keys"
        keys.write_bytes((first.directory / "secrets" / "gossip-keys").read_bytes())
        file = federation.directory / f"{name}.json"
        file.write_text(json.dumps({
            "node_name": name, "bind": f"127.0.0.1:{self.port}", "rpc_addr": f"127.0.0.1:{rpc}",
            "keyring_file": str(keys), "log_level": "err", "tags": tags,
            "disable_name_resolution": True, "retry_interval": "1s",
            "retry_join": [federation.gossip_address(other) for other in joins]}))
        self._process = subprocess.Popen(["serf", "agent", f"-config-file={file}"],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                         stdin=subprocess.DEVNULL)

    def end(self):
        """Without a goodbye."""
        end_process(self._process.pid)
        self._process.wait()


def tags_of(identity, port, **more):
    """As a node would have them."""
    return {"dfaas": "1", "federation": "dfaas", "id": identity, "port": str(port), **more}


def processes(node):
    """(seconds of processor time, resident bytes, bytes with shared pages divided among those who share them) over
    all processes of a node that are no functions."""
    ticks = os.sysconf("SC_CLK_TCK")
    page = os.sysconf("SC_PAGE_SIZE")
    seconds = resident = proportional = 0
    for pid in node.family():
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / ticks
        resident += int(fields[21]) * page
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            proportional += next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
    return seconds, resident, proportional


def wait_known(node, others):
    """Until a node has proved the others, whoever told it of them."""
    wanted = {other.id for other in others}
    wait_until(lambda: wanted <= {member["id"] for member in members(node)["members"]
                                  if member["state"] != "unproved"},
               f"{node.name} to know {len(wanted)} others")
