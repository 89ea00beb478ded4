# SPDX-License-Identifier: AGPL-3.0-or-later
"""A node whose functions an OpenFaaS gateway runs that is there already: platform.kind = openfaas.

"own" is that node; "mid" is an ordinary neighbour with the same function cat. Most tests ask a platform that
misbehaves on command (platform_fake.py); the last ones a second dfaas node that speaks the same API.
"""

import http.client
import json
import os
import shutil
import socket

import clients
import load
import pytest
from federation import Federation, Node, dfaas, temporary_directory
from platform_fake import PASSWORD, WRONG_LISTS, FakePlatform
from waiting import wait_until

FULL_CAT = "cat.openfaas-fn"


def write_password(node, text, mode=0o600):
    file = node.directory / "secrets" / "platform-password"
    file.write_text(text + "\n")
    file.chmod(mode)
    return file


def external_settings(url):
    return {"platform.kind": "openfaas", "platform.url": url, "platform.period_ms": 200,
            "platform.timeout_ms": 600}


def platform_of(node):
    return node.status()["platform"]


def slots_of(node, name="cat"):
    for function in node.status()["functions"]:
        if function["name"] == f"{name}.openfaas-fn" and function["deployed"]:
            return function["slots"]
    return None


def wait_state(node, state):
    wait_until(lambda: platform_of(node)["state"] == state, f"the platform to be {state}")


@pytest.fixture(scope="module")
def platform():
    with FakePlatform() as fake:
        yield fake


@pytest.fixture(scope="module")
def pair(platform):
    platform.add("cat", labels={"dfaas.slots": "4"})
    federation = Federation("own", "mid", settings={"own": external_settings(platform.url),
                                                    "dispatcher.user_wait_ratio": 0})
    write_password(federation["own"], PASSWORD)
    with federation:
        federation["mid"].deploy("cat", "cat", slots=4)
        federation.wait_spread("cat", {"own": 4, "mid": 4})
        yield federation


@pytest.fixture
def own(pair, platform):
    """As a test finds it: the platform answers, and has cat with four slots."""
    platform.list_mode = "good"
    platform.functions.clear()
    platform.add("cat", labels={"dfaas.slots": "4"})
    if platform._server is None:
        platform.start()
    wait_state(pair["own"], "ready")
    wait_until(lambda: slots_of(pair["own"]) == 4 and platform_of(pair["own"])["functions"] == 1,
               "cat alone to be here")
    return pair["own"]


def add(platform, own, name, **options):
    platform.add(name, **options)
    wait_until(lambda: slots_of(own, name), f"{name} to be found")


# --- calls


def test_calls_run_at_the_platform_as_its_own_users_would_send_them(own, platform):
    add(platform, own, "echo")
    answer = own.call("echo/some/path?a=b%20c", b"hello", headers={
        "Authorization": "Basic of-the-user", "X-Other": "kept", "Host": "users.example"})
    assert (answer.status, answer.body, answer.node_id) == (200, b"hello", own.id)
    seen = json.loads(answer.headers["X-Seen"])
    assert seen["path"] == "/function/echo/some/path?a=b%20c"
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["host"] == f"127.0.0.1:{platform.port}"
    assert headers["x-forwarded-host"] == "users.example"
    assert headers["x-call-id"] == answer.headers["X-Call-Id"]
    assert headers["x-other"] == "kept" and headers["x-start-time"]
    assert headers["authorization"] == "Basic of-the-user", "the platform's password is for /system alone"
    assert answer.headers["X-Node"] == "platform"


def test_connections_are_kept(own, platform):
    add(platform, own, "echo")
    own.call("echo", b"first")
    before = platform.connections
    reads = len(platform.asked("GET", "/system/functions"))
    for _ in range(20):
        assert own.call("echo", b"x").status == 200
    # Readings of the list come on connections of their own.
    others = len(platform.asked("GET", "/system/functions")) - reads
    assert platform.connections - before <= others + 2


def test_large_bodies_and_100_continue(own, platform):
    add(platform, own, "echo")
    body = bytes(range(256)) * 8_000
    answer = own.call("echo", iter([body[:1_000_000], body[1_000_000:]]))
    assert (answer.status, answer.body) == (200, body)
    head = (b"POST /function/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", own.user_port), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello")
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert clients.split_answer(received)[0].body == b"hello"


def test_answers_stream(own, platform):
    add(platform, own, "stream")
    connection = http.client.HTTPConnection("127.0.0.1", own.user_port, timeout=20)
    connection.request("GET", "/function/stream")
    platform.next_piece(b"one")
    answer = connection.getresponse()
    assert answer.read1() == b"one", "each piece comes when it is written"
    platform.next_piece(b"two")
    assert answer.read1() == b"two"
    platform.next_piece(None)
    assert answer.read() == b""
    connection.close()


@pytest.mark.parametrize("status", [201, 404, 418, 429, 500, 502, 503])
def test_own_statuses_are_delivered_and_never_tried_elsewhere(own, platform, status):
    name = f"status-{status}"
    add(platform, own, name)
    answer = own.call(name)
    assert (answer.status, answer.body, answer.node_id) == (status, b"as asked", own.id)
    assert answer.headers["X-Own"] == "yes"
    assert len(platform.calls(name)) == 1


def test_a_user_who_leaves_ends_the_call_there(own, platform):
    add(platform, own, "stall")
    platform.hung_up.clear()
    connection = socket.create_connection(("127.0.0.1", own.user_port), timeout=10)
    connection.sendall(b"GET /function/stall HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: platform.calls("stall"), "the call to reach the platform")
    connection.close()
    assert platform.hung_up.wait(10), "the platform still works for nobody"


def test_time_limits_hold(own, platform):
    add(platform, own, "stall", labels={"dfaas.timeout_ms": "300"})
    answer = own.call("stall")
    assert (answer.status, answer.text) == (504, "the platform did not end in time\n")


def test_an_answer_that_breaks_off_breaks_off_for_the_user(own, platform):
    add(platform, own, "cut")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        own.call("cut")
    add(platform, own, "rude")
    answer = own.call("rude", b"x")
    assert answer.status == 502 and "platform" in answer.text
    assert len(platform.calls("rude")) == 1, "it may have run: never twice"


def test_asynchronous_calls_are_ours(own, platform):
    add(platform, own, "echo")
    before = len(platform.calls("echo"))
    answer = own.request("POST", "/async-function/echo", b"later")
    assert answer.status == 202
    wait_until(lambda: [call for call in platform.calls("echo")[before:] if call[3] == b"later"],
               "the call to be delivered")


# --- the list of functions


def test_functions_come_change_and_go(own, platform):
    assert own.call("fresh").status == 404
    add(platform, own, "fresh", env={"max_inflight": "3"}, replicas=2, available=2)
    assert slots_of(own, "fresh") == 6
    platform.add("fresh", env={"max_inflight": "3"}, replicas=1, available=0)
    wait_until(lambda: slots_of(own, "fresh") == 1, "one slot for a function that sleeps")
    assert own.call("fresh").status == 200
    del platform.functions["fresh"]
    wait_until(lambda: slots_of(own, "fresh") is None, "fresh to be gone")
    wait_until(lambda: own.call("fresh").status == 404, "the plan to be without it, too")


def test_an_entry_that_cannot_be_used_hides_no_other(own, platform):
    platform.add("typo", labels={"dfaas.slot": "4"})
    left_out = wait_until(lambda: platform_of(own)["left_out"], "the entry to be told of")
    assert len(left_out) == 1 and "typo" in left_out[0] and "dfaas.slot" in left_out[0]
    assert own.call("cat", b"x").body == b"x"
    assert "left out" in dfaas("status", "--dir", own.directory).stdout


@pytest.mark.parametrize("mode", [*WRONG_LISTS, "truncated", "hang", "drip"])
def test_while_the_list_cannot_be_read_calls_go_to_the_neighbour(pair, own, platform, mode):
    platform.list_mode = mode
    wait_state(own, "silent")
    told = platform_of(own)
    assert told["why"] and not told["answers"] and told["functions"] == 1, told
    answer = own.call("cat", b"x")
    assert (answer.status, answer.body, answer.node_id) == (200, b"x", pair["mid"].id)
    platform.list_mode = "good"
    wait_state(own, "ready")
    wait_until(lambda: own.call("cat", b"x").headers.get("X-Node") == "platform",
               "the platform to be used again")
    assert own.pid("gateway")


def test_refused_credentials_are_told_and_calls_go_on(own, platform):
    platform.list_mode = "401"
    wait_state(own, "denied")
    assert "platform.password_file" in platform_of(own)["why"]
    assert own.call("cat", b"x").headers.get("X-Node") == "platform", "by the last list"
    shown = dfaas("status", "--dir", own.directory).stdout
    assert "denied" in shown and "platform.user" in shown
    answer = own.system("GET", "/system/functions")
    assert answer.status == 502, "the user's own credentials were right"
    assert "credentials" in answer.text and "WWW-Authenticate" not in answer.headers
    assert "level=error program=gateway node=own event=platform_denied" in own.log()


def test_a_platform_that_is_gone_costs_no_call(pair, own, platform):
    """Refused connections mean that nothing ran: each call finds its way to the neighbour."""
    before = own.metrics().sum("dfaas_platform_refused_connections_total")
    running = load.closed_loop(own.user_port, "/function/cat", clients=2, count=300)
    wait_until(lambda: len(platform.calls("cat")) > 20, "calls to run at the platform")
    platform.stop()
    calls = running.join()
    statuses = {call.status for call in calls}
    # What was under way in the platform when it went is lost with it, and nothing else.
    assert sum(call.status != 200 for call in calls) <= 2, statuses
    assert load.served_by([call for call in calls if call.status == 200])[pair["mid"].id] > 0
    assert own.metrics().sum("dfaas_platform_refused_connections_total") >= before
    wait_state(own, "silent")
    assert own.metrics().sum("dfaas_platform_ready") == 0
    calls = [own.call("cat", b"x") for _ in range(20)]
    assert {(call.status, call.node_id) for call in calls} == {(200, pair["mid"].id)}
    answer = own.system("POST", "/system/functions", {"service": "new", "image": "x"})
    assert answer.status == 502 and "does not answer" in answer.text
    platform.start()
    wait_until(lambda: own.call("cat", b"x").headers.get("X-Node") == "platform",
               "the platform to be used again")


def test_alone_with_a_silent_platform_a_call_is_refused_with_the_reason(own, platform):
    add(platform, own, "echo")
    platform.stop()
    answer = own.call("echo", b"x")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert "platform of this node does not answer" in answer.text


def test_guests_run_at_the_platform_and_are_sent_away_when_it_is_gone(pair, own, platform):
    mid, process = pair["mid"], "sh -c 'cat; sleep 0.15'"
    mid.deploy("work", process, slots=1)
    add(platform, own, "work", process=process)
    pair.wait_spread("work", {"own": slots_of(own, "work")})
    assert mid.call("work").node_id == mid.id  # So that it knows how long the function takes.
    with mid.occupied("work", 1):
        answer = mid.call("work", b"guest")
        assert (answer.status, answer.body, answer.node_id) == (200, b"guest", own.id)
        assert answer.headers["X-Node"] == "platform"
        platform.stop()
        answer = mid.call("work", b"guest")
        # Refused by own before it was let in, or not sent there any more: no error of the platform, nothing lost.
        assert (answer.status, answer.node_id) == (503, mid.id), answer
        steps = [step["what"] for step in mid.why(answer.headers["X-Call-Id"])[0]["steps"]]
        assert set(steps) <= {"busy", "refused busy"}, steps


def test_a_platform_that_is_this_node_again_is_noticed(platform):
    directory = temporary_directory()
    node = Node(directory / "node", "loop")
    node.runs_functions = False
    node_settings = external_settings(f"http://127.0.0.1:{node.user_port}")
    own_password = (node.directory / "secrets" / "basic-auth-password").read_text().strip()
    write_password(node, own_password)
    arguments = [word for name, value in node_settings.items() for word in ("--set", f"{name}={value}")]
    try:
        node.start(*arguments)
        why = wait_until(lambda: platform_of(node)["why"], "the loop to be noticed")
        wait_until(lambda: "508" in platform_of(node)["why"], f"508 to be told, not {why}")
    finally:
        node.stop()
        shutil.rmtree(directory)


# --- the API


def test_the_api_is_the_platforms_behind_our_credentials(own, platform):
    before = len(platform.requests)
    answer = own.request("POST", "/system/functions", json.dumps({"service": "x", "image": "y"}))
    assert answer.status == 401
    assert not platform.asked("POST", "/system/functions")
    own.deploy("echo", "echo", labels={"dfaas.slots": "3"})
    assert slots_of(own, "echo") == 3, "found as soon as the answer is here"
    assert own.call("echo", b"hi").body == b"hi"
    for method, path, body in [("POST", "/system/scale-function/echo", {"replicas": 2}),
                               ("GET", "/system/secrets", None), ("GET", "/system/namespaces", None),
                               ("POST", "/system/secrets", {"name": "a", "value": "b"})]:
        answer = own.system(method, path, body)
        assert (answer.status, answer.text) == (202, f"passed {path}")
        assert platform.asked(method, path)[-1][3] == (json.dumps(body).encode() if body else b"")
    listed = json.loads(own.system("GET", "/system/functions").text)
    assert {entry["name"] for entry in listed} == {"cat", "echo"}
    own.remove("echo")
    assert slots_of(own, "echo") is None
    ours = own.credentials()["Authorization"]
    sent = [headers.get("Authorization") for _, path, headers, _ in platform.requests[before:]
            if path.startswith("/system/")]
    assert sent and None not in sent and ours not in sent


def test_a_mistyped_label_is_refused_before_the_platform_hears_of_it(own, platform):
    asked = len(platform.asked("PUT", "/system/functions"))
    answer = own.try_deploy("typo", "x", labels={"dfaas.slot": "3"})
    assert answer.status == 400 and "dfaas.slot" in answer.text
    assert len(platform.asked("PUT", "/system/functions")) == asked


def test_logs_are_followed_through(own, platform):
    connection = http.client.HTTPConnection("127.0.0.1", own.user_port, timeout=20)
    connection.request("GET", "/system/logs?name=cat&follow=true", headers=own.credentials())
    platform.next_piece(b"first")
    answer = connection.getresponse()
    assert json.loads(answer.readline())["text"] == "first"
    platform.next_piece(b"second")
    assert json.loads(answer.readline())["text"] == "second"
    platform.next_piece(None)
    assert answer.read() == b""
    connection.close()


def test_status_and_info_show_the_platform(own, platform):
    info = json.loads(own.system("GET", "/system/info").text)
    assert info["provider"]["provider"] == "dfaas"
    assert info["platform"]["url"] == platform.url and info["platform"]["answers"] is True
    assert info["platform"]["name"] == "fake 1.2"
    shown = dfaas("status", "--dir", own.directory).stdout
    assert f"{platform.url} (fake 1.2): ready" in shown
    assert f"{platform.url} answers" in dfaas("doctor", "--dir", own.directory, check=False).stdout
    with pytest.raises(KeyError):
        own.pid("launcher")


def test_the_password_is_told_to_nobody(own, platform):
    texts = [own.log(), own.admin("/dfaas/v1/status"), own.admin("/metrics"),
             own.system("GET", "/system/info").text]
    assert all(PASSWORD not in text for text in texts)


# --- settings


@pytest.fixture
def stopped():
    directory = temporary_directory()
    node = Node(directory / "node", "solo")
    yield node
    node.stop()
    shutil.rmtree(directory)


def refused_start(node, **settings):
    words = [word for name, value in settings.items()
             for word in ("--set", f"platform.{name}={value}")]
    done = dfaas("node", "run", "--dir", node.directory, *words, check=False)
    assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 1, done
    return done.stderr


def test_wrong_settings_stop_the_start(stopped):
    sentence = refused_start(stopped, kind="openfaas")
    assert "platform.password_file" in sentence and "No such file" in sentence
    file = write_password(stopped, "x", 0o644)
    sentence = refused_start(stopped, kind="openfaas")
    assert str(file) in sentence and "0644" in sentence and "chmod 600" in sentence
    write_password(stopped, "")
    assert "is empty" in refused_start(stopped, kind="openfaas")
    for url in ("ftp://gateway.example", "gateway:8080", "https://user:word@gateway", "http://", "https://"):
        sentence = refused_start(stopped, kind="openfaas", url=url)
        assert "platform.url" in sentence and "http://HOST" in sentence
    assert "embedded, openfaas" in refused_start(stopped, kind="kubernetes").replace("|", ", ")


# --- a dfaas node as the platform: the whole way, with functions that run


@pytest.fixture(scope="module")
def real():
    federation = Federation("own", "mid", "platform", connect=False,
                            settings={"own": {**external_settings("http://127.0.0.1:1"),
                                              "dispatcher.user_wait_ratio": 0,
                                              "dispatcher.spill_wait_ratio": 0}})
    platform, own, mid = (federation[name] for name in ("platform", "own", "mid"))
    write_password(own, (platform.directory / "secrets" / "basic-auth-password").read_text().strip())
    settings = own.directory / "node.toml"
    settings.write_text(settings.read_text().replace("http://127.0.0.1:1",
                                                     f"http://127.0.0.1:{platform.user_port}"))
    federation.write_peers([own, mid])
    with federation:
        federation.wait_connected([own, mid])
        yield federation


def test_deploy_invoke_and_spill_with_a_platform_that_runs_functions(real):
    own, mid, platform = real["own"], real["mid"], real["platform"]
    own.deploy("work", "sh -c 'cat; sleep 0.3'", slots=2)
    assert "work.openfaas-fn" in [entry["name"] for entry in platform.status()["functions"]]
    assert own.call("work", b"hello").body == b"hello"
    mid.deploy("work", "sh -c 'cat; sleep 0.3'", slots=4)
    wait_until(lambda: [peer for peer in own.peers()["peers"] if peer["id"] == mid.id and
                        {"name": "work.openfaas-fn", "slots": 4} in peer["functions"]],
               "own to hear of work at mid")
    real.wait_planned([own, mid])
    calls = load.burst(own.user_port, "/function/work", 6)
    assert load.served_by(calls) == {own.id: 2, mid.id: 4}


def test_scale_from_zero_through_the_platform(real):
    own, platform = real["own"], real["platform"]
    own.deploy("sleepy", "cat", labels={"com.openfaas.scale.zero": "true"})
    assert own.system("POST", "/system/scale-function/sleepy", {"replicas": 0}).status == 202
    described = json.loads(own.system("GET", "/system/function/sleepy").text)
    assert described["availableReplicas"] == 0
    wait_until(lambda: slots_of(own, "sleepy") == 1, "one slot for a function that sleeps")
    assert own.call("sleepy", b"wake").body == b"wake"
    wait_until(lambda: (slots_of(own, "sleepy") or 0) >= min(2, os.cpu_count()),
               "the slots of a function that is awake")
    assert json.loads(platform.system("GET", "/system/function/sleepy").text)["availableReplicas"] == 1
