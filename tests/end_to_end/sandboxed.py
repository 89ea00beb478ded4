# SPDX-License-Identifier: AGPL-3.0-or-later
"""A node whose functions are kept apart in one chosen way: as root or as another user, by namespaces or Landlock."""

import contextlib
import os

import pytest
from federation import Federation

OTHER_USER = 65534


@contextlib.contextmanager
def sandboxed_node(user, tier):
    """As "root" or "user". Skips the test where this machine cannot do it, with the node's reason."""
    if user == "root" and os.getuid() != 0:
        pytest.skip("these tests do not run as root")
    federation = Federation("solo", connect=False, settings={"sandbox.tier": tier})
    node = federation["solo"]
    node.user = OTHER_USER if user == "user" and os.getuid() == 0 else None
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(federation)
        except AssertionError as problem:
            reasons = [line for line in str(problem).splitlines() if tier + ":" in line]
            if not reasons:
                raise
            pytest.skip(f"not on this machine: {reasons[-1]}")
        yield node
