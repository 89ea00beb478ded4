# SPDX-License-Identifier: AGPL-3.0-or-later
"""The OpenFaaS API beside deployment and calls, as faas-cli, its SDK and Prometheus' AlertManager use it.

Each trap of a compatible gateway is a test here: answers that the command line takes for failures,
namespaces written out, fields that it dereferences, logs that must end.
"""

import contextlib
import http.client
import json
import socket
import stat
import threading
import time
import urllib.parse

import clients
import pytest
from federation import Federation
from waiting import wait_until


@pytest.fixture(scope="module")
def node():
    with Federation("solo", connect=False, settings={"gateway.log_follow_ms": 3000}) as federation:
        node = federation["solo"]
        node.deploy("cat", "cat")
        node.deploy("shout", "sh -c 'cat >&2; echo done'")
        yield node


def deployment(name, process="cat", **more):
    return {"service": name, "image": "host:", "envProcess": process, **more}


def deployed(node, name, process="cat", **more):
    answer = node.system("POST", "/system/functions", deployment(name, process, **more))
    assert answer.status == 202, answer


def described(node, name):
    return json.loads(node.system("GET", f"/system/function/{name}").text)


def is_one_sentence(answer):
    return len(answer.text.strip()) > 0 and len(answer.text.splitlines()) == 1


# --- credentials


@pytest.mark.parametrize("target", [
    "/system/functions", "/system/function/cat", "/system/scale-function/cat", "/system/info",
    "/system/secrets", "/system/logs?name=cat", "/system/namespaces", "/system/namespace/",
    "/system/namespace/x", "/system/alert", "/system/async-calls", "/ui/", "/ui"])
def test_everything_but_calls_wants_credentials_and_names_its_realm(node, target):
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = node.request(method, target, b"{}")
        assert answer.status == 401, (method, target)
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="Restricted"'


def test_credentials_are_the_nodes_own_and_in_files_for_its_owner_only(node):
    secrets = node.directory / "secrets"
    for part in ("basic-auth-user", "basic-auth-password"):
        assert stat.S_IMODE((secrets / part).stat().st_mode) == 0o600
    assert len((secrets / "basic-auth-password").read_text().strip()) >= 20


# --- traps of faas-cli


def test_namespace_of_the_command_line_is_the_default_one(node):
    """faas-cli invoke NAME without -n asks for NAME.openfaas-fn."""
    assert node.call("cat.openfaas-fn", b"x").body == b"x"


def test_describe_asks_with_usage_and_namespace_in_name_and_query(node):
    answer = node.system("GET", "/system/function/cat.openfaas-fn?namespace=openfaas-fn&usage=1")
    assert answer.status == 200
    assert json.loads(answer.text)["availableReplicas"] == 1


def test_fields_may_be_null_or_absent(node):
    body = deployment("nulls", labels=None, annotations=None, limits=None, requests=None,
                      secrets=None, constraints=None, envVars=None, registryAuth="x", network="y")
    assert node.system("POST", "/system/functions", body).status == 202
    seen = described(node, "nulls")
    assert seen["createdAt"].startswith("2")
    assert {"name", "namespace", "image", "invocationCount", "replicas"} <= seen.keys()


def test_version_finds_every_object_that_it_dereferences(node):
    info = json.loads(node.system("GET", "/system/info").text)
    assert info["provider"]["version"]["release"] == info["version"]["release"] != ""
    assert info["provider"]["provider"] and info["provider"]["orchestration"]
    assert {"sha", "commit_message"} <= info["version"].keys()
    assert info["arch"] not in ("", "native")
    assert info["dfaas"]["id"] == node.id


def test_no_answer_to_a_change_is_204(node):
    node.system("POST", "/system/secrets", {"name": "short", "value": "x"})
    assert node.system("DELETE", "/system/secrets", {"name": "short"}).status == 202
    deployed(node, "short")
    assert node.system("DELETE", "/system/functions", {"functionName": "short"}).status == 202


# --- scaling


def scale(node, name, replicas, **more):
    return node.system("POST", f"/system/scale-function/{name}",
                       {"serviceName": name, "replicas": replicas, **more})


def test_scaling_is_kept_and_multiplies_what_a_replica_carries(node):
    deployed(node, "scaled", envVars={"max_inflight": "3"})
    assert described(node, "scaled")["replicas"] == 1
    assert scale(node, "scaled", 4).status == 202
    assert described(node, "scaled")["replicas"] == 4
    wait_until(lambda: described(node, "scaled")["availableReplicas"] == 4, "four replicas")
    metrics = node.metrics()
    labels = {"function_name": "scaled.openfaas-fn"}
    assert metrics.sum("gateway_service_count", **labels) == 4
    assert metrics.sum("dfaas_gateway_slots", **labels) == 12
    node.system("PUT", "/system/functions",
                deployment("scaled", envVars={"max_inflight": "2"}, labels={"team": "x"}))
    assert described(node, "scaled")["replicas"] == 4
    assert node.metrics().sum("dfaas_gateway_slots", **labels) == 8


def test_scaling_is_back_after_a_restart():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        deployed(node, "scaled")
        assert scale(node, "scaled", 7).status == 202
        assert node.system("POST", "/system/namespace/", {"name": "team"}).status == 201
        assert node.stop() == 0
        node.start()
        assert described(node, "scaled")["replicas"] == 7
        assert json.loads(node.system("GET", "/system/namespaces").text) == ["openfaas-fn", "team"]


def test_scaling_finds_its_function_by_path_query_or_body(node):
    deployed(node, "spaced", namespace="elsewhere")
    for target, body in [("spaced.elsewhere", {}), ("spaced?namespace=elsewhere", {}),
                         ("spaced", {"namespace": "elsewhere"})]:
        answer = node.system("POST", f"/system/scale-function/{target}", {"replicas": 2, **body})
        assert answer.status == 202, (target, answer)
    assert scale(node, "spaced", 2).status == 404


@pytest.mark.parametrize("replicas, labels", [
    (0, {}), (-1, {}), (101, {}), ("3", {}), (1.5, {}), (None, {}),
    (6, {"com.openfaas.scale.max": "5"}), (1, {"com.openfaas.scale.min": "2"})])
def test_number_that_cannot_be_is_400_and_changes_nothing(node, replicas, labels):
    deployed(node, "bounded", labels=labels)
    before = described(node, "bounded")["replicas"]
    answer = scale(node, "bounded", replicas)
    assert answer.status == 400 and is_one_sentence(answer), answer
    assert described(node, "bounded")["replicas"] == before


def test_scaling_to_zero_takes_the_label_and_is_shown_as_not_ready(node):
    deployed(node, "sleeper", labels={"com.openfaas.scale.zero": "true"})
    assert scale(node, "sleeper", 0).status == 202
    assert described(node, "sleeper")["availableReplicas"] == 0
    assert node.call("sleeper", b"wakes").body == b"wakes"


def test_minimum_is_where_a_function_starts(node):
    deployed(node, "three", labels={"com.openfaas.scale.min": "3"})
    assert described(node, "three")["replicas"] == 3


@pytest.mark.parametrize("change", [
    {"labels": {"com.openfaas.scale.min": "none"}},
    {"labels": {"com.openfaas.scale.min": "3", "com.openfaas.scale.max": "2"}},
    {"annotations": {"com.openfaas.retry.attempts": "0"}},
    {"annotations": {"com.openfaas.retry.codes": "teapot"}}])
def test_labels_and_annotations_that_cannot_be_followed_refuse_a_deployment(node, change):
    answer = node.system("POST", "/system/functions", deployment("never", **change))
    assert answer.status == 400 and is_one_sentence(answer), answer
    assert node.system("GET", "/system/function/never").status == 404


def alert(node, status, *functions):
    return node.system("POST", "/system/alert", {
        "receiver": "scale-up", "status": status,
        "alerts": [{"status": status, "labels": {"alertname": "APIHighInvocationRate",
                                                 "function_name": name}} for name in functions]})


def test_alerts_step_up_and_resolved_ones_go_back(node):
    deployed(node, "busy", labels={"com.openfaas.scale.max": "10", "com.openfaas.scale.factor": "30"})
    assert alert(node, "firing", "busy.openfaas-fn").status == 200
    assert described(node, "busy")["replicas"] == 4
    for _ in range(5):
        alert(node, "firing", "busy.openfaas-fn")
    assert described(node, "busy")["replicas"] == 10
    assert alert(node, "resolved", "busy").status == 200
    assert described(node, "busy")["replicas"] == 1


def test_alert_for_an_unknown_function_or_nonsense_is_400_and_changes_nothing(node):
    deployed(node, "calm", labels={"com.openfaas.scale.max": "10"})
    assert alert(node, "firing", "calm", "nobody").status == 400
    assert described(node, "calm")["replicas"] == 1
    for body in ("", "{}", '{"status":"firing","alerts":[{"labels":{}}]}'):
        assert node.system("POST", "/system/alert", body).status == 400, body


# --- secrets


def test_secrets_are_listed_changed_and_removed_and_their_values_never_told(node):
    assert node.system("POST", "/system/secrets", {"name": "api-key", "value": "hunter2"}).status == 201
    answer = node.system("POST", "/system/secrets", {"name": "api-key", "value": "hunter3"})
    assert answer.status == 409 and is_one_sentence(answer)
    listed = node.system("GET", "/system/secrets?namespace=openfaas-fn").text
    assert {"name": "api-key", "namespace": "openfaas-fn"} in json.loads(listed)
    assert "hunter" not in listed
    assert node.system("GET", "/system/secrets?namespace=elsewhere").text == "[]"
    assert node.system("PUT", "/system/secrets", {"name": "api-key", "value": "hunter4"}).status == 202
    assert node.system("PUT", "/system/secrets", {"name": "nobody", "value": "x"}).status == 404
    assert node.system("DELETE", "/system/secrets", {"name": "api-key"}).status == 202
    assert node.system("DELETE", "/system/secrets", {"name": "api-key"}).status == 404
    assert "hunter" not in node.log()


def test_function_reads_its_secrets_and_an_update_of_them(node):
    node.system("POST", "/system/secrets", {"name": "token", "rawValue": "AP8K"})
    node.system("POST", "/system/secrets", {"name": "other", "value": "not yours"})
    deployed(node, "reads", "sh -c 'ls $secret_mount_path; cat $secret_mount_path/token'",
             secrets=["token"])
    assert node.call("reads").body == b"token\n\x00\xff\n"
    node.system("PUT", "/system/secrets", {"name": "token", "value": "new"})
    assert node.call("reads").body == b"token\nnew"
    files = [path for path in (node.directory / "state" / "function-secrets").rglob("*")
             if path.is_file()]
    assert len(files) >= 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_deployment_with_an_unknown_secret_is_400_and_changes_nothing(node):
    deployed(node, "careful", "cat")
    wait_until(lambda: described(node, "careful")["availableReplicas"] == 1, "its replica")
    before = described(node, "careful")
    answer = node.system("PUT", "/system/functions", deployment("careful", "rev", secrets=["missing"]))
    assert answer.status == 400 and "missing" in answer.text and is_one_sentence(answer), answer
    assert described(node, "careful") == before
    assert node.call("careful", b"ab\n").body == b"ab\n"


def test_secret_in_use_is_not_removed(node):
    node.system("POST", "/system/secrets", {"name": "held", "value": "x"})
    deployed(node, "holder", secrets=["held"])
    answer = node.system("DELETE", "/system/secrets", {"name": "held"})
    assert answer.status == 409 and "holder" in answer.text, answer
    node.remove("holder")
    assert node.system("DELETE", "/system/secrets", {"name": "held"}).status == 202


@pytest.mark.parametrize("body", [
    "", "[]", "{}", {"name": "x"}, {"name": "../x", "value": "y"}, {"name": ".x", "value": "y"},
    {"name": "x", "namespace": "../y", "value": "z"}, {"name": "x", "rawValue": "!"},
    {"name": "x", "value": 1}])
def test_secret_that_cannot_be_is_400(node, body):
    before = node.system("GET", "/system/secrets").text
    answer = node.system("POST", "/system/secrets", body)
    assert answer.status == 400 and is_one_sentence(answer), answer
    assert node.system("GET", "/system/secrets").text == before


def test_secrets_are_back_after_a_restart():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        node.system("POST", "/system/secrets", {"name": "token", "value": "kept"})
        deployed(node, "reads", "sh -c 'cat $secret_mount_path/token'", secrets=["token"])
        assert node.stop() == 0
        node.start()
        assert node.call("reads").text == "kept"


# --- namespaces


def test_namespaces_are_made_described_changed_and_removed(node):
    def names():
        return json.loads(node.system("GET", "/system/namespaces").text)

    body = {"name": "team-a", "labels": {"openfaas": "1"}, "annotations": {"openfaas": "1"}}
    assert node.system("POST", "/system/namespace/", body).status == 201, "no name in the path"
    assert node.system("POST", "/system/namespace/", body).status == 409
    assert {"openfaas-fn", "team-a"} <= set(names())
    assert json.loads(node.system("GET", "/system/namespace/team-a").text) == body
    changed = {**body, "labels": {"openfaas": "1", "tier": "gold"}}
    assert node.system("PUT", "/system/namespace/team-a", changed).status == 202
    assert json.loads(node.system("GET", "/system/namespace/team-a").text) == changed
    assert node.system("DELETE", "/system/namespace/team-a", {"name": "team-a"}).status == 202
    assert node.system("GET", "/system/namespace/team-a").status == 404
    assert "team-a" not in names()


def test_namespace_appears_with_its_first_function_and_stays_while_it_holds_one(node):
    deployed(node, "inside", namespace="lived-in")
    assert "lived-in" in json.loads(node.system("GET", "/system/namespaces").text)
    answer = node.system("DELETE", "/system/namespace/lived-in", {"name": "lived-in"})
    assert answer.status == 409 and "inside" in answer.text


@pytest.mark.parametrize("method, path, body, status", [
    ("POST", "", {"name": "a.b"}, 400), ("POST", "", {}, 400), ("POST", "x", {"name": "y"}, 400),
    ("PUT", "nobody", {"name": "nobody"}, 404), ("DELETE", "nobody", {"name": "nobody"}, 404),
    ("DELETE", "openfaas-fn", {"name": "openfaas-fn"}, 400), ("GET", "nobody", None, 404)])
def test_namespace_requests_that_cannot_be(node, method, path, body, status):
    answer = node.system(method, f"/system/namespace/{path}", body)
    assert answer.status == status and is_one_sentence(answer), answer


# --- logs


def logs(node, **query):
    text = urllib.parse.urlencode(query)
    answer = node.system("GET", f"/system/logs?{text}")
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_logs_are_what_the_function_wrote_to_its_error_output(node):
    node.deploy("two-lines", "sh -c 'cat >&2'")
    node.call("two-lines", b"one\ntwo\nthree")
    entries = logs(node, name="two-lines")
    assert [entry["text"] for entry in entries] == ["one", "two", "three"]
    assert entries[0]["name"] == "two-lines" and entries[0]["namespace"] == "openfaas-fn"
    assert entries[0]["instance"] == "solo"
    assert [entry["text"] for entry in logs(node, name="two-lines", tail=2)] == ["two", "three"]
    assert logs(node, name="two-lines", instance="other") == []
    assert [entry["text"] for entry in logs(node, name="two-lines", tail=-1)] == ["one", "two", "three"]
    assert logs(node, name="two-lines", since="2999-01-01T00:00:00Z") == []
    assert len(logs(node, name="two-lines.openfaas-fn", since="2001-01-01T00:00:00+01:00")) == 3


def test_lines_that_are_no_text_are_still_json(node):
    node.deploy("odd", "sh -c 'cat >&2'")
    node.call("odd", b'\xff\x00"\\\n')
    assert len(logs(node, name="odd")) == 1


class Follower:
    """Reads /system/logs?follow=true line by line, in a thread of its own."""

    def __init__(self, node, name):
        self.lines = []
        self.problem = None
        self.is_over = False
        self._connection = http.client.HTTPConnection("127.0.0.1", node.user_port, timeout=20)
        self._connection.request("GET", f"/system/logs?name={name}&follow=true",
                                 headers=node.credentials())
        self._socket = self._connection.sock.dup()
        self._answer = self._connection.getresponse()  # The head comes before any line.
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            while line := self._answer.readline():
                self.lines.append(json.loads(line)["text"])
        except Exception as problem:
            self.problem = problem
        self.is_over = True
        self._connection.close()
        self._socket.close()

    def leave(self):
        self._socket.shutdown(socket.SHUT_RDWR)

    def join(self):
        self._thread.join(20)
        assert self.is_over and self.problem is None, self.problem
        return self.lines


@contextlib.contextmanager
def running(node, name):
    """A call whose body does not end before the block does."""
    call = clients.HeldCall(node.user_port, f"/function/{name}")
    yield
    assert call.finish().status == 200


def test_follower_gets_lines_while_the_function_runs_and_a_proper_end(node):
    node.deploy("slow-talker", "sh -c 'echo first >&2; cat >/dev/null; echo last >&2'")
    since = time.monotonic()
    follower = Follower(node, "slow-talker")
    with running(node, "slow-talker"):
        wait_until(lambda: follower.lines == ["first"], "the line of a function that still runs")
    assert follower.join() == ["first", "last"]
    assert time.monotonic() - since < 15, "gateway.log_follow_ms ends it"


def test_follower_ends_when_its_function_is_removed():
    with Federation("solo", connect=False) as federation:  # With the default of 30 s.
        node = federation["solo"]
        node.deploy("fleeting", "cat")
        follower = Follower(node, "fleeting")
        since = time.monotonic()
        node.remove("fleeting")
        assert follower.join() == []
        assert time.monotonic() - since < 10


def test_many_followers_who_leave_do_not_disturb(node):
    followers = [Follower(node, "shout") for _ in range(8)]
    for follower in followers[:4]:
        follower.leave()
    node.call("shout", b"hello")
    for follower in followers[4:]:
        assert "hello" in follower.join()
    assert node.call("cat", b"x").body == b"x"


@pytest.mark.parametrize("query, status", [
    ("", 422), ("name=", 422), ("name=a%2Fb", 422), ("name=cat&since=yesterday", 422),
    ("name=cat&tail=x", 422), ("name=cat&follow=perhaps", 422), ("name=nobody", 404)])
def test_logs_that_cannot_be_shown(node, query, status):
    answer = node.system("GET", f"/system/logs?{query}")
    assert answer.status == status and is_one_sentence(answer), answer


def test_logs_are_bounded_and_gone_after_a_restart():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        node.deploy("chatty", "sh -c 'seq 1 5000 >&2'")
        node.call("chatty")
        entries = logs(node, name="chatty")
        assert len(entries) == 1000 and entries[-1]["text"] == "5000"
        old = node.kill_program("gateway")
        node.wait_replaced("gateway", old)
        wait_until(lambda: node.request("GET", "/healthz").status == 200, "the gateway to serve")
        assert logs(node, name="chatty") == []


# --- metrics


def test_metrics_carry_the_names_that_existing_charts_use(node):
    node.call("cat", b"x")
    metrics = node.metrics()
    labels = {"function_name": "cat.openfaas-fn"}
    assert metrics.sum("gateway_function_invocation_total", **labels, code="200") >= 1
    assert metrics.sum("gateway_function_invocation_started", **labels) >= 1
    assert metrics.sum("gateway_functions_seconds_count", **labels) >= 1
    assert metrics.sum("gateway_functions_seconds_sum", **labels) > 0
    assert metrics.sum("gateway_service_count", **labels) == 1
    assert metrics.sum("http_requests_in_flight", **labels) == 0


# --- methods


@pytest.mark.parametrize("method, target, allowed", [
    ("PATCH", "/system/functions", "GET, POST, PUT, DELETE"),
    ("GET", "/system/scale-function/cat", "POST"), ("PATCH", "/system/secrets", "GET, POST, PUT, DELETE"),
    ("POST", "/system/logs?name=cat", "GET"), ("POST", "/system/namespaces", "GET"),
    ("PATCH", "/system/namespace/x", "GET, POST, PUT, DELETE"), ("GET", "/system/alert", "POST")])
def test_wrong_method_is_405_and_says_which_are_right(node, method, target, allowed):
    answer = node.system(method, target)
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
