# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may speak for whom: identities are proved by certificates, never asserted by headers."""

import collections
import http.server
import ssl
import subprocess
import threading

import clients
import load
import pytest
from federation import Federation, dfaas, free_ports
from hostile import issue_certificate
from waiting import wait_until


@pytest.fixture(scope="module")
def federation():
    """light, mid and the foreign node are members; the stranger has a good certificate, no more."""
    with Federation("light", "mid", "foreign", organisations={"foreign": "globex"}) as federation:
        federation.deploy("cat", "cat", {"light": 2, "mid": 2})
        federation.deploy("env", "env", {"light": 2})
        federation.add("stranger")
        yield federation


@pytest.fixture
def light(federation):
    return federation["light"]


def on_peer_port(node, context, lines):
    """What a raw HTTP request over TLS brings; None when the handshake or the connection fails."""
    text = "\r\n".join(["POST /function/cat HTTP/1.1", "Host: x", "Connection: close", "Content-Length: 2",
                        *lines]) + "\r\n\r\nhi"
    try:
        exchange = clients.raw_exchange(node.peer_port, text.encode(), context=context)
    except OSError:
        return None
    answers = exchange.answers()
    assert len(answers) <= 1
    return answers[0] if answers else None


# --- the peer port


def test_member_is_served(federation, light):
    answer = light.peer_request(federation["mid"], "POST", "/function/cat", b"hi")
    assert (answer.status, answer.body, answer.node_id) == (200, b"hi", light.id)


def test_member_of_another_organisation_is_served_what_is_shared(federation, light):
    light.deploy("for-all", "cat", labels={"dfaas.share": "federation"})
    federation["foreign"].deploy("for-all", "cat", labels={"dfaas.share": "federation"})
    federation.wait_planned()
    answers = {name: light.peer_request(federation["foreign"], "POST", f"/function/{name}", b"hi")
               for name in ("for-all", "cat")}
    assert answers["for-all"].status == 200
    assert answers["cat"].headers["DFaaS-Outcome"] == "limit"


def test_unknown_node_is_403(federation, light):
    answer = light.peer_request(federation["stranger"], "POST", "/function/cat", b"hi")
    assert (answer.status, answer.text) == (403, "unknown node\n")


def test_spoofed_id_is_403(federation, light):
    for id_told in (light.id, federation["foreign"].id, "malicious-id", ""):
        answer = light.peer_request(federation["mid"], "POST", "/function/cat", b"hi",
                                    {"DFaaS-Node-ID": id_told})
        assert answer.status == 403, id_told


def test_missing_id_is_403(federation, light):
    assert on_peer_port(light, federation["mid"].tls_context(), []).status == 403


@pytest.mark.parametrize("second", ["own", "other"])
def test_doubled_id_is_403(federation, light, second):
    mid = federation["mid"]
    told = {"own": mid.id, "other": federation["foreign"].id}[second]
    lines = [f"DFaaS-Node-ID: {mid.id}", f"dfaas-node-id: {told}"]
    assert on_peer_port(light, mid.tls_context(), lines).status == 403
    joined = [f"DFaaS-Node-ID: {mid.id}, {told}"]
    assert on_peer_port(light, mid.tls_context(), joined).status == 403


def test_other_trusted_authority_cannot_speak_for_our_node(federation, light, tmp_path):
    """globex is trusted at TLS and signs a certificate in the name of mid: the fingerprint tells."""
    mid = federation["mid"]
    forged = clients.tls_context(issue_certificate(
        tmp_path, mid.id, federation.authority("globex")))
    answer = on_peer_port(light, forged, [f"DFaaS-Node-ID: {mid.id}"])
    assert (answer.status, answer.text) == (403, "unknown node\n")


def test_candidate_with_a_name_that_is_not_of_its_key_is_not_admitted(federation, light, tmp_path):
    """Another server in place of a node: proof fails, though the authority is trusted."""
    mid = federation["mid"]
    both = issue_certificate(tmp_path, mid.id, federation.authority("globex"))
    port, = free_ports(1)
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(both), "-key",
         str(both), "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    members = [node.peer_port for node in federation if node is not light and node.is_running]
    try:
        light.list_peers([*members, port])

        def complaint():
            return [entry["why"] for entry in light.peers()["unproved"]
                    if entry["address"].endswith(f":{port}") and "key" in entry["why"]]

        wait_until(complaint, "the candidate to be refused for its key")
        assert light.peer_state(mid) == "up"
    finally:
        server.kill()
        server.wait()
        light.list_peers(members)


def test_no_certificate_is_refused_at_tls(federation, light):
    lines = [f"DFaaS-Node-ID: {federation['mid'].id}"]
    assert on_peer_port(light, clients.tls_context(), lines) is None


def test_foreign_authority_is_refused_at_tls(federation, light, tmp_path):
    dfaas("pki", "ca", "create", "--dir", tmp_path / "evil", "--organisation", "acme")
    mid = federation["mid"]
    forged = clients.tls_context(issue_certificate(tmp_path, mid.id, tmp_path / "evil"))
    assert on_peer_port(light, forged, [f"DFaaS-Node-ID: {mid.id}"]) is None


def test_plain_http_is_not_spoken_on_the_peer_port(light):
    exchange = clients.raw_exchange(light.peer_port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert exchange.closed and not exchange.received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("target", [
    "/system/functions", "/system/function/cat", "/system/info", "/", "/metrics", "/ui/",
    "/function/../system/functions", "/function/%2e%2e/system/functions"])
def test_neighbour_gets_at_nothing_but_functions_even_with_credentials(federation, light, target):
    answer = light.peer_request(federation["mid"], "GET", target, headers=light.credentials())
    assert answer.status in (400, 404), answer
    assert b"envProcess" not in answer.body


def test_neighbour_sees_health(federation, light):
    answer = light.peer_request(federation["mid"], "GET", "/healthz")
    assert (answer.status, answer.node_id) == (200, light.id)


# --- the user port


@pytest.mark.parametrize("name", ["DFaaS-Node-ID", "dfaas-node-id", "DFAAS-NODE-ID"])
@pytest.mark.parametrize("value", ["malicious-id", "", "own", "neighbour"])
def test_id_on_the_user_port_is_403(federation, light, name, value):
    value = {"own": light.id, "neighbour": federation["mid"].id}.get(value, value)
    assert light.call("cat", b"hi", headers={name: value}).status == 403


def test_other_headers_of_the_federation_are_dropped(light):
    answer = light.call("env", headers={
        "DFaaS-Function": "cat.openfaas-fn;0", "DFaaS-Deadline-Ms": "0", "DFaaS-Class": "1",
        "DFaaS-To": "p1", "DFaaS-Outcome": "busy", "dfaas-explain-not": "1", "X-Kept": "yes"})
    assert (answer.status, answer.node_id) == (200, light.id)
    assert "Http_X_Kept=yes" in answer.text
    assert "dfaas" not in answer.text.lower(), answer.text


def test_sender_address_cannot_be_made_up(light):
    answer = light.call("env", headers={"X-Forwarded-For": "192.0.2.1"})
    assert "Http_X_Forwarded_For=127.0.0.1" in answer.text


def test_exchange_between_agents_is_not_on_the_user_port(light):
    assert light.request("POST", "/dfaas/v1/exchange", b"{}").status == 404


# --- leaving


def test_removed_neighbour_loses_access_at_once_and_for_good():
    with Federation("light", "mid") as pair:
        light, mid = pair
        pair.deploy("cat", "cat", {"light": 1, "mid": 1})
        lines = ["POST /function/cat HTTP/1.1", "Host: x", f"DFaaS-Node-ID: {mid.id}",
                 "Content-Length: 2"]
        text = ("\r\n".join(lines) + "\r\n\r\nhi").encode()
        with clients.KeptConnection(light.peer_port, mid.tls_context()) as kept:
            assert kept.exchange(text).status == 200
            light.list_peers([])
            wait_until(lambda: light.peer_state(mid) is None, "light to forget mid")
            # Also on a connection it had, as soon as the front door has heard of it.
            wait_until(lambda: kept.exchange(text).status == 403, "mid to be refused", 2.0)
        assert light.peer_request(mid, "POST", "/function/cat", b"hi").status == 403

        light.stop()
        light.start()
        assert light.peer_request(mid, "POST", "/function/cat", b"hi").status == 403
        assert light.call("cat", b"hi").status == 200


def test_listed_neighbour_is_known_all_the_time_after_a_restart():
    """Members are on disk: a restarted front door lets them in before the agent proves them again,
    and while it does."""
    with Federation("light", "mid") as pair:
        light, mid = pair
        context = mid.tls_context()
        light.stop()
        light.start()
        is_up = False
        while not is_up:
            is_up = light.peer_state(mid) == "up"
            answer = on_peer_port(light, context, [f"DFaaS-Node-ID: {mid.id}"])
            assert answer.status != 403, answer


class Impostor:
    """An HTTP server over TLS that answers everything with "stolen" and the id of a node, and counts."""

    def __init__(self, port, certificate, node_id):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.asked = collections.Counter()
        impostor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                impostor.asked[self.path] += 1
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(200)
                self.send_header("Content-Length", "6")
                self.send_header("DFaaS-Node-ID", node_id)
                self.end_headers()
                self.wfile.write(b"stolen")

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler,
                                                       bind_and_activate=False)
        self._server.allow_reuse_address = True
        self._server.server_bind()
        self._server.server_activate()
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def test_answers_of_another_server_in_place_of_a_node_reach_nobody(tmp_path):
    """globex signs the name of mid, and its server takes the address of mid: TLS is content, the key is not."""
    names = {"exchange.heartbeat_ms": 1000, "dispatcher.user_wait_ratio": "100"}
    with Federation("light", "mid", "foreign", organisations={"foreign": "globex"},
                    settings=names) as federation:
        light, mid = federation["light"], federation["mid"]
        federation.deploy("nap", "sleep 0.3", {"light": 1, "mid": 8})
        calls = load.open_loop(light.user_port, "/function/nap", per_second=10, seconds=2).join()
        assert load.served_by(calls)[mid.id] > 5
        certificate = issue_certificate(tmp_path, mid.id, federation.authority("globex"))
        mid.crash()
        impostor = Impostor(mid.peer_port, certificate, mid.id)
        try:
            calls = load.open_loop(light.user_port, "/function/nap", per_second=10, seconds=6).join()
        finally:
            impostor.close()
        print("measured: the other server was asked for", dict(impostor.asked), "answers",
              dict(load.statuses(calls)))
        assert impostor.asked["/function/nap.openfaas-fn"] + impostor.asked["/healthz"] > 0
        assert not [call for call in calls if b"stolen" in call.body]
        assert load.statuses(calls).keys() <= {200, 502, 503}, load.statuses(calls)
