"""What a spreadsheet would take for a formula, though it is a name."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(text: str) -> str:
    """Text that a spreadsheet takes as text.

    >>> harmless("=1+1"), harmless("basophil")
    ("'=1+1", 'basophil')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text
