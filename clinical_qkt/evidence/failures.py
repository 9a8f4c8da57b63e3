"""The test images that the new model calls wrongly, one a line, for the site alone.

Names of files may identify a patient: the list is written into a folder that its owner alone may open, and
nothing of it goes into the summary, the report or MLflow.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from clinical_qkt.core.files import private_folder, write_text
from clinical_qkt.core.spreadsheets import harmless
from clinical_qkt.data.formats import name_of
from clinical_qkt.evidence.intervals import Array
from clinical_qkt.tasks.single_label import SINGLE_LABEL

PLACE = Path("local") / "failures.csv"
"""Within the folder of a transfer's results."""
HEADINGS = ("file", "patient", "true", "called before", "called after", "stated probability")


def write(
    folder: Path,
    files: Sequence[str | Path],
    root: Path,
    labels: Array,
    names: Sequence[str],
    before: Array,
    probabilities: Array,
    patients: Mapping[str, str] | None = None,
) -> int:
    """Write ``local/failures.csv`` of a transfer: what the new model is most certain of comes first.

    Args:
        folder: of the transfer's results.
        files: ``(N,)`` the test images.
        root: the datalist's folder; files are called relative to it, as the datalist calls them.
        labels: ``(N,)`` the true columns.
        names: of the columns.
        before: ``(N,)`` what the earlier model calls them, as columns.
        probabilities: ``(N, C)`` of the new model.
        patients: ``{file: patient}`` where the datalist names one.

    Returns:
        How many images are called wrongly.
    """
    after, stated = SINGLE_LABEL.decide(probabilities), probabilities.max(1)
    wrong = np.flatnonzero(after != labels)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(HEADINGS)
    for i in wrong[np.argsort(-stated[wrong], kind="stable")]:
        called = (names[int(column[i])] for column in (labels, before, after))
        file = name_of(Path(os.path.relpath(files[i], root)), whole=True)
        told = (file, (patients or {}).get(str(files[i]), ""), *called)
        lines.writerow([*map(harmless, told), f"{stated[i]:.4f}"])
    path = folder / PLACE
    private_folder(path.parent)
    write_text(path, text.getvalue(), private=True)
    return len(wrong)
