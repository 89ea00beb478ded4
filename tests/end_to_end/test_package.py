# SPDX-License-Identifier: AGPL-3.0-or-later
"""The Debian package on a machine of its own: installed, started by systemd, used, upgraded, removed without a trace.

The machine (machine.py) is a fresh Debian whose systemd runs the unit as it is, with every line of its hardening. What
the package depends on is in the tree from the start, because the machine has no network to get it from.
"""

import os
import re
import stat

import pytest
from federation import BINARY
from machine import (Machine, build_package, debian_tree, dependencies_of, listing, remove, run, unpack)
from waiting import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="booting a machine in namespaces needs root")

NODE = "/var/lib/dfaas/node"
URL = "http://127.0.0.1:8080"
#: Records and caches of other programs, and what is made while a machine runs.
NOT_OURS = {"/dev", "/proc", "/run", "/sys", "/tmp", "/root", "/var/cache", "/var/lib/apt", "/var/lib/dpkg",
            "/var/lib/systemd", "/var/log", "/var/tmp", "/etc/.pwd.lock",
            # Copies of the files beside them from before the last change.
            "/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-"}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build_package(BINARY, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def tree(package):
    # procps: the test looks for processes by user.
    tree = unpack(debian_tree([*dependencies_of(package), "procps"]))
    yield tree
    remove(tree)


def install(machine, package, *options):
    target = machine.tree / "root" / package.name
    target.write_bytes(package.read_bytes())
    return machine.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes",
                       "--no-install-recommends", *options, f"/root/{package.name}")


def call(machine, path, *options):
    return machine.in_network("curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "20",
                              *options, URL + path)


def turned(machine):
    return call(machine, "/function/turn", "--data-binary", "abc").stdout.strip()


def test_package_is_installed_served_from_upgraded_and_removed(package, tree):
    with Machine(tree) as machine:
        before = listing(tree, NOT_OURS)

        install(machine, package)
        assert machine.run("systemctl", "is-enabled", "dfaas", check=False).stdout.strip() == "disabled"
        assert not machine.processes_of("dfaas")
        assert not list((tree / "var/lib/dfaas").iterdir()), "a node is made when it is first started"
        machine.run("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/dfaas.service")

        security = machine.run("systemd-analyze", "security", "--offline=yes", "--no-pager",
                               "/usr/lib/systemd/system/dfaas.service").stdout
        assert float(re.search(r"Overall exposure level for dfaas.service: ([0-9.]+)", security)[1]) < 4

        # Returns when the node serves.
        machine.run("systemctl", "enable", "--now", "dfaas")
        password = tree / NODE.lstrip("/") / "secrets" / "basic-auth-password"
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        assert password.stat().st_uid != 0 and len(password.read_text().strip()) >= 20
        refused = machine.in_network("curl", "--silent", "--user", "admin:admin", "--output", "/dev/null",
                                     "--write-out", "%{http_code}", URL + "/system/functions")
        assert refused.stdout == "401"
        machine.run("dfaas", "deploy", "turn", "--dir", NODE, "--process", "rev", "-l", "dfaas.slots=2")
        assert turned(machine) == "cba"

        # The strongest sandbox works under all the hardening, and nothing has a privilege.
        assert "sandbox   namespaces" in machine.run("dfaas", "status", "--dir", NODE).stdout
        processes = machine.processes_of("dfaas")
        names = {process["Name"] for process in processes}
        assert {"dfaas", "dfaas-launcher", "haproxy"} <= names
        for process in processes:
            assert process["NoNewPrivs"] == "1" and process["Seccomp"] == "2", process
            # A spare sandbox holds those of its own user namespace, until it takes a function.
            assert int(process["CapEff"], 16) == 0 or process["Name"] == "dfaas-spare", process

        # The service's control group is handed to it, for the limits of functions.
        group = machine.run("systemctl", "show", "-P", "ControlGroup", "dfaas").stdout.strip()
        assert machine.run("stat", "-c", "%U", f"/sys/fs/cgroup{group}").stdout == "dfaas\n"

        machine.run("systemctl", "reload", "dfaas")
        wait_until(lambda: "event=node_reloaded" in machine.run("journalctl", "-u", "dfaas", "--no-pager").stdout,
                   "the node to reload")
        assert turned(machine) == "cba"

        machine.run("systemctl", "restart", "dfaas")
        assert turned(machine) == "cba"

        # A wrong setting stops it, with a sentence, and it is not started again and again.
        machine.run("systemctl", "set-environment", "DFAAS_STRATEGY_PERIOD_MS=1")
        assert machine.run("systemctl", "restart", "dfaas", check=False).returncode != 0
        assert machine.run("systemctl", "show", "-P", "ActiveState", "dfaas").stdout == "failed\n"
        assert "setting strategy.period_ms" in machine.run("systemctl", "status", "dfaas", check=False).stdout
        machine.run("systemctl", "unset-environment", "DFAAS_STRATEGY_PERIOD_MS")
        machine.run("systemctl", "start", "dfaas")
        assert turned(machine) == "cba"

        # An upgrade: the new program runs, with the functions of the old one.
        started = machine.run("systemctl", "show", "-P", "ExecMainPID", "dfaas").stdout
        install(machine, package, "--reinstall")
        assert machine.run("systemctl", "show", "-P", "ExecMainPID", "dfaas").stdout != started
        assert turned(machine) == "cba"

        machine.run("apt-get", "remove", "--yes", "dfaas")
        assert not machine.processes_of("dfaas")
        assert password.exists(), "only a purge forgets a node"
        machine.run("apt-get", "purge", "--yes", "dfaas")
        (tree / "root" / package.name).unlink()
        after = listing(tree, NOT_OURS)
        assert {path for path in after if after[path] != before.get(path)} == set()
        assert set(before) == set(after)
        assert machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend",
                           "dfaas*").stdout == ""


def completed(machine, *words):
    """What bash offers for the last of `words`."""
    line = " ".join(f"'{word}'" for word in words)
    script = (f". /usr/share/bash-completion/completions/dfaas; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1};"
              " compopt() { :; }; _dfaas; printf '%s\\n' \"${COMPREPLY[@]}\"")
    return machine.run("bash", "-ec", script).stdout.split()


def test_package_brings_completion_manual_and_the_profile_where_apparmor_reads_it(package, tree):
    (tree / "etc/apparmor.d/abi").mkdir(parents=True)
    (tree / "etc/apparmor.d/abi/4.0").touch()
    with Machine(tree) as machine:
        install(machine, package)
        assert completed(machine, "dfaas", "node", "i") == ["init"]
        assert "--name" in completed(machine, "dfaas", "node", "init", "--")
        assert completed(machine, "dfaas", "node", "run", "--set", "user.b") == ["user.bind="]
        assert "peer.bind" in completed(machine, "dfaas", "config", "explain", "peer")
        page = machine.run("zcat", "/usr/share/man/man1/dfaas.1.gz").stdout
        assert ".SS \"dfaas node init\"" in page and "\\-\\-name" in page
        profile = tree / "etc/apparmor.d/dfaas-launcher"
        assert "userns," in profile.read_text()
        machine.run("apt-get", "purge", "--yes", "dfaas")
        assert not profile.exists()


def test_profile_is_one_that_apparmor_reads(package, tmp_path):
    """Debian 12 has AppArmor 3, which has neither the rule nor its version: the rest must be right."""
    run("dpkg-deb", "-x", package, tmp_path)
    text = (tmp_path / "usr/share/dfaas/dfaas-launcher.apparmor").read_text()
    assert "abi <abi/4.0>," in text and "  userns,\n" in text
    older = tmp_path / "older"
    older.write_text(text.replace("abi/4.0", "abi/3.0").replace("  userns,\n", ""))
    run("apparmor_parser", "--skip-kernel-load", "--skip-cache", "--names", older)
    assert run("apparmor_parser", "--skip-kernel-load", "--skip-cache", "--debug", older)


def test_shells_read_their_completion(package, tmp_path):
    run("dpkg-deb", "-x", package, tmp_path)
    share = tmp_path / "usr/share"
    run("bash", "-n", share / "bash-completion/completions/dfaas")
    offered = run("zsh", "-fc", f"compdef() {{}}; compadd() {{ print $* }}; . {share}/zsh/vendor-completions/_dfaas;"
                  "words=(dfaas node i); CURRENT=3; _dfaas")
    assert {"init", "run", "record"} <= set(offered.stdout.split())
    offered = run("fish", "--no-config", "-c", f"source {share}/fish/vendor_completions.d/dfaas.fish;"
                  "complete -C 'dfaas node i'", env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert offered.stdout.split()[0] == "init"
