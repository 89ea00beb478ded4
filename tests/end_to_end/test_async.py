# SPDX-License-Identifier: AGPL-3.0-or-later
"""Asynchronous calls: durable, retried within bounds, told to a callback, cancelled, never lost."""

import contextlib
import http.server
import json
import ssl
import subprocess
import threading
import uuid

import load
import pytest
from federation import Federation
from waiting import wait_until


@pytest.fixture(scope="module")
def federation():
    with Federation("solo", connect=False) as federation:
        yield federation


@pytest.fixture(scope="module")
def node(federation):
    return federation["solo"]


@pytest.fixture
def notes(node):
    """A file that functions append to."""
    return node.shared_directory() / "notes"


def deploy(node, name, process, annotations=None, **more):
    answer = node.system("POST", "/system/functions", {
        "service": name, "image": "host:", "envProcess": process,
        "annotations": {"com.openfaas.retry.min_wait": "100ms", **(annotations or {})}, **more})
    assert answer.status == 202, answer


def enqueue(node, name, body=b"", headers=None, path=""):
    return node.request("POST", f"/async-function/{name}{path}", body, headers)


def queued(node, name, body=b"", headers=None, path=""):
    """The id of a call that was accepted."""
    answer = enqueue(node, name, body, headers, path)
    assert answer.status == 202, answer
    return answer.headers["X-Call-Id"]


def status(node, call_id):
    answer = node.request("GET", f"/async-function/{call_id}")
    assert answer.status == 200, answer
    return json.loads(answer.text)


def ended(node, call_id, seconds=20.0):
    """Its status once it is over."""
    def is_over():
        seen = status(node, call_id)
        return seen if seen["state"] in ("done", "failed", "cancelled") else None

    return wait_until(is_over, f"call {call_id} to end", seconds)


def lines_of(notes):
    return notes.read_text().splitlines() if notes.exists() else []


class Callbacks:
    """A server that notes what it is told, and answers with the statuses it is given, then with 200."""

    def __init__(self, statuses=(), certificate=None):
        self.received = []
        self.statuses = list(statuses)
        callbacks = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                callbacks.received.append((self.path, dict(self.headers), body))
                self.send_response(callbacks.statuses.pop(0) if callbacks.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/done?x=1"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self.port}/done"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, count):
        wait_until(lambda: len(self.received) >= count, f"{count} callbacks")
        return self.received


# --- accepted and run


def test_call_is_accepted_at_once_and_runs_with_path_query_headers_and_body(node, notes):
    deploy(node, "notes", f"sh -c '(cat; echo; env) > {notes}'")
    answer = enqueue(node, "notes", b"the body", {"X-Fancy": "yes", "DFaaS-Explain": "1"},
                     path="/a/b?c=d")
    assert answer.status == 202 and answer.body == b""
    assert len(answer.headers["X-Call-Id"]) == 36
    assert int(answer.headers["X-Start-Time"]) > 10**18
    assert answer.node_id == node.id
    seen = ended(node, answer.headers["X-Call-Id"])
    assert (seen["state"], seen["status"], seen["attempts"]) == ("done", 200, 1)
    assert seen["function"] == "notes.openfaas-fn"
    text = lines_of(notes)
    assert text[0] == "the body"
    assert {"Http_Path=/a/b", "Http_Query=c=d", "Http_X_Fancy=yes",
            f"Http_X_Call_Id={answer.headers['X-Call-Id']}"} <= set(text)


def test_call_id_of_the_caller_is_kept_and_need_not_be_unique(node, notes):
    deploy(node, "mine", f"sh -c 'echo $Http_X_Call_Id >> {notes}'")
    for _ in range(2):
        assert queued(node, "mine", headers={"X-Call-Id": "order-66"}) == "order-66"
    wait_until(lambda: lines_of(notes) == ["order-66"] * 2, "both to run")


def test_namespace_may_be_written_out(node):
    deploy(node, "plain", "cat")
    assert enqueue(node, "plain.openfaas-fn").status == 202


def test_unknown_function_is_404(node):
    answer = enqueue(node, "nobody")
    assert answer.status == 404 and len(answer.text.splitlines()) == 1
    assert answer.headers["X-OpenFaaS-Internal"] == "proxy"


@pytest.mark.parametrize("name", ["a.b.c", "a%20b", "-.", ".x"])
def test_name_that_cannot_be_is_400_or_404(node, name):
    assert enqueue(node, name).status in (400, 404)


@pytest.mark.parametrize("url", ["ftp://host/", "file:///etc/passwd", "host/path", "http://", "",
                                 "http://user:secret@host/", "javascript:alert(1)", "http://h:0/"])
def test_callback_that_is_not_http_is_400_and_nothing_is_queued(node, notes, url):
    deploy(node, "careful", f"sh -c 'echo ran >> {notes}'")
    answer = enqueue(node, "careful", headers={"X-Callback-Url": url})
    assert answer.status == 400 and len(answer.text.splitlines()) == 1, answer
    assert "secret" not in answer.text
    assert ended(node, queued(node, "careful"))["state"] == "done"
    assert lines_of(notes) == ["ran"]


def test_other_methods_and_ids(node):
    assert node.request("PUT", "/async-function/plain").status == 405
    assert node.request("GET", "/async-function/nobody").status == 404
    assert node.request("DELETE", "/async-function/nobody").status == 404


def test_large_body_is_413_and_a_body_of_the_limit_is_not():
    settings = {"gateway.async_body_bytes_max": 100_000}
    with Federation("solo", connect=False, settings=settings) as federation:
        node = federation["solo"]
        deploy(node, "sum", "sha256sum")
        assert enqueue(node, "sum", b"x" * 100_001).status == 413
        call_id = queued(node, "sum", b"\x00\xff" * 50_000)
        assert ended(node, call_id)["state"] == "done"


def test_full_queue_is_503_and_takes_calls_again_later():
    settings = {"gateway.async_calls_max": 3}
    with Federation("solo", connect=False, settings=settings) as federation:
        node = federation["solo"]
        deploy(node, "held", "cat", labels={"dfaas.slots": "1"})
        with node.occupied("held", 1):
            answers = [enqueue(node, "held") for _ in range(8)]
            assert [answer.status for answer in answers[-2:]] == [503, 503]
            assert answers[-1].headers["Retry-After"] == "1"
        accepted = [answer.headers["X-Call-Id"] for answer in answers if answer.status == 202]
        for call_id in accepted:
            assert ended(node, call_id)["state"] == "done"
        assert enqueue(node, "held").status == 202


# --- callbacks


def test_callback_gets_the_answer_and_the_headers(node):
    deploy(node, "upper", "tr a-z A-Z", envVars={"content_type": "text/loud"})
    with Callbacks() as callbacks:
        call_id = queued(node, "upper", b"hello", {"X-Callback-Url": callbacks.url})
        [(path, headers, body)] = callbacks.wait_for(1)
        assert (path, body) == ("/done?x=1", b"HELLO")
        assert headers["X-Call-Id"] == call_id
        assert headers["X-Function-Name"] == "upper"
        assert headers["X-Function-Status"] == "200"
        assert headers["Content-Type"] == "text/loud"
        assert 0 < float(headers["X-Duration-Seconds"]) < 10
        assert ended(node, call_id)["state"] == "done"


def test_callback_is_told_of_a_final_failure_once(node):
    deploy(node, "broken", "sh -c 'echo why >&2; exit 3'", {"com.openfaas.retry.attempts": "2"})
    with Callbacks() as callbacks:
        call_id = queued(node, "broken", headers={"X-Callback-Url": callbacks.url})
        seen = ended(node, call_id)
        assert (seen["state"], seen["status"], seen["attempts"]) == ("failed", 500, 2)
        [(_, headers, body)] = callbacks.received
        assert headers["X-Function-Status"] == "500" and b"why" in body


def test_callback_is_tried_again_without_running_the_function_again(node, notes):
    deploy(node, "once", f"sh -c 'echo ran >> {notes}; cat'")
    with Callbacks(statuses=[503]) as callbacks:
        call_id = queued(node, "once", b"x", {"X-Callback-Url": callbacks.url})
        assert len(callbacks.wait_for(2)) == 2
        assert ended(node, call_id)["state"] == "done"
    assert lines_of(notes) == ["ran"]


def test_callback_that_refuses_makes_a_dead_letter(node):
    deploy(node, "fine", "cat")
    with Callbacks(statuses=[410]) as callbacks:
        call_id = queued(node, "fine", headers={"X-Callback-Url": callbacks.url})
        seen = ended(node, call_id)
        assert seen["state"] == "failed" and "410" in seen["reason"]
        assert len(callbacks.received) == 1


def test_callback_over_https_checks_the_certificate(tmp_path):
    certificate, both = tmp_path / "cert.pem", tmp_path / "both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", str(tmp_path / "key.pem"),
                    "-out", str(certificate)], check=True, capture_output=True)
    both.write_text(certificate.read_text() + (tmp_path / "key.pem").read_text())
    with Federation("solo", connect=False) as federation, Callbacks(certificate=both) as callbacks:
        node = federation["solo"]
        node.stop()
        node.start(environment={"SSL_CERT_FILE": str(certificate)})
        deploy(node, "upper", "tr a-z A-Z")
        call_id = queued(node, "upper", b"tls", {"X-Callback-Url": callbacks.url})
        assert ended(node, call_id)["state"] == "done"
        assert callbacks.received[0][2] == b"TLS"
        wrong = f"https://127.0.0.1:{callbacks.port}/"  # Not the name in the certificate.
        call_id = queued(node, "upper", headers={"X-Callback-Url": wrong})
        seen = ended(node, call_id, 30.0)
        assert seen["state"] == "failed" and "callback" in seen["reason"]
        assert len(callbacks.received) == 1


# --- retries and dead letters


def test_failing_function_is_tried_again_until_it_succeeds(node, notes):
    deploy(node, "third-time", f"sh -c 'echo x >> {notes}; test $(wc -l < {notes}) -ge 3'")
    seen = ended(node, queued(node, "third-time"))
    assert (seen["state"], seen["attempts"], seen["status"]) == ("done", 3, 200)
    assert len(lines_of(notes)) == 3


def test_attempts_are_bounded_and_what_failed_is_listed_and_can_be_tried_again(node, notes):
    deploy(node, "hopeless", f"sh -c 'echo x >> {notes}; test -e {notes}.ok'",
           {"com.openfaas.retry.attempts": "3", "com.openfaas.retry.max_wait": "150ms"})
    call_id = queued(node, "hopeless", b"kept")
    assert ended(node, call_id)["attempts"] == 3
    assert len(lines_of(notes)) == 3
    dead = json.loads(node.system("GET", "/system/async-calls?function=hopeless").text)
    assert [(letter["call_id"], letter["state"], letter["status"]) for letter in dead] == [
        (call_id, "failed", 500)]
    notes.with_name(notes.name + ".ok").touch()
    assert node.system("POST", f"/system/async-calls/{call_id}/retry").status == 202
    seen = wait_until(lambda: status(node, call_id)["state"] == "done" and status(node, call_id),
                      "the second life of the call")
    assert seen["attempts"] == 1
    assert node.system("POST", f"/system/async-calls/{call_id}/retry").status == 404


def test_status_that_is_not_listed_is_not_tried_again(node, notes):
    deploy(node, "final", f"sh -c 'echo x >> {notes}; exit 1'", {"com.openfaas.retry.codes": "429"})
    seen = ended(node, queued(node, "final"))
    assert (seen["state"], seen["attempts"]) == ("failed", 1)


def test_calls_of_a_removed_function_wait_for_its_return(node, notes):
    deploy(node, "leaving", "false")
    call_id = queued(node, "leaving", b"waited")
    wait_until(lambda: status(node, call_id)["attempts"] >= 1, "a first attempt")
    node.remove("leaving")
    assert enqueue(node, "leaving").status == 404
    deploy(node, "leaving", f"sh -c 'cat > {notes}'")
    assert ended(node, call_id, 40.0)["state"] == "done"
    assert notes.read_text() == "waited"


def test_lack_of_room_is_no_attempt_and_order_stays(node, notes):
    deploy(node, "narrow", f"sh -c 'cat >> {notes}'", labels={"dfaas.slots": "1"})
    with node.occupied("narrow", 1):
        calls = [queued(node, "narrow", b"%d\n" % at) for at in range(5)]
        wait_until(lambda: node.metrics().sum("dfaas_async_ended_total", result="retried") > 1,
                   "the node to refuse for lack of room")
        notes.unlink(missing_ok=True)
    seen = [ended(node, call_id) for call_id in calls]
    assert {(call["state"], call["attempts"]) for call in seen} == {("done", 1)}
    assert [line for line in lines_of(notes) if line.isdigit()] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("query, answer", [("state=odd", 400), ("function=a/b", 400),
                                           ("state=done&limit=2", 200), ("", 200)])
def test_list_takes_a_state_a_function_and_a_limit(node, query, answer):
    seen = node.system("GET", f"/system/async-calls?{query}")
    assert seen.status == answer
    if "limit" in query:
        assert len(json.loads(seen.text)) == 2


# --- cancelling


def test_waiting_call_is_cancelled_and_never_runs(node, notes):
    deploy(node, "later", f"sh -c 'cat >> {notes}'", labels={"dfaas.slots": "1"})
    with node.occupied("later", 1):
        first, second = queued(node, "later", b"first\n"), queued(node, "later", b"second\n")
        wait_until(lambda: node.request("DELETE", f"/async-function/{first}").status == 202,
                   "the call to be cancelled")
    assert ended(node, second)["state"] == "done"
    assert status(node, first)["state"] == "cancelled"
    assert "first" not in notes.read_text() and "second" in notes.read_text()
    assert node.request("DELETE", f"/async-function/{first}").status == 404


def test_running_call_is_cancelled_and_its_process_ended(node):
    deploy(node, "endless", "sleep 60")
    call_id = queued(node, "endless")
    wait_until(lambda: node.in_flight("endless") == 1, "the call to run")
    assert status(node, call_id)["state"] == "running"
    assert node.request("DELETE", f"/async-function/{call_id}").status == 202
    assert ended(node, call_id)["state"] == "cancelled"
    wait_until(lambda: not node.function_processes(), "the process to be ended", 3.0)


# --- nothing is lost


def test_no_queued_call_is_lost_when_the_gateway_is_killed_again_and_again():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        notes = node.shared_directory() / "notes"
        deploy(node, "noting", f"sh -c 'echo $Http_X_Call_Id >> {notes}'", labels={"dfaas.slots": "4"})
        accepted = []
        with contextlib.ExitStack() as loads:
            for _ in range(4):
                calls = loads.enter_context(load.closed_loop(
                    node.user_port, "/async-function/noting", clients=4, seconds=6))
                accepted.append(calls)
            for _ in range(4):
                wait_until(lambda: len(lines_of(notes)) > 20, "calls to run")
                old = node.kill_program("gateway")
                node.wait_replaced("gateway", old)
            answered = [call for calls in accepted for call in calls.join()]
        ids = [call.call_id for call in answered if call.status == 202]
        assert len(ids) > 100
        wait_until(lambda: set(ids) <= set(lines_of(notes)), "every accepted call to have run", 120.0)
        wait_until(lambda: node.metrics().sum("dfaas_async_calls") == 0, "the queue to be empty", 60.0)


def test_queued_calls_survive_a_crash_of_the_whole_node():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        notes = node.shared_directory() / "notes"
        deploy(node, "noting", f"sh -c 'cat >> {notes}'", labels={"dfaas.slots": "1"})
        deploy(node, "blocked", f"sh -c 'test -e {notes} || exit 1; cat >> {notes}'",
               {"com.openfaas.retry.min_wait": "1s"})
        call_ids = [queued(node, "blocked", b"%d\n" % at) for at in range(20)]
        node.crash()
        notes.touch()
        notes.chmod(0o666)
        node.start()
        wait_until(lambda: sorted(lines_of(notes), key=int) == [str(at) for at in range(20)],
                   "every call to run once", 30.0)
        assert {ended(node, call_id)["state"] for call_id in call_ids} == {"done"}


def test_orderly_restart_doubles_nothing():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        notes = node.shared_directory() / "notes"
        deploy(node, "slow", f"sh -c 'echo $Http_X_Call_Id >> {notes}; sleep 0.3'",
               labels={"dfaas.slots": "2"})
        call_ids = [queued(node, "slow") for _ in range(12)]
        wait_until(lambda: len(lines_of(notes)) >= 3, "some to run")
        assert node.stop() == 0
        node.start()
        for call_id in call_ids:
            assert ended(node, call_id)["state"] == "done"
        assert sorted(lines_of(notes)) == sorted(call_ids)


def test_many_callers_are_accepted_together(node):
    deploy(node, "quick", "true", labels={"dfaas.slots": "8"})
    calls = load.closed_loop(node.user_port, "/async-function/quick", clients=16, count=800,
                             headers={"X-Batch": str(uuid.uuid4())}).join()
    assert load.statuses(calls) == {202: 800}
    assert len({call.call_id for call in calls}) == 800
    wait_until(lambda: node.metrics().sum("dfaas_async_calls") == 0, "the queue to be empty", 60.0)


def test_async_calls_spill_to_neighbours():
    with Federation("light", "heavy") as federation:
        light, heavy = federation
        for node, slots in ((light, 1), (heavy, 6)):
            deploy(node, "nap", "sleep 0.2", labels={"dfaas.slots": str(slots)})
        wait_until(lambda: light.status()["plan_version"] > 1, "a plan")
        busy = load.closed_loop(light.user_port, "/function/nap", clients=2, seconds=3)
        calls = [queued(light, "nap") for _ in range(20)]
        for call_id in calls:
            assert ended(light, call_id, 40.0)["state"] == "done"
        busy.join()
        served = light.metrics().sum("dfaas_gateway_ended_total", function_name="nap.openfaas-fn",
                                     result="served_by_peer")
        assert served > 0
