# SPDX-License-Identifier: AGPL-3.0-or-later
"""Container images as functions: read, unpacked once, run as they say of themselves; and hostile ones."""

import concurrent.futures
import contextlib
import json
import os
import shutil
import stat
import subprocess
import tarfile

import clients
import pytest
from federation import Federation, dfaas, free_ports
from oci import ARCHITECTURE, Registry, build_watchdog, busybox, entry, write_layout
from waiting import descendants_of, process_name, wait_until

OTHER_ARCHITECTURE = "s390x" if ARCHITECTURE != "s390x" else "amd64"
TOOLS = ("cat", "echo", "env", "id", "ls", "pwd", "sh", "sleep", "stat", "touch")
SETTINGS = {"images.keep_ms": 300, "images.unpacked_mb": 16, "images.registries": "127.0.0.1"}


@pytest.fixture(scope="module")
def node():
    with Federation("solo", connect=False, settings=SETTINGS) as federation:
        node = federation["solo"]
        if node.status()["sandbox"]["tier"] != "namespaces":
            pytest.skip("images need namespaces")
        sources(node).mkdir(exist_ok=True)
        node.staying = ("fwatchdog",)
        yield node


def sources(node):
    return node.directory / "images"


def unpacked(node, digest):
    return node.directory / "state" / "images" / digest.replace(":", "-")


def leftovers(node):
    return sorted(path.name for path in (node.directory / "state" / "images").iterdir()
                  if not path.name.startswith("sha256-"))


def fetchers(node):
    """Processes of skopeo and umoci that the node has."""
    return [pid for pid in descendants_of(node.pid("gateway"))
            if process_name(pid) in ("skopeo", "umoci")]


def small(node, name, *members, config=None, **options):
    """A layout with a shell, these members, and some command. Returns the digest of its manifest."""
    chosen = {"Cmd": ["/bin/cat"], "Env": ["PATH=/bin"], **(config or {})}
    return write_layout(sources(node) / name, [busybox(*TOOLS), list(members)], chosen, **options)


def described(node, name):
    return json.loads(node.system("GET", f"/system/function/{name}").text)


def refused(node, image, *words, process="cat", **options):
    """The deployment gets one sentence that says these words, and changes nothing."""
    answer = node.try_deploy("refused", process, image=image, **options)
    assert 400 <= answer.status < 500, answer
    assert len(answer.text.splitlines()) == 1, answer.text
    missing = [word for word in words if word not in answer.text]
    assert not missing, f"{missing} not in: {answer.text}"
    assert node.call("refused").status == 404
    return answer.text


# --- what an image says of itself


def test_environment_directory_and_command_are_the_images(node):
    digest = small(node, "config", entry("srv/app/data", "of the image"),
                   entry("srv/app/run", "#!/bin/sh\npwd\ncat data\necho\necho $GREETING $NAME\nid -u\n",
                         mode=0o700, uid=1234),
                   config={"Env": ["PATH=/bin", "GREETING=hello", "NAME=image"],
                           "Entrypoint": ["./run"], "Cmd": None, "WorkingDir": "/srv/app",
                           "ExposedPorts": {"9000/tcp": {}}}, user="app:app")
    node.deploy("config", image="oci:config", env={"NAME": "deployment"})
    lines = node.call("config").text.splitlines()
    assert lines[:3] == ["/srv/app", "of the image", "hello deployment"]
    assert int(lines[3]) not in (0, 1234)
    seen = described(node, "config")
    assert seen["imageDigest"] == digest and seen["imageBytes"] > 1_000_000
    told = dfaas("describe", "config", "--dir", node.directory).stdout
    assert digest in told and "MB" in told
    assert "envVars" in seen and seen["envVars"] == {"NAME": "deployment"}


def test_command_line_of_the_deployment_wins_then_the_variable_of_the_image(node):
    small(node, "variable", config={"Env": ["PATH=/bin", "fprocess=echo from the variable"]})
    node.deploy("variable", image="oci:variable")
    assert node.call("variable").text == "from the variable\n"
    node.deploy("variable", "echo from the deployment", image="oci:variable")
    assert node.call("variable").text == "from the deployment\n"


def test_image_is_all_that_it_sees_and_read_only(node):
    small(node, "alone", entry("secret", "mine", mode=0o600, uid=0))
    node.deploy("alone", "sh -c 'ls /; cat /secret; touch /x || echo refused; touch /tmp/x && ls /tmp'",
                image="oci:alone", env={"combine_output": "false"})
    words = node.call("alone").text.split()
    assert set(words) >= {"bin", "secret", "proc", "tmp", "minerefused", "x"}
    assert not {"etc", "usr", "home"} & set(words)


def test_missing_working_directory_is_made(node):
    small(node, "nowhere", config={"Cmd": ["pwd"], "WorkingDir": "/work/here"})
    node.deploy("nowhere", image="oci:nowhere")
    assert node.call("nowhere").text == "/work/here\n"


def test_layers_lie_over_each_other_and_what_one_removes_is_gone(node):
    write_layout(sources(node) / "layers",
                 [busybox(*TOOLS) + [entry("data/old", "old"), entry("data/kept", "first"),
                                     entry("gone/x", "x")],
                  [entry("data/.wh.old"), entry("data/kept", "second"), entry("gone/.wh..wh..opq"),
                   entry("gone/y", "y")]],
                 {"Cmd": ["sh", "-c", "ls /data /gone; cat /data/kept"], "Env": ["PATH=/bin"]})
    node.deploy("layers", image="oci:layers")
    words = node.call("layers").text.split()
    assert "old" not in words and "x" not in words
    assert {"kept", "y", "second"} <= set(words)


@pytest.fixture(scope="module")
def watchdog_image(node, tmp_path_factory):
    program = build_watchdog(tmp_path_factory.mktemp("watchdog"))
    write_layout(sources(node) / "figlet",
                 [busybox(*TOOLS), [entry("usr/bin/fwatchdog", program, mode=0o755)]],
                 {"Cmd": ["fwatchdog"], "WorkingDir": "/root",
                  "Env": ["PATH=/usr/bin:/bin", "fprocess=cat", "mode=streaming",
                          "upstream_url=http://127.0.0.1:3000"]}, user="1000")
    return "oci:figlet"


def test_image_with_its_watchdog_runs_unmodified(node, watchdog_image):
    node.deploy("figlet", image=watchdog_image)
    for body in (b"one", b"two"):
        text = node.request("POST", "/function/figlet/a/b?c=d", body).text
        assert text.startswith("POST /a/b?c=d fprocess=cat cwd=/root uid=")
        assert text.endswith(f"body={body.decode()}\n") and "uid=0 " not in text
    assert node.call("figlet/_/health").status == 200
    node.deploy("figlet", "wc -c", image=watchdog_image)
    assert "fprocess=wc -c cwd" in node.call("figlet").text


def test_image_with_its_watchdog_can_do_without(node, watchdog_image):
    node.deploy("bare", image=watchdog_image, annotations={"dfaas.watchdog": "node"})
    assert node.call("bare", b"straight through").text == "straight through"
    refused(node, watchdog_image, "dfaas.watchdog", "image or node",
            annotations={"dfaas.watchdog": "none"})


# --- forms


def test_archives_of_docker_and_podman_and_layouts_of_umoci(node, tmp_path):
    small(node, "packed")
    for name, reference in (("one.tar", ""), ("named.tar", "localhost/team/packed:2")):
        subprocess.run(["skopeo", "copy", "--quiet", f"oci:{sources(node)}/packed:latest",
                        f"docker-archive:{sources(node)}/{name}:{reference}".rstrip(":")], check=True)
    layout = sources(node) / "by-umoci"
    (tmp_path / "root" / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), tmp_path / "root" / "bin" / "cat")
    for command in (["init", "--layout", layout], ["new", "--image", f"{layout}:1.0"],
                    ["insert", "--image", f"{layout}:1.0", tmp_path / "root", "/"],
                    ["config", "--image", f"{layout}:1.0", "--config.cmd", "/bin/cat"]):
        subprocess.run(["umoci", *command], check=True, capture_output=True)
    for image in ("docker-archive:one.tar", "docker-archive:named.tar:localhost/team/packed:2",
                  "oci:by-umoci:1.0"):
        node.deploy("packed", image=image)
        assert node.call("packed", b"x").text == "x", image
    refused(node, "docker-archive:named.tar:localhost/team/packed:3", "packed:3")


def test_index_for_several_platforms(node):
    digest = small(node, "several", platforms=[OTHER_ARCHITECTURE, ARCHITECTURE])
    node.deploy("several", image="oci:several")
    assert node.call("several", b"x").text == "x"
    small(node, "foreign", platforms=[OTHER_ARCHITECTURE], architecture=OTHER_ARCHITECTURE)
    refused(node, "oci:foreign", OTHER_ARCHITECTURE, ARCHITECTURE)
    assert described(node, "several")["imageDigest"] == digest


# --- what is wrong


def test_paths_stay_below_the_directory_of_images(node):
    for image in ("oci:../pki", "oci:/etc", "oci:.hidden", "docker-archive:/etc/passwd",
                  "docker-archive:../node.toml", "oci:a//b"):
        refused(node, image, image, "relative")
    refused(node, "oci:missing", "no directory", "images/missing")
    refused(node, "docker-archive:missing.tar", "no file", "images/missing.tar")


def test_what_cannot_be_read_says_why(node):
    small(node, "good")
    archive = sources(node) / "good.tar"
    subprocess.run(["skopeo", "copy", "--quiet", f"oci:{sources(node)}/good:latest",
                    f"docker-archive:{archive}"], check=True)
    whole = archive.read_bytes()
    (sources(node) / "cut.tar").write_bytes(whole[:len(whole) // 2])
    (sources(node) / "noise.tar").write_bytes(os.urandom(100_000))
    (sources(node) / "empty").mkdir()
    small(node, "holed", entry("holed"))
    layers = json.loads((sources(node) / "holed" / "index.json").read_text())
    manifest = sources(node) / "holed/blobs/sha256" / layers["manifests"][0]["digest"][7:]
    layer = json.loads(manifest.read_text())["layers"][0]["digest"][7:]
    (sources(node) / "holed/blobs/sha256" / layer).unlink()
    small(node, "changed", entry("changed"))  # The first layer, with the shell, is the same.
    (sources(node) / "changed/blobs/sha256" / layer).write_bytes(b"something else")
    write_layout(sources(node) / "no-tar", [b"this is no archive"])
    small(node, "foreign-alone", architecture=OTHER_ARCHITECTURE)
    write_layout(sources(node) / "mute", [busybox("cat")])
    refused(node, "docker-archive:cut.tar", "cut.tar")
    refused(node, "docker-archive:noise.tar", "noise.tar")
    refused(node, "oci:empty", "index.json")
    refused(node, "oci:holed", layer)
    refused(node, "oci:changed")
    refused(node, "oci:no-tar", "unpack layer", "unexpected EOF")
    refused(node, "oci:good:other", "other")
    refused(node, "oci:foreign-alone", OTHER_ARCHITECTURE, ARCHITECTURE)
    refused(node, "oci:mute", "names no command", process="")
    refused(node, "oci:good", "no-such-program", process="no-such-program")
    refused(node, "oci:good", "/bin/nothing", process="/bin/nothing")
    wait_until(lambda: not leftovers(node), "what was not finished to be removed")


def test_too_large_an_image_is_refused_whatever_it_says_of_its_size(node):
    zeros = entry("zeros", b"")
    zeros[0].size = 40 << 20
    big = write_layout(sources(node) / "bomb", [[(zeros[0], bytes(40 << 20))]], {"Cmd": ["/x"]})
    assert sum(file.stat().st_size for file in (sources(node) / "bomb").rglob("*")) < 2 << 20
    refused(node, "oci:bomb")
    many = [entry(f"many/{at}") for at in range(5_000)]
    write_layout(sources(node) / "many", [many], {"Cmd": ["/x"]})
    refused(node, "oci:many", "16 MB", "images.unpacked_mb")
    assert not unpacked(node, big).exists()


def test_hostile_archives_reach_nothing(node, tmp_path):
    """Names that lead out, links that lead out, devices, set-user-id bits."""
    secret = node.shared / "secret"
    secret.write_text("of the host")
    victim = node.shared / "victim"
    link = {"kind": tarfile.SYMTYPE}
    digest = small(
        node, "hostile",
        entry("../../../../../../../.." + str(victim), "written"),
        entry("out", link="/", **link), entry("out" + str(victim), "written"),
        entry("up", link="../../../../../../..", **link), entry("up" + str(victim), "written"),
        entry("hard", kind=tarfile.LNKTYPE, link="../../../../.." + str(secret)),
        config={"Cmd": ["sh", "-c", "ls -la /dev; cat /hard"]})
    answer = node.try_deploy("hostile", image="oci:hostile")
    if answer.status == 202:
        assert "of the host" not in node.call("hostile").text
    assert not victim.exists()
    kept = small(node, "kept")
    node.deploy("kept", image="oci:kept")
    write_layout(sources(node) / "above", [busybox("cat"), [entry(".wh..."), entry("x")]])
    refused(node, "oci:above")
    assert unpacked(node, kept).exists() and node.call("kept", b"x").text == "x"
    device = {"kind": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0, "mode": 0o666}
    digest = small(
        node, "power", entry("disk", **device), entry("dev/mem", **device),
        entry("root", (tmp_path / "x").write_bytes(b"") or b"#!/bin/sh\nid -u\n", mode=0o6755),
        entry("var", link=str(node.directory), **link), entry("sub/var", link="/", **link),
        config={"Cmd": ["sh", "-c", "id -u; cat /disk | sh; ls -a /var; stat -c %a /root; ls /dev"]})
    node.deploy("power", image="oci:power", env={"combine_output": "true"})
    text = node.call("power").text
    kinds = {stat.S_IFMT(path.lstat().st_mode) for path in unpacked(node, digest).rglob("*")}
    assert kinds <= {stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK}
    assert "755" in text.split() and "6755" not in text
    assert "node.toml" not in text and "mem" not in text.split()
    assert text.splitlines()[0] != "0"


# --- programs and registries


def test_missing_programs_are_named_with_their_package(node, tmp_path):
    small(node, "tools")
    for name in ("umoci", "setpriv", "haproxy"):
        os.symlink(shutil.which(name) or f"/usr/sbin/{name}", tmp_path / name)
    with Federation("bare", connect=False, settings=SETTINGS) as federation:
        bare = federation["bare"]
        bare.stop()
        bare.start(environment={"PATH": str(tmp_path)})
        shutil.copytree(sources(node) / "tools", sources(bare) / "tools")
        refused(bare, "oci:tools", "no program skopeo", "apt-get install skopeo")
        refused(bare, "127.0.0.1/figlet", "no program skopeo")
        (tmp_path / "umoci").unlink()
        (tmp_path / "skopeo").symlink_to(shutil.which("skopeo"))
        bare.stop()
        bare.start(environment={"PATH": str(tmp_path)})
        refused(bare, "oci:tools", "apt-get install umoci")
        bare.deploy("cat", "cat")
        assert bare.call("cat", b"x").text == "x"


def test_image_of_a_registry(node):
    digest = small(node, "remote", platforms=[OTHER_ARCHITECTURE, ARCHITECTURE])
    with Registry({"team/remote": sources(node) / "remote"}) as registry:
        allowed = f"127.0.0.1 {registry.host}"
        with Federation("remote", connect=False,
                        settings={**SETTINGS, "images.registries": allowed}) as federation:
            remote = federation["remote"]
            image = f"{registry.host}/team/remote"
            remote.deploy("remote", image=image)
            assert remote.call("remote", b"x").text == "x"
            assert described(remote, "remote")["imageDigest"] == digest
            fetched = len([path for path in registry.requests if "/blobs/" in path])
            remote.deploy("again", image=f"{image}@{digest}")
            assert fetched == len([path for path in registry.requests if "/blobs/" in path])
            refused(remote, f"{image}:other", "other")
            refused(remote, f"{registry.host}/team/unknown", "team/unknown")
            (closed,) = free_ports(1)
            refused(remote, f"127.0.0.1:{closed}/x", "images.registries", f"127.0.0.1:{closed}")
            refused(remote, "ghcr.io/openfaas/figlet:latest", "images.registries", "ghcr.io")
            refused(remote, "127.0.0.1/x", "127.0.0.1")  # Nobody listens there.
    refused(node, "Not A Name", "Not A Name")


def test_registry_that_stalls_is_left_in_time_and_nothing_runs_on(node):
    small(node, "stalled", entry("stalled"))
    with Registry({"stalled": sources(node) / "stalled"}) as registry:
        with Federation("slow", connect=False, settings={
                **SETTINGS, "images.registries": registry.host,
                "images.time_limit_ms": 1000}) as federation:
            slow = federation["slow"]
            registry.flows.clear()
            answer = slow.try_deploy("stalled", image=f"{registry.host}/stalled")
            assert answer.status == 500 and "not done in" in answer.text, answer
            assert not fetchers(slow)
            registry.flows.set()
            slow.deploy("stalled", image=f"{registry.host}/stalled")
            assert slow.call("stalled", b"x").text == "x"


def test_fetching_ends_with_the_gateway(node):
    small(node, "orphan", entry("orphan"))
    with Registry({"orphan": sources(node) / "orphan"}) as registry:
        with Federation("brief", connect=False,
                        settings={**SETTINGS, "images.registries": registry.host}) as federation:
            brief = federation["brief"]
            registry.flows.clear()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                answer = pool.submit(brief.try_deploy, "orphan", image=f"{registry.host}/orphan")
                left = wait_until(lambda: leftovers(brief) and fetchers(brief), "skopeo to fetch")
                brief.wait_replaced("gateway", brief.kill_program("gateway"))
                wait_until(lambda: not any(process_name(pid) for pid in left), "skopeo to end")
                assert answer.result().status in (502, 503)
            wait_until(lambda: brief.request("GET", "/healthz").status == 200, "the new gateway")
            assert not leftovers(brief)


# --- life


def test_equal_digests_are_unpacked_once_at_the_same_time(node):
    digest = small(node, "shared")
    small(node, "shared-too")
    names = [f"shared{at}" for at in range(6)]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        images = ["oci:shared" if at % 2 else "oci:shared-too" for at in range(len(names))]
        list(pool.map(lambda pair: node.deploy(pair[0], image=pair[1]), zip(names, images)))
    assert {described(node, name)["imageDigest"] for name in names} == {digest}
    lines = [line for line in node.log().splitlines()
             if "event=image_unpacked" in line and digest in line]
    assert len(lines) == 1, lines
    assert all(node.call(name, b"x").text == "x" for name in names)


def test_unused_image_is_removed_and_used_one_stays(node):
    digest = small(node, "brief", entry("brief", "x"))
    node.deploy("brief", image="oci:brief")
    other = small(node, "lasting", entry("lasting", "x"))
    node.deploy("lasting", image="oci:lasting")
    node.remove("brief")
    wait_until(lambda: not unpacked(node, digest).exists(), "the image to be removed")
    assert unpacked(node, other).exists()
    assert node.call("lasting", b"x").text == "x"
    node.deploy("brief", image="oci:brief")
    assert node.call("brief", b"x").text == "x"


def test_redeploy_takes_the_new_digest_of_a_tag_and_calls_end_in_the_old_one(node):
    old = small(node, "moving", entry("version", "old"))
    command = "sh -c 'cat; cat /version'"
    node.deploy("moving", command, image="oci:moving", slots=2)
    held = clients.HeldCall(node.user_port, "/function/moving")
    wait_until(lambda: node.in_flight("moving") == 1, "the call to run")
    new = small(node, "moving", entry("version", "new"))
    assert new != old
    node.deploy("moving", command, image="oci:moving", slots=2)
    assert node.call("moving").text == "new"
    answer = held.finish()
    assert answer.status == 200 and answer.body.endswith(b"old"), answer
    wait_until(lambda: not unpacked(node, old).exists(), "the old image to be removed")
    assert unpacked(node, new).exists()


def test_function_comes_back_without_its_archive_and_leftovers_go(node):
    digest = small(node, "returning", entry("x", "kept"))
    node.deploy("returning", "cat /x", image="oci:returning")
    shutil.rmtree(sources(node) / "returning")
    node.stop()
    half = node.directory / "state" / "images" / "work-77"
    (half / "closed").mkdir(parents=True)
    (half / "closed").chmod(0)
    broken = node.directory / "state" / "images" / ("sha256-" + 64 * "0")
    (broken / "rootfs").mkdir(parents=True)
    node.start()
    assert not half.exists() and not broken.exists()
    assert node.call("returning").text == "kept"
    assert described(node, "returning")["imageDigest"] == digest
    refused(node, "oci:returning", "no directory")
    node.crash()
    node.start()
    assert node.call("returning").text == "kept"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_node_of_an_ordinary_user():
    federation = Federation("plain", connect=False, settings=SETTINGS)
    plain = federation["plain"]
    plain.user = 65534
    sources(plain).mkdir(exist_ok=True)
    digest = small(plain, "own", entry("x", mode=0o500, kind=tarfile.DIRTYPE, uid=1000),
                   entry("x/own", "of another user", mode=0o600, uid=1000, gid=1000),
                   entry("closed", mode=0, kind=tarfile.DIRTYPE))
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(federation)
        except AssertionError as problem:
            pytest.skip(f"not on this machine: {problem}"[:200])
        if plain.status()["sandbox"]["tier"] != "namespaces":
            pytest.skip("images need namespaces")
        plain.deploy("own", "cat /x/own", image="oci:own")
        assert plain.call("own").text == "of another user"
        plain.remove("own")
        wait_until(lambda: not unpacked(plain, digest).exists(), "the image to be removed")
        wait_until(lambda: not leftovers(plain), "all of it to be removed")


def test_neighbours_stand_in_for_equal_digests_only():
    with Federation("left", "right", settings=SETTINGS) as federation:
        left, right = federation["left"], federation["right"]
        for node in (left, right):
            sources(node).mkdir(exist_ok=True)
            small(node, "same" if node is left else "renamed", entry("x", "same"))
            small(node, "other", entry("x", node.name))
        left.deploy("same", image="oci:same", slots=1)
        right.deploy("same", image="oci:renamed", slots=1)
        for node in (left, right):
            node.deploy("other", image="oci:other", slots=1)
        federation.wait_spread("same", {"left": 1, "right": 1})
        federation.wait_planned()

        def queued():
            return next(function["queued"] for function in left.status()["functions"]
                        if function["name"] == "other.openfaas-fn")

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            with left.occupied("same", 1), left.occupied("other", 1):
                assert left.call("same", b"x").node_id == right.id
                waiting = pool.submit(left.call, "other", b"x")
                wait_until(lambda: queued() == 1, "the call to wait at its own node")
            assert waiting.result().node_id == left.id
