# SPDX-License-Identifier: AGPL-3.0-or-later
"""Strategy external_model asks a server of this machine, once a period: what it says is done, and whatever
it does, calls go on."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import load
import pytest
from federation import FAST, Federation, dfaas, free_ports
from waiting import wait_until

TIMEOUT_MS = 400
SETTINGS = {**FAST, "strategy.name": "external_model", "external_model.timeout_ms": TIMEOUT_MS,
            "external_model.keep_ms": 1500}
METRIC = "dfaas_agent_model_answers_total"


def shares(local=0.0, reject=0.0, neighbours=1.0):
    """An answer that gives `neighbours` in equal parts to those that the question names."""
    def answer(question):
        (own, seen), = question["observation"].items()
        prefix = "previous_fwd_to_"
        ids = [key[len(prefix):] for key in seen
               if key.startswith(prefix) and not key.endswith("_rejected")]
        parts = {node: neighbours / len(ids) for node in ids}
        left = neighbours if not ids else 0
        return json.dumps({own: {"local": local + left, "reject": reject, **parts}})
    return answer


class Model:
    """An HTTP server on a port of its own, which keeps every question. `say` makes the answers; `hold` is
    clear while they wait."""

    def __init__(self, port):
        self.port = port
        self.questions = []
        self.say = shares()
        self.status = 200
        self.hold = threading.Event()
        self.hold.set()
        self._server = None
        self._thread = None

    def start(self):
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802, the name that http.server calls
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.questions.append((self.path, question))
                model.hold.wait(20)
                body = model.say(question).encode()
                with contextlib.suppress(OSError):  # Whom it waited for may have left.
                    self.send_response(model.status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self):
        if self._server is None:
            return
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = None

    def asked_anew(self):
        """Returns when a question came that was not there before, and gives it."""
        count = len(self.questions)
        return wait_until(lambda: self.questions[count:], "another question")[0]


@pytest.fixture
def model():
    model = Model(free_ports(1)[0])
    model.start()
    try:
        yield model
    finally:
        model.stop()


@pytest.fixture
def pair(model):
    """light asks the model; mid decides by itself."""
    url = {"external_model.url": f"http://127.0.0.1:{model.port}/agent"}
    with Federation("light", "mid", settings={
            "light": {**SETTINGS, **url}, "mid": FAST}) as federation:
        federation.deploy("work", "cat", {"light": 4, "mid": 4})
        yield federation


def plan_of(node):
    return next(entry for entry in node.plan()["functions"]
                if entry["function"] == "work.openfaas-fn")


def wait_local_share(node, share):
    wait_until(lambda: plan_of(node).get("local_share") == pytest.approx(share),
               f"{share} of the calls to stay at {node.name}")


def wait_counted(node, outcome, more=1):
    before = node.metrics().sum(METRIC, outcome=outcome)
    wait_until(lambda: node.metrics().sum(METRIC, outcome=outcome) >= before + more,
               f"an answer of the model that is {outcome}")


def lines(node, event):
    return [line for line in node.log().splitlines() if f" event={event} " in line]


def test_what_the_model_says_is_done_and_it_sees_what_came_of_it(pair, model):
    light, mid = pair["light"], pair["mid"]
    wait_local_share(light, 0)
    calls = load.closed_loop(light.user_port, "/function/work", clients=2, count=40).join()
    assert load.served_by(calls) == {mid.id: 40}
    seen_ids = {f"node_{mid.id}"}

    def is_told():
        path, question = model.questions[-1]
        (own, seen), = question["observation"].items()
        assert (path, question["function"]) == ("/agent/action", "work.openfaas-fn")
        assert question["agent_parameters"] == {"explore": False}
        assert own == f"node_{light.id}"
        assert {key.removeprefix("previous_avg_resp_time_fwd_to_") for key in seen
                if key.startswith("previous_avg_resp_time_fwd_to_")} <= seen_ids
        return seen.get(f"previous_fwd_to_node_{mid.id}", 0) > 0 and seen

    # The calls ended within a window or two: the one before the newest tells of the forwards.
    feeder = load.closed_loop(light.user_port, "/function/work", clients=1, count=400)
    seen = wait_until(is_told, "the model to hear of the forwards")
    feeder.join()
    assert seen[f"previous_avg_resp_time_fwd_to_node_{mid.id}"] > 0
    assert seen[f"previous_fwd_to_node_{mid.id}_rejected"] <= seen[f"previous_fwd_to_node_{mid.id}"]
    assert 0 <= seen["cpu_utilization"] <= 1
    model.say = shares(local=1, neighbours=0)
    wait_local_share(light, 1)
    calls = load.closed_loop(light.user_port, "/function/work", clients=2, count=40).join()
    assert load.served_by(calls) == {light.id: 40}


def test_share_that_is_rejected_is_refused(pair, model):
    light = pair["light"]
    model.say = shares(local=0, reject=1, neighbours=0)
    wait_until(lambda: plan_of(light).get("refused_share") == 1, "the plan to refuse")
    assert light.call("work").status == 503


def test_slow_model_keeps_the_last_answer_then_everything_stays_here(pair, model):
    light, mid = pair["light"], pair["mid"]
    wait_local_share(light, 0)
    model.hold.clear()
    model.asked_anew()
    # While it hangs, calls go on by its last answer.
    assert light.call("work").node_id == mid.id
    wait_counted(light, "late")
    wait_local_share(light, 1)
    answer = light.call("work", b"still here")
    assert (answer.status, answer.node_id, answer.body) == (200, light.id, b"still here")
    assert light.metrics().sum("dfaas_agent_model_functions_without_answer") == 1
    wait_counted(light, "late", 2)
    assert len(lines(light, "model_late")) == 1
    assert len(lines(light, "model_answers_expired")) == 1
    model.hold.set()
    wait_local_share(light, 0)
    assert len(lines(light, "model_answers")) == 2, "at the start, and now again"


@pytest.mark.parametrize("text", [
    "", "garbage", "[]", '{"node_x": {}}', "x" * 100_000,
    '{"OWN": {"local": 0.5, "reject": 0, "MID": 0.6}}',
    '{"OWN": {"local": 1, "reject": 0}}',
    '{"OWN": {"local": NaN, "reject": 0, "MID": 0}}',
])
def test_garbage_is_counted_and_told_once_and_not_done(pair, model, text):
    light, mid = pair["light"], pair["mid"]
    wait_local_share(light, 0)
    text = text.replace("OWN", f"node_{light.id}").replace("MID", f"node_{mid.id}")
    model.say = lambda question: text
    wait_counted(light, "wrong", 2)
    assert len(lines(light, "model_wrong")) == 1
    assert light.call("work").status == 200


def test_model_that_refuses_or_dies_is_told_of_and_comes_back(pair, model):
    light = pair["light"]
    wait_local_share(light, 0)
    model.status = 500
    wait_counted(light, "refused", 2)
    assert len(lines(light, "model_refused")) == 1
    model.stop()
    wait_counted(light, "unreachable", 2)
    assert len(lines(light, "model_unreachable")) == 1
    wait_local_share(light, 1)
    assert light.call("work").node_id == light.id
    model.status = 200
    model.start()
    wait_local_share(light, 0)


def test_strategy_needs_the_address_of_its_model(tmp_path):
    with Federation("alone", settings=FAST) as federation:
        node = federation["alone"]
        done = dfaas("strategy", "use", "external_model", "--dir", node.directory, check=False)
        assert done.returncode != 0 and "external_model.url" in done.stderr
        assert node.peers()["strategy"] == "grant_and_spill"
    init = ["node", "init", "--name", "alone", "--dir", tmp_path / "node", "--set"]
    done = dfaas(*init, "strategy.name=external_model", check=False)
    assert done.returncode == 2 and "external_model.url" in done.stderr
    done = dfaas(*init, "external_model.url=http://192.168.1.7:80", check=False)
    assert done.returncode == 2 and "127.x.x.x" in done.stderr
