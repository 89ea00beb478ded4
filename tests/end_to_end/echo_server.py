# SPDX-License-Identifier: AGPL-3.0-or-later
"""A function of mode http for tests: stays, counts its calls, and does what the path says."""

import http.server
import json
import os
import pathlib
import signal
import socket
import socketserver
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    calls = 0
    connections = 0
    ready = True

    def setup(self):
        super().setup()
        Handler.connections += 1

    def do_GET(self):
        Handler.calls += 1
        path = self.path.partition("?")[0]
        if path == "/facts":
            self.answer(json.dumps({
                "pid": os.getpid(), "calls": Handler.calls, "connections": Handler.connections,
                "path": self.path, "method": self.command, "headers": dict(self.headers.items()),
                "environment": dict(os.environ), "host": socket.gethostname()}).encode())
        elif path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(3):
                self.piece(f"data: {number}\n\n".encode())
                time.sleep(0.3)
            self.piece(b"")
        elif path == "/endless":
            time.sleep(3600)
        elif path == "/die":
            os._exit(3)
        elif path == "/die-half-way":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            os._exit(3)
        elif path == "/nap":
            time.sleep(float(self.path.partition("?")[2]))
            self.answer(b"rested")
        elif path == "/status":
            self.send_response(int(self.path.partition("?")[2]))
            self.send_header("X-Own", "yes")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.answer(self.body())

    do_POST = do_PUT = do_DELETE = do_GET

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def piece(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def address_string(self):
        return "gateway"


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "function", 0


class UnixServer(Server):
    address_family = socket.AF_UNIX


def leave(*_):
    """Says goodbye in a file, if there is one, so that tests see the SIGTERM."""
    if "FAREWELL" in os.environ:
        pathlib.Path(os.environ["FAREWELL"]).write_text("goodbye")
    os._exit(0)


def main():
    time.sleep(float(os.environ.get("START_SECONDS", "0")))
    signal.signal(signal.SIGTERM, leave)
    if "SOCKET" in os.environ:
        server = UnixServer(os.environ["SOCKET"], Handler)
    else:
        server = Server(("127.0.0.1", int(os.environ["port"])), Handler)
    print("listening", flush=True)
    print("of interest", file=sys.stderr, flush=True)
    threading.Thread(target=server.serve_forever).start()


main()
