# SPDX-License-Identifier: AGPL-3.0-or-later
"""For every test: logs of the nodes when it fails, and no process left when it is over."""

import os

import pytest

import federation
from field import Field
from waiting import (adopt_orphans, children_of, command_line, end_process, reap_adopted,
                     wait_until)

_LOG_LINES = 60
_DECISION_BYTES = 4000


def pytest_configure(config):
    adopt_orphans()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for node in federation.running_nodes:
            report.sections.append((f"state of {node.name}", _state_of(node)))
            lines = node.log().splitlines()[-_LOG_LINES:]
            report.sections.append((f"log of {node.name}", "\n".join(lines)))


def _state_of(node):
    """What is under way at a node, and how its last calls were decided."""
    if isinstance(node, Field):
        return node.state()
    try:
        busy = [function for function in node.status()["functions"]
                if function["in_flight"] or function["queued"]]
        decisions = node.admin("/dfaas/v1/decisions")[:_DECISION_BYTES]
        return f"under way: {busy}\nprocesses: {node.function_processes()}\n{decisions}"
    except (OSError, KeyError, ValueError, AssertionError) as problem:
        return f"not told: {problem!r}"


def _left_over():
    """Processes of finished nodes, and functions that still run though nobody waits for them."""
    supervisors = {node.pid() for node in federation.running_nodes}
    reap_adopted(supervisors)
    left = [pid for pid in children_of(os.getpid()) if pid not in supervisors]
    for node in federation.running_nodes:
        if node.is_running:
            left += node.function_processes()
    return left


def _fail_when_left_over():
    try:
        wait_until(lambda: not _left_over(), "every process of the test to end", 10.0)
    except AssertionError:
        left = {pid: " ".join(command_line(pid)) for pid in _left_over()}
        for pid in left:
            end_process(pid)
        pytest.fail(f"processes were left: {left}")


@pytest.fixture(autouse=True, scope="module")
def no_process_left_by_module():
    """Set up before the other fixtures of the module, so it looks when they are gone."""
    yield
    _fail_when_left_over()


@pytest.fixture(autouse=True)
def no_process_left():
    yield
    _fail_when_left_over()
