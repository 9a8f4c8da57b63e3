"""The comparison in the terminal: one column for each transfer, in as many tables as the width asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clinical_qkt.evidence.evaluation import Alarms, Interval, Row
from clinical_qkt.review import report
from clinical_qkt.review.comparison.figures import cautions, classes, common_start
from clinical_qkt.review.comparison.reading import SENTENCE, Compared, plain
from clinical_qkt.review.report import looks
from clinical_qkt.review.report.reasons import reasons
from clinical_qkt.review.summary_schema import TransferSummary as Summary

UNKNOWN = "unknown"
ABSENT = "–"
NAME, CELL, BEFORE = (16, 36), (14, 26), 6
"""Characters, at least and at most: of a row's name, of a run's column; and of the column ``before``."""
BORDER = 3
STRIP = 41
BEST = (
    "All were measured on the same test images: the best of several looks better on them than it is. "
    "Test the one that you choose on new images."
)


def print_comparison(console: Console, runs: Sequence[Compared]) -> None:
    """What the transfers are and gained and lost, then each class, then what a reader must know."""
    for text in cautions(runs):
        _say(console, "Take care: ", text, "bold red")
    room = console.width - 1 - (NAME[0] + BORDER) - (BEFORE + BORDER)
    fit = max(1, room // (CELL[0] + BORDER))
    tables = -(-len(runs) // fit)
    each = -(-len(runs) // tables)  # of 4 runs 2 and 2 rather than 3 and 1
    blocks = [runs[i : i + each] for i in range(0, len(runs), each)]
    for block in blocks:
        console.print(_overall(block, console.width))
    told = "recall, false alarms: of 100 test images; budget, forgetting, calibration error: points"
    console.print(told, style="italic")
    for block in blocks:
        console.print(_by_class(block, runs, console.width))
    how = "of 100 test images of the class, how many are recognised (95 % interval)"
    dash = f"; {ABSENT}: no class there" if _gaps(runs) else ""
    console.print(how + dash, style="italic")
    _strips(console, runs)
    if len({run.summary.identity.test_sha256 for run in runs}) == 1:
        console.print(BEST, style="italic")
    for run in runs:
        if not run.summary.accepted:
            why = "; ".join(plain(reason, SENTENCE) for reason in reasons(run.summary))
            _say(console, f"{run.label}: {run.summary.verdict}: ", why + ".", "bold yellow")


def _strips(console: Console, runs: Sequence[Compared]) -> None:
    """Query recall with its interval, drawn in characters that every terminal has."""
    left = min(NAME[1], max(len(run.label) for run in runs), console.width // 3)
    ruler = "0" + "50".center(STRIP - 2) + "100"
    console.print(Text("\nquery recall, o, and its 95 % interval, of 100 test images", style="italic"))
    console.print(Text(" " * (left + 2) + ruler), soft_wrap=True)
    for run in runs:
        after = run.summary.after
        drawn = [" "] * STRIP if after.query_recall is not None else list(UNKNOWN)
        if after.query_recall is not None:
            ends = after.query_recall_ci95 or [after.query_recall] * 2
            low, mid, high = (
                round(max(0.0, v) * (STRIP - 1)) for v in (ends[0], after.query_recall, ends[1])
            )
            drawn[low : high + 1] = "-" * (high + 1 - low)
            drawn[low] = drawn[high] = "|"
            drawn[mid] = "o"
        console.print(Text(f"{run.label[:left]:<{left}}  {''.join(drawn).rstrip()}"), soft_wrap=True)
    console.print()


def recall(share: float | None, within: Interval | None = None) -> str:
    """A share of 100 test images, with its interval where there is one."""
    if share is None:
        return UNKNOWN
    return report.percent(share) + (f" ({interval(within)})" if within else "")


def interval(within: Interval | None, digits: int = 0) -> str:
    """Both ends of an interval, of 100 test images."""
    return UNKNOWN if within is None else " to ".join(f"{100 * end:.{digits}f}" for end in within)


def alarms(found: Alarms) -> str:
    """How many of 100 test images of other classes are called a queried one."""
    return UNKNOWN if found.share is None else f"{100 * found.share:.1f} ({found.count} of {found.images})"


def _lost(summary: Summary) -> str:
    """Points lost where no gain counts, and how many it may be."""
    lost = summary.forgetting
    if lost.mean_loss is None or lost.mean_loss_ci95 is None:
        return UNKNOWN
    return f"{100 * lost.mean_loss:.1f} (up to {100 * lost.mean_loss_ci95[1]:.1f})"


def _held_out(summary: Summary) -> str:
    """Points lost on held-out images, and how many it may be at the promise's confidence."""
    loss = summary.method.fit.loss
    most = "" if loss.mean_bound is None else f" (up to {loss.mean_bound + 0.0:.1f})"
    return f"{loss.mean + 0.0:.1f}{most}"


def worst(summary: Summary) -> str:
    """The largest loss, and of which class."""
    value = summary.forgetting.worst
    names = [plain(n) for n, v in summary.forgetting.per_class.items() if v is not None and v == value]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return points(value) + (f" ({', '.join(names[:2])}{more})" if names and value is not None else "")


def points(share: float | None) -> str:
    """A difference of shares in points, with its sign."""
    return UNKNOWN if share is None else report.points(share)


def amount(count: int) -> str:
    """A number of bytes.

    >>> amount(3749658), amount(2150), amount(0)
    ('3.7 MB', '2.1 kB', '0 B')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


ROWS: dict[str, Callable[[Summary], str]] = {
    "site": lambda s: plain(s.student.site),
    "query": lambda s: ", ".join(map(plain, s.student.query)),
    "method": lambda s: plain(s.method.variant),
    "forgetting budget": lambda s: f"{s.budget.forgetting:g}",
    "  promise": lambda s: s.method.fit.state if s.method.fit.promise else UNKNOWN,
    "  lost, held-out images": lambda s: _held_out(s),
    "verdict": lambda s: s.verdict,
    "query recall": lambda s: recall(s.after.query_recall),
    "  95 % interval": lambda s: interval(s.after.query_recall_ci95),
    "false alarms": lambda s: alarms(s.after.false_alarms.overall),
    "  95 % interval ": lambda s: interval(s.after.false_alarms.overall.ci95, 1),
    "retained recall": lambda s: recall(s.after.retained_recall),
    "forgetting, mean": lambda s: points(s.forgetting.mean),
    "  lost, no gain counted": lambda s: _lost(s),
    "forgetting, worst": worst,
    "calibration error": lambda s: _unsigned(s.after.calibration.error),
    "looks": lambda s: looks.in_a_word(s),
    "received": lambda s: amount(s.bytes_received),
    "seconds in all": lambda s: f"{sum(s.seconds.values()):.1f}",
    "untrusted packages": lambda s: ", ".join(map(plain, s.untrusted_packages)) or "none",
}


def _overall(block: Sequence[Compared], width: int) -> Table:
    table = _table("", list(ROWS), block, width)
    for name, value in ROWS.items():
        style = "bold" if name == "query recall" else None
        table.add_row(Text(name), *(Text(value(run.summary)) for run in block), style=style)
    return table


def _by_class(block: Sequence[Compared], runs: Sequence[Compared], width: int) -> Table:
    """Recall of each class after; before it in a column of its own if that is the same for all runs."""
    start = common_start(runs)
    rows = {n: plain(n) + (" (queried)" if queried else "") for n, queried in classes(runs).items()}
    heading = "recall before → after" if start is None else "recall after"
    table = _table(heading, list(rows.values()), block, width, before=start is not None)
    for name, shown in rows.items():
        cells = [] if start is None else [_of_class(start, name)]
        cells += [_class_cell(run.summary, name, start is None) for run in block]
        table.add_row(Text(shown), *map(Text, cells), style="bold" if shown != plain(name) else None)
    return table


def _table(
    first: str, names: Sequence[str], block: Sequence[Compared], width: int, *, before: bool = False
) -> Table:
    """An empty table of a fixed width: with long names rich would squeeze the figures, letter by letter."""
    room = width - 1 - (BEFORE + BORDER if before else 0)
    longest = min(NAME[1], max(len(n) for n in [first, *names]))
    left = max(NAME[0], min(longest, room - BORDER - len(block) * (CELL[0] + BORDER)))
    cell = max(CELL[0], min(CELL[1], (room - left - BORDER) // len(block) - BORDER))
    table = Table()
    table.add_column(Text(first), width=left, overflow="fold")
    if before:
        table.add_column("before", justify="right", width=BEFORE)
    for run in block:
        table.add_column(Text(run.label), justify="right", width=cell, overflow="fold")
    return table


def _class_cell(summary: Summary, name: str, before: bool) -> str:
    row = summary.after.per_class.get(name)
    if row is None:
        return ABSENT
    if not before:
        return recall(row.recall, row.recall_ci95)
    return f"{_of_class(summary.before.per_class, name)} → {recall(row.recall)}" + (
        f"\n({interval(row.recall_ci95)})" if row.recall_ci95 else ""
    )


def _of_class(rows: Mapping[str, Row], name: str) -> str:
    row = rows.get(name)
    return ABSENT if row is None else recall(row.recall)


def _gaps(runs: Sequence[Compared]) -> bool:
    return any(name not in run.summary.after.per_class for run in runs for name in classes(runs))


def _unsigned(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f}"


def _say(console: Console, first: str, text: str, style: str) -> None:
    console.print(Text.assemble((first, style), text))
