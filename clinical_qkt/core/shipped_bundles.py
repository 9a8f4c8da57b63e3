"""The bundles that come with the software, and the stages of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clinical_qkt.core.errors import InputError, one_of

FIRST = "train"
"""The config that all others are overlays of."""


REINSTALL = "install clinical-qkt again"


def chain(stage: str, known: Sequence[str]) -> list[str]:
    """The configs that make a stage: ``train``, what the stage's name stands on, the stage.

    >>> chain("transfer_light", ["train", "transfer", "transfer_light"])
    ['train', 'transfer', 'transfer_light']
    """
    parts = stage.split("_")
    names = ["_".join(parts[: i + 1]) for i in range(len(parts))]
    return list(dict.fromkeys([FIRST, *(n for n in names if n in known)]))


def stages(bundle: Path) -> list[str]:
    """The names of a bundle's configs, ``train`` first."""
    found = sorted(p.stem for p in (bundle / "configs").glob("*.yaml"))
    return [FIRST, *(name for name in found if name != FIRST)]


def shipped() -> dict[str, Path]:
    """The bundles that come with the software, by name: inside the installed package, or in the checkout."""
    here = Path(__file__).parents[1]
    folder = here / "bundles" if (here / "bundles").is_dir() else here.parent / "bundles"
    return {p.parent.parent.name: p.parent.parent for p in sorted(folder.glob("*/configs/train.yaml"))}


def bundle_folder(name: str, *, where: str = "--bundle") -> Path:
    """A shipped bundle by its name, or a folder that is one.

    Raises:
        InputError: it is neither; or both, as a copy may be that kept its name.
    """
    known, folder = shipped(), Path(name).expanduser()
    is_bundle = (folder / "configs" / f"{FIRST}.yaml").is_file()
    if name in known and is_bundle and folder.resolve() != known[name].resolve():
        fix = f"write ./{name} for the folder, or {known[name]} for the one that comes with the software"
        raise InputError(f"'{name}' is a bundle of the software's and a folder here", where=where, fix=fix)
    if name in known:
        return known[name]
    if is_bundle:
        return folder
    if folder.is_dir():
        fix = f"give a folder with configs/train.yaml, or one of: {', '.join(known)}"
        raise InputError(f"the folder '{name}' is no bundle", where=where, fix=fix)
    fix = one_of(name, list(known)) if known else REINSTALL
    raise InputError(f"there is no bundle '{name}'", where=where, fix=fix)
