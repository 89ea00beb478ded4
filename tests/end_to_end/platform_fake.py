# SPDX-License-Identifier: AGPL-3.0-or-later
"""A platform for tests that does what it is told: an OpenFaaS gateway that may be slow, wrong, rude or gone.

    with FakePlatform() as platform:
        platform.add("cat", labels={"dfaas.slots": "2"})
        platform.list_mode = "garbage"

Functions behave by their name: `echo` answers with the body and, as JSON in X-Seen, with what it saw;
`status-NNN` with that status; `cut` breaks off in its answer; `stream` sends a piece at a time, each when the
test says next_piece(); `stall` never answers; `rude` closes without a word.
"""

import base64
import json
import queue
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from waiting import wait_until

USER, PASSWORD = "admin", "of-the-platform-4711"
_PATIENCE_SECONDS = 20.0

#: What GET /system/functions may answer instead of the list: status and body.
WRONG_LISTS = {
    "500": (500, b"provider is away"),
    "garbage": (200, b"<html>not json</html>"),
    "wrong_types": (200, b'[{"name": "cat"}, 7]'),
    "object": (200, b'{"functions": []}'),
    "huge": (200, b"[" + b" " * (17 << 20) + b"]"),
    "too_many": (200, json.dumps([{"name": f"f{at}"} for at in range(1001)]).encode()),
}


class FakePlatform:
    def __init__(self, tls=None):
        self.tls = tls  #: An ssl.SSLContext, for https from the next start() on.
        self.functions = {}
        self.list_mode = "good"  #: "good", a key of WRONG_LISTS, "401", "truncated", "hang", "drip".
        self.requests = []  #: (method, path, headers, body) of each, oldest first.
        self.connections = 0
        self.pieces = queue.Queue()
        self.hung_up = threading.Event()  #: A caller of `stall` left.
        self._held = threading.Event()  #: Set at the end, for those that hang.
        self._server = None
        self.port = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._held.set()
        self.pieces.put(None)
        self.stop()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        platform = self

        class Handler(_Handler):
            fake = platform

        self._open = set()
        self._server = _Server(("127.0.0.1", self.port or 0), Handler)
        self.port = self._server.server_address[1]
        if self.tls:  # The handshake is made by the thread of the connection, when it reads.
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True,
                                                       do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self):
        """From now on connections are refused, and those that are open are closed."""
        if self._server is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._server = None

    def add(self, name, image="host:", process=None, replicas=1, available=1, labels=None, env=None):
        self.functions[name] = {
            "name": name, "namespace": "openfaas-fn", "image": image,
            "envProcess": name if process is None else process, "labels": labels or {},
            "annotations": None, "envVars": env or {}, "replicas": replicas,
            "availableReplicas": available, "invocationCount": 0}

    def calls(self, name):
        """What came for a function."""
        return [entry for entry in list(self.requests)
                if entry[1].partition("?")[0].startswith(f"/function/{name}")]

    def asked(self, method, path):
        return [entry for entry in list(self.requests)
                if entry[0] == method and entry[1].partition("?")[0] == path]

    def wait_read(self):
        """Until the list was asked for once more, from now on."""
        before = len(self.asked("GET", "/system/functions"))
        wait_until(lambda: len(self.asked("GET", "/system/functions")) >= before + 2,
                   "the functions of the platform to be read")

    def next_piece(self, text):
        self.pieces.put(text)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # Callers that leave are what is tested.


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake = None

    def setup(self):
        super().setup()
        self.fake.connections += 1
        self.fake._open.add(self.connection)

    def finish(self):
        self.fake._open.discard(self.connection)
        super().finish()

    def log_message(self, *_):
        pass

    def _answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _serve(self):
        body = self._read_body()
        self.fake.requests.append((self.command, self.path, dict(self.headers.items()), body))
        path = self.path.partition("?")[0]
        if path.startswith("/function/"):
            self._call(path.split("/")[2].partition(".")[0], body)
        elif not self._is_authorized() or self.fake.list_mode == "401":
            self._answer(401, b"Unauthorized", {"WWW-Authenticate": 'Basic realm="Restricted"'})
        elif path == "/system/functions":
            self._functions(body)
        elif path == "/system/info":
            self._answer(200, b'{"provider": {"provider": "fake", "version": {"release": "1.2"}}}')
        elif path == "/system/logs":
            self._stream(b'{"text": "%s"}\n')
        else:
            self._answer(202, b"passed " + path.encode())

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _is_authorized(self):
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == "Basic " + wanted

    def _functions(self, body):
        if self.command in ("POST", "PUT"):
            told = json.loads(body)
            self.fake.add(told["service"], told["image"], told.get("envProcess", ""),
                          labels=told.get("labels"), env=told.get("envVars"))
            self._answer(202)
        elif self.command == "DELETE":
            self.fake.functions.pop(json.loads(body)["functionName"], None)
            self._answer(202)
        else:
            self._list()

    def _list(self):
        mode = self.fake.list_mode
        good = json.dumps(list(self.fake.functions.values())).encode()
        if mode in WRONG_LISTS:
            self._answer(*WRONG_LISTS[mode])
        elif mode == "truncated":
            self.send_response(200)
            self.send_header("Content-Length", str(len(good) + 100))
            self.end_headers()
            self.wfile.write(good)
            self.close_connection = True
        elif mode == "hang":
            self.fake._held.wait(_PATIENCE_SECONDS)
        elif mode == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            while not self.fake._held.wait(0.05):  # The slowness is what is tested.
                self.wfile.write(b" ")
        else:
            self._answer(200, good)

    def _call(self, name, body):
        if name not in self.fake.functions:
            self._answer(404, b"no such function", {"X-OpenFaaS-Internal": "gateway"})
        elif name.startswith("status-"):
            self._answer(int(name.partition("-")[2]), b"as asked", {"X-Own": "yes"})
        elif name == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        elif name == "rude":
            self.close_connection = True
        elif name == "stream":
            self._stream(b"%s")
        elif name == "stall":
            while not self.fake._held.is_set():
                self.connection.settimeout(0.05)
                try:
                    if not self.connection.recv(1):
                        self.fake.hung_up.set()
                        break
                except TimeoutError:
                    continue
            self.close_connection = True
        else:
            seen = {"method": self.command, "path": self.path, "headers": dict(self.headers.items())}
            self._answer(200, body, {"X-Seen": json.dumps(seen), "X-Node": "platform"})

    def _stream(self, form):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while (text := self.fake.pieces.get(timeout=_PATIENCE_SECONDS)) is not None:
            piece = form % text
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
