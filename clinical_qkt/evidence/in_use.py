"""The model that is in use now, on the same test images as the new one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clinical_qkt.data.label_space import LabelSpace, align
from clinical_qkt.evidence import intervals
from clinical_qkt.evidence.counting import among, difference
from clinical_qkt.evidence.intervals import Array, Interval
from clinical_qkt.evidence.parts import Counted, Difference, InUse
from clinical_qkt.tasks.single_label import SINGLE_LABEL

OTHER = -1
"""Stands for a class that the new model does not have."""


def compared(
    probabilities: Array,
    classes: LabelSpace,
    labels: Array,
    space: LabelSpace,
    query: Sequence[int],
    new: Array,
    *,
    version: str,
    weights_sha256: str,
    patients: Array | None = None,
) -> InUse:
    """The model in use and how the new one differs from it.

    Args:
        probabilities: ``(N, D)`` of the model in use.
        classes: its ``D`` classes; they are matched with the site's as those of any other model are.
        labels: ``(N,)`` the true columns of ``space``.
        space: the new model's classes.
        query: the columns of the queried ones.
        new: ``(N,)`` what the new model calls the images, columns of ``space``.
        version: in the registry.
        weights_sha256: on its card.
        patients: ``(N,)`` whose image it is; each image counts for itself if None.

    Raises:
        InputError: a class of the model in use could be more than one of the new model's.

    >>> space, seen = LabelSpace(["cat", "dog"]), np.array([[1.0], [1.0]])  # the model in use knows no dogs
    >>> truth = called = np.array([0, 1])
    >>> told = {"version": "3", "weights_sha256": ""}
    >>> made = compared(seen, LabelSpace(["cat"]), truth, space, [1], called, **told)
    >>> made.lacks, made.query_recall, made.difference["query_recall"].share
    (['dog'], 0.0, 1.0)
    """
    columns = align(classes, space, where="label alignment of the model in use")
    old = named(probabilities, columns, len(space))
    right, was, shows = new == labels, old == labels, np.isin(labels, query)
    names, queried = space.names, [space[q].name for q in query]
    retained = [n for n in names if n not in queried]
    rows = {n: among(labels == c, was, patients) for c, n in enumerate(names)}
    each = {n: _difference(labels == c, right, was, patients) for c, n in enumerate(names)}
    called, called_before = np.isin(new, query), np.isin(old, query)
    return InUse(
        version=version,
        weights_sha256=weights_sha256,
        classes=classes.names,
        lacks=[n for c, n in enumerate(names) if c not in columns.values()],
        beyond=[n for c, n in enumerate(classes.names) if c not in columns],
        images=len(labels),
        per_class=rows,
        query_recall=_mean_share(rows, queried),
        query_recall_ci95=_mean_ends(rows, queried),
        retained_recall=_mean_share(rows, retained),
        retained_recall_ci95=_mean_ends(rows, retained),
        false_alarms=among(~shows, called_before, patients),
        difference={
            "query_recall": _mean_difference(each, queried),
            "retained_recall": _mean_difference(each, retained),
            "false_alarms": _difference(~shows, called, called_before, patients),
        },
        difference_by_class=each,
    )


def named(probabilities: Array, columns: dict[int, int], width: int) -> Array:
    """What a model calls images, in the columns of another list; ``OTHER`` for what that does not have.

    Args:
        probabilities: ``(N, D)``; those of classes that are one in the other list are added up.
        columns: ``{its column: column of the other list}``.
        width: of the other list.

    Returns:
        ``(N,)``.

    >>> seen = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    >>> named(seen, {0: 0, 1: 0, 2: 1}, width=2).tolist()  # its first two classes are one of ours
    [0, 1]
    >>> named(seen, {0: 0, 1: 1}, width=2).tolist()  # its third class is none of ours
    [-1, -1]
    """
    ours = np.full((len(probabilities), width), -1.0)
    for column in set(columns.values()):
        ours[:, column] = probabilities[:, [a for a, b in columns.items() if b == column]].sum(1)
    beyond = [c for c in range(probabilities.shape[1]) if c not in columns]
    highest = probabilities[:, beyond].max(1) if beyond else np.full(len(probabilities), -1.0)
    return np.where(highest > ours.max(1), OTHER, SINGLE_LABEL.decide(ours))


def _difference(which: Array, new: Array, old: Array, patients: Array | None) -> Difference:
    return difference(new[which], old[which], None if patients is None else patients[which])


def _mean_share(rows: dict[str, Counted], names: Sequence[str]) -> float | None:
    shares = [rows[n].share for n in names]
    return float(np.mean([s for s in shares if s is not None])) if shares and None not in shares else None


def _mean_ends(rows: dict[str, Counted], names: Sequence[str]) -> Interval | None:
    shares, ends = ([getattr(rows[n], key) for n in names] for key in ("share", "ci95"))
    if not shares or None in shares:
        return None
    low, high = intervals.mean(shares, ends)
    return [max(0.0, low), min(1.0, high)]


def _mean_difference(each: dict[str, Difference], names: Sequence[str]) -> Difference:
    """Unweighted over the classes; unknown if one of them has no test image."""
    images = sum(each[n].images for n in names)
    shares, ends = ([getattr(each[n], key) for n in names] for key in ("share", "ci95"))
    if not shares or None in shares:
        return Difference(share=None, ci95=None, images=images)
    low, high = intervals.mean(shares, ends)
    return Difference(share=float(np.mean(shares)), ci95=[max(-1.0, low), min(1.0, high)], images=images)
