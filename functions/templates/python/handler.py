# SPDX-License-Identifier: Apache-2.0
"""The function. Its environment has the head of the request: os.environ["Http_Method"], "Http_Path", ..."""


def handle(body: bytes) -> bytes:
    """Answers the body of a request. An exception is an answer with status 500."""
    return body.upper()
