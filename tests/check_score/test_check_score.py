# SPDX-License-Identifier: AGPL-3.0-or-later
"""tools/check-score on a log of a few calls that can be reckoned by hand, and on logs that cannot be."""

import copy
import csv
import json
import pathlib
import subprocess
import sys

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check-score"
SECOND = 1_000_000
COLUMNS = ["arrival_us", "end_us", "node", "function", "server", "tries", "how", "is_late", "service_us"]

# Two nodes with one slot each, for calls of 1 s: 10 in a window of 10 s.
INPUT = {
    "scenario": "pair", "duration_us": 22 * SECOND, "warm_up_us": 2 * SECOND, "window_us": 10 * SECOND,
    "functions": [{"name": "work", "service_mean_us": SECOND, "deadline_us": 2 * SECOND,
                   "share": "federation"}],
    "nodes": [{"name": name, "organisation": "org", "pools": [{"slots": 1}],
               "functions": [{"function": "work", "pool": 0}], "joins_at_us": 0, "runs_agent": True,
               "refuses_guests": False, "slowdown_factor": 1} for name in ("a", "b")],
    "links": [{"a": "a", "b": "b", "loss_ratio": 0}],
    "faults": [],
}


def call(**changes):
    row = {"arrival_us": 3 * SECOND, "end_us": 4 * SECOND, "node": "a", "function": "work", "server": "a",
           "tries": 0, "how": "served_here", "is_late": 0, "service_us": SECOND}
    return row | changes


def calls():
    """30 in the first window: 8 served at home, 5 by the peer, 1 of them late; the rest refused."""
    return ([call() for _ in range(8)] +
            [call(how="served_by_peer", server="b", tries=1) for _ in range(4)] +
            [call(how="served_by_peer", server="b", tries=1, end_us=6 * SECOND, is_late=1)] +
            [call(how="refused", end_us=3 * SECOND) for _ in range(17)])


@pytest.fixture
def check(tmp_path):
    def run(rows, data=None, result=None):
        with open(tmp_path / "log.csv", "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        (tmp_path / "input.json").write_text(json.dumps(INPUT if data is None else data), encoding="utf-8")
        command = [sys.executable, TOOL, tmp_path / "log.csv", tmp_path / "input.json"]
        if result is not None:
            (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
            command += ["--result", tmp_path / "result.json"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)
    return run


def changed(**changes):
    return copy.deepcopy(INPUT) | changes


def with_node(name, **changes):
    data = copy.deepcopy(INPUT)
    next(node for node in data["nodes"] if node["name"] == name).update(changes)
    return data


def with_fault(**fault):
    return changed(faults=[{"at_us": 2 * SECOND, "until_us": None, "nodes": ["b"], "factor": 1} | fault])


def test_works_out_the_score(check):
    run = check(calls())
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout) == pytest.approx(
        {"offered": 30, "served": 12, "oracle_served": 20, "served_over_oracle_ratio": 0.6})


def test_agrees_with_a_result_that_is_right_only(check):
    right = {"offered": 30, "served": 12, "oracle_served": 20.000001, "served_over_oracle_ratio": 0.6}
    assert check(calls(), result=right).returncode == 0
    for key in right:
        run = check(calls(), result=right | {key: right[key] + 0.001})
        assert run.returncode == 1
        assert f"{key} is" in run.stderr
    assert check(calls(), result={}).returncode == 1


def test_leaves_the_warm_up_out(check):
    early = [call(arrival_us=SECOND, end_us=2 * SECOND) for _ in range(5)]
    assert json.loads(check(calls() + early).stdout)["offered"] == 30


def test_of_nothing_is_all(check):
    assert json.loads(check([]).stdout)["served_over_oracle_ratio"] == 1


@pytest.mark.parametrize("data, best", [
    (changed(links=[]), 10),
    (changed(links=[{"a": "a", "b": "b", "loss_ratio": 1}]), 10),
    (with_node("b", refuses_guests=True), 10),
    (with_node("b", runs_agent=False), 10),
    (with_node("b", functions=[]), 10),
    (with_node("b", slowdown_factor=2), 15),
    (with_node("b", pools=[{"slots": 3}]), 30),
    (with_node("b", joins_at_us=7 * SECOND), 5),
    (with_fault(kind="node_crash"), 10),
    (with_fault(kind="node_crash", nodes=["a"]), 0),
    (with_fault(kind="node_crash", until_us=12 * SECOND), 10),
    (with_fault(kind="node_crash", at_us=12 * SECOND), 20),
    (with_fault(kind="partition"), 10),
    (with_fault(kind="partition", nodes=["a", "b"]), 20),
    (with_fault(kind="link_cut", nodes=["b", "a"]), 10),
    (with_fault(kind="one_way_cut", nodes=["b", "a"]), 10),
    (with_fault(kind="slowdown", factor=4), 12.5),
    (with_fault(kind="agent_crash"), 20),
])
def test_knows_who_can_serve_whom(check, data, best):
    refused = [call(how="refused") for _ in range(30)]
    assert json.loads(check(refused, data).stdout)["oracle_served"] == pytest.approx(best)


@pytest.mark.parametrize("row, why", [
    (call(node="nobody"), "no node"),
    (call(function="nothing"), "no function"),
    (call(how="forgotten"), "no way to end"),
    (call(end_us=2 * SECOND), "it arrives"),
    (call(arrival_us=30 * SECOND, end_us=31 * SECOND), "it arrives"),
    (call(end_us=6 * SECOND), "is_late"),
    (call(is_late=1), "is_late"),
    (call(how="refused", is_late=1), "refused"),
    (call(how="lost", server="b"), "lost"),
    (call(server="b"), "served_here"),
    (call(how="served_by_peer"), "served_by_peer"),
    (call(service_us=3 * SECOND), "runs for"),
])
def test_complains_of_a_row_that_cannot_be(check, row, why):
    run = check([call(), row])
    assert run.returncode == 1
    assert "line 3" in run.stderr
    assert why in run.stderr


def test_complains_of_a_server_that_may_not(check):
    run = check([call(how="served_by_peer", server="b")], with_node("b", refuses_guests=True))
    assert run.returncode == 1
    assert "may not serve" in run.stderr


@pytest.mark.parametrize("rows, data", [([call(arrival_us="soon")], None), ([call(is_late="perhaps")], None),
                                        ([], {}), ([call()], changed(nodes=[{}])), ([], [])])
def test_cannot_read_what_is_neither(check, rows, data):
    run = check(rows, data)
    assert run.returncode == 2
    assert run.stderr.startswith("check-score: ")
    assert "Traceback" not in run.stderr
