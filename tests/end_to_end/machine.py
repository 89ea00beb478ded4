# SPDX-License-Identifier: AGPL-3.0-or-later
"""A machine for tests: a fresh Debian booted by its own systemd, in namespaces of this one. Needs root.

    with Machine(tree) as machine:
        machine.run("systemctl", "start", "dfaas")
        machine.in_network("curl", "http://127.0.0.1:8080/healthz")

It has its own processes, mounts, network (a loopback) and a control group; all of them are gone when the block is
left. Its /proc has no covered parts, as on a machine and unlike in most containers.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from waiting import children_of, wait_until

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / "build" / "roots"
_BOOT_SECONDS = 60.0
_SCRATCH_BYTES = 3 << 30
_NAMESPACES = ["--pid", "--fork", "--mount", "--net", "--uts", "--ipc", "--cgroup", "--kill-child"]
_ENTER = ["--pid", "--mount", "--net", "--uts", "--ipc", "--cgroup"]

#: What would change the kernel that both machines share.
_MASKED = ["systemd-sysctl.service", "systemd-modules-load.service", "modprobe@.service", "dev-hugepages.mount",
           "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount",
           "sys-fs-fuse-connections.mount", "proc-sys-fs-binfmt_misc.automount", "console-getty.service"]

#: Run by a shell in new namespaces; $1 is the tree. Devices are made anew: systemd sets the modes of those it finds.
_BOOT = r"""
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mknod -m 600 dev/console c 1 3
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t cgroup2 cgroup2 sys/fs/cgroup
hostname machine
pivot_root . mnt
exec chroot . /bin/sh -c 'umount -l /mnt && exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd'
"""


def run(*command, timeout=120.0, check=True, **options):
    """Runs a program of this machine. Returns subprocess.CompletedProcess with texts."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, errors="replace", **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}: "
                             f"{done.stdout}{done.stderr}")
    return done


def scratch_directory():
    """For hundreds of megabytes that are removed soon: in memory, where that has room and can hold layers of images."""
    directory = Path(tempfile.mkdtemp(prefix="dfaas-", dir="/dev/shm"))
    try:
        os.setxattr(directory, "user.dfaas", b"")
        is_good = shutil.disk_usage(directory).free > _SCRATCH_BYTES
    except OSError:
        is_good = False
    if not is_good:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="dfaas-", dir="/var/tmp"))
    directory.chmod(0o755)
    return directory


def build_package(binary, directory):
    """The Debian package of the build that `binary` belongs to. Returns its path."""
    build = Path(binary).resolve().parent
    run("cmake", "--build", build, "--target", "package_files", timeout=600)
    run("cpack", "--config", build / "CPackConfig.cmake", "-B", directory)
    [package] = Path(directory).glob("*.deb")
    return package


def dependencies_of(package):
    """Names of the packages it depends on; of alternatives the last."""
    depends = run("dpkg-deb", "-f", package, "Depends").stdout.strip()
    return [re.sub(r"\(.*", "", entry.split("|")[-1]).strip() for entry in depends.split(",")]


def debian_tree(packages):
    """An archive of a minimal Debian with `packages`; made once, from the sources that this machine uses."""
    words = ",".join(sorted({"systemd", *packages}))
    archive = CACHE / f"bookworm-{hashlib.sha256(words.encode()).hexdigest()[:12]}.tar"
    if not archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = archive.with_suffix(f".{os.getpid()}")
        sources = [path for path in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")
                   if Path(path).exists()][:1]
        run("mmdebstrap", "--format=tar", "--variant=minbase", f"--include={words}", "bookworm",
            fresh, *sources, timeout=280)
        fresh.rename(archive)
    return archive


def unpack(archive):
    tree = scratch_directory()
    run("tar", "-C", tree, "--numeric-owner", "-xpf", archive)
    return tree


def _cgroup2():
    """Where this machine has control groups of version 2."""
    for line in Path("/proc/mounts").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    raise AssertionError("no control groups of version 2 on this machine")


class Machine:
    def __init__(self, tree):
        self.tree = Path(tree)
        self._group = _cgroup2() / f"dfaas-test-{os.getpid()}"
        self._outer = None
        self._init = None

    def __enter__(self):
        self._group.mkdir()
        for unit in _MASKED:
            link = self.tree / "etc/systemd/system" / unit
            if not link.is_symlink():
                link.symlink_to("/dev/null")
        join = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', self._group]
        self._outer = subprocess.Popen([*map(str, join), "unshare", *_NAMESPACES, "sh", "-c", _BOOT,
                                        "boot", str(self.tree)], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._init = wait_until(lambda: children_of(self._outer.pid), "the first process")[0]
            wait_until(self._has_booted, "the machine to boot", _BOOT_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _has_booted(self):
        if self._outer.poll() is not None:
            raise RuntimeError(f"the machine ended with {self._outer.returncode} while it booted")
        done = self.run("systemctl", "is-system-running", check=False)
        return done.stdout.strip() in ("running", "degraded")

    def run(self, *command, **options):
        """Runs a program of the machine, as its root."""
        return run("nsenter", "--target", self._init, *_ENTER, "--root", "--wd", *command, **options)

    def in_network(self, *command, **options):
        """Runs a program of this machine, with the network of that one."""
        return run("nsenter", "--target", self._init, "--net", *command, **options)

    def processes_of(self, user):
        """/proc/PID/status of every process of this user, as {name: value}."""
        found = []
        for pid in self.run("pgrep", "-u", user, check=False).stdout.split():
            try:
                text = self.run("cat", f"/proc/{pid}/status", check=False).stdout
            except ProcessLookupError:
                continue
            if text:
                found.append(dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line))
        return found

    def __exit__(self, *_):
        if self._init:
            os.kill(self._init, signal.SIGKILL)
        try:
            self._outer.wait(20)
        except subprocess.TimeoutExpired:
            self._outer.kill()
            self._outer.wait()
        for directory, _, _ in os.walk(self._group, topdown=False):
            os.rmdir(directory)


def listing(tree, skipped):
    """What a tree holds: {path: (mode, owner, and the text of a small file)}, without what is below `skipped`."""
    found = {}
    for directory, names, files in os.walk(tree):
        place = "/" + os.path.relpath(directory, tree) if directory != str(tree) else ""
        names[:] = [name for name in names if f"{place}/{name}" not in skipped]
        for name in [*names, *files]:
            path = Path(directory) / name
            if f"{place}/{name}" in skipped:
                continue
            status = path.lstat()
            is_text = path.is_file() and not path.is_symlink() and status.st_size < 65536
            found[f"{place}/{name}"] = (oct(status.st_mode), status.st_uid, status.st_gid,
                                        path.read_bytes() if is_text else b"")
    return found


def remove(tree):
    shutil.rmtree(tree, ignore_errors=True)
