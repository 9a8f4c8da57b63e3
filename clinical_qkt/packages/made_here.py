"""What this site wrote itself: a record of digests, since neither a card nor a place proves it.

Two copies: one in the folder that outlives results (see ``state_folder``), so that a model is known wherever
it is copied to; one in the site's ``output_dir``, so that it is known where the whole folder is taken. A line
in either counts. A card's digest stands for the package: the card holds the digest of the tensors.
"""

from __future__ import annotations

import datetime
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.files import private_folder, sha256
from clinical_qkt.core.state_folder import state_folder

FILE = "made_here.txt"
"""In ``output_dir``."""
_LINE = re.compile(r"([0-9a-f]{64})  [a-z]+ \d{4}-\d{2}-\d{2}")


def places(site: str, output_dir: Path) -> tuple[Path, ...]:
    """Where a site's record is kept.

    Raises:
        InputError: see ``state_folder.state_folder``.
    """
    return state_folder() / "made_here" / f"{site}.txt", output_dir / FILE


def cards(record: Iterable[Path]) -> frozenset[str]:
    """SHA-256 of all cards in a record. What is no line of a record, such as half a line, tells of none.

    Raises:
        OutputError: a file is there and cannot be read.
    """
    found: set[str] = set()
    for path in record:
        try:
            text = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
        except OSError as e:
            raise _unusable(path, e) from None
        found |= {match[1] for line in text.splitlines() if (match := _LINE.fullmatch(line))}
    return frozenset(found)


def note(record: Iterable[Path], card: Path) -> None:
    """Add a card to a record.

    Where one of the places cannot be written to, that is said on standard error, and the others have it.

    Args:
        card: the file.

    Raises:
        OutputError: none of them can be written to.
    """
    failed: list[tuple[Path, OSError]] = []
    done = 0
    for path in record:
        try:
            _append(path, f"{sha256(card)}  card {datetime.date.today().isoformat()}\n")
            done += 1
        except OSError as e:
            failed.append((path, e))
    if failed and not done:
        raise _unusable(*failed[0])
    for path, error in failed:
        told = f"the record of what was made here cannot be kept in {path.parent} ({error.strerror})"
        print(f"warning: {told}", file=sys.stderr)


def _append(path: Path, line: str) -> None:
    """In one piece, so that two processes do not write into each other's lines.

    Digests tell of no patient: whoever may read the results may read them, too.
    """
    if path.is_relative_to(state_folder()):
        private_folder(state_folder())  # other things lie there, too
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(file, line.encode("ascii"))
        os.fsync(file)
    finally:
        os.close(file)


def _unusable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the record of what was made here cannot be used ({error.strerror})",
        where=str(path),
        fix="make the file readable and writable for whoever runs this",
    )
