# SPDX-License-Identifier: AGPL-3.0-or-later
"""A day with faas-cli: by the program itself where it is installed, and by a client that speaks as it does."""

import pytest
from faas_cli import Program, Refused, Speaker, find_program
from federation import Federation
from waiting import wait_until


@pytest.fixture(scope="module")
def node():
    with Federation("solo", connect=False) as federation:
        yield federation["solo"]


@pytest.fixture(params=["speaker", "program"])
def cli(request, node, tmp_path):
    if request.param == "speaker":
        return Speaker(node.user_port)
    program = find_program()
    if program is None:
        pytest.skip("faas-cli is not installed: tools/setup faas-cli, or set FAAS_CLI")
    return Program(program, f"http://127.0.0.1:{node.user_port}", tmp_path)


@pytest.fixture
def logged_in(cli, node):
    words = [(node.directory / "secrets" / f"basic-auth-{part}").read_text().strip()
             for part in ("user", "password")]
    cli.login(*words)
    return cli


def test_login_takes_the_right_password_only(cli, logged_in):
    with pytest.raises(Refused):
        cli.login("admin", "admin")


def test_function_is_deployed_described_called_changed_and_removed(logged_in):
    cli = logged_in
    cli.deploy("turn", "host:", "rev")
    assert cli.invoke("turn", "ab\n").strip() == "ba"
    assert "turn" in cli.list() and "host:" in cli.list()
    described = cli.describe("turn")
    assert "Ready" in described and "Not Ready" not in described and "rev" in described
    cli.deploy("turn", "host:", "cat")
    assert cli.invoke("turn", "ab\n").strip() == "ab"
    cli.remove("turn")
    with pytest.raises(Refused):
        cli.invoke("turn", "x")
    with pytest.raises(Refused):
        cli.remove("turn")


def test_store_is_listed_and_deployed_from(logged_in, node):
    cli, url = logged_in, f"http://127.0.0.1:{node.user_port}/store.json"
    assert "Figlet" in cli.store_list(url)
    cli.store_deploy("figlet", url)
    assert "_" in cli.invoke("figlet", "hi")
    cli.remove("figlet")


def test_call_in_the_background_is_accepted_and_runs(logged_in):
    logged_in.deploy("background", "host:", "sh -c 'cat >&2'")
    logged_in.invoke_async("background", "later")
    wait_until(lambda: "later" in logged_in.logs("background"), "the call to run")
    logged_in.remove("background")


def test_logs_are_shown(logged_in):
    logged_in.deploy("talker", "host:", "sh -c 'echo something to say >&2'")
    logged_in.invoke("talker", "")
    assert "something to say" in logged_in.logs("talker")
    logged_in.remove("talker")


def test_secrets_are_made_used_changed_listed_and_removed(logged_in):
    cli = logged_in
    cli.secret_create("key", "hunter2")
    with pytest.raises(Refused):
        cli.secret_create("key", "hunter3")
    assert "key" in cli.secret_list() and "hunter" not in cli.secret_list()
    cli.deploy("reader", "host:", "sh -c 'cat $secret_mount_path/key'", secrets=["key"])
    assert "hunter2" in cli.invoke("reader", "")
    cli.secret_update("key", "hunter4")
    assert "hunter4" in cli.invoke("reader", "")
    cli.remove("reader")
    cli.secret_remove("key")
    assert "key" not in cli.secret_list()
    with pytest.raises(Refused):
        cli.deploy("reader", "host:", "cat", secrets=["key"])


def test_namespaces_readiness_and_version(logged_in):
    assert "openfaas-fn" in logged_in.namespaces()
    logged_in.ready()
    assert "0.1" in logged_in.version()
