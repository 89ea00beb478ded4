# SPDX-License-Identifier: AGPL-3.0-or-later
"""Clients of a node: polite ones (http.client), and ones that send exactly the bytes they are given."""

import http.client
import socket
import ssl
import time
from dataclasses import dataclass

PATIENCE_SECONDS = 30.0


class Headers:
    """Headers of an answer, names in any case."""

    def __init__(self, pairs):
        self.pairs = list(pairs)

    def get(self, name, otherwise=None):
        values = self.all(name)
        return values[0] if values else otherwise

    def all(self, name):
        return [value for known, value in self.pairs if known.lower() == name.lower()]

    def __contains__(self, name):
        return bool(self.all(name))

    def __getitem__(self, name):
        values = self.all(name)
        if not values:
            raise KeyError(f"no header {name} among {self.pairs}")
        return values[0]

    def __repr__(self):
        return repr(self.pairs)


@dataclass
class Answer:
    status: int
    headers: Headers
    body: bytes
    seconds: float

    @property
    def text(self):
        return self.body.decode(errors="replace")

    @property
    def node_id(self):
        return self.headers.get("DFaaS-Node-ID")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _ask(connection, method, target, body, headers):
    since = time.monotonic()
    try:
        connection.request(method, target, body=body, headers=headers or {},
                           encode_chunked="Transfer-Encoding" in (headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, Headers(answer.getheaders()), answer.read(),
                      time.monotonic() - since)
    finally:
        connection.close()


def request(port, method, target, body=None, headers=None, timeout=PATIENCE_SECONDS):
    """One request on a connection of its own. A body that is an iterable of pieces goes chunked, unless
    `headers` tell its length."""
    if body is not None and not isinstance(body, (bytes, str)) and "Content-Length" not in (headers or {}):
        headers = {**(headers or {}), "Transfer-Encoding": "chunked"}
    return _ask(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout), method, target, body,
                headers)


def unix_request(path, method, target, body=None, headers=None, timeout=PATIENCE_SECONDS):
    return _ask(_UnixConnection(path, timeout), method, target, body, headers)


def tls_context(certificate_and_key=None):
    """Of a client that shows this certificate (a PEM file with both). Whom it talks to it does not
    check: the tests are about whom the node lets in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    if certificate_and_key is not None:
        context.load_cert_chain(certificate_and_key)
    return context


def tls_request(port, context, method, target, body=b"", headers=None):
    """One request of a neighbour. Unlike http.client it takes any number of interim answers."""
    told = {"Host": "node", "Content-Length": str(len(body)), **(headers or {})}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    with KeptConnection(port, context) as connection:
        return connection.exchange("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


class HeldCall:
    """A call whose body does not end before finish(): its function waits, its slot stays taken."""

    #: More than a node reads ahead of deciding.
    _FIRST_BYTES = 20_000

    def __init__(self, port, target, headers=None):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        self._connection.putrequest("POST", target)
        for name, value in {"Transfer-Encoding": "chunked", **(headers or {})}.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()
        self._send(b"x" * self._FIRST_BYTES)

    def _send(self, piece):
        self._connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    def finish(self):
        try:
            self._send(b"")
            answer = self._connection.getresponse()
            return Answer(answer.status, Headers(answer.getheaders()), answer.read(), 0.0)
        finally:
            self._connection.close()

    def abandon(self):
        self._connection.close()


@dataclass
class RawExchange:
    received: bytes
    closed: bool  #: The other side ended the connection; else it fell silent.

    def answers(self):
        """The answers with a final status in what came back. Every one must be well formed."""
        found = []
        rest = self.received
        while rest:
            answer, rest = split_answer(rest)
            if answer.status >= 200:
                found.append(answer)
        return found


def split_answer(received):
    """The first answer of `received`, and what follows it."""
    head, separator, rest = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not separator or not lines[0].startswith("HTTP/1."):
        raise ValueError(f"not an answer: {received[:200]!r}")
    status = int(lines[0].split()[1])
    headers = Headers(tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:])
    if status < 200 or status in (204, 304):
        return Answer(status, headers, b"", 0.0), rest
    if "chunked" in (headers.get("Transfer-Encoding") or ""):
        body = b""
        while True:
            size_text, _, rest = rest.partition(b"\r\n")
            size = int(size_text.split(b";")[0], 16)
            body, rest = body + rest[:size], rest[size + 2:]
            if size == 0:
                return Answer(status, headers, body, 0.0), rest
    length = headers.get("Content-Length")
    size = len(rest) if length is None else int(length)
    return Answer(status, headers, rest[:size], 0.0), rest[size:]


def raw_exchange(port, pieces, context=None, silence_seconds=1.0, pause_seconds=0.005,
                 half_close=False):
    """Sends exactly these bytes (one write each, a pause between), then reads until the other side
    closes or says nothing more for `silence_seconds` after its first byte. With `half_close` it says
    that no more will be sent."""
    if isinstance(pieces, bytes):
        pieces = [pieces]
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = context.wrap_socket(plain) if context else plain
        try:
            for at, piece in enumerate(pieces):
                if at > 0:
                    time.sleep(pause_seconds)  # The gap is what is tested: two packets, not one.
                connection.sendall(piece)
            if half_close and context is None:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            pass  # It answered early and closed; what it said is still to be read.
        while True:
            connection.settimeout(silence_seconds if received else PATIENCE_SECONDS)
            try:
                piece = connection.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                return RawExchange(received, closed=False)
            except (ConnectionResetError, ssl.SSLError):
                return RawExchange(received, closed=True)
            if not piece:
                return RawExchange(received, closed=True)
            received += piece


class KeptConnection:
    """One TLS connection for several raw requests, each answered before the next."""

    def __init__(self, port, context):
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._connection = context.wrap_socket(plain)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()

    def exchange(self, text):
        self._connection.sendall(text)
        received = b""
        while True:
            piece = self._connection.recv(65536)
            assert piece, f"closed after {received!r}"
            received += piece
            answer = _final_answer(received)
            if answer is not None:
                return answer


def _final_answer(received):
    """The first answer that is not interim, once it is there as a whole."""
    head, separator, rest = received.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 1"):
        return _final_answer(rest)
    if b"transfer-encoding: chunked" in head.lower():
        is_whole = rest.endswith(b"0\r\n\r\n")
    else:
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        is_whole = bool(separator) and len(rest) >= int(length)
    return split_answer(received)[0] if is_whole else None
