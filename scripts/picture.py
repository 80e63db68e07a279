#!/usr/bin/env python3
"""Draws a terminal's text (stdin, with ANSI bold and dim) as an SVG (stdout), for the README.

  CLICOLOR_FORCE=1 toolscout search --demo "…" | scripts/picture.py '$ toolscout search …' > docs/search.svg
"""
import html
import re
import sys

WIDTH, LINE = 920, 20
STYLES = {"1": ' font-weight="bold" fill="#f0f6fc"', "2": ' fill="#8b949e"'}


def spans(line):
    style = ""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b["):
            style = STYLES.get(part[2:-1], "")
        elif part:
            yield f"<tspan{style}>{html.escape(part)}</tspan>"


lines = sys.argv[1:] + sys.stdin.read().rstrip("\n").split("\n")
height = LINE * len(lines) + 32
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" role="img">')
print(f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#0d1117"/>')
print('<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" fill="#c9d1d9">')
for at, line in enumerate(lines):
    y = 28 + at * LINE
    print(f'<text x="16" y="{y}" xml:space="preserve">{"".join(spans(line))}</text>')
print("</g></svg>")
