# SPDX-License-Identifier: Apache-2.0
"""Runs handler.py for one request: body on standard input, answer on standard output."""

import sys

from handler import handle

sys.stdout.buffer.write(handle(sys.stdin.buffer.read()))
