# SPDX-License-Identifier: AGPL-3.0-or-later
"""Attackers: members that lie, floods, certificates that somebody made up."""

import collections
import http.server
import json
import ssl
import subprocess
import threading


class HostileMember:
    """A program of our own behind the good certificate of a node that does not run, at its peer port. It answers the
    exchange with fifty times the functions' slots and grants without end, and calls as it was told. `how` says what becomes of calls: "swallow", "garbage", "refuse", "close"."""

    def __init__(self, node, how):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(node.directory / "pki" / "node.pem")
        self.asked = collections.Counter()
        self._over = threading.Event()
        member = self
        numbers = iter(range(1, 1 << 30))

        def boast(text):
            asked = json.loads(text)
            functions = [{**function, "slots": min(100_000, 50 * function["slots"]), "service_ms": 10}
                         for function in asked["functions"]]
            grants = [{"function": function["function"], "granted": 100_000, "left": 100_000}
                      for function in functions]
            return json.dumps({"version": 1, "boot": "hostile", "seq": next(numbers), "name": node.name,
                               "functions": functions, "asks": [], "grants": grants}).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_expect_100(self):
                return True  # Only a call that is taken gets one.

            def answer(self, status, body, headers=()):
                self.send_response(status)
                for name, value in (("DFaaS-Node-ID", node.id), ("Content-Length", len(body)), *headers):
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.answer(200, b"")

            def do_POST(self):
                if self.path.startswith("/dfaas/"):
                    body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                    self.answer(200, boast(body) if self.path.endswith("/exchange") else b"{}")
                    return
                member.asked[how] += 1
                self.close_connection = True
                if how == "swallow":
                    self.wfile.write(b"HTTP/1.1 102 Processing\r\n\r\n" if "Expect" not in self.headers
                                     else b"HTTP/1.1 100 Continue\r\n\r\n")
                    member._over.wait(120)
                elif how == "garbage":
                    self.wfile.write(b"\x00\xff\x13\x37 garbage \r\n\r\n" * 20)
                elif how == "refuse":
                    self.answer(503, b"", (("DFaaS-Outcome", "busy"),))

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", node.peer_port), Handler,
                                                       bind_and_activate=False)
        self._server.allow_reuse_address = True
        self._server.daemon_threads = True
        self._server.server_bind()
        self._server.server_activate()
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                  do_handshake_on_connect=False)
        self._server.handle_error = lambda *_: None
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


class Flood:
    """`attempt` again and again in some threads while the block runs; what came of each is in `outcomes`."""

    def __init__(self, attempt, threads):
        self.outcomes = []
        self._attempt = attempt
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def _run(self):
        while not self._is_over.is_set():
            try:
                self.outcomes.append(self._attempt())
            except (OSError, AssertionError):
                self.outcomes.append("closed")

    def counts(self):
        return dict(collections.Counter(list(self.outcomes)))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join(10)


def issue_certificate(directory, common_name, authority):
    """A key and a certificate with any name, as the holder of an authority's key can make them."""
    key, request, certificate = (directory / name for name in ("key.pem", "request.pem", "crt.pem"))
    extensions = directory / "extensions"
    extensions.write_text(f"subjectAltName=DNS:{common_name}\n"
                          "extendedKeyUsage=clientAuth,serverAuth\n")
    for command in (
            ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={common_name}"],
            ["openssl", "x509", "-req", "-in", request, "-CA", authority / "ca.crt", "-CAkey",
             authority / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", extensions,
             "-out", certificate]):
        subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=20)
    both = directory / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    return both
