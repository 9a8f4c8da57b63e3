"""Figures, names and dates as people read them: plain text, which whoever shows it has to escape."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

DIGITS = 12
"""Of a digest that are shown where the whole one stands elsewhere."""


def joined(names: Sequence[str], last: str = "and") -> str:
    """Names as a list in a sentence.

    >>> joined(["a", "b", "c"]), joined(["a", "b"], "or")
    ('a, b and c', 'a or b')
    """
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"


def counted(n: int, thing: str) -> str:
    """
    >>> counted(1, "image"), counted(1234, "image")
    ('1 image', '1,234 images')
    """
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def images_of(images: int, patients: int | None, kind: str = "image") -> str:
    """How many images, and of how many patients where these are named.

    >>> images_of(64, 22), images_of(64, None, "test image")
    ('64 images of 22 patients', '64 test images')
    """
    told = counted(images, kind)
    return told if patients is None else f"{told} of {counted(patients, 'patient')}"


def hundred(share: float) -> str:
    """How many of 100; never rounded to none or to all where it is neither.

    >>> hundred(0.953), hundred(0.998), hundred(0.001), hundred(1.0)
    ('95', 'more than 99', 'less than 1', '100')
    """
    if share < 1 and 100 * share >= 99.5:
        return "more than 99"
    if 0 < 100 * share <= 0.5:
        return "less than 1"
    return percent(share)


def rate(share: float) -> str:
    """How many of 100 where few are expected: with a decimal below ten, never rounded to none.

    >>> rate(0.013), rate(0.303), rate(0.0001), rate(0.0)
    ('1.3', '30', 'less than 0.1', '0')
    """
    value = 100 * share
    if 0 < value < 0.05:
        return "less than 0.1"
    return "0" if value == 0 else f"{value:.1f}" if value < 9.95 else percent(share)


def beside(share: float, limit: float, digits: int = 1) -> str:
    """A figure of 100, with as many digits as it takes to see on which side of the limit it lies.

    Args:
        limit: of 100.

    >>> beside(0.02, 2), beside(0.02004, 2), beside(0.4996, 50, 0)
    ('2.0', '2.004', '49.96')
    """

    def side(value: float) -> int:
        return 0 if abs(value - limit) < 1e-9 else 1 if value > limit else -1

    value = 100 * share
    while digits < 6 and side(float(f"{value:.{digits}f}")) != side(value):
        digits += 1
    return f"{value + 0.0:.{digits}f}"


def rounded(n: int) -> str:
    """A number of images as good as it is known: two digits, rounded up.

    >>> rounded(7), rounded(1549), rounded(123456)
    ('7', '1,600', '130,000')
    """
    step = 10 ** max(0, len(str(n)) - 2)
    return f"{-(-n // step) * step:,}"


def short(share: float | None) -> str:
    """As ``hundred``, for a column of a table.

    >>> short(0.998), short(None)
    ('>99', '–')
    """
    return "–" if share is None else signs(hundred(share))


def signs(told: str) -> str:
    """Words before a figure as a sign.

    >>> signs("less than 0.1")
    '<0.1'
    """
    return told.replace("more than ", ">").replace("less than ", "<")


def percent(share: float | None) -> str:
    """A share as whole percents; a dash if unknown.

    >>> percent(0.957), percent(None)
    ('96', '–')
    """
    return "–" if share is None else f"{100 * share:.0f}"


def points(share: float | None) -> str:
    """A difference of shares as points, with its sign.

    >>> points(0.0213)
    '+2.1'
    """
    return "–" if share is None else f"{100 * share + 0.0:+.1f}"


def lost(share: float | None) -> str:
    """A loss in points, in words: a loss has no sign.

    >>> lost(0.016), lost(-0.004), lost(0.0), lost(None)
    ('lost 1.6', 'gained 0.4', 'none lost', 'unknown')
    """
    if share is None:
        return "unknown"
    if abs(share) < 1e-9:
        return "none lost"
    return f"{'lost' if share > 0 else 'gained'} {signs(rate(abs(share)))}"


def lost_ends(interval: Sequence[float] | None) -> str:
    """The interval of a loss.

    >>> lost_ends([-0.004, 0.032]), lost_ends([0.01, 0.032]), lost_ends([-0.05, -0.02]), lost_ends(None)
    ('gained 0.4 to lost 3.2', 'lost 1.0 to 3.2', 'gained 2.0 to 5.0', '–')
    """
    if not interval:
        return "–"
    low, high = interval
    if high < 0:
        return f"{lost(high)} to {lost(low).removeprefix('gained ')}"
    return f"{lost(low)} to {lost(high).removeprefix('lost ') if low > 0 else lost(high)}"


def ends(interval: Sequence[float] | None) -> str:
    """An interval in a table.

    >>> ends([0.886, 1.0]), ends(None)
    ('89 to 100', '–')
    """
    return f"{percent(interval[0])} to {percent(interval[1])}" if interval else "–"


def rates(interval: Sequence[float] | None) -> str:
    """As ``ends``, of small shares.

    >>> rates([0.0004, 0.032])
    '<0.1 to 3.2'
    """
    return f"{signs(rate(interval[0]))} to {signs(rate(interval[1]))}" if interval else "–"


def between(interval: Sequence[float]) -> str:
    """An interval in words.

    >>> between([0.886, 1.0])
    'between 89 and 100 of 100'
    """
    return f"between {percent(interval[0])} and {percent(interval[1])} of 100"


def prevalence(share: float) -> str:
    """In percent, with the digits that it was written with.

    >>> prevalence(0.005), prevalence(0.1)
    ('0.5 %', '10 %')
    """
    return f"{100 * share:.3g} %"


def day(told: str | None) -> str:
    """A date, or the day of a time, as it is written in a letter; what is none is shown as it is.

    >>> day("2026-11-01"), day("2026-11-26T09:30:00+00:00"), day(None)
    ('1 November 2026', '26 November 2026', 'not told')
    """
    if not told:
        return "not told"
    try:
        found = datetime.datetime.fromisoformat(told)
    except ValueError:
        return told
    return f"{found.day} {found:%B %Y}"


def digest(told: str | None) -> str:
    """The first digits of a digest, or of a commit, after which the files were changed or not.

    >>> digest("0123456789abcdef"), digest("0123456789abcdef-dirty"), digest(None)
    ('0123456789ab', '0123456789ab, changed', 'not told')
    """
    if not told:
        return "not told"
    return told[:DIGITS] + (", changed" if told.endswith("-dirty") else "")
