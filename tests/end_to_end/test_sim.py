# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dfaas sim` as a user types it: what comes from elsewhere becomes a scenario that runs."""

import csv
import json
from xml.etree import ElementTree

import pytest

from federation import dfaas

MINUTES = 3
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def in_own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(name, text):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text if isinstance(text, str) else json.dumps(text, indent=2))
    return name


def read(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


def run(scenario, *options):
    return json.loads(dfaas("sim", "run", scenario, "-o", "json", *options).stdout)


def refused(*arguments):
    done = dfaas("sim", "import", *arguments, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    return done.stderr


# --- of the prototype's simulators

def measured(node, rates, max_rate=5):
    """As simulation/data/*/N.json."""
    return {"input": {"node": node, "qrcode_num": 1, "qrcode_wl": 3},
            "output": [{"ram_usage": 0.19, "cpu_usage": 0.1,
                        "functions": [{"name": "qrcode", "service_count": 1, "margin": 3,
                                       "invoc_rate": rate, "afet": 0.025, "max_rate": max_rate,
                                       "state": "Underload"}]} for rate in rates]}


def simulation_instance():
    """As simulation/instance_generator.py: the first node is asked for twice what it can serve."""
    def history(rate, max_rate):
        return measured("", [rate] * MINUTES, max_rate)["output"]
    return {"seed": 7, "nodes_number": 2, "edge_prob": 0.5,
            "node_0": {"node_type": "node_1", "neighbours": ["node_1"], "exp_history": history(20, 10)},
            "node_1": {"node_type": "node_3", "neighbours": ["node_0"], "exp_history": history(0, 30)}}


def framework_instance():
    """As framework/instance_generator.py."""
    load = {"LOW_USAGE": {"functions": [{"function_name": "figlet", "function_rate": 30}],
                          "total_rate": 30}}
    return {"seed": 1, "nodes_number": 1, "edge_prob": 0.1, "overloaded_perc": 60.0,
            "node_0": {"node_type": "LIGHT", "neighbours": [], "load": [load] * MINUTES}}


def test_instance_of_the_prototype_runs_and_shows_what_the_neighbour_is_good_for():
    written("instance.json", simulation_instance())
    done = dfaas("sim", "import", "original", "instance.json", "--output", "mine.toml")
    assert done.stdout == ""
    assert "2 nodes, 1 links, 1 functions, about 3600 calls in 180 s" in done.stderr
    assert "dfaas sim run mine.toml" in done.stderr
    alone = run("mine.toml", "--strategy", "all_local")
    shared = run("mine.toml")
    assert alone["offered"] == pytest.approx(3600, rel=0.1)
    assert alone["success_ratio"] == pytest.approx(0.5, abs=0.05)
    assert shared["success_ratio"] > 0.9


def test_instance_of_the_framework_goes_to_standard_output():
    written("instance.json", framework_instance())
    written("mine.toml", dfaas("sim", "import", "original", "instance.json").stdout)
    assert run("mine.toml")["offered"] == pytest.approx(30 * 60 * MINUTES, rel=0.1)


def test_each_data_file_becomes_a_node():
    for number, node in enumerate(["node_1", "node_2", "node_3"]):
        written(f"{number}.json", measured(node, [0, 2, 4]))
    dfaas("sim", "import", "original", "0.json", "1.json", "2.json", "--output", "mine.toml")
    assert read("mine.toml").count("[[node]]") == 3
    assert read("mine.toml").count("[[link]]") == 3
    assert run("mine.toml")["offered"] == pytest.approx(3 * 6 * 60, rel=0.1)


def test_wrong_instance_is_told_with_file_and_field_or_line():
    instance = simulation_instance()
    del instance["node_1"]["exp_history"][2]["functions"][0]["invoc_rate"]
    written("instance.json", instance)
    words = refused("original", "instance.json", "--output", "mine.toml")
    assert "instance.json: node_1.exp_history[2].functions[0].invoc_rate: is missing" in words
    written("broken.json", '{"seed": 1,\n "nodes_number": }')
    assert "broken.json: not JSON" in refused("original", "broken.json")
    assert "line 2" in refused("original", "broken.json")
    written("data.json", measured("node_1", [1]))
    words = refused("original", "data.json", "broken.json")
    assert '"broken.json": not JSON' in words and "data files, one node each" in words


def test_missing_file_is_named_and_nothing_is_written(tmp_path):
    done = dfaas("sim", "import", "original", "gone.json", "--output", "mine.toml", check=False)
    assert done.returncode == 1
    assert "gone.json" in done.stderr
    assert list(tmp_path.iterdir()) == []


# --- of Azure

def azure_2019():
    minutes = range(1, 1441)
    rows = [["HashOwner", "HashApp", "HashFunction", "Trigger", *minutes],
            ["aa", "bb", "c1", "http", *(120 for _ in minutes)],
            ["aa", "bb", "c2", "timer", *(60 for _ in minutes)],
            ["aa", "bb", "c3", "queue", *(0 for _ in minutes)]]
    return "\n".join(",".join(map(str, row)) for row in rows) + "\n"


DURATIONS = ("HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum\n"
             "aa,bb,c1,900,100,1,5000\n")

AZURE_2021 = ("app,func,end_timestamp,duration\n"
              "aa,f1,10.5,0.5\n"
              "aa,f1,3.25,0.25\n"
              "bb,f2,4,1\n"
              "bb,f2,9999,1\n")


def test_azure_2019_becomes_rates_with_slots_for_them():
    written("calls.csv", azure_2019())
    written("durations.csv", DURATIONS)
    dfaas("sim", "import", "azure2019", "calls.csv", "durations.csv", "--nodes", "2",
          "--duration", "5m", "--output", "azure.toml")
    # 2/s of 0.9 s and 1/s of the usual 0.1 s keep 1.9 slots busy: 60 % of 3.2, on two nodes.
    assert read("azure.toml").count("slots = 2") == 2
    result = run("azure.toml")
    assert result["offered"] == pytest.approx(3 * 300, rel=0.2)
    assert result["success_ratio"] > 0.9


def test_azure_2019_fills_a_federation_of_ones_own():
    written("calls.csv", azure_2019())
    written("mine.toml", """
name = "mine"
duration = "10m"
[[function]]
name = "figlet"
[[node]]
name = "light"
slots = 2
functions = ["figlet"]
[[node]]
name = "heavy"
slots = 4
functions = ["figlet"]
[[link]]
between = ["light", "heavy"]
rtt = "9ms"
[[load]]
node = "light"
function = "figlet"
rate = 1
""")
    dfaas("sim", "import", "azure2019", "calls.csv", "--federation", "mine.toml", "--users", "heavy",
          "--functions", "1", "--rate-factor", "2", "--duration", "10m", "--output", "azure.toml")
    text = read("azure.toml")
    assert "figlet" not in text
    assert 'rtt = "9ms"' in text and "slots = 4" in text
    assert text.count("[[load]]") == 1 and 'node = "heavy"\nfunction = "azure-1-c1"' in text
    assert run("azure.toml")["offered"] == pytest.approx(2 * 2 * 600, rel=0.1)


def test_azure_2021_replays_each_call_at_its_time():
    written("calls.txt", AZURE_2021)
    dfaas("sim", "import", "azure2021", "calls.txt", "--nodes", "2", "--duration", "1m", "--output",
          "azure.toml")
    dfaas("sim", "run", "azure.toml", "--log", "log.csv")
    with open("log.csv", encoding="utf-8", newline="") as file:
        rows = [(int(row["arrival_us"]), row["function"], row["service_us"])
                for row in csv.DictReader(file)]
    assert rows == [(3_000_000, "azure-1-f1", "250000"), (3_000_000, "azure-2-f2", "1000000"),
                    (10_000_000, "azure-1-f1", "500000")]


def test_calls_in_a_file_of_their_own_mean_the_same(tmp_path):
    written("calls.txt", AZURE_2021)
    (tmp_path / "sub").mkdir()
    common = ["sim", "import", "azure2021", "calls.txt", "--duration", "1m", "--output"]
    dfaas(*common, "whole.toml")
    dfaas(*common, "sub/parts.toml", "--trace", "calls.csv")
    assert 'trace = "../calls.csv"' in read("sub/parts.toml")
    assert read("calls.csv").splitlines()[0] == "at_s,node,function,service_ms"
    for scenario in ("whole.toml", "sub/parts.toml"):
        dfaas("sim", "run", scenario, "--log", scenario + ".csv")
    assert read("whole.toml.csv") == read("sub/parts.toml.csv")


@pytest.mark.parametrize("options, words", [
    (["azure2021", "wrong.txt"], 'wrong.txt: line 3, column 3 ("end_timestamp"): "noon" is not a number'),
    (["azure2021", "calls.txt", "--start", "soon"], "--start"),
    (["azure2021", "calls.txt", "--duration", "25h"], "up to 24 h"),
    (["azure2021", "calls.txt", "--start", "100s", "--duration", "1m"],
     "calls.txt: no function is called in the window"),
    (["azure2021", "calls.txt", "--users", "nobody"], '--users: there is no node "nobody"'),
    (["azure2021", "calls.txt", "--federation", "nowhere"], "--federation"),
    (["azure2019", "calls.txt"], "calls.txt: line 1: the header does not begin with HashOwner"),
    (["azure2019", "calls.txt", "--nodes", "0"], "--nodes"),
    (["azure2019", "calls.txt", "--federation", "flash", "--nodes", "2"], "--nodes"),
])
def test_what_cannot_be_imported_is_told_in_a_sentence(options, words):
    written("calls.txt", AZURE_2021)
    written("wrong.txt", AZURE_2021.replace("3.25", "noon"))
    assert words in refused(*options)


# --- what a model said

FEDERATION = """
name = "mine"
duration = "40s"
warm_up = "4s"
[[function]]
name = "figlet"
service = "50ms"
[[node]]
name = "light"
slots = 8
functions = ["figlet"]
[[node]]
name = "heavy"
slots = 8
functions = ["figlet"]
[[node]]
name = "idle"
slots = 8
functions = []
[[load]]
node = "light"
function = "figlet"
rate = 50
"""


def answer(at, local, reject=0.0, node="light", function="figlet", **neighbours):
    return json.dumps({"at_s": at, "node": node, "function": function, "local": local,
                       "reject": reject, "neighbours": neighbours}) + "\n"


def served_by(log, begin, end):
    """How calls that arrived in that time ended, as parts of all."""
    with open(log, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if begin <= int(row["arrival_us"]) / 1e6 < end]
    assert len(rows) > 100
    ends = [row["server"] if row["how"].startswith("served") else row["how"] for row in rows]
    return {how: ends.count(how) / len(ends) for how in set(ends)}


def test_answers_of_a_model_are_followed_and_the_same_again():
    written("mine.toml", FEDERATION)
    written("answers.jsonl", answer(0, 0.3, heavy=0.7) + "\n" + answer(20, 0.0, 0.5, heavy=0.5))
    for log in ("one.csv", "two.csv"):
        done = dfaas("sim", "run", "mine.toml", "--strategy", "external_model", "--model-trace",
                     "answers.jsonl", "--log", log)
        assert "note" not in done.stderr
    assert read("one.csv") == read("two.csv")
    assert served_by("one.csv", 4, 20) == pytest.approx({"light": 0.3, "heavy": 0.7}, abs=0.08)
    assert served_by("one.csv", 23, 40) == pytest.approx({"refused": 0.5, "heavy": 0.5}, abs=0.08)
    result = run("mine.toml", "--strategy", "external_model", "--model-trace", "answers.jsonl")
    assert "--model-trace answers.jsonl" in result["command"]


def test_without_answers_everything_stays_at_its_node_and_a_note_says_so():
    written("mine.toml", FEDERATION)
    done = dfaas("sim", "run", "mine.toml", "--strategy", "external_model", "--log", "log.csv")
    assert "note: external_model has no model to ask here" in done.stderr
    assert "--model-trace" in done.stderr
    assert served_by("log.csv", 0, 40).get("heavy", 0) == 0
    done = dfaas("sim", "compare", "--families", "mine.toml", "--strategies",
                 "external_model,all_local")
    assert "note: external_model" in done.stderr


@pytest.mark.parametrize("lines, words", [
    (answer(0, 1, node="hevy"), 'line 1: node: "hevy" is not in the scenario'),
    (answer(0, 1, function="ocr"), "line 1: function: ocr is not in the scenario"),
    (answer(0, 1) + answer(1, 0.5, heavy=0.4), "line 2: local: with the other shares it sums to 0.9"),
    (answer(0, 1.5, heavy=-0.5), 'line 1: local: "1.5" is not a number from 0 to 1'),
    (answer(0, 0, idle=1), "line 1: neighbours.idle: does not run figlet"),
    (answer(2, 1) + answer(1, 1), "line 2: at_s 1 is before the 2 of line 1"),
    ("0,light,figlet\n", "line 1: "),
    ("", "line 1: a trace of a model's answers has one at least"),
])
def test_wrong_answers_are_told_with_file_and_line(lines, words):
    written("mine.toml", FEDERATION)
    written("answers.jsonl", lines)
    done = dfaas("sim", "run", "mine.toml", "--strategy", "external_model", "--model-trace",
                 "answers.jsonl", check=False)
    assert done.returncode == 2, done.stderr
    assert f"answers.jsonl: {words}" in done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1


def test_answers_are_for_the_strategy_that_asks_for_them():
    written("mine.toml", FEDERATION)
    written("answers.jsonl", answer(0, 1))
    for strategy in ("grant_and_spill", "omni"):
        done = dfaas("sim", "run", "mine.toml", "--strategy", strategy, "--model-trace",
                     "answers.jsonl", check=False)
        assert done.returncode == 2
        assert f"{strategy} asks no model" in done.stderr
    done = dfaas("sim", "run", "mine.toml", "--strategy", "external_model", "--model-trace",
                 "gone.jsonl", check=False)
    assert done.returncode == 1
    assert "gone.jsonl" in done.stderr


# --- the page of a run

@pytest.mark.parametrize("family, nodes", [("test1", 3), ("speed100", 100)])
def test_page_has_a_picture_of_the_federation(family, nodes):
    dfaas("sim", "run", family, "--no-oracle", "--html", "report.html")
    page = ElementTree.parse("report.html")  # It is XML, too.
    pictures = [svg for svg in page.iter(f"{SVG}svg")
                if svg.get("aria-label", "").startswith("Who helped whom")]
    assert len(pictures) == 2, "wide and narrow"
    for picture in pictures:
        names = [title.text.split(":")[0] for title in picture.iter(f"{SVG}title")]
        assert len(set(names)) == nodes
        flows = [path for path in picture.iter(f"{SVG}path") if path.get("class") == "flow"]
        assert flows, "neighbours helped"
