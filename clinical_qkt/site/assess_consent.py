"""Before a site tells what it measured of another site's model: all of it, and a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clinical_qkt.site.assess import Assess
from clinical_qkt.site.consent import require_yes


@dataclass(frozen=True)
class Shown:
    """One class of an assessment that is about to leave; for the eyes of this site alone.

    Attributes:
        label: the class.
        tested: of how many own images or patients, exactly.
        unit: which of the two.
        told: what would leave.
        before: whether that was told before, and costs nothing.
    """

    label: str
    tested: int
    unit: str
    told: Mapping[str, Any]
    before: bool


def require_agreement(asker: str, rows: Sequence[Shown], rule: Assess, folder: Path, *, yes: bool) -> None:
    """Show what an assessment would tell, and ask unless that was answered beforehand.

    Raises:
        InputError: nobody said yes.
    """
    console = Console(stderr=True)
    table = Table(title=escape(f"{asker} has a model measured; this would leave:"), title_justify="left")
    for heading in ("class", "tested on (stays here)", "images", "recognised", "false alarms"):
        table.add_column(heading)
    for row in rows:
        table.add_row(Text(row.label), f"{row.tested} {row.unit}", *_told(row))
    console.print(table)
    console.print(
        f"Counts are rounded down to {rule.rounding}, recall to whole percents, and nothing is told of fewer "
        f"than {rule.minimum_images}. They are exact but for that: two models that differ by one image "
        f"would tell of it, so of one asker at most {rule.assessments_per_query} are measured for a class."
    )
    require_yes(console, folder, yes=yes)


def _told(row: Shown) -> tuple[str, str, str]:
    told, others = row.told, row.told.get("others") or {}
    alarms = "–" if told.get("called") is None else f"{told['called']} of {others.get('images')}"
    if told.get("recall") is None:
        return "–", f"declined: {told.get('declined')}", alarms
    return str(told["images"]), f"{told['recall']} of 100{', as told before' if row.before else ''}", alarms
