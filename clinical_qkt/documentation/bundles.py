"""What all bundles have in common, copied from one of them, so that each is a folder that stands alone.

Run in a checkout: ``make bundles``. A bundle's own are its ``metadata.json`` and what its README says before
the commands; all else is changed in the source and copied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clinical_qkt.core.files import write_text

SOURCE = Path("bundles/blood_cell_classification")
OWN = "metadata.json"
COMMANDS = "## MONAI Bundle Commands\n"
"""From this heading on, all bundles' READMEs say the same."""


def files(root: Path) -> dict[Path, str]:
    """Every file that is made, with its text.

    Args:
        root: the checkout.
    """
    source, others = root / SOURCE, [b for b in bundles(root) if b != root / SOURCE]
    made = {b / "LICENSE": _read(root / "LICENSE") for b in bundles(root)}
    for config in _shared(source):
        made |= {b / "configs" / config.name: _read(config) for b in others}
    commands = _readme(source)[1]
    return made | {b / "docs/README.md": _readme(b)[0] + COMMANDS + commands for b in others}


def strays(root: Path) -> list[Path]:
    """Configs that the source has no more."""
    known = {config.name for config in _shared(root / SOURCE)}
    return [c for b in bundles(root) for c in _shared(b) if c.name not in known]


def bundles(root: Path) -> list[Path]:
    """The folders of all bundles."""
    return [found.parents[1] for found in sorted(root.glob(f"bundles/*/configs/{OWN}"))]


def _shared(bundle: Path) -> list[Path]:
    return [c for c in sorted((bundle / "configs").iterdir()) if c.name != OWN]


def _readme(bundle: Path) -> tuple[str, str]:
    """What is said before the commands, and from them on."""
    own, _, commands = _read(bundle / "docs/README.md").partition(COMMANDS)
    return own, commands


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main(
    root: Annotated[Path, typer.Argument(help="The checkout.")] = Path(__file__).parents[2],
) -> None:
    """Make equal in all bundles what they have in common."""
    made = files(root)
    for path in strays(root):
        path.unlink()
        print(f"{path.relative_to(root)}: removed")
    for path, text in made.items():
        write_text(path, text)
        print(path.relative_to(root))


if __name__ == "__main__":
    typer.run(main)
