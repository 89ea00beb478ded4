#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The function: body on standard input, answer on standard output. Another exit status than 0 is an answer with
# status 500. The head of the request is in the environment: $Http_Method, $Http_Path, ...
set -euo pipefail

tr '[:lower:]' '[:upper:]'
