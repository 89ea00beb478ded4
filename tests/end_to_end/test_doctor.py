# SPDX-License-Identifier: AGPL-3.0-or-later
"""dfaas doctor: what is well, what is not, and what to do."""

import json

import pytest
from federation import Federation, dfaas


@pytest.fixture(scope="module")
def pair():
    with Federation("light", "mid") as federation:
        yield federation


def findings(node, check=True):
    done = dfaas("doctor", "--dir", node.directory, "-o", "json", check=check)
    return {entry["what"]: entry for entry in json.loads(done.stdout)["findings"]}, done


def test_healthy_node_has_no_problem(pair):
    light, mid = pair["light"], pair["mid"]
    found, done = findings(light)
    assert done.returncode == 0
    assert not [entry for entry in found.values() if entry["state"] == "problem"], found
    neighbour = found[f"neighbour 127.0.0.1:{mid.peer_port}"]
    assert neighbour["state"] == "ok" and mid.id in neighbour["text"] and "version" in neighbour["text"]
    assert found["certificate"]["state"] == "ok" and found["sandbox"]["text"]
    assert found["user.bind"]["text"].endswith("in use by this node")


def test_each_fault_is_named_with_its_remedy(pair):
    light, mid = pair["light"], pair["mid"]
    mid.stop()
    key, bundle = mid.directory / "pki" / "node.key", mid.directory / "pki" / "ca.pem"
    trusted, peers = bundle.read_text(), mid.directory / "peers.txt"
    listed = peers.read_text()
    key.chmod(0o644)
    bundle.write_text(pair.authority("globex").joinpath("ca.crt").read_text())
    peers.write_text(f"nonsense here\n127.0.0.1:{light.user_port}\n127.0.0.1:1\n")
    try:
        with pytest.raises(AssertionError, match="problems found"):
            findings(mid)
        found, _ = findings(mid, check=False)
        assert found["secrets"]["state"] == "problem" and "chmod 600" in found["secrets"]["remedy"]
        assert found["authorities"]["state"] == "problem"
        assert "line 1" in found["peers.txt"]["text"]
        assert found[f"neighbour 127.0.0.1:{light.user_port}"]["state"] == "problem"
        assert found["neighbour 127.0.0.1:1"]["state"] == "warning"
        assert found["node"]["text"] == "not running"
    finally:
        key.chmod(0o600)
        bundle.write_text(trusted)
        peers.write_text(listed)
    mid.start()
    pair.wait_connected()


def test_port_of_somebody_else_is_named(pair):
    light, mid = pair["light"], pair["mid"]
    mid.stop()
    settings = mid.directory / "node.toml"
    before = settings.read_text()
    settings.write_text(before.replace(str(mid.user_port), str(light.user_port)))
    try:
        found, done = findings(mid, check=False)
        assert done.returncode != 0
        assert found["user.bind"]["state"] == "problem" and "cannot be used" in found["user.bind"]["text"]
    finally:
        settings.write_text(before)
    mid.start()


def test_no_node_is_told(tmp_path):
    done = dfaas("doctor", "--dir", tmp_path / "nothing", check=False)
    assert done.returncode != 0 and "nothing" in done.stderr
