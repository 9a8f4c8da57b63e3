"""The measured figures for people who do not know the attacks: a block of the data-protection officers' page.

Run in a checkout, after the benchmark was published: ``python -m clinical_qkt.documentation.audit_figures``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from clinical_qkt.core.files import write_text
from clinical_qkt.documentation.schema_tables import between_marks

FIGURES = Path("docs/results/privacy/privacy.json")
STUDENTS = Path("docs/results/privacy/students.json")
"""Of answers, and of models that were made of answers or distilled as they are now."""
PAGE = Path("docs/explanation/for-data-protection-officers.md")
BY = "clinical_qkt.documentation.audit_figures"

_WHO = {
    "teacher packages": "the model that is handed over",
    "student before": "the other hospital's model before it learns from ours",
    "statistics": "the other hospital's model, made of exact responses",
    "private": "the other hospital's model, made of private responses, epsilon 1",
    "answers (mean)": "an exact response: averages",
    "answers (diagonal)": "an exact response: averages and spreads",
    "answers (statistics)": "an exact response: averages, and how they vary together",
    "answers (private)": "a private response, epsilon 1",
}
_KNOWN = "; by somebody who knows all other patients in it"
_IMAGES = {"all_classes": "all", "rarest_class": "of the rarest or queried class"}


def table(content: dict[str, Any]) -> str:
    """The strongest attack on each thing, one row for all images and one for the rare ones.

    Args:
        content: of the privacy benchmark's ``privacy.json``.
    """
    data = f"{content['data']}{' (generated images)' if content['generated'] else ''}"
    lines = [
        f"Data: {data}; in brackets 95 % intervals. By chance it would be 1 of 100, and 0.50.",
        "",
        "| how the models were trained | attacked | images | found at 1 % false alarms, of 100 | AUC |",
        "| --- | --- | --- | --- | --- |",
    ]
    rows = content["attacks"]
    for key in dict.fromkeys(map(_key, rows)):
        title, of, images, known = key
        row = max((r for r in rows if _key(r) == key), key=_strength)
        who = _WHO.get(of, f"the other hospital's model afterwards ({of})") + _KNOWN * known
        lines.append(f"| {title} | {who} | {_IMAGES[images]} | {_rate(row)} | {_area(row['auc'])} |")
    return "\n".join(lines)


def later(content: dict[str, Any]) -> str:
    """The same of ``students.json``, without what the first table has."""
    rows = [r for r in content["attacks"] if r["of"] not in ("teacher packages", "student before")]
    heading = "Answers in place of a model, and models that were made of answers:"
    return f"{heading}\n\n{table({**content, 'attacks': rows})}"


def page(root: Path) -> str:
    """The whole page with the figures as they are published."""
    tables = [table(json.loads((root / FIGURES).read_text(encoding="utf-8")))]
    if (root / STUDENTS).is_file():
        tables.append(later(json.loads((root / STUDENTS).read_text(encoding="utf-8"))))
    text = (root / PAGE).read_text(encoding="utf-8")
    return between_marks(text, BY, "figures", "\n\n".join(tables))


def _key(row: dict[str, Any]) -> tuple[str, str, str, bool]:
    return row["title"], row["of"], row["images"], row.get("attack") == "others_known"


def _strength(row: dict[str, Any]) -> tuple[float, float]:
    rate = row["tpr_at_1_percent"]
    return (rate["rate"] if rate else 0.0, row["auc"]["mean"])


def _rate(row: dict[str, Any]) -> str:
    rate = row["tpr_at_1_percent"]
    if rate is None:
        return "too few images to tell"
    return f"{100 * rate['rate']:.1f} ({100 * rate['low']:.1f} to {100 * rate['high']:.1f})"


def _area(auc: dict[str, float]) -> str:
    return f"{auc['mean']:.2f} ({auc['low']:.2f} to {auc['high']:.2f})"


def main(root: Annotated[Path, typer.Argument(help="The checkout.")] = Path(__file__).parents[2]) -> None:
    """Put the published figures into the page."""
    write_text(root / PAGE, page(root))
    print(PAGE)


if __name__ == "__main__":
    typer.run(main)
