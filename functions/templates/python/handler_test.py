# SPDX-License-Identifier: Apache-2.0
"""Run with: python3 -m unittest handler_test"""

import unittest

from handler import handle


class HandleTest(unittest.TestCase):
    def test_answers_in_capitals(self):
        self.assertEqual(handle(b"hello"), b"HELLO")

    def test_takes_an_empty_body(self):
        self.assertEqual(handle(b""), b"")


if __name__ == "__main__":
    unittest.main()
