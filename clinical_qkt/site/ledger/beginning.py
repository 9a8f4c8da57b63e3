"""How a ledger begins to count what is told of patients: in so many words, and once.

A new ledger has nothing spent. Begun by a slip, it would forget everything that a site has told before. So
nobody's ``--yes`` begins one, and none is begun where this user's second place knows another.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm
from rich.text import Text

from clinical_qkt.core.errors import InputError
from clinical_qkt.site.config import Site
from clinical_qkt.site.ledger import file, second_place
from clinical_qkt.site.ledger.ledger import Ledger

NOBODY_SAID = "this site has no ledger yet, and a new one forgets all that the site has told before"


def require_begun(
    site: Site,
    ledger: Ledger,
    images: Collection[str] = (),
    *,
    question: str = "",
    new: bool = False,
    yes: bool = False,
) -> None:
    """Stop before any work is done unless the site's ledger counts what is about to be told, or begin it.

    Args:
        images: digests of the images' files, by which they are known under another pseudonym, too.
        question: digest of the query; empty where it is a mask that would be told.
        new: somebody said in so many words that a ledger is to be begun.
        yes: nobody is asked.

    Raises:
        InputError: there is none and nobody wanted one; there is one, and somebody wanted another; or another
            one counts this site's answers.
        OutputError: it cannot be used, or lacks lines that it once had.
    """
    begun = ledger.is_begun()
    known = ledger.require_newest() if begun else None
    second_place.require_same_ledger(site.site, images, known, ledger.path)
    if begun:
        if new and ledger.holds_other_than(question):
            raise InputError(
                "there is a ledger already, and it goes on counting",
                where=f"--new_ledger: {ledger.path}",
                fix="leave --new_ledger out",
            )
        return
    _require_no_earlier(site)
    if not new:
        _require_wanted(ledger.path, yes=yes)
    ledger.begin()


def _require_wanted(path: Path, *, yes: bool) -> None:
    if yes or not sys.stdin.isatty():
        raise InputError(NOBODY_SAID, where=f"ledger: {path}", fix=file.BEGIN)
    console = Console(stderr=True)
    console.print(
        "This site has no ledger yet: nothing counts what it tells of its patients. A new one begins with "
        "nothing spent. If the site has answered before, under whatever name and from whatever computer, say "
        "no, and write where its ledger lies into the site's YAML: ledger: FILE",
        markup=False,
    )
    question = Text(f"Has it never answered before, and shall a new ledger begin in {path}?")
    if not Confirm.ask(question, console=console, default=False):
        raise InputError("no ledger was begun; nothing was written", where=f"ledger: {path}", fix=file.BEGIN)


def _require_no_earlier(site: Site) -> None:
    """An earlier version kept the ledger among the results.

    Raises:
        InputError: it lies there and counts.
    """
    earlier = site.output_dir / "ledger.db"
    if earlier.is_file() and earlier.resolve() != site.ledger.resolve() and Ledger(earlier).is_begun():
        raise InputError(
            "an earlier version has kept this site's ledger there, and it counts",
            where=str(earlier),
            fix=f"move it to {site.ledger}, or write `ledger: {earlier}` into the site's YAML",
        )


def mend(site: str, ledger: Ledger) -> int:
    """Put the lines that the second place knows, and that a ledger lacks, into it; begun if it was lost.

    Returns:
        How many lines were missing.

    Raises:
        InputError: the second place knows nothing of the site.
    """
    own = ledger.begin() if ledger.is_begun() else None
    last, lines = second_place.told_by(site, own)
    if last is None:
        raise InputError(
            "nothing is known here of answers of this site",
            where=f"site '{site}'",
            fix="mend its ledger where they were given, as the user who gave them",
        )
    missing = ledger.take_in(lines, last if own is None else own)
    second_place.hand_over(last, own or last)
    return missing
