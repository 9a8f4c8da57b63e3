"""``clinical-qkt monitor SITE.yaml --images NEW``."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clinical_qkt.cli.paths import require_exists
from clinical_qkt.core.errors import InputError

if TYPE_CHECKING:
    from clinical_qkt.monitoring.check import Check

ALARM, SWITCH_OFF, TOO_FEW = 10, 11, 12
"""Exit codes, apart from those of errors."""


def monitor(
    site: Annotated[Path, typer.Argument(metavar="SITE.yaml", help="A site's YAML.")],
    images: Annotated[
        Path, typer.Option(help="Folder of new images, or a JSON list that names patients, too.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="Folder of the model in use. Default: the transfer's.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of this check, e.g. 2026-W48. Default: today.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Leave out files that were written before.")
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Take these images as the yardstick of later checks.")
    ] = False,
    bundle: Annotated[
        str | None, typer.Option(help="A shipped bundle's name or a folder, instead of the site's own.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a check of that name, or the baseline.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Watch a model in use: are new images, and its answers, as they were?

    Exit code 0: quiet; 10: alarm; 11: the model is to be switched off; 12: too few images.
    """
    require_exists(images, where="--images", fix="give a folder of new images, or a JSON list of them")
    day = _day(since)
    from clinical_qkt.monitoring.watch import watch

    check = watch(
        site,
        images,
        Console(quiet=as_json),
        model=model,
        name=name or datetime.date.today().isoformat(),
        since=day,
        baseline=baseline,
        bundle=bundle,
        overwrite=overwrite,
    )
    if as_json:
        print(check.model_dump_json(indent=2))
    if code := exit_code(check):
        raise SystemExit(code)


def exit_code(check: Check) -> int:
    """What a script is told."""
    if check.switch_off:
        return SWITCH_OFF
    return {"quiet": 0, "alarm": ALARM, "too few images": TOO_FEW}[check.verdict]


def _day(text: str | None) -> datetime.date | None:
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise InputError(f"'{text}' is no day", where="--since", fix="write e.g. 2026-11-23") from None
