# SPDX-License-Identifier: AGPL-3.0-or-later
"""The ways in which a function runs: a process per call, a process that stays, processes started ahead."""

import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import clients
import load
import pytest
from federation import Federation
from waiting import command_line, descendants_of, wait_until


@pytest.fixture(scope="module")
def node():
    with Federation("solo", connect=False) as federation:
        node = federation["solo"]
        shutil.copy(Path(__file__).with_name("echo_server.py"), node.shared)
        node.staying = ("echo_server.py", "of-those-ahead")
        node.deploy("cat", "cat")
        yield node


def server(node):
    return f"python3 {node.shared}/echo_server.py"


def deploy_http(node, name, env=None, **options):
    node.deploy(name, server(node), env={"mode": "http", **(env or {})}, **options)


def facts(node, name, target="/facts", **options):
    answer = node.request("GET", f"/function/{name}{target}", **options)
    assert answer.status == 200, answer
    return json.loads(answer.body)


@pytest.fixture(scope="module")
def http(node):
    deploy_http(node, "stays", slots=16)
    return node


# --- mode http


def test_process_stays_between_calls(http):
    first, second = facts(http, "stays"), facts(http, "stays")
    assert first["pid"] == second["pid"]
    assert second["calls"] == first["calls"] + 1


def test_connections_are_used_again(http):
    before = facts(http, "stays")["connections"]
    for _ in range(20):
        facts(http, "stays")
    assert facts(http, "stays")["connections"] == before


def test_request_arrives_as_it_was_sent(http):
    seen = facts(http, "stays", "/facts?x=1&y=%20", headers={"X-Odd": "a, b", "X-Call-Id": "mine"})
    assert seen["path"] == "/facts?x=1&y=%20"
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["x-odd"] == "a, b"
    assert headers["x-call-id"] == "mine"
    assert int(headers["x-start-time"]) > 1.7e18
    assert not [name for name in headers if name.startswith("dfaas-")]


def test_answer_says_who_and_how_long(http):
    answer = http.request("GET", "/function/stays/status?418")
    assert answer.status == 418
    assert answer.headers["X-Own"] == "yes"
    assert float(answer.headers["X-Duration-Seconds"]) >= 0
    assert answer.headers["X-Call-Id"] and answer.headers["X-Start-Time"]


@pytest.mark.parametrize("size", [0, 1, 15_000, 200_000, 5_000_000])
def test_bodies_come_back(http, size):
    body = os.urandom(size)
    assert http.call("stays", body).body == body


def test_events_arrive_while_the_function_goes_on(http):
    with socket.create_connection(("127.0.0.1", http.user_port), 10) as line:
        line.sendall(b"GET /function/stays/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
                     b"Connection: close\r\n\r\n")
        started, arrivals, text = time.monotonic(), {}, b""
        while piece := line.recv(4096):
            text += piece
            for number in range(3):
                if b"data: %d" % number in text:
                    arrivals.setdefault(number, time.monotonic() - started)
    assert set(arrivals) == {0, 1, 2}, text
    assert arrivals[2] - arrivals[0] > 0.4


def test_function_listens_in_a_network_of_its_own(http):
    deploy_http(http, "other")  # On the same port.
    assert facts(http, "other")["pid"] != 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", 8080), 2).close()
        raise AssertionError("port 8080 of the host answers")


def test_unix_socket_will_do(http):
    deploy_http(http, "by-path", {"upstream_url": "unix:/tmp/here.sock", "SOCKET": "/tmp/here.sock"})
    assert facts(http, "by-path")["environment"]["SOCKET"] == "/tmp/here.sock"


def test_port_can_be_named(http):
    deploy_http(http, "by-port", {"upstream_url": "http://127.0.0.1:5123", "port": "5123"})
    assert facts(http, "by-port")["environment"]["port"] == "5123"


def test_first_call_waits_for_a_slow_start(http):
    deploy_http(http, "slow-start", {"START_SECONDS": "1"})
    assert facts(http, "slow-start")["calls"] == 1


def test_process_that_dies_is_a_502_and_is_back(http):
    deploy_http(http, "mortal")
    before = facts(http, "mortal")["pid"]
    time.sleep(1.1)  # One that dies sooner is given a pause.
    answer = http.request("GET", "/function/mortal/die")
    assert answer.status == 502 and len(answer.text.splitlines()) == 1, answer
    started = time.monotonic()
    assert facts(http, "mortal")["calls"] >= 1
    assert time.monotonic() - started < 5
    assert before


def test_answer_that_breaks_off_breaks_off(http):
    deploy_http(http, "breaker")
    facts(http, "breaker")
    pieces = [b"GET /function/breaker/die-half-way HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
    raw = http.raw(pieces)
    assert b"1000" in raw.received and len(raw.received.partition(b"\r\n\r\n")[2]) < 1000


def test_time_limit_gives_504_and_spares_the_process(http):
    deploy_http(http, "stuck", {"exec_timeout": "300ms"})
    before = facts(http, "stuck")["pid"]
    answer = http.request("GET", "/function/stuck/endless")
    assert answer.status == 504
    assert facts(http, "stuck")["pid"] == before


def test_program_that_does_not_listen_is_told(http):
    http.deploy("mute", "sh -c 'echo broken >&2; exit 3'", env={"mode": "http"})
    answer = http.call("mute")
    assert answer.status == 500 and len(answer.text.splitlines()) == 1
    assert "ended before it answered" in answer.text
    assert http.call("cat", b"x").body == b"x"


def test_output_of_a_process_that_stays_is_in_the_log(http):
    facts(http, "stays")
    wait_until(lambda: "stream=stderr" in http.log() and "of interest" in http.log(),
               "the function's line in the log")


def test_removal_says_sigterm_first(http):
    place = http.shared_directory() / "farewell"
    deploy_http(http, "polite", {"FAREWELL": str(place)})
    facts(http, "polite")
    http.remove("polite")
    wait_until(place.exists, "the function to say goodbye", 5.0)


def test_change_lets_calls_finish_in_the_old_process(http):
    deploy_http(http, "changing", {"VERSION": "1"}, slots=4)
    facts(http, "changing")
    answers = []
    call = threading.Thread(target=lambda: answers.append(
        http.request("GET", "/function/changing/nap?1.5")))
    call.start()
    wait_until(lambda: http.in_flight("changing") == 1, "the call to run")
    deploy_http(http, "changing", {"VERSION": "2"}, slots=4)
    assert facts(http, "changing")["environment"]["VERSION"] == "2"
    call.join(20)
    assert [answer.status for answer in answers] == [200]


def test_same_deployment_again_changes_nothing(http):
    for _ in range(2):
        deploy_http(http, "same", {"max_inflight": "4"})
        wait_until(lambda: replicas_of(http, "same") == (1, 1), "its replica")
        pid = facts(http, "same")["pid"]
    deploy_http(http, "same", {"max_inflight": "4"})
    assert facts(http, "same")["pid"] == pid


def test_ready_path_is_asked_first(http):
    answer = http.try_deploy("asked", server(http), env={"mode": "http"},
                             annotations={"com.openfaas.ready.http.path": "/facts"})
    assert answer.status == 202
    assert facts(http, "asked")["calls"] >= 2


# --- the watchdog's own paths


def test_health_and_readiness_are_told(node):
    deploy_http(node, "watched", slots=1)
    facts(node, "watched")
    for name in ("watched", "cat"):
        wait_until(lambda: node.request("GET", f"/function/{name}/_/health").status == 200, "health")
        assert node.request("GET", f"/function/{name}/_/ready").status == 200
    call = threading.Thread(target=lambda: node.request("GET", "/function/watched/nap?1.5"))
    call.start()
    wait_until(lambda: node.in_flight("watched") == 1, "the call to run")
    assert node.request("GET", "/function/watched/_/health").status == 200
    assert node.request("GET", "/function/watched/_/ready").status == 429
    call.join(20)


# --- classic


def test_own_limit_of_calls_gives_429(node):
    """Some wait in line; who must not wait hears what its watchdog would say."""
    node.deploy("few", "sleep 1", env={"max_inflight": "1"}, labels={"com.openfaas.scale.max": "1"})
    statuses = load.statuses(load.burst(node.user_port, "/function/few", 12))
    assert set(statuses) == {200, 429}, statuses


def test_combined_output_holds_both(node):
    node.deploy("both", "sh -c 'echo one; echo two >&2; echo three'", env={"combine_output": "true"})
    assert node.call("both").text == "one\ntwo\nthree\n"


def test_without_cgi_headers_the_request_is_not_in_the_environment(node):
    node.deploy("bare", "env", env={"cgi_headers": "false", "OWN": "yes"})
    lines = node.call("bare", headers={"X-Odd": "1"}).text.splitlines()
    assert "OWN=yes" in lines and not [line for line in lines if line.startswith("Http_")]


def test_slow_body_gives_408_and_ends_the_process(node):
    node.deploy("reader", "cat", env={"read_timeout": "300ms"})
    held = clients.HeldCall(node.user_port, "/function/reader")
    time.sleep(0.6)  # What is tested is the passing of time.
    answer = held.finish()
    assert answer.status == 408, answer
    wait_until(lambda: not node.function_processes(), "its process to end", 5.0)


def test_write_timeout_is_a_time_limit(node):
    node.deploy("late", "sleep 30", env={"write_timeout": "300ms"})
    assert node.call("late").status == 504


@pytest.mark.parametrize("wrong", [{"mode": "static"}, {"mode": "http", "upstream_url": "http://far:1"},
                                   {"combine_output": "maybe"}, {"read_timeout": "soon"}])
def test_unreadable_variable_is_refused_and_changes_nothing(node, wrong):
    answer = node.try_deploy("refused", "cat", env=wrong)
    assert answer.status == 400 and len(answer.text.splitlines()) == 1, answer
    assert node.call("refused").status == 404


# --- started ahead


def test_processes_started_ahead_serve_one_call_each(node):
    node.deploy("ahead", "sh -c 'echo $$; cat # of-those-ahead'", slots=4,
                annotations={"dfaas.prefork": "2"})

    def waiting():
        return [pid for keeper in node.keepers() for pid in descendants_of(keeper)
                if "of-those-ahead" in " ".join(command_line(pid))]

    wait_until(lambda: len(waiting()) == 2, "two processes to wait")
    seen = set()
    for number in range(12):
        lines = node.call("ahead", b"body %d" % number).text.splitlines()
        assert lines[1] == f"body {number}"
        seen.add(lines[0])
    assert len(seen) == 12
    wait_until(lambda: len(waiting()) == 2, "two others to wait")
    node.remove("ahead")


@pytest.mark.parametrize("value", ["many", "-1", "1000"])
def test_unreadable_number_to_start_ahead_is_refused(node, value):
    answer = node.try_deploy("refused", "cat", annotations={"dfaas.prefork": value})
    assert answer.status == 400 and "dfaas.prefork" in answer.text


# --- replicas


def replicas_of(node, name):
    status = json.loads(node.system("GET", f"/system/function/{name}").body)
    return status["replicas"], status["availableReplicas"]


def test_replicas_follow_the_calls_in_flight(node):
    deploy_http(node, "grows", slots=8, labels={"com.openfaas.scale.target": "2",
                                                "com.openfaas.scale.max": "3"})
    calls = [threading.Thread(target=lambda: node.request("GET", "/function/grows/nap?2"))
             for _ in range(8)]
    for call in calls:
        call.start()
    wait_until(lambda: replicas_of(node, "grows") == (3, 3), "three replicas")
    for call in calls:
        call.join(20)


def test_fewest_replicas_are_there_from_the_start(node):
    deploy_http(node, "two", labels={"com.openfaas.scale.min": "2"})
    wait_until(lambda: replicas_of(node, "two") == (2, 2), "two replicas")


def test_sleeping_function_is_woken_by_a_call(node):
    deploy_http(node, "sleeper", labels={"com.openfaas.scale.zero": "true",
                                         "com.openfaas.scale.zero-duration": "1s"})
    facts(node, "sleeper")
    wait_until(lambda: replicas_of(node, "sleeper") == (0, 0), "it to fall asleep")
    assert node.request("GET", "/function/sleeper/_/health").status == 200
    assert facts(node, "sleeper")["calls"] == 1


def test_slots_grow_with_the_replicas(node):
    deploy_http(node, "wide", {"max_inflight": "2"}, labels={"com.openfaas.scale.min": "3"})

    def slots():
        return {entry["name"]: entry["slots"] for entry in node.status()["functions"]}["wide.openfaas-fn"]

    wait_until(lambda: slots() == 6, "2 calls in each of 3 replicas")


@pytest.mark.parametrize("labels", [{"com.openfaas.scale.min": "0"}, {"com.openfaas.scale.max": "x"},
                                    {"com.openfaas.scale.min": "3", "com.openfaas.scale.max": "2"},
                                    {"com.openfaas.scale.zero-duration": "soon"}])
def test_unreadable_scale_label_is_refused(node, labels):
    answer = node.try_deploy("refused", "cat", labels=labels)
    assert answer.status == 400 and "com.openfaas.scale" in answer.text
