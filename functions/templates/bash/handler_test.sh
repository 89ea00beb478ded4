#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Run with: bash handler_test.sh
set -euo pipefail
cd "$(dirname "$0")"

answers() {  # answers BODY EXPECTED
  local answer
  answer=$(printf '%s' "$1" | bash handler.sh)
  [ "$answer" = "$2" ] || { echo "$1: answered '$answer', not '$2'" >&2; exit 1; }
}

answers hello HELLO
answers '' ''
echo ok
