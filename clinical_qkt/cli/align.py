"""Another site's class list against one's own, shown before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.label_space import Alignment, ClassLabel, Row
from clinical_qkt.packages.model import load_model
from clinical_qkt.site.config import SiteLabels, read_part

_WORDS = {"merged": "part of it", "ambiguous": "AMBIGUOUS", "no such class": "no such class here"}


def run_align(site_yaml: Path, packages: Sequence[Path], console: Console) -> None:
    """Print one table a teacher package, which is verified first.

    Args:
        site_yaml: a site's YAML file, of which only the classes and whom it trusts are read.

    Raises:
        PackageError: a package is refused.
        InputError: the YAML is wrong; or, once all tables are printed, a class could be aligned in more than
            one way.
    """
    site = read_part(site_yaml, SiteLabels)
    ours = site.labels.extended(site.query) if site.query else site.labels
    ambiguities, met = [], set()
    for folder in packages:
        card = load_model(folder, site.trust).card
        table = Alignment(card.labels, ours)
        print_alignment(console, card.site, table)
        ambiguities += [f"{card.site}: {told}" for told in table.ambiguities]
        met |= set(table.columns.values())
    unmet = [q.name for i, q in enumerate(site.query, start=len(site.classes)) if i not in met]
    if unmet:
        console.print(Text(f"Asked for, and in none of these lists: {', '.join(unmet)}"))
    if ambiguities:
        raise InputError(
            "; ".join(ambiguities),
            where="label alignment",
            fix=f"give the classes codes, or correct 'synonyms' and 'merges' in {site_yaml}",
        )


def print_alignment(console: Console, site: str, table: Alignment) -> None:
    """The whole table: what became of each of the other site's classes, and which of ours it lacks."""
    shown = Table(title=escape(f"{site}: {len(table.columns)} of {len(table.rows)} classes aligned"))
    shown.title_justify = "left"
    for heading in ("its class", "your class", "by"):
        shown.add_column(heading)
    for row in table.rows:
        shown.add_row(_written(table.source[row.source]), _partners(row, table), _WORDS.get(row.how, row.how))
    console.print(shown)
    if table.missing:
        console.print(Text(f"It has none of: {', '.join(table.target[j].name for j in table.missing)}"))
    console.print()


def _partners(row: Row, table: Alignment) -> Text:
    if row.how == "same name, other code":
        return Text("–")
    return Text(" or ").join(_written(table.target[j]) for j in row.targets) if row.targets else Text("–")


def _written(label: ClassLabel) -> Text:
    # Text, since rich would read square brackets in another site's names as its own marks.
    return Text(label.name + (f" ({label.code})" if label.code else ""))
