# SPDX-License-Identifier: AGPL-3.0-or-later
"""The image built by buildah and run by podman, both for a user without any right: nothing of the machine is root's.

The user, with numbers for his containers, exists only in a mount namespace of the test, where one script does it all.
Root is needed to make that, and for nothing that follows. His container has no network, so calls are made inside.
"""

import os
import resource
import shutil

import pytest
from federation import BINARY
from machine import PROJECT, build_package, debian_tree, dependencies_of, run, scratch_directory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making a user in a namespace needs root")

#: $1 is the user's directory, $2 the archive of a Debian. What is asked for goes to standard output, a line each.
_SCRIPT = r"""
set -eu
mount --make-rprivate /
ip link set lo up
for name in passwd group; do
  cp /etc/$name "$1/$name"
done
echo "tester:x:54321:54321::$1/home:/bin/sh" >> "$1/passwd"
echo "tester:x:54321:" >> "$1/group"
echo tester:200000:65536 > "$1/numbers"
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
mount --bind "$1/numbers" /etc/subuid
mount --bind "$1/numbers" /etc/subgid
chown -R 54321:54321 "$1"
cd "$1/context"
user="setpriv --reuid 54321 --regid 54321 --clear-groups env -i HOME=$1/home XDG_RUNTIME_DIR=$1/run PATH=/usr/sbin:/usr/bin:/sbin:/bin"
end() {
  $user podman rm --all --force --volumes --time 0 >&2
  $user podman system migrate >&2  # Ends the process that keeps his namespaces.
  rm -f /dev/shm/libpod_rootless_lock_54321
}
trap end EXIT
$user podman import --quiet - debian < "$2" >&2
$user buildah bud --isolation chroot --build-arg BASE=localhost/debian --tag dfaas --file Containerfile . >&2
$user podman run --detach --name alone --network none dfaas >&2
inside="$user podman exec alone dfaas"
node="--dir /var/lib/dfaas/node"
for attempt in $(seq 100); do
  if $inside deploy turn $node --process rev >&2; then break; fi
  sleep 0.1
done
$inside invoke turn $node -d abc
echo
$user podman stop --time 30 alone >&2
$user podman inspect --format '{{.State.ExitCode}}' alone
"""
_CONTAINERS = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@pytest.fixture
def home():
    home = scratch_directory()
    yield home
    shutil.rmtree(home)


def test_user_without_rights_builds_and_runs_a_node(home):
    package = build_package(BINARY, home / "context" / "build" / "package")
    for name in ("Containerfile", ".containerignore"):
        shutil.copy(PROJECT / name, home / "context")
    (home / "run").mkdir()
    settings = home / "home" / ".config" / "containers"
    settings.mkdir(parents=True)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    (settings / "containers.conf").write_text(_CONTAINERS.format(files=files))
    (settings / "storage.conf").write_text('[storage]\ndriver = "overlay"\n')
    (settings / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}\n')
    done = run("unshare", "--net", "--mount", "sh", "-c", _SCRIPT, "script", home,
               debian_tree([*dependencies_of(package), "procps"]), timeout=200)
    assert done.stdout.split() == ["cba", "0"], done.stderr
