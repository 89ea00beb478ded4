# SPDX-License-Identifier: AGPL-3.0-or-later
"""One node, no neighbours: functions, the REST API and the contract of classic functions."""

import hashlib
import json
import subprocess
import time

import clients
import load
import pytest
from federation import Federation, dfaas
from pictures import picture_of
from waiting import children_of, wait_until


@pytest.fixture(scope="module")
def federation():
    with Federation("solo", connect=False) as federation:
        yield federation


@pytest.fixture(scope="module")
def node(federation):
    node = federation["solo"]
    node.deploy("cat", "cat")
    node.deploy("env", "env")
    return node


def environment_of(answer):
    return dict(line.split("=", 1) for line in answer.text.splitlines() if "=" in line)


# --- real programs


def test_figlet_draws(node):
    node.deploy("figlet", "figlet")
    drawn = subprocess.run(["figlet"], input="Hello DFaaS world!", text=True, check=True,
                           capture_output=True).stdout
    assert node.call("figlet", b"Hello DFaaS world!").text == drawn


def test_shasum_sums(node):
    node.deploy("shasum", "sha512sum")
    answer = node.call("shasum", b"Hello DFaaS world!")
    assert answer.text.split()[0] == hashlib.sha512(b"Hello DFaaS world!").hexdigest()


def test_ocr_reads_a_picture_of_more_than_16_kb(node):
    node.deploy("ocr", "tesseract stdin stdout --psm 7", env={"OMP_THREAD_LIMIT": "1"})
    picture = picture_of("HELLO")
    assert len(picture) > 16 * 1024
    assert "HELLO" in node.call("ocr", picture).text


def test_image_can_name_the_program(node):
    node.deploy("from-image", image="host:figlet")
    assert node.call("from-image", b"x").status == 200


# --- the contract of a call


def test_get_delivers_its_body(node):
    assert node.call("cat", b"of a GET", method="GET").body == b"of a GET"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
def test_any_method_reaches_the_function(node, method):
    answer = node.call("env", b"x", method=method)
    assert (answer.status, environment_of(answer)["Http_Method"]) == (200, method)


def test_head_brings_the_head_alone(node):
    answer = node.call("cat", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert node.call("cat", b"still in step").body == b"still in step"


def test_function_sees_the_request_in_its_environment(node):
    answer = node.request("POST", "/function/env/a/b?x=1&y=2", b"four",
                          {"X-Fancy-Header": "some value", "Content-Type": "text/odd"})
    seen = environment_of(answer)
    assert seen["Http_Path"] == "/a/b"
    assert seen["Http_Query"] == "x=1&y=2"
    assert seen["Http_X_Fancy_Header"] == "some value"
    assert seen["Http_Content_Type"] == "text/odd"
    assert seen["Http_Content_Length"] == "4"
    assert seen["OPENFAAS_NAME"] == "env"


def test_function_sees_its_deployed_variables_and_nothing_of_the_node(node):
    node.deploy("with-env", "env", env={"COLOUR": "blue"})
    seen = environment_of(node.call("with-env"))
    assert seen["COLOUR"] == "blue"
    assert not [name for name in seen if name.startswith(("DFAAS", "LISTEN"))]


def test_non_zero_exit_gives_500_with_what_it_wrote_to_stderr(node):
    node.deploy("failing", "sh -c 'echo half an answer; echo the reason >&2; exit 3'")
    answer = node.call("failing")
    assert answer.status == 500
    assert "the reason" in answer.text and "3" in answer.text
    assert "half an answer" not in answer.text


def test_function_killed_by_a_signal_gives_500(node):
    node.deploy("suicidal", "sh -c 'kill -9 $$'")
    assert node.call("suicidal").status == 500


@pytest.mark.parametrize("limit", [{"labels": {"dfaas.timeout_ms": "300"}},
                                   {"env": {"exec_timeout": "300ms"}}])
def test_time_limit_of_a_function_gives_504_and_ends_it(node, limit):
    node.deploy("slow", "sleep 30", **limit)
    answer = node.call("slow")
    assert answer.status == 504
    assert answer.seconds < 10
    wait_until(lambda: not node.function_processes(), "the function to be ended", 2.0)


def test_descendants_of_a_function_end_with_it(node):
    node.deploy("forking", "sh -c 'sleep 60 & sleep 60 & echo started'")
    node.deploy("forking-late", "sh -c 'sleep 60 & sleep 60'", labels={"dfaas.timeout_ms": "200"})
    assert node.call("forking-late").status == 504
    wait_until(lambda: not node.function_processes(), "all processes to be ended", 2.0)


def test_user_who_hangs_up_leaves_no_process_after_a_second(node):
    node.deploy("long", "sleep 60")
    with pytest.raises(TimeoutError):
        node.call("long", timeout=0.3)
    wait_until(lambda: not node.function_processes(), "the function to be ended", 1.5)


def test_answer_says_who_served_it_which_call_it_was_and_how_long_it_took(node):
    first, second = node.call("cat", b"1"), node.call("cat", b"2")
    assert first.headers.all("DFaaS-Node-ID") == [node.id]
    assert len(first.headers["X-Call-Id"]) == 36
    assert first.headers["X-Call-Id"] != second.headers["X-Call-Id"]
    assert 0 < float(first.headers["X-Duration-Seconds"]) < 10


def test_call_id_of_the_user_is_kept(node):
    assert node.call("cat", headers={"X-Call-Id": "mine-1"}).headers["X-Call-Id"] == "mine-1"


def test_content_type_is_the_functions(node):
    node.deploy("typed", "cat", env={"content_type": "application/json"})
    assert node.call("typed", b"{}").headers["Content-Type"] == "application/json"
    assert node.call("cat", b"{}").headers["Content-Type"].startswith("text/plain")


def test_explanation_is_given_on_request_only(node):
    assert "served" in node.call("cat", headers={"DFaaS-Explain": "1"}).headers["DFaaS-Decision"]
    assert "DFaaS-Decision" not in node.call("cat").headers


def test_call_waits_for_a_slot_instead_of_being_refused(node):
    node.deploy("one-at-a-time", "sleep 0.2", slots=1)
    node.call("one-at-a-time")  # Now the node knows how long it takes.
    calls = load.burst(node.user_port, "/function/one-at-a-time", 2)
    assert load.statuses(calls) == {200: 2}
    assert max(call.seconds for call in calls) > 0.35


def test_function_that_reads_nothing_answers_though_the_body_is_large(node):
    node.deploy("deaf", "echo hello")
    answer = node.call("deaf", b"x" * 5_000_000)
    assert (answer.status, answer.body) == (200, b"hello\n")


# --- names


def test_unknown_function_is_404(node):
    answer = node.call("nobody")
    assert answer.status == 404
    assert "X-Call-Id" in answer.headers


def test_default_namespace_may_be_written_out(node):
    assert node.call("cat.openfaas-fn", b"x").body == b"x"


def test_other_namespace_is_another_function(node):
    assert node.call("cat.elsewhere", b"x").status == 404
    node.system("POST", "/system/functions",
                {"service": "cat", "namespace": "elsewhere", "image": "host:", "envProcess": "rev"})
    assert node.call("cat.elsewhere", b"ab\n").body == b"ba\n"
    assert node.call("cat", b"ab\n").body == b"ab\n"


@pytest.mark.parametrize("name", ["ca", "catt", "CAT", "cat-"])
def test_names_are_exact(node, name):
    assert node.call(name).status == 404


# --- the REST API


@pytest.mark.parametrize("method, target", [
    ("GET", "/system/functions"), ("POST", "/system/functions"), ("PUT", "/system/functions"),
    ("DELETE", "/system/functions"), ("GET", "/system/function/cat"), ("GET", "/system/info")])
@pytest.mark.parametrize("authorization", [None, "Basic YWRtaW46YWRtaW4=", "Basic ???", "Bearer x"])
def test_system_wants_credentials(node, method, target, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = node.request(method, target, b"{}", headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_update_of_an_unknown_function_is_404_and_creation_then_works(node):
    deployment = {"service": "fresh", "image": "host:", "envProcess": "cat"}
    assert node.system("PUT", "/system/functions", deployment).status == 404
    assert node.call("fresh").status == 404
    assert node.system("POST", "/system/functions", deployment).status == 202
    assert node.call("fresh", b"x").body == b"x"
    assert node.system("PUT", "/system/functions",
                       {**deployment, "envProcess": "rev"}).status == 202
    assert node.call("fresh", b"ab\n").body == b"ba\n"


def test_removed_function_is_gone(node):
    node.deploy("short-lived", "cat")
    node.remove("short-lived")
    assert node.call("short-lived").status == 404
    assert node.system("GET", "/system/function/short-lived").status == 404
    assert node.system("DELETE", "/system/functions",
                       {"functionName": "short-lived"}).status == 404


def test_list_and_description_tell_what_was_deployed(node):
    node.deploy("described", "cat -u", labels={"dfaas.slots": "3", "team": "blue"},
                env={"A": "b"})
    node.call("described")
    described = json.loads(node.system("GET", "/system/function/described").text)
    assert described["envProcess"] == "cat -u"
    assert described["labels"] == {"dfaas.slots": "3", "team": "blue"}
    assert described["invocationCount"] == 1
    assert described["availableReplicas"] == 1
    listed = json.loads(node.system("GET", "/system/functions").text)
    assert described in listed


def test_command_line_deploys_lists_describes_invokes_and_removes(node):
    gateway = ("--dir", node.directory, "-g", f"http://127.0.0.1:{node.user_port}")
    dfaas("deploy", "by-hand", *gateway, "--process", "rev", "-l", "dfaas.slots=2")
    assert "by-hand" in dfaas("list", *gateway).stdout
    assert "rev" in dfaas("describe", "by-hand", *gateway).stdout
    assert dfaas("invoke", "by-hand", *gateway, "-d", "ab").stdout.strip() == "ba"
    dfaas("remove", "by-hand", *gateway)
    assert dfaas("invoke", "by-hand", *gateway, "-d", "ab", check=False).returncode == 1


@pytest.mark.parametrize("change", [
    {"envProcess": "no-such-program-anywhere"}, {"image": "ghcr.io/openfaas/figlet:latest"},
    {"labels": {"dfaas.slots": "many"}}, {"envProcess": "sh -c 'open"},
    {"envVars": {"max_inflight": "x"}}, {"labels": {"dfaas.colour": "blue"}}])
def test_failed_deployment_changes_nothing(node, change):
    good = {"service": "steady", "image": "host:", "envProcess": "cat", "labels": {}}
    node.system("POST", "/system/functions", good)
    assert node.call("steady", b"x").status == 200  # So that its replica is there.
    before = node.system("GET", "/system/function/steady").text

    answer = node.system("PUT", "/system/functions", {**good, **change})

    assert 400 <= answer.status < 500, answer
    assert len(answer.text.splitlines()) == 1
    assert node.system("GET", "/system/function/steady").text == before
    assert node.call("steady", b"x").body == b"x"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"service": 1}', '{"image": "host:cat"}',
                                  '{"service": "../x", "image": "host:cat"}', "\xff\xfe"])
def test_unreadable_deployment_is_400(node, text):
    answer = node.system("POST", "/system/functions", text.encode("latin-1"))
    assert answer.status == 400, answer
    assert len(answer.text.splitlines()) == 1


# --- health and life


def test_healthz_is_200(node):
    assert node.request("GET", "/healthz").status == 200
    assert clients.request(node.admin_port, "GET", "/healthz").status == 200


def test_unknown_paths_are_404(node):
    for target in ("/", "/functions", "/function", "/system", "/dfaas/v1/exchange", "/uid"):
        assert node.request("GET", target).status == 404, target


def test_offered_calls_are_all_accounted_for_in_the_metrics(node):
    node.deploy("counted", "cat")
    for _ in range(5):
        node.call("counted", b"x")
    metrics = node.metrics()
    labels = {"function_name": "counted.openfaas-fn"}
    assert metrics.sum("dfaas_gateway_offered_total", **labels) == 5
    assert metrics.sum("dfaas_gateway_ended_total", **labels, result="served_here") == 5
    assert metrics.sum("gateway_function_invocation_total", **labels, code="200") == 5
    assert metrics.sum("gateway_functions_seconds_count", **labels) == 5


def test_functions_are_back_after_a_restart():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        node.deploy("kept", "cat", labels={"dfaas.slots": "3"})
        node.deploy("removed", "cat")
        node.remove("removed")
        assert node.call("kept", b"x").body == b"x"  # So that its replica is there.
        described = node.system("GET", "/system/function/kept").text

        assert node.stop() == 0
        node.start()

        assert node.call("kept", b"x").body == b"x"
        assert node.call("removed").status == 404
        restored = node.system("GET", "/system/function/kept").text
        assert (restored.replace('"invocationCount":1.0', '"invocationCount":0.0')
                == described.replace('"invocationCount":1.0', '"invocationCount":0.0'))


def test_user_waits_for_a_gateway_that_is_restarted():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        node.deploy("cat", "cat")
        old = node.kill_program("gateway")
        wait_until(lambda: old not in children_of(node.pid()), "the gateway to be gone")
        answer = node.call("cat", b"patience")
        assert (answer.status, answer.body) == (200, b"patience")
        node.wait_replaced("gateway", old)


def test_everything_ends_when_the_supervisor_is_killed():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        node.deploy("long", "sleep 60")
        call = load.closed_loop(node.user_port, "/function/long", clients=1, count=1)
        wait_until(lambda: node.in_flight("long") == 1, "the call to run")
        node.kill()
        assert call.join()[0].status != 200  # And no_process_left looks for the rest.


def test_stop_waits_for_calls_in_flight():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        node.deploy("nap", "sleep 1")
        call = load.closed_loop(node.user_port, "/function/nap", clients=1, count=1)
        wait_until(lambda: node.in_flight("nap") == 1, "the call to run")
        since = time.monotonic()
        assert node.stop() == 0
        assert load.statuses(call.join()) == {200: 1}
        assert time.monotonic() - since < 10
