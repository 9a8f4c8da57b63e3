"""Before anything leaves a site: what it is, shown to those who are there, and a question."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.core.terms import guarantee
from clinical_qkt.data.datalist import SECTIONS, parse_datalist
from clinical_qkt.data.formats import name_of
from clinical_qkt.data.identifiers import Identifiers
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.packages.card import Card, PackageCard
from clinical_qkt.packages.inspect import LOOKS, NONE, audit_rows, leaves
from clinical_qkt.packages.made_of import holds_gaussians
from clinical_qkt.packages.signing import SIGNATURE, read_fingerprint
from clinical_qkt.packages.tensor_table import read_header
from clinical_qkt.packages.writer import CARD, package_bytes
from clinical_qkt.prepare.local_folder import LOCAL, names_kept, originals
from clinical_qkt.site.config import Site
from clinical_qkt.site.ledger.ledger import Departure, Ledger
from clinical_qkt.site.policy import Policy

LONGEST = 100
"""Letters of a field that are shown; the rest is in the card."""

ONWARD = {
    "student_only": "A model that is made of them stays with the asker, or comes back to you: onward is "
    "'student_only'.",
    "assessment": "A model that is made of them may go to other hospitals, which measure it: onward is "
    "'assessment'. From it and their own numbers they can compute yours.",
}
"""What a site says of a model that is made of its exact numbers, see ``packages.made_of``."""


@dataclass(frozen=True)
class Preview:
    """One class of an answer that is about to leave; for the eyes of this site alone.

    Attributes:
        label: the class.
        what: the kind of answer, or why there is none.
        patients: whose images it is made of; None if nothing was looked at, or if it is private: a yes or no
            that depends on it would tell the asker what the noise hides.
        numbers: how many would leave.
        private: whether they are noised.
        kind: of the response; empty if there is none.
    """

    label: str
    what: str
    patients: int | None
    numbers: int
    private: bool
    kind: str = ""


@dataclass(frozen=True)
class Leaving:
    """Agreement to one package, asked for when it is finished and before it is put in place.

    Args:
        folder: where it will lie.
        ledger: gets a line before it does.
        to: the receiver, if it is named.
        yes: agreed beforehand.
        shown: what leaves was shown already, and agreed to.
    """

    folder: Path
    ledger: Ledger
    to: str = ""
    yes: bool = False
    shown: bool = False

    def require_somebody(self) -> None:
        """Stop before any work is done if there is nobody to ask.

        Raises:
            InputError: nobody is there.
        """
        if not (self.yes or self.shown or sys.stdin.isatty()):
            raise InputError(
                "nobody is there to agree to what would leave",
                where=str(self.folder),
                fix="give --yes true, or run it in a terminal",
            )

    def __call__(self, part: Path, card: PackageCard) -> None:
        """Show the finished package, ask, and write the ledger's line.

        Raises:
            InputError: nobody said yes; or the ledger cannot be used.
        """
        if not self.shown:
            console = Console(stderr=True)
            console.print(contents(part, card, self.to))
            require_yes(console, self.folder, yes=self.yes)
        kind = card.facts()["format"].split("/")[1]
        departure = Departure(
            kind,
            sha256(part / CARD),
            card.weights_sha256,
            package_bytes(part),
            self.to,
            read_fingerprint(part),
        )
        self.ledger.departed(departure)


def contents(folder: Path, card: PackageCard, to: str = "") -> Table:
    """Everything that a package consists of: fields, tensors, bytes, digests, what the audit says."""
    table = Table(title=escape(f"This would leave{f' for {to}' if to else ''}:"), title_justify="left")
    table.add_column("what")
    table.add_column("value", overflow="fold")
    for place, value in leaves(card.facts()):
        if value != NONE and not place.startswith("privacy."):  # told in words below
            look = place.rpartition(".")[2] in LOOKS
            table.add_row(Text(place), Text(value if look else _short(value)))
    tensors = read_header(folder / card.TENSORS)
    numbers = sum(math.prod(shape) for shape, _ in tensors.values())
    table.add_row("tensors", f"{len(tensors)}, {numbers:,} numbers", end_section=True)
    for path in sorted(folder.iterdir()):
        table.add_row(Text(path.name), f"{path.stat().st_size:,} bytes, SHA-256 {sha256(path)}")
    made_with = read_fingerprint(folder) if (folder / SIGNATURE).is_file() else None
    table.add_row("signed", f"with the key {made_with}" if made_with else "no", end_section=True)
    if isinstance(card, Card):
        if holds_gaussians(card):
            table.add_row("statistics", "the exact means and spreads of own classes are in the head")
        for row in audit_rows(card):
            table.add_row(*row)
        if card.privacy.audit is None:
            table.caption = (
                "With --audit true the model is attacked first, and the figures stand on the card."
            )
    return table


def require_no_identifiers(
    site: Site, *, task: str = "", label_space: Sequence[ClassLabel] = (), query: Sequence[ClassLabel] = ()
) -> None:
    """Refuse to write a card on which the site itself names a patient or an image; see ``identifiers``.

    It is asked before anything is computed or spent, and looks at nothing that others wrote: whoever could
    have a name looked for would learn from the outcome who is a patient here.

    Args:
        site: its pseudonym and licence are on the card.
        task, label_space, query: what else of the card is in the site's own words.

    Raises:
        InputError: names the field, never the identifier.
    """
    written = {"site": [site.site], "task": [task], "licence": [site.licence]}
    for field, labels in {"label_space": label_space, "query": query}.items():
        written[field] = [text for c in labels for text in (c.name, c.system or "", c.code or "")]
    known = identifiers_of(site)
    for field, texts in written.items():
        if any(known.named_in(text) for text in texts):
            raise InputError(
                "holds the name of a patient or of an image file",
                where=f"card: {field}",
                fix="correct it in the site's YAML; a card goes to other hospitals. If it is nobody's name, "
                "name the patient of each image in the datalist, or give the files other names",
            )


def identifiers_of(site: Site) -> Identifiers:
    """What names the site's patients and images: in its datalist, and in what ``prepare`` keeps beside it."""
    content = parse_datalist(site.data)
    entries = [entry for section in SECTIONS for entry in getattr(content, section)]
    listed = [(str(e.image), e.patient) for e in entries] + [(name, None) for name, _ in content.left_out]
    listed += originals(site.data.parent / LOCAL, {name_of(e.image): e.patient for e in entries})
    classes = {str(e.label) for e in entries} | {m.name for c in site.classes for m in c.meanings}
    return Identifiers(listed, classes, names_kept(site.data.parent / LOCAL))


def require_consent(
    asker: str, rows: Sequence[Preview], policy: Policy, spent: float, folder: Path, *, yes: bool
) -> None:
    """Show what an answer would tell, and ask unless that was answered beforehand.

    Args:
        spent: the epsilon of all earlier answers together.
        yes: it was, at the command line or by a decision at the desk.

    Raises:
        InputError: nobody said yes.
    """
    console = Console(stderr=True)
    table = Table(title=escape(f"{asker} asks; this would leave:"), title_justify="left")
    for heading in ("class", "answer", f"own {policy.unit}s", "numbers", "guarantee"):
        table.add_column(heading)
    for row in rows:
        promised = guarantee(policy.epsilon, policy.delta, policy.unit) if row.private else "none"
        patients = "-" if row.patients is None else str(row.patients)
        told = (Text(row.label), Text(row.what), patients, str(row.numbers))
        table.add_row(*told, promised if row.numbers else "")
    console.print(table)
    if policy.unit == "image" and any(row.private for row in rows):
        console.print("The noise hides one image: a patient with several images is hidden less.")
    if any(row.numbers and not row.private for row in rows):
        console.print(
            "Exact numbers have no guarantee: whoever holds an image can tell from a covariance, nearly "
            "without fault, whether it is among yours; from a mean or a diagonal more often than by guessing."
        )
        console.print(ONWARD[policy.onward])
    console.print(
        f"Privacy budget: epsilon {spent:.2f} of {policy.total_epsilon:g} is spent. How many {policy.unit}s "
        "there are is shown here only; of a private response not even here, since a yes or no that depends "
        "on it would tell the asker."
    )
    require_yes(console, folder, yes=yes)


def require_yes(console: Console, folder: Path, *, yes: bool) -> None:
    """Ask whether what was shown may be written, unless that was answered beforehand.

    Raises:
        InputError: nobody is there, or nobody said yes.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            "nobody is there to agree to what would leave",
            where=str(folder),
            fix="give --yes true, or run it in a terminal",
        )
    if not Confirm.ask(Text(f"Write it to {folder}?"), console=console, default=False):
        raise InputError(
            "was not agreed to; nothing was written", where=str(folder), fix="answer y to write it"
        )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
