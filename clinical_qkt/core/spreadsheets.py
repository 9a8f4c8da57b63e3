"""What a spreadsheet would take for a formula, though it is a name."""

from __future__ import annotations

import re

_FORMULA = re.compile("(?:^|(?<=[;,\t\r\n]))(?=[=+\\-@\t\r\n＝＋－＠])")
"""Where a cell can begin, whichever separator a spreadsheet goes by, with what begins a formula; full-width
forms do where it is set up for Chinese, Japanese or Korean."""


def harmless(text: str) -> str:
    """Text that a spreadsheet takes as text.

    >>> harmless("=1+1"), harmless("a;=1+1"), harmless("basophil")
    ("'=1+1", "a;'=1+1", 'basophil')
    """
    return _FORMULA.sub("'", text)
