"""A package that this site wrote and that its record does not know: said once, by a person."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm
from rich.text import Text

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.packages import made_here
from clinical_qkt.packages.inspect import print_card, print_verified
from clinical_qkt.packages.verify import verify
from clinical_qkt.packages.writer import CARD
from clinical_qkt.site.places import places


def adopt(folder: Path, site: Path, console: Console, *, yes: bool) -> None:
    """Write a package down as made by this site, after showing it.

    From then on it is used without a signature, as what the site wrote itself.

    Args:
        site: a site's YAML.
        yes: agreed beforehand.

    Raises:
        PackageError: it is not whole.
        InputError: its card names another site; or nobody said yes.
        OutputError: the record cannot be written.
    """
    found, own = verify(folder, None), places(site)
    if found.card.site != own.site:
        raise InputError(
            f"says that it is of '{found.card.site}', and {site} is of '{own.site}'",
            where=str(folder),
            fix="use another site's package by naming its public key under 'trusted_keys'",
        )
    if sha256(folder / CARD) in made_here.cards(own.record):
        console.print("is in the record already; nothing was changed")
        return
    print_verified(console, found)
    print_card(console, found.card)
    _require_yes(console, folder, yes=yes)
    made_here.note(own.record, folder / CARD)
    console.print(f"in the record of what this site made: {folder}", markup=False, soft_wrap=True)


def _require_yes(console: Console, folder: Path, *, yes: bool) -> None:
    if yes:
        return
    fix = "give --yes, or run it in a terminal"
    if not sys.stdin.isatty():
        raise InputError("nobody is there to say that this site made it", where=str(folder), fix=fix)
    question = Text("Do you know, from more than its card, that this site made it?")
    if not Confirm.ask(question, console=console, default=False):
        raise InputError("nobody said yes; nothing was changed", where=str(folder), fix=fix)
