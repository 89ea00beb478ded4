# SPDX-License-Identifier: AGPL-3.0-or-later
"""Nodes that are invited, renew their certificates, are thrown out; organisations that are trusted or not."""

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import load
import pytest
from federation import Federation, Node, dfaas, free_ports, temporary_directory
from waiting import wait_until


class Invited:
    """A federation that grows by tokens: `first` has the authority, join() adds a node."""

    def __init__(self, settings=None):
        self.directory = temporary_directory()
        self.join_port = free_ports(1)[0]
        self.nodes = []
        self.first = self._add(Node(
            self.directory / "east", "east",
            settings={"join.bind": f"127.0.0.1:{self.join_port}", **(settings or {})},
            make=("federation", "create", "--organisation", "acme")))

    def _add(self, node):
        self.nodes.append(node)
        return node

    def invite(self, *options):
        return dfaas("federation", "invite", "--dir", self.first.directory, *options).stdout.strip()

    def join(self, name, *options, token=None):
        node = self._add(Node(self.directory / name, name, make=("join", token or self.invite())))
        node.start()
        self.wait_up(self.first, node)
        self.wait_up(node, self.first)
        return node

    def member(self):
        """A node beside the first."""
        return self.nodes[1] if len(self.nodes) > 1 else self.join("west")

    @staticmethod
    def wait_up(node, other):
        wait_until(lambda: node.peer_state(other) == "up", f"{node.name} to hear from {other.name}")

    def connect(self, *nodes):
        """Lists all of them at each: without gossip, only the first hears of who joins."""
        for node in nodes:
            node.list_peers(other.peer_port for other in nodes if other is not node)
        for node in nodes:
            for other in nodes:
                if other is not node:
                    self.wait_up(node, other)

    def __enter__(self):
        try:
            self.first.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def invited():
    with Invited() as federation:
        yield federation


def trust(node):
    return json.loads(dfaas("federation", "members", "--dir", node.directory, "-o", "json").stdout)


def shown_fingerprint(node, client):
    """Of the certificate that the peer port shows."""
    context = client.tls_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", node.peer_port), timeout=10) as line, \
            context.wrap_socket(line) as secure:
        return hashlib.sha256(secure.getpeercert(binary_form=True)).hexdigest().upper()


def deploy_at(node, name, process, slots, others):
    node.deploy(name, process, slots=slots)
    for other in others:
        wait_until(lambda: any(offer["name"] == f"{name}.openfaas-fn"
                               for peer in other.peers()["peers"] if peer["id"] == node.id
                               for offer in peer["functions"]), f"{other.name} to hear of {name}")
        version = other.status()["plan_version"]
        wait_until(lambda: other.status()["plan_version"] >= version + 2, "two more plans")


# --- joining


def test_node_joins_by_a_token_and_takes_calls(invited):
    west = invited.join("newcomer")
    assert trust(west)["organisation"] == "acme"
    assert (west.directory / "pki" / "node.pem").stat().st_mode & 0o777 == 0o600
    deploy_at(west, "only-there", "cat", 2, [invited.first])
    answer = invited.first.call("only-there", b"hello")
    assert (answer.status, answer.body, answer.node_id) == (200, b"hello", west.id)
    issued = trust(invited.first)["issued"]
    assert ("newcomer", west.id) in [(node["name"], node["id"]) for node in issued]


def refused_join(invited, token, *options):
    place = invited.directory / "refused"
    done = dfaas("join", token, "--dir", place, "--name", "north", *options, check=False)
    assert done.returncode != 0
    assert not place.exists() and not Path(f"{place}.new").exists(), "half joined"
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_token_counts_as_often_as_it_says(invited):
    token = invited.invite("--uses", "1")
    dfaas("join", token, "--dir", invited.directory / "one", "--name", "one")
    assert "has been used" in refused_join(invited, token)


@pytest.mark.parametrize("damage, words", [
    (lambda token: token[:-20], "token"),
    (lambda token: token.replace("dfaas1.", ""), "is not a token"),
    (lambda token: "dfaas1.e30", "token: address"),
])
def test_damaged_token_is_told(invited, damage, words):
    assert words in refused_join(invited, damage(invited.invite()))


def changed(token, **fields):
    import base64
    text = token.removeprefix("dfaas1.")
    known = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    known.update(fields)
    return "dfaas1." + base64.urlsafe_b64encode(json.dumps(known).encode()).decode().rstrip("=")


def test_token_that_expired_is_told_before_anybody_is_asked(invited):
    token = changed(invited.invite(), expires=1_000_000, address="127.0.0.1:1")
    assert "expired at 1970-01-12" in refused_join(invited, token)


def test_secret_that_is_wrong_is_denied(invited):
    token = changed(invited.invite(), secret="a" * 32)
    assert "403" in refused_join(invited, token)


def test_address_where_nobody_listens_is_told(invited):
    token = changed(invited.invite(), address=f"127.0.0.1:{free_ports(1)[0]}")
    assert "connecting to 127.0.0.1" in refused_join(invited, token)


def test_address_of_something_else_is_told(invited):
    token = changed(invited.invite(), address=f"127.0.0.1:{invited.first.user_port}")
    assert "does not speak TLS" in refused_join(invited, token)


def test_node_that_is_not_the_one_of_the_token_is_told(invited):
    token = changed(invited.invite(), issuer="a" * 32)
    assert f"not node {'a' * 32}" in refused_join(invited, token)


def test_invitation_needs_the_authority_and_sane_numbers(invited):
    without = dfaas("federation", "invite", "--dir", invited.member().directory, check=False)
    assert without.returncode != 0 and "invite on the node that has it" in without.stderr
    for options in (("--uses", "0"), ("--hours", "0"), ("--hours", "999999")):
        done = dfaas("federation", "invite", "--dir", invited.first.directory, *options, check=False)
        assert done.returncode != 0 and "is not from" in done.stderr, done.stderr


def test_garbage_at_the_join_port_stops_nothing(invited):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    statuses = []
    for target, body in (("/dfaas/v1/join", b"garbage"), ("/dfaas/v1/join", b"{}"),
                         ("/dfaas/v1/renew", b"{}"), ("/dfaas/v1/exchange", b"{}"),
                         ("/function/only-there", b"x")):
        with socket.create_connection(("127.0.0.1", invited.join_port), timeout=10) as line, \
                context.wrap_socket(line) as secure:
            secure.sendall(b"POST " + target.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                           b"DFaaS-Certificate: AAAA\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            statuses.append(int(secure.recv(4096).split()[1]))
    assert statuses == [400, 400, 403, 404, 404]
    assert invited.first.request("GET", "/healthz").status == 200


# --- renewing


def test_certificate_changes_under_load_without_a_lost_call(invited):
    east, west = invited.first, invited.member()
    deploy_at(west, "steady", "cat", 8, [east])
    before = shown_fingerprint(west, east)
    with load.open_loop(east.user_port, "/function/steady", per_second=50, seconds=30) as run:
        run.wait_for(50)
        dfaas("pki", "node", "renew", "--dir", west.directory, "--ca", east.directory / "ca",
              "--days", "30")
        wait_until(lambda: shown_fingerprint(west, east) != before, "the next certificate to be shown")
        changed_after = len(run.calls)
        run.wait_for(changed_after + 100)
        run.stop()
        calls = run.join()
    assert load.statuses(calls) == {200: len(calls)}
    assert load.served_by(calls)[west.id] == len(calls)
    assert trust(west)["certificate"]["fingerprint"] == shown_fingerprint(west, east)
    assert not (west.directory / "pki" / "next.pem").exists()
    # And the other way: the neighbour takes calls that come with the new certificate.
    deploy_at(east, "back", "cat", 2, [west])
    assert west.call("back", b"x").node_id == east.id


def test_certificate_is_renewed_in_time_by_itself():
    # Certificates begin five minutes early, so of two minutes less than a third is left at once.
    with Invited(settings={"pki.validity_minutes": 2}) as federation:
        east, west = federation.first, federation.join("west")
        deploy_at(east, "back", "cat", 4, [west])
        seen = {shown_fingerprint(west, east)}
        with load.open_loop(west.user_port, "/function/back", per_second=20, seconds=90) as run:
            def renewed_twice():
                seen.add(shown_fingerprint(west, east))
                return len(seen) >= 3

            wait_until(renewed_twice, "two renewals", 80)
            run.stop()
            calls = run.join()
        assert load.statuses(calls) == {200: len(calls)}
        assert "certificate_changed" in west.log()


def test_node_whose_certificate_ran_out_says_how_to_get_another_and_takes_it(invited):
    south = invited.join("south")
    south.stop()
    pki = south.directory / "pki"
    request = ["openssl", "x509", "-x509toreq", "-in", pki / "node.crt", "-signkey", pki / "node.key"]
    (pki / "own.csr").write_bytes(subprocess.run(request, capture_output=True, check=True).stdout)
    authority = invited.first.directory / "ca"
    expired = subprocess.run(
        ["openssl", "ca", "-batch", "-config", write_ca_config(pki), "-cert", authority / "ca.crt",
         "-keyfile", authority / "ca.key", "-in", pki / "own.csr", "-out", pki / "node.crt",
         "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-notext"],
        capture_output=True, text=True, check=False)
    assert expired.returncode == 0, expired.stderr
    (pki / "node.pem").write_text((pki / "node.crt").read_text() + (pki / "node.key").read_text())
    south.start(wait=False)
    assert south.wait_ended() != 0
    assert "valid from 2020-01-01" in south.log() and "dfaas join TOKEN" in south.log()
    # Its key and its id stay.
    done = dfaas("join", invited.invite(), "--dir", south.directory, "--name", "south")
    assert "keeps its id" in done.stderr
    south.start()
    Invited.wait_up(invited.first, south)


def write_ca_config(place):
    """For openssl ca, which can set the dates of a certificate."""
    (place / "index.txt").write_text("")
    (place / "serial").write_text("01\n")
    (place / "ca.cnf").write_text(f"""
[ca]
default_ca = own
[own]
database = {place}/index.txt
serial = {place}/serial
new_certs_dir = {place}
default_md = sha256
policy = any
[any]
commonName = supplied
""")
    return place / "ca.cnf"


def test_next_certificate_that_is_wrong_is_told_and_not_used(invited):
    east, west = invited.first, invited.member()
    before = shown_fingerprint(west, east)
    other = invited.directory / "other"  # A member, but another node.
    dfaas("join", invited.invite(), "--dir", other, "--name", "other")
    (west.directory / "pki" / "next.pem").write_bytes((other / "pki" / "node.pem").read_bytes())
    wait_until(lambda: "next_certificate_not_taken" in west.log(), "the complaint")
    assert shown_fingerprint(west, east) == before
    (west.directory / "pki" / "next.pem").unlink()


# --- throwing out


def test_revoked_node_is_out_everywhere_and_stays_out():
    with Invited() as federation:
        east = federation.first
        west, north = federation.join("west"), federation.join("north")
        federation.connect(east, west, north)
        dfaas("federation", "revoke", "north", "--dir", east.directory)
        told = time.monotonic()
        for node in (east, west):
            wait_until(lambda: north.id not in [peer["id"] for peer in node.peers()["peers"]],
                       f"{node.name} to let go of north")
        print("measured: out everywhere after", round(time.monotonic() - told, 2), "s")
        answer = west.peer_request(north, "GET", "/healthz")
        assert answer.status == 403
        # It has a valid certificate and the address of everybody, and asks again and again.
        north.stop()
        north.start()
        wait_until(lambda: any("revoked" in candidate["why"]
                               for candidate in west.peers()["unproved"]), "west to say why")
        assert west.peer_request(north, "GET", "/healthz").status == 403
        assert trust(west)["revoked"] == [
            {"organisation": "acme", "number": 1, "nodes": [north.id]}]
        # A node that comes later hears of it, too.
        south = federation.join("south")
        wait_until(lambda: trust(south)["revoked"], "south to hear of it")
        again = dfaas("federation", "revoke", north.id, "--dir", east.directory, check=False)
        assert again.returncode != 0 and "revoked already" in again.stderr
        # Nor does it get another certificate.
        dfaas("pki", "node", "renew", "--dir", north.directory, "--ca", east.directory / "ca")
        assert west.peer_request(north, "GET", "/healthz").status == 403


def test_revoking_needs_the_authority_and_a_known_node(invited):
    west = invited.member()
    without = dfaas("federation", "revoke", "east", "--dir", west.directory, check=False)
    assert without.returncode != 0 and "only the authority" in without.stderr
    unknown = dfaas("federation", "revoke", "nobody", "--dir", invited.first.directory, check=False)
    assert unknown.returncode != 0 and "no node \"nobody\" is known" in unknown.stderr
    itself = dfaas("federation", "revoke", invited.first.id, "--dir", invited.first.directory,
                   check=False)
    assert itself.returncode != 0 and "this very node" in itself.stderr


# --- organisations


def test_organisation_is_trusted_and_distrusted_while_nodes_run():
    with Federation("east", "north", organisations={"north": "globex"}) as federation:
        east, north = federation["east"], federation["north"]
        done = dfaas("federation", "distrust", "globex", "--dir", east.directory)
        assert "trusted no longer" in done.stderr
        wait_until(lambda: not east.peers()["peers"], "the neighbour to go")
        wait_until(lambda: "authorities_taken" in east.log(), "the authorities to be read")
        with pytest.raises((ssl.SSLError, OSError)):
            east.peer_request(north, "GET", "/healthz")
        dfaas("federation", "trust", federation.authority("globex") / "ca.crt", "--dir",
              east.directory)
        federation.wait_connected()
        assert east.peer_request(north, "GET", "/healthz").status == 200


@pytest.mark.parametrize("text, words", [
    ("ca.key", "private key"), ("node.crt", "is not an authority's"), ("nothing", "no certificate")])
def test_file_that_is_no_authority_is_not_trusted(invited, text, words):
    east = invited.first
    file = {"ca.key": east.directory / "ca" / "ca.key", "node.crt": east.directory / "pki" / "node.crt",
            "nothing": invited.directory / "empty"}[text]
    if text == "nothing":
        file.write_text("")
    before = (east.directory / "pki" / "ca.pem").read_text()
    done = dfaas("federation", "trust", file, "--dir", east.directory, check=False)
    assert done.returncode != 0 and words in done.stderr
    assert (east.directory / "pki" / "ca.pem").read_text() == before


def test_authorities_that_cannot_be_read_change_nothing(invited):
    east = invited.first
    file = east.directory / "pki" / "ca.pem"
    before = file.read_text()
    file.write_text(before[:100])
    wait_until(lambda: "authorities_not_taken" in east.log(), "the complaint")
    assert east.peer_state(invited.member()) == "up"
    file.write_text(before)
    wait_until(lambda: "authorities_taken" in east.log(), "the good ones to be read")
    assert east.peer_state(invited.member()) == "up"
