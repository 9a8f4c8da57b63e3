"""The figures of a labelled list, told to people: the terminal and ``worklist-result.html``."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.core.files import write_text
from clinical_qkt.core.pages import environment
from clinical_qkt.worklist import words
from clinical_qkt.worklist.result import OfClass, Result, Share

ROWS = {
    "recall": "of 100 images of {0}, how many the model calls so",
    "false_alarms": "of 100 images of anything else, how many it calls so",
    "precision": "of 100 images that it calls so, how many are {0}",
    "prevalence": "of 100 images of the archive, how many are {0}",
    "unusable": "of 100 images of the archive, how many nobody can name",
}
"""What each figure counts, in the order in which they are shown."""


def rows(name: str, told: OfClass) -> list[tuple[str, str, str]]:
    """What is counted, as estimated, and the 95 % interval, for each figure."""
    return [
        (what.format(name), _number(getattr(told, key)), between(getattr(told, key)))
        for key, what in ROWS.items()
    ]


def hundred(share: float, rounding: int = 0) -> str:
    """A share of 100, with as many digits as tell it from 0 and from 100.

    Args:
        rounding: -1 rounds down, 1 up, for the ends of intervals.

    >>> hundred(0.914), hundred(0.5), hundred(0.0051), hundred(0.99996, -1), hundred(1.0)
    ('91', '50', '0.51', '99.9', '100')
    """
    edge = 100 * min(share, 1 - share)
    digits = 0 if edge in (0, 100) or edge >= 5 else 1 if edge >= 1 or share > 0.5 else 2
    scaled = round(100 * share * 10**digits, 6)
    whole = math.floor(scaled) if rounding < 0 else math.ceil(scaled) if rounding else round(scaled)
    return f"{whole / 10**digits:.{digits}f}"


def between(share: Share) -> str:
    """The interval; its ends are rounded outwards.

    >>> between(Share(value=0.91, ci95=[0.8171, 0.9642]))
    '81 to 96.5'
    """
    low, high = share.ci95
    return f"{hundred(low, -1)} to {hundred(high, 1)}"


def _number(share: Share) -> str:
    return "not known" if share.value is None else hundred(share.value)


def sentences(result: Result) -> list[str]:
    """What to know of the figures."""
    told = [
        f"Estimated from {result.labels:,} labelled of {result.images:,} images of the archive, drawn with "
        "known probabilities. The intervals hold for this archive; they tell nothing of other devices or "
        "later years."
    ]
    for name, row in result.classes.items():
        if not row.labelled:
            told.append(
                f"No labelled image shows {name}, so how many of them the model recognises cannot be told. "
                f"At most {hundred(row.prevalence.ci95[1], 1)} of 100 images of the archive show it."
            )
    if unusable := result.answers.get(words.UNUSABLE):
        are = "image is" if unusable == 1 else "images are"
        told.append(
            f"{unusable} labelled {are} '{words.UNUSABLE}': the figures are about images that can be named."
        )
    return told


def print_result(console: Console, result: Result) -> None:
    """A table a class, and what to know of it."""
    for name, row in result.classes.items():
        table = Table(title=escape(f"{name}: estimated from {result.labels:,} labels"), title_justify="left")
        for heading in ("", "estimated", "95 % interval"):
            table.add_column(heading, justify="right" if heading else "left")
        for what, value, ends in rows(name, row):
            table.add_row(Text(what), value, ends)
        console.print(table)
    for sentence in sentences(result):
        console.print(sentence, markup=False, highlight=False)


def write_page(path: Path, result: Result) -> None:
    """One page, which shows no image and no file's name."""
    templates = environment("clinical_qkt.worklist")
    tables = {name: rows(name, row) for name, row in result.classes.items()}
    page = templates.get_template("worklist-result.html.j2").render(
        r=result, tables=tables, sentences=sentences(result)
    )
    write_text(path, page)
