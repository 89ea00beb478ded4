# SPDX-License-Identifier: AGPL-3.0-or-later
"""A platform that speaks https: what holds over http holds here, and nobody else is taken for it.

The tests of test_external.py that are named below run here again, with the fixtures of this file.
"""

import shutil
import ssl
import subprocess

import pytest
from federation import Federation, Node, dfaas, temporary_directory
from platform_fake import PASSWORD, FakePlatform
from test_external import (  # noqa: F401: collected here, too.
    external_settings, own, platform_of, refused_start, slots_of, stopped,
    test_a_platform_that_is_gone_costs_no_call, test_a_user_who_leaves_ends_the_call_there,
    test_alone_with_a_silent_platform_a_call_is_refused_with_the_reason,
    test_an_answer_that_breaks_off_breaks_off_for_the_user, test_answers_stream,
    test_calls_run_at_the_platform_as_its_own_users_would_send_them, test_connections_are_kept,
    test_guests_run_at_the_platform_and_are_sent_away_when_it_is_gone,
    test_large_bodies_and_100_continue, test_refused_credentials_are_told_and_calls_go_on,
    test_the_api_is_the_platforms_behind_our_credentials, test_the_password_is_told_to_nobody,
    test_time_limits_hold, wait_state, write_password)
from waiting import wait_until


class Authority:
    """Makes certificates."""

    def __init__(self, place, name):
        self._place, self._name = place, name
        self.file = place / f"{name}.pem"
        self._openssl("req", "-x509", *self._new_key(self._key), "-out", self.file, "-days", "2",
                      "-subj", f"/CN={name}")

    @property
    def _key(self):
        return self._place / f"{self._name}.key"

    @staticmethod
    def _new_key(file):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file)

    @staticmethod
    def _openssl(*words, **options):
        subprocess.run(["openssl", *words], check=True, capture_output=True, **options)

    def server(self, names, days=2):
        """A context for a server with a certificate for `names`."""
        key, request, certificate, more = (self._place / f"server.{part}"
                                           for part in ("key", "csr", "pem", "ext"))
        self._openssl("req", "-new", *self._new_key(key), "-out", request, "-subj", "/CN=platform")
        more.write_text(f"subjectAltName={names}\n")
        self._openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key,
                      "-CAcreateserial", "-days", str(days), "-extfile", more, "-out", certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "theirs")


@pytest.fixture(scope="module")
def good(authority):
    return authority.server("IP:127.0.0.1,DNS:localhost")


@pytest.fixture(scope="module")
def platform(good):
    with FakePlatform(good) as fake:
        yield fake


@pytest.fixture(scope="module")
def pair(platform, authority):
    platform.add("cat", labels={"dfaas.slots": "4"})
    federation = Federation("own", "mid", settings={
        "own": {**external_settings(platform.url), "platform.authority": "pki/platform.pem"},
        "dispatcher.user_wait_ratio": 0})
    write_password(federation["own"], PASSWORD)
    shutil.copy(authority.file, federation["own"].directory / "pki" / "platform.pem")
    with federation:
        federation["mid"].deploy("cat", "cat", slots=4)
        federation.wait_spread("cat", {"own": 4, "mid": 4})
        yield federation


@pytest.fixture
def somebody_else(own, platform, good):  # noqa: F811
    """Puts another server at the address of the platform, until the test is over."""
    def put(tls):
        platform.stop()
        platform.tls = tls
        platform.start()

    yield put
    put(good)
    wait_state(own, "ready")


def old_protocols(authority):
    context = authority.server("IP:127.0.0.1")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    return context


#: Who may stand there, and what is said of it.
STRANGERS = {
    "another_name": (lambda ours, theirs: ours.server("DNS:platform.example"), "is not for 127.0.0.1"),
    "expired": (lambda ours, theirs: ours.server("IP:127.0.0.1", days=-1), "has expired"),
    "unknown_authority": (lambda ours, theirs: theirs.server("IP:127.0.0.1"),
                          "is signed by no authority that is trusted here"),
    "without_tls": (lambda ours, theirs: None, "does not speak TLS"),
    "old_tls": (lambda ours, theirs: old_protocols(ours), "does not speak TLS"),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize("stranger", STRANGERS)
def test_nobody_else_is_taken_for_it(pair, own, platform, somebody_else, authority, other_authority,  # noqa: F811
                                     stranger):
    make, words = STRANGERS[stranger]
    platform.add("alone", labels={"dfaas.slots": "2"})
    wait_until(lambda: slots_of(own, "alone") == 2, "alone to be found")
    before = len(platform.requests)
    somebody_else(make(authority, other_authority))
    asked = len(platform.requests)
    wait_until(lambda: platform_of(own)["state"] == "silent" and words in platform_of(own)["why"],
               "the stranger to be noticed")
    why = platform_of(own)["why"]
    assert len(why.splitlines()) == 1 and f"127.0.0.1:{platform.port}" in why, why
    if "certificate" in why:
        assert "platform.authority" in why
    answer = own.call("cat", b"x")
    assert (answer.status, answer.body, answer.node_id) == (200, b"x", pair["mid"].id)
    answer = own.call("alone", b"x")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    answer = own.system("POST", "/system/functions", {"service": "new", "image": "x"})
    assert answer.status == 502 and words in answer.text and len(answer.text.splitlines()) == 1
    assert words in dfaas("status", "--dir", own.directory).stdout
    assert [line for line in own.log().splitlines() if "event=platform_silent" in line and words in line]
    assert before <= asked == len(platform.requests), "a stranger got a request, perhaps with the password"


def test_it_is_used_again_with_a_new_certificate_of_its_authority(own, platform, somebody_else, authority):  # noqa: F811
    assert own.call("cat", b"x").headers.get("X-Node") == "platform"
    somebody_else(authority.server("IP:127.0.0.1"))
    wait_until(lambda: own.call("cat", b"x").headers.get("X-Node") == "platform",
               "the platform to be used again")


def test_authorities_of_the_machine_count_where_none_is_named(authority):
    """By the name of the host, and with an address that has none of our own settings."""
    directory = temporary_directory()
    node = Node(directory / "node", "solo")
    node.runs_functions = False
    write_password(node, PASSWORD)
    with FakePlatform(authority.server("DNS:localhost")) as fake:
        fake.add("cat", labels={"dfaas.slots": "4"})
        settings = {**external_settings(fake.url.replace("127.0.0.1", "localhost")),
                    "platform.timeout_ms": 5000}
        arguments = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        try:
            node.start(*arguments)
            wait_until(lambda: "no authority that is trusted" in platform_of(node)["why"],
                       "the platform to be unknown here")
            node.stop()
            node.start(*arguments, environment={"SSL_CERT_FILE": str(authority.file)})
            wait_state(node, "ready")
            assert node.call("cat", b"x").headers["X-Node"] == "platform"
        finally:
            node.stop()
            shutil.rmtree(directory)


def test_wrong_settings_stop_the_start(stopped, authority):  # noqa: F811
    write_password(stopped, PASSWORD)
    place = {"kind": "openfaas", "url": "https://127.0.0.1:1"}
    sentence = refused_start(stopped, **place, authority="pki/missing.pem")
    assert "platform.authority" in sentence and "pki/missing.pem" in sentence
    assert "No such file" in sentence
    (stopped.directory / "pki" / "text.pem").write_text("no certificate\n")
    sentence = refused_start(stopped, **place, authority="pki/text.pem")
    assert "platform.authority" in sentence and "pki/text.pem" in sentence and "PEM" in sentence
    sentence = refused_start(stopped, kind="openfaas", url="http://127.0.0.1:1", authority=authority.file)
    assert "platform.authority" in sentence and "not https" in sentence
