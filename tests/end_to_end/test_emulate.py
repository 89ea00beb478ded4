# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dfaas emulate`: real nodes in networks of their own, the scenario played, the shell, and nothing left."""

import glob
import json
import os
import re
import signal
import subprocess
import xml.etree.ElementTree

import pytest

from federation import BINARY, dfaas
from waiting import descendants_of, process_name, reap_adopted, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/net/tun"),
                                reason="networks of their own need root and /dev/net/tun")

#: Done, or done with a load that this machine was too busy to offer in time.
DONE = (0, 3)
RTT_MS = 60

NODES = """
[[function]]
name = "figlet"
service = "100ms"
distribution = "deterministic"

[[node]]
name = "light"
slots = 1
functions = ["figlet"]

[[node]]
name = "heavy"
slots = 6
functions = ["figlet"]
"""


def scenario(directory, name, text):
    file = directory / f"{name}.toml"
    file.write_text(f'name = "{name}"\n{text}')
    return file


def groups_left():
    return glob.glob("/sys/fs/cgroup/**/dfaas-emulate-*", recursive=True)


def emulate(file, *options, timeout=100.0):
    """The result that was printed, and the exit status."""
    done = dfaas("emulate", file, "-o", "json", *options, check=False, timeout=timeout)
    assert done.returncode in DONE, done.stdout + done.stderr
    return json.loads(done.stdout)


def shell(file, *commands):
    """What the commands printed, each command's lines by itself, and the exit status."""
    marked = "".join(f"{command}\nexec light echo mark\n" for command in commands)
    done = subprocess.run([BINARY, "emulate", str(file), "--shell"], input=marked, text=True,
                          capture_output=True, timeout=100.0, check=False)
    start = done.stdout.find("nsenter")
    assert start >= 0, done.stdout + done.stderr
    answers = done.stdout[done.stdout.index("\n", done.stdout.rindex("nsenter")) + 1:]
    return answers.split("mark\n")[:-1], done.returncode


def millis(answer):
    found = re.search(r"([0-9.]+) ms$", answer.strip())
    assert found, answer
    return float(found.group(1))


def still_there(pids):
    reap_adopted(set())
    return [pid for pid in pids if process_name(pid)]


@pytest.fixture(autouse=True)
def nothing_left():
    before = groups_left(), glob.glob("/tmp/dfaas-emulate-*")
    yield
    wait_until(lambda: set(groups_left()) <= set(before[0]), "control groups to be gone")
    wait_until(lambda: set(glob.glob("/tmp/dfaas-emulate-*")) <= set(before[1]),
               "directories to be gone")


@pytest.fixture
def pair(tmp_path):
    return scenario(tmp_path, "pair", f'duration = "5s"\nrtt = "{RTT_MS}ms"\ntopology = "full"\n' + NODES +
                    '[[load]]\nnode = "light"\nfunction = "figlet"\nrate = 20\n')


def test_users_of_a_full_node_are_served_over_the_link_by_its_neighbour(pair, tmp_path):
    page = tmp_path / "page.html"
    result = emulate(pair, "--compare", "--html", page)
    emulated, simulated = result["emulated"], result["simulated"]
    assert emulated["offered"] == simulated["offered"] > 50, "the same calls in both worlds"
    assert emulated["offered"] == sum(emulated[end] for end in (
        "served_here", "served_by_peers", "refused", "late", "lost"))
    assert emulated["served_here"] > 0 and emulated["served_by_peers"] > 0
    assert emulated["success_ratio"] >= 0.9
    # Half are served by the neighbour, none of them faster than the link allows.
    assert emulated["latency_ms"]["p95"] >= 100 + RTT_MS
    light, heavy = result["nodes"]
    assert light["offered"] == emulated["offered"] and heavy["offered"] == 0
    xml.etree.ElementTree.fromstring(page.read_text().partition("\n")[2])


def test_a_node_that_crashes_is_silent_and_comes_back(tmp_path):
    file = scenario(tmp_path, "crash", 'duration = "7s"\nrtt = "2ms"\ntopology = "full"\n' + NODES + """
[[load]]
node = "heavy"
function = "figlet"
rate = 20
arrivals = "constant"

[[fault]]
kind = "node_crash"
at = "1s"
until = "3s"
nodes = ["heavy"]
""")
    result = emulate(file)
    heavy = next(node for node in result["nodes"] if node["name"] == "heavy")
    served = heavy["served_here"] + heavy["served_by_peers"]
    # 2 s of 7 without a machine, and the time of its start; all others are served.
    assert heavy["lost"] >= 0.15 * heavy["offered"]
    assert served >= 0.3 * heavy["offered"], "it came back, with its functions"


#: Users of "light" need neighbours for half of their calls. Nobody else is called.
CUT_AND_MENDED = NODES + """
[[node]]
name = "mid"
slots = 6
functions = ["figlet"]

[[load]]
node = "light"
function = "figlet"
rate = 20
arrivals = "constant"

[[fault]]
kind = "partition"
at = "2s"
until = "4s"
nodes = ["light"]

[[fault]]
kind = "one_way_cut"
at = "6s"
until = "8s"
nodes = ["light", "heavy"]
"""


def test_links_are_cut_and_mended_when_the_file_says(tmp_path):
    file = scenario(tmp_path, "cut", 'duration = "10s"\nrtt = "2ms"\ntopology = "full"\n' + CUT_AND_MENDED)
    done = dfaas("emulate", file, check=False, timeout=100.0)
    assert done.returncode in DONE, done.stdout + done.stderr
    for moment in ("partition begins: light", "partition ends: light", "one_way_cut begins: light, heavy",
                   "one_way_cut ends: light, heavy"):
        assert moment in done.stdout
    # second, ended, here, by peers, refused, late, lost
    rows = [[int(word) for word in line.split()] for line in done.stdout.splitlines()
            if re.fullmatch(r"(\s*\d+){7}", line)]
    by_peers = {row[0]: row[3] for row in rows}
    missed = {row[0]: sum(row[4:]) for row in rows}
    print("measured: by peers", list(by_peers.values()), "not served", list(missed.values()))
    assert by_peers[2] >= 3, "neighbours help"
    assert by_peers[4] == 0 and missed[4] >= 3, "nobody is there to help"
    assert by_peers[6] >= 3, "and help again"
    assert by_peers[8] >= 3 and by_peers[10] >= 3, "the other neighbour is as near as before"
    assert sum(missed[second] for second in range(6, 11)) <= 10


def test_the_shell_pings_cuts_heals_shapes_kills_and_runs_commands(pair):
    commands = ["nodes", "ping light heavy", "ping light heavy", "cut light heavy",
                "ping light heavy", "links", "heal light heavy", "ping light heavy",
                "link light heavy rtt=200ms", "ping light heavy", "exec heavy hostname",
                "kill heavy", "ping light heavy", "start heavy", "nodes", "pingall",
                "kill heavy agent", "load on", "status", "load off"]
    answers, status = shell(pair, *commands)
    assert status == 0, answers
    nodes, _, ping, _, cut, links, _, healed, _, slow, name, _, killed, _, again, all_of_them = \
        answers[:16]
    assert "10.77.0.1" in nodes and "10.77.0.2" in nodes and "haproxy" in nodes
    assert RTT_MS <= millis(ping) < 3 * RTT_MS
    assert "no answer" in cut and "cut" in links
    assert RTT_MS <= millis(healed)
    assert 200 <= millis(slow)
    assert name == "heavy\n"
    assert "no answer" in killed
    assert "down" not in again and "agent" in again.splitlines()[1]
    assert "1 of 1 links answer" in all_of_them
    assert "load on" in answers[18]


def test_the_shell_breaks_links_devices_and_programs_as_they_break(pair):
    commands = ["cut light heavy one-way", "ping light heavy", "links", "healall", "ping light heavy",
                "partition heavy", "ping heavy light", "healall", "ping heavy light",
                "down heavy", "exec heavy cat /sys/class/net/eth0/operstate", "ping light heavy", "up heavy",
                "ping light heavy", "echo  where it is", "stop light", "nodes",
                "start light MADE=here", "exec light tr '\\0' '\\n' < /proc/2/environ | grep MADE"]
    answers, status = shell(pair, *commands)
    (_, one_way, links, _, healed, _, parted, _, whole, _, _, down, _, up, echoed, _, nodes, _,
     made) = answers
    assert status == 0, answers
    assert "no answer" in one_way and "cut one way" in links
    assert RTT_MS <= millis(healed)
    assert "no answer" in parted and RTT_MS <= millis(whole)
    assert "no answer" in down and RTT_MS <= millis(up)
    assert echoed == "where it is\n"
    assert "down" in nodes.splitlines()[0] and "heavy" in nodes
    assert made == "MADE=here\n"


def test_a_frozen_node_hangs_until_it_is_thawed(pair):
    asked = "exec light curl -sk --max-time 1 -o /dev/null https://10.77.0.2:8444/; echo $?"
    answers, status = shell(pair, "freeze heavy", asked, "ping light heavy", "thaw heavy", asked, "nodes")
    assert status == 0, answers
    assert answers[1] == "28\n", "the kernel takes the connection, and nobody speaks"
    assert RTT_MS <= millis(answers[2])
    assert answers[4] != "28\n"
    assert "down" not in answers[5]


def test_the_shell_tells_what_is_wrong_and_goes_on(pair):
    wrong = {"bogus": "is no command", "ping light": "needs two nodes",
             "ping light nobody": "light, heavy do", "link light heavy loss=2": "from 0 to 1",
             "link light heavy size=1": "none of rtt=", "cut light light": "not linked",
             "kill heavy cron": "supervisor, agent, gateway, haproxy", "start heavy": "is running",
             "cut light heavy two-way": "one-way", "partition": "the nodes of one side", "down": "needs a node",
             "start light=heavy": "needs a node", "thaw light cron": "supervisor, agent",
             "load up": "load on", "exec heavy": "exec NODE COMMAND",
             "exec heavy false": "status 1"}
    answers, status = shell(pair, *wrong)
    assert status == 1
    for (command, sentence), answer in zip(wrong.items(), answers):
        assert sentence in answer and answer.count("\n") == 1, (command, answer)


def test_nodes_of_different_networks_trust_each_other_by_their_certificates_alone(pair):
    federation = 'curl -sk -o /dev/null -w "%{http_code}" https://10.77.0.2:8444/healthz'
    answers, _ = shell(pair, f"exec light {federation}; echo", "exec light " +
                       "curl -s -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:8080/healthz")
    assert answers[0].splitlines()[0] == "000", "without a certificate the handshake fails"
    assert answers[1].splitlines()[0] == "200"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(pair, how):
    run = subprocess.Popen([BINARY, "emulate", str(pair), "--keep"], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    for line in run.stdout:
        if line.split() == ["second", "ended", "here", "by", "peers", "refused", "late", "lost"]:
            break
    family = descendants_of(run.pid)
    assert {"haproxy", "dfaas", "dfaas-launcher"} <= {process_name(pid) for pid in family}
    run.send_signal(how)
    status = run.wait(timeout=30)
    run.stdout.close()
    assert status == (130 if how == signal.SIGINT else -signal.SIGKILL)
    wait_until(lambda: not still_there(family), "its processes to end")


def test_two_at_once_do_not_see_each_other(pair):
    runs = [subprocess.Popen([BINARY, "emulate", str(pair), "--shell"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [run.communicate("ping light heavy\n", timeout=100)[0] for run in runs]
    for run, answer in zip(runs, answers):
        assert run.returncode == 0 and RTT_MS <= millis(answer)


@pytest.mark.parametrize("text, sentence", [
    (NODES + '[[load]]\nnode = "nobody"\nfunction = "figlet"\nrate = 1\n', "nobody"),
    (NODES.replace("slots = 1", "slots = 1\nagent = false"), "agent = false cannot be emulated"),
    (NODES.replace("slots = 6", "slots = 6\nlie = { advertise_factor = 2 }"),
     "a lie cannot be emulated"),
    (NODES.replace("slots = 6", "slots = 6\ncount = 50"), "51 nodes are more than the 40"),
    ("bandwidth_mbps = -1\n" + NODES, "bandwidth_mbps"),
])
def test_a_scenario_that_cannot_be_emulated_is_refused_in_a_sentence(tmp_path, text, sentence):
    file = scenario(tmp_path, "wrong", 'topology = "full"\n' + text)
    done = dfaas("emulate", file, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1 and sentence in done.stderr


def test_who_is_not_root_is_told_what_it_needs(pair, tmp_path):
    os.chmod(tmp_path, 0o755)
    for parent in list(tmp_path.parents)[:2]:
        os.chmod(parent, 0o755)
    done = subprocess.run([BINARY, "emulate", str(pair)], capture_output=True, text=True,
                          timeout=30, check=False, user=65534, group=65534, extra_groups=[])
    assert done.returncode == 1
    assert "need root" in done.stderr and done.stderr.count("\n") == 1, done.stderr
