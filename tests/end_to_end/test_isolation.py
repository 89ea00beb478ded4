# SPDX-License-Identifier: AGPL-3.0-or-later
"""Functions that try to break out. Each attempt is a function of its own; what it reaches, it prints.

Every test runs once per way that this machine offers: as root and as another user, in namespaces and by
Landlock. A way that it does not offer is skipped, with the reason that the node gives.
"""

import os
import socket
import subprocess
import time

import pytest
from federation import dfaas
from sandboxed import OTHER_USER, sandboxed_node
from waiting import wait_until

WAYS = ["root-namespaces", "user-namespaces", "root-landlock", "user-landlock"]
SECRET = "the-secret-of-the-host"


class Way:
    """A node run in one way, and what holds for it."""

    def __init__(self, node, user, tier):
        self.node, self.user, self.tier = node, user, tier
        self.has_namespaces = tier == "namespaces"

    def python(self, name, code, **options):
        """Deploys a program and calls it; returns the answer."""
        self.node.deploy(name, f"python3 -c '{code}'", **options)
        return self.node.call(name)

    def check_serving(self):
        """Another function goes on."""
        assert self.node.call("bystander", b"still here").body == b"still here"

    @property
    def limits(self):
        return self.node.status()["sandbox"]


@pytest.fixture(scope="module", params=WAYS)
def way(request):
    user, tier = request.param.split("-")
    with sandboxed_node(user, tier) as node:
        node.deploy("bystander", "cat")
        yield Way(node, user, tier)


@pytest.fixture(autouse=True)
def bystander(way):
    """Whatever a test does, other functions go on during and after it."""
    yield
    way.check_serving()


def test_tier_and_limits_are_told(way):
    told = way.node.status()["sandbox"]
    assert told["tier"] == way.tier
    assert told["limits"] in ("cgroup v2", "cgroup v1", "rlimits")
    shown = dfaas("status", "--dir", way.node.directory).stdout
    assert f"{way.tier}" in shown and told["limits"] in shown


# --- files


def test_host_files_are_not_seen(way):
    outside = way.node.directory.parent / "outside"
    outside.write_text(SECRET)
    outside.chmod(0o666)
    key = way.node.directory / "pki" / "node.key"
    code = """
import os
for path in ["%s", "%s", "/etc/shadow", "/root", "/home", "/sys/kernel", "/var/lib/dpkg"]:
    try:
        print(path, os.listdir(path) if os.path.isdir(path) else open(path).read())
    except OSError as error:
        print("no", path)
""" % (outside, key)
    answer = way.python("reader", code.replace("'", '"'))
    assert answer.status == 200, answer
    assert all(line.startswith("no ") or line.endswith(" []") for line in answer.text.splitlines()), answer.text
    assert SECRET not in answer.text and "PRIVATE" not in answer.text


def test_only_its_own_room_is_writable(way):
    code = """
import os, tempfile
for path in ["/x", "/usr/x", "/etc/x", "/usr/bin/x", "/opt/x", "%s/x", "/proc/sys/kernel/hostname"]:
    try:
        open(path, "w").write("x")
        print("wrote", path)
    except OSError:
        pass
with tempfile.NamedTemporaryFile() as file:
    file.write(b"x")
    print("room")
""" % way.node.directory
    assert way.python("writer", code).text == "room\n"


def test_shared_directory_is_there_and_nothing_beside(way):
    place = way.node.shared_directory()
    if way.user == "user":
        os.chown(place, OTHER_USER, OTHER_USER)
    answer = way.python("sharer", f'open("{place}/written", "w").write("x"); print("done")')
    assert answer.text == "done\n"
    assert (place / "written").read_text() == "x"


def test_full_room_is_an_error_and_takes_no_disk(way):
    if not way.has_namespaces:
        pytest.skip("without namespaces the room is a directory of the host; only file sizes are limited")
    code = """
import os
try:
    with open("/tmp/big", "wb") as file:
        for _ in range(1 << 12):
            file.write(bytes(1 << 20))
    print("filled 4 GB")
except OSError as error:
    print("full at", os.path.getsize("/tmp/big") >> 20)
"""
    answer = way.python("filler", code, slots=2)
    assert answer.text.startswith("full at"), answer
    assert int(answer.text.split()[-1]) <= 64


def test_one_file_is_limited(way):
    code = """
import os, signal, tempfile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = tempfile.TemporaryFile()
try:
    for _ in range(256):
        file.write(bytes(1 << 20))
    print("wrote 256 MB")
except OSError:
    print("stopped")
"""
    assert way.python("large", code).text == "stopped\n"


# --- processes


def test_host_processes_are_out_of_reach(way):
    victim = subprocess.Popen(["sleep", "600"], user=way.node.user)
    try:
        code = """
import os, signal
for pid in [%d, %d, %d]:
    for number in (0, signal.SIGKILL):
        try:
            os.kill(pid, number)
            print("reached", pid)
        except OSError:
            pass
for path in ("/proc/%d/environ", "/proc/%d/mem", "/proc/%d/root/etc/hostname"):
    try:
        print("read", len(open(path, "rb").read(10)))
    except OSError:
        pass
print("done")
""" % ((victim.pid, way.node.pid("gateway"), way.node.pid("launcher")) + (victim.pid,) * 3)
        if way.has_namespaces:
            # These numbers mean nothing, or itself, inside; kill(-1) and low numbers do.
            code = code.replace('print("done")', """
try:
    os.kill(1, signal.SIGKILL)
except OSError:
    pass
print("done")""")
        assert way.python("killer", code).text == "done\n"
        assert victim.poll() is None
        assert way.node.is_running
    finally:
        victim.kill()
        victim.wait()


def test_host_processes_are_not_seen(way):
    if not way.has_namespaces:
        answer = way.python("looker", 'import os\ntry:\n    print(os.listdir("/proc"))\nexcept OSError:\n    print([])')
        assert answer.text == "[]\n"
        return
    code = 'import os; print(*sorted(int(p) for p in os.listdir("/proc") if p.isdigit()))'
    pids = way.python("looker", code).text.split()
    assert len(pids) == 2 and pids[0] == "1", pids  # Its keeper and itself.


def test_ptrace_is_refused(way):
    code = """
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if child == 0:
    time.sleep(30)
for pid in (child, os.getppid(), %d):
    for request in (16, 0x4206):
        if libc.ptrace(request, pid, 0, 0) == 0:
            print("traced", pid)
os.kill(child, 9)
os.wait()
print("done")
""" % way.node.pid("gateway")
    assert way.python("tracer", code).text == "done\n"


def test_new_namespaces_mounts_and_kernel_interfaces_are_refused(way):
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
done = []
if libc.unshare(0x10000000) == 0: done.append("unshare")
if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0: done.append("mount")
if libc.chroot(b"/tmp") == 0: done.append("chroot")
if libc.syscall(321, 0, 0, 0) >= 0: done.append("bpf")
if libc.syscall(298, 0, 0, -1, -1, 0) >= 0: done.append("perf")
if libc.syscall(250, 0, 0, 0, 0, 0) >= 0: done.append("keyctl")
if libc.setuid(0) == 0: done.append("setuid")
for family in (16 + 1, 38, 40):
    fd = libc.socket(family, 1, 0)
    if fd >= 0: done.append("socket %d" % family)
print(*done, "done")
"""
    assert way.python("caller", code).text.split() == ["done"]


def test_set_user_programs_gain_nothing(way):
    answer = way.python("riser", """
import subprocess
done = subprocess.run(["su", "-c", "id"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
print("uid=0" in done.stdout)
""")
    assert answer.text == "False\n"


def test_fork_bomb_stays_inside(way):
    code = """
import os
count = 0
try:
    while count < 20000:
        if os.fork() == 0:
            os.setsid()
            import time
            time.sleep(60)
        count += 1
except OSError:
    pass
print(count)
"""
    answer = way.python("bomb", code, slots=1)
    assert answer.status == 200, answer
    assert 1 <= int(answer.text) <= 64, answer.text
    way.check_serving()
    wait_until(lambda: not way.node.function_processes(), "the bomb to be cleared away", 10.0)


def test_memory_bomb_ends_alone(way):
    code = 'x = []\nwhile True: x.append(bytearray(1 << 20))'
    limits = {"limits": {"memory": "64Mi"}}
    way.node.deploy("eater", f"python3 -c '{code}'", slots=1, **limits)
    started = time.monotonic()
    answer = way.node.call("eater")
    assert answer.status == 500, answer
    assert time.monotonic() - started < 30
    way.check_serving()
    # And the function itself is whole again.
    way.node.deploy("eater", "cat", slots=1, **limits)
    assert way.node.call("eater", b"back").body == b"back"


def test_processor_limit_holds_or_is_refused(way):
    answer = way.node.try_deploy("spinner", "python3 -c 'import time; a = time.process_time(); b = time.monotonic()\n"
                                 "while time.process_time() - a < 0.3: pass\n"
                                 "print(time.monotonic() - b)'", limits={"cpu": "100m"})
    if not way.limits["cpu"]:
        assert answer.status == 400 and "limits.cpu" in answer.text
        return
    assert answer.status == 202, answer
    assert float(way.node.call("spinner").text) > 1.5  # 0.3 s at a tenth of a processor.


# --- network


def test_network_is_out_of_reach(way):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        abstract = socket.socket(socket.AF_UNIX)
        name = f"dfaas-test-{os.getpid()}"
        abstract.bind("\0" + name)
        abstract.listen()
        code = """
import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", %d)), (socket.AF_INET, ("127.0.0.1", %d)),
                        (socket.AF_INET, ("192.0.2.1", 80)), (socket.AF_UNIX, chr(0) + "%s"),
                        (socket.AF_UNIX, "%s/run/gateway-control.sock")):
    try:
        with socket.socket(family) as client:
            client.settimeout(2)
            client.connect(address)
            print("connected", address)
    except OSError:
        pass
try:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("192.0.2.1", 53))
        print("sent")
except OSError:
    pass
print("done")
""" % (listener.getsockname()[1], way.node.user_port, name, way.node.directory)
        try:
            assert way.python("dialler", code).text == "done\n"
        finally:
            abstract.close()


def test_host_network_needs_permission(way):
    answer = way.node.try_deploy("open", "cat", annotations={"dfaas.network": "host"})
    assert answer.status == 400 and "sandbox.host_network" in answer.text


# --- what is left behind


def test_grandchild_that_holds_the_output_does_not_hold_the_call(way):
    code = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
print("answer", flush=True)
"""
    started = time.monotonic()
    answer = way.python("leaver", code)
    assert (answer.status, answer.text) == (200, "answer\n")
    assert time.monotonic() - started < 10
    wait_until(lambda: not way.node.function_processes(), "what was left to end", 5.0)


def test_grandchild_is_not_waited_for_while_other_calls_run(way):
    code = """
import os, sys, time
sys.stdin.read()
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
    os._exit(0)
print("answer", flush=True)
"""
    way.node.deploy("leaver-of-two", f"python3 -c '{code}'", slots=2)
    with way.node.occupied("leaver-of-two", 1):
        answer = way.node.call("leaver-of-two")
        assert (answer.status, answer.text) == (200, "answer\n")
        assert answer.seconds < 10
    wait_until(lambda: not way.node.function_processes(), "what was left to end", 5.0)


def test_functions_do_not_see_each_other(way):
    code = """
import os, tempfile
room = tempfile.gettempdir()
print("mine" in os.listdir(room))
open(room + "/mine", "w")
"""
    assert way.python("one", code).text == "False\n"
    assert way.python("two", code).text == "False\n"


# --- limits that make no sense


@pytest.mark.parametrize("limits", [{"memory": "much"}, {"memory": "1k"}, {"cpu": "-1"}, {"gpu": "1"},
                                    {"cpu": "0"}, {"memory": "-5Mi"}])
def test_unreadable_limit_is_refused_and_changes_nothing(way, limits):
    answer = way.node.try_deploy("limited", "cat", limits=limits)
    assert answer.status == 400, answer
    assert len(answer.text.splitlines()) == 1 and "limits." in answer.text
    assert way.node.call("limited").status == 404
