# SPDX-License-Identifier: AGPL-3.0-or-later
"""A picture of a word, for functions that read pictures. Drawn from figlet's letters of '#'."""

import subprocess

_SCALE = 10
_MARGIN = 3


def picture_of(word):
    """A grey-scale PNM file, some 100 kB."""
    letters = subprocess.run(["figlet", "-w", "500", "-f", "banner", word], check=True, text=True,
                             capture_output=True).stdout.splitlines()
    width = max(map(len, letters)) + 2 * _MARGIN
    lines = [""] * _MARGIN + [" " * _MARGIN + line for line in letters] + [""] * _MARGIN
    rows = []
    for line in lines:
        row = b"".join((b"\0" if letter == "#" else b"\xff") * _SCALE
                       for letter in line.ljust(width))
        rows.extend([row] * _SCALE)
    return b"P5 %d %d 255\n" % (width * _SCALE, len(rows)) + b"".join(rows)
