# SPDX-License-Identifier: AGPL-3.0-or-later
"""Container images made for tests: OCI layouts byte by byte, good and hostile, and a registry on the loopback.

    write_layout(directory / "small", [files({"data/x": "text"})], config={"Cmd": ["/bin/cat"]})
    with Registry({"team/small": layout}) as registry:
        node.deploy("f", image=f"{registry.host}/team/small:latest")
"""

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import platform
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

#: Answers like the watchdog of OpenFaaS: healthy at /_/health, else who and where it is, and the request.
_WATCHDOG = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static void serve(FILE* in, FILE* out) {
  char line[8192], path[4096], method[16];
  while (fgets(line, sizeof line, in) && sscanf(line, "%15s %4095s", method, path) == 2) {
    size_t length = 0;
    while (fgets(line, sizeof line, in) && strcmp(line, "\r\n") != 0) {
      if (strncasecmp(line, "content-length:", 15) == 0) length = strtoul(line + 15, NULL, 10);
    }
    char body[4096] = "", text[16384], here[1024] = "";
    if (length >= sizeof body || (length > 0 && fread(body, 1, length, in) != length)) return;
    getcwd(here, sizeof here);
    const char* process = getenv("fprocess");
    int size = snprintf(text, sizeof text, "%s %s fprocess=%s cwd=%s uid=%d body=%s\n", method, path,
                        process ? process : "", here, (int)getuid(), body);
    if (strcmp(path, "/_/health") == 0) size = snprintf(text, sizeof text, "OK");
    fprintf(out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, text);
    fflush(out);
  }
}

int main(void) {
  int on = 1, server = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(server, (struct sockaddr*)&address, sizeof address) || listen(server, 64)) return 1;
  for (;;) {
    int client = accept(server, NULL, NULL);
    if (client < 0) return 1;
    if (fork() == 0) {
      serve(fdopen(client, "r"), fdopen(dup(client), "w"));
      return 0;
    }
    close(client);
  }
}
"""


def build_watchdog(directory):
    """A static program that behaves like fwatchdog; its bytes."""
    source = Path(directory) / "fwatchdog.c"
    source.write_text(_WATCHDOG)
    program = source.with_suffix("")
    subprocess.run(["gcc", "-static", "-O1", "-o", program, source], check=True)
    return program.read_bytes()


def entry(name, data=b"", mode=0o644, kind=tarfile.REGTYPE, link="", **more):
    """One member of a layer."""
    data = data.encode() if isinstance(data, str) else data
    member = tarfile.TarInfo(name)
    member.size = len(data) if kind == tarfile.REGTYPE else 0
    member.mode, member.type, member.linkname = mode, kind, link
    for field, value in more.items():
        setattr(member, field, value)
    return member, data


def busybox(*names):
    """A shell and these programs, as members of a layer."""
    program = Path(shutil.which("busybox")).read_bytes()
    links = [entry(f"bin/{name}", kind=tarfile.SYMTYPE, link="/bin/busybox") for name in names]
    return [entry("bin", mode=0o755, kind=tarfile.DIRTYPE),
            entry("bin/busybox", program, mode=0o755), *links]


def _layer(members):
    if isinstance(members, bytes):
        return members
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), compresslevel=1, mtime=0)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_layout(directory, layers, config=None, tag="latest", architecture=ARCHITECTURE, user="",
                 platforms=None):
    """An OCI layout, or one more tag of it. `layers` are lists of entry(), or bytes as they shall be. With
    `platforms`, the tag is an index with this image for each of them. Returns the digest of the manifest."""
    blobs = Path(directory) / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def blob(data, media_type, **more):
        (blobs / digest(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}

    packed = [_layer(members) for members in layers]

    def whole(data):
        try:
            return digest(gzip.decompress(data))
        except (OSError, EOFError):
            return digest(data)

    facts = {"architecture": architecture, "os": "linux", "config": {"User": user, **(config or {})},
             "rootfs": {"type": "layers", "diff_ids": [whole(data) for data in packed]}}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                "config": blob(json.dumps(facts).encode(), _CONFIG),
                "layers": [blob(data, _LAYER) for data in packed]}
    told = blob(json.dumps(manifest).encode(), MANIFEST)
    name = {"annotations": {"org.opencontainers.image.ref.name": tag}}
    top = {**told, **name}
    if platforms:
        several = [{**told, "platform": {"os": "linux", "architecture": one}} for one in platforms]
        text = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": several}).encode()
        top = {**blob(text, INDEX), **name}
    index_file = Path(directory) / "index.json"
    index = json.loads(index_file.read_text()) if index_file.exists() else {"schemaVersion": 2,
                                                                          "manifests": []}
    index["manifests"] = [one for one in index["manifests"]
                          if one["annotations"] != name["annotations"]] + [top]
    draft = index_file.with_suffix(".new")
    draft.write_text(json.dumps(index))
    draft.rename(index_file)
    (Path(directory) / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return told["digest"]


class Registry:
    """The reading side of a container registry, over layouts: {"team/small": DIRECTORY}. Blobs wait while
    `flows` is not set."""

    def __init__(self, layouts):
        self.requests = []
        self.flows = threading.Event()
        self.flows.set()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                registry.requests.append(self.path)
                if "/blobs/" in self.path:
                    registry.flows.wait(60)
                status, kind, data = registry._find(self.path, layouts)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                if status == 200 and "/manifests/" in self.path:
                    self.send_header("Docker-Content-Digest", digest(data))
                with contextlib.suppress(OSError):  # Of one that was ended meanwhile.
                    self.end_headers()
                    if self.command == "GET":
                        self.wfile.write(data)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"

    @staticmethod
    def _find(path, layouts):
        if path == "/v2/":
            return 200, "application/json", b"{}"
        missing = 404, "application/json", json.dumps(
            {"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known"}]}).encode()
        for name, layout in layouts.items():
            for kind in ("manifests", "blobs"):
                start = f"/v2/{name}/{kind}/"
                if not path.startswith(start):
                    continue
                wanted, media_type = path[len(start):], "application/octet-stream"
                index = json.loads((Path(layout) / "index.json").read_text())
                for one in index["manifests"]:
                    if one["annotations"]["org.opencontainers.image.ref.name"] == wanted:
                        wanted = one["digest"]
                file = Path(layout) / "blobs" / "sha256" / wanted.removeprefix("sha256:")
                if not wanted.startswith("sha256:") or not file.is_file():
                    return missing
                if kind == "manifests":
                    media_type = json.loads(file.read_bytes())["mediaType"]
                return 200, media_type, file.read_bytes()
        return missing

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.flows.set()
        self._server.shutdown()
        self._server.server_close()
