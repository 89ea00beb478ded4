# SPDX-License-Identifier: AGPL-3.0-or-later
"""A container engine for tests: podman with a store, a network namespace and settings of its own. Needs root.

    with Engine() as engine:
        engine.run("podman", "run", "--detach", "dfaas")
"""

import os
import resource
import shutil

import machine
from waiting import wait_until

#: runc, and limits that are no higher than our own: an engine in a container may not raise them.
_CONTAINERS = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = "{directory}/networks"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{directory}/store"
runroot = "{directory}/run"
"""


class Engine:
    def __init__(self):
        self.directory = machine.scratch_directory()
        self._network = f"dfaas-{os.getpid()}"
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        for name, text in (("containers", _CONTAINERS.format(files=files, directory=self.directory)),
                           ("storage", _STORAGE.format(directory=self.directory))):
            (self.directory / f"{name}.conf").write_text(text)
        self._environment = dict(os.environ,
                                 CONTAINERS_CONF=str(self.directory / "containers.conf"),
                                 CONTAINERS_STORAGE_CONF=str(self.directory / "storage.conf"))

    def __enter__(self):
        machine.run("ip", "netns", "add", self._network)
        machine.run("ip", "-netns", self._network, "link", "set", "lo", "up")
        return self

    def run(self, *command, **options):
        """Runs a program of this machine with the engine's network and settings."""
        return machine.run("nsenter", f"--net=/run/netns/{self._network}", *command, env=self._environment, **options)

    def ports_answer(self, *ports):
        """Waits until a node answers at each of these ports."""
        for port in ports:
            wait_until(lambda port=port: self.run(
                "curl", "--silent", "--fail", "--max-time", "2", f"http://127.0.0.1:{port}/healthz",
                check=False).returncode == 0, f"a node at port {port}", 60.0)

    def __exit__(self, *_):
        self.run("podman", "rm", "--all", "--force", "--volumes", "--time", "0", check=False)
        self.run("podman", "network", "prune", "--force", check=False)
        machine.run("ip", "netns", "delete", self._network)
        shutil.rmtree(self.directory, ignore_errors=True)
