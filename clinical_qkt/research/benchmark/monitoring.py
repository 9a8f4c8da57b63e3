"""How soon ``monitor`` finds that images come from elsewhere, and how often it alarms when nothing changed.

    python -m clinical_qkt.research.benchmark.monitoring --data FILE.npz --other FOLDER [--seeds 0,1,2]
        [--quiet 70] [--drifted 20] [--out DIR]

Each seed runs a small demo and watches its student's model. Weeks are drawn without replacement from images
of the file that no hospital of the demo used, of the classes of the model; a drifted week has some images of
another laboratory, or of the same one with a changed stain. Every check is one of the product's own.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from scipy.ndimage import gaussian_filter

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json, write_text
from clinical_qkt.core.yaml_file import read_yaml
from clinical_qkt.data.sources import open_source
from clinical_qkt.evidence.intervals import proportion
from clinical_qkt.monitoring.acceptance import at_acceptance
from clinical_qkt.monitoring.check import ANY_RULE, AnyRule, checked
from clinical_qkt.monitoring.drift import Seen
from clinical_qkt.monitoring.images import looked_at
from clinical_qkt.monitoring.reference import Reference, as_baseline
from clinical_qkt.packages.model import load_model
from clinical_qkt.research.demo import run_demo
from clinical_qkt.research.simulated_sites import DemoSettings
from clinical_qkt.site.launch import plan
from clinical_qkt.site.monitoring_limits import Monitoring

PER_CLASS, EPOCHS = 400, 4
WEEKS, SHARES = (50, 200, 500), (0.1, 0.3)
FIRST_PERIOD = 400
"""Images of a baseline."""
STAINS = {"mild": 1.0, "medium": 2.0, "strong": 3.0}
PERMUTATIONS = 499
"""Fewer than in the product: p-values are coarser, and the level of images is rounded down to a 500th. The
limit for switching off at once lies below the least of them, so it is not measured here."""


@dataclass(frozen=True)
class Laboratory:
    """What one seed's checks are made of.

    Attributes:
        truth: ``(N,)`` true class of each image of ``quiet``.
        quiet: unused images of the same laboratory.
        drifted: images that come from elsewhere, by the kind.
    """

    accepted: Reference
    quiet: Seen
    truth: NDArray[np.int64]
    drifted: dict[str, Seen]


def laboratory(data: Path, other: Path, seed: int, folder: Path, console: Console) -> Laboratory:
    """Run the demo; look at all images once."""
    chosen = DemoSettings(data=data, seed=seed, max_per_class=PER_CLASS, max_epochs=EPOCHS)
    run_demo(chosen, folder, overwrite=False, keep=True, console=console)
    stage = Stage(plan("evaluate", _student(folder), []))
    model, read = load_model(folder / "model"), stage.value("read")
    accepted = at_acceptance(stage.site, model, read, torch.device("cpu"))
    source = open_source(data, seed)
    if isinstance(source.images, list):
        raise InputError("is no .npz file", where="--data", fix="give a MedMNIST-style file")
    classes = [source.classes.names.index(name) for name in model.card.labels.names]
    used = _used(folder)
    unused = [i for i in range(len(source.labels)) if source.labels[i] in classes and i not in used]
    rng = np.random.default_rng([seed, 5])

    def seen(name: str, images: NDArray[np.uint8]) -> Seen:
        paths = _written(folder / "weeks" / name, images)
        raw = looked_at(paths, read, model, torch.device("cpu"), accepted.axes, name)
        return raw.seen(None)

    some = rng.choice(unused, 1500, replace=False)
    names, size = model.card.labels.names, source.images.shape[1]
    drifted = {"another laboratory": seen("other", _other(other, names, size))}
    for level, strength in STAINS.items():
        drifted[f"{level} change of stain"] = seen(level, restained(source.images[some], strength, [seed, 6]))
    truth = np.array([classes.index(int(source.labels[i])) for i in unused])
    return Laboratory(accepted, seen("quiet", source.images[unused]), truth, drifted)


def restained(images: NDArray[np.uint8], strength: float, seed: Any) -> NDArray[np.uint8]:
    """Pictures as another laboratory's stain, light and lens might show them, all in the same way.

    Optical densities are mixed by a matrix near the identity, then gamma, gain, offset and blur are changed;
    each by a draw whose spread grows with the strength: 1 is hardly seen, 3 plainly.

    Args:
        images: ``(N, H, W, 3)``.
    """
    rng = np.random.default_rng(seed)
    matrix = np.eye(3) + rng.normal(0, 0.04 * strength, (3, 3)) + np.diag(rng.normal(0, 0.04 * strength, 3))
    density = np.maximum(-np.log((images.astype(np.float64) + 1) / 256) @ matrix.T, 0)
    light = (256 * np.exp(-density) - 1).clip(0, 255) / 255
    light = light ** np.exp(rng.normal(0, 0.08 * strength))
    gain, offset = 1 + rng.normal(0, 0.033 * strength, 3), rng.normal(0, 0.016 * strength, 3)
    sigma = rng.uniform(0, 0.33 * strength)
    blurred = gaussian_filter(light * gain + offset, (0, sigma, sigma, 0))
    return (255 * blurred).clip(0, 255).round().astype(np.uint8)


def weeks(
    lab: Laboratory, images: int, share: float, kind: str, count: int, yardstick: str, seed: Any
) -> Iterator[list[AnyRule]]:
    """Which rules alarm in drawn weeks.

    Args:
        share: of images that come from elsewhere.
        kind: of these, or for quiet weeks ``same mix`` or ``another mix`` of classes.
        yardstick: ``acceptance``, ``baseline`` (a first period with the weeks' mix, drawn anew for each) or
            ``acceptance, not thinned``.
    """
    rng = np.random.default_rng(seed)
    foreign = round(share * images)
    accepted = lab.accepted
    if yardstick == "acceptance, not thinned":
        about = accepted.about.model_copy(update={"kind": "baseline", "patients_named": True})
        accepted = Reference(about, accepted.seen, accepted.truth, accepted.axes)  # as if mixes were alike
    for number in range(count):
        first = FIRST_PERIOD if yardstick == "baseline" else 0
        drawn = rng.choice(len(lab.truth), first + images - foreign, replace=False, p=_mix(lab, kind, rng))
        week = lab.quiet.rows(drawn[first:])
        if foreign:
            pool = lab.drifted[kind]
            week = _together(week, pool.rows(rng.choice(len(pool), foreign, replace=False)))
        held = accepted
        if first:
            facts = {"patients_named": False, "unreadable": 0, "listed": first}
            held = as_baseline(accepted, lab.quiet.rows(drawn[:first]), "first", 0, **facts)
        check = checked(
            f"week-{number}", week, 0, held, Monitoring(), by_patient=False, channels=3, prevalence={},
            earlier=[], seed=int(rng.integers(2**31)), permutations=PERMUTATIONS,
        )  # fmt: skip
        yield check.alarms


def measured(
    lab: Laboratory, seed: int, quiet: int, drifted: int, console: Console
) -> Iterator[dict[str, Any]]:
    """Every cell of the tables for one seed."""
    cells = [
        (yardstick, mix, n, 0.0, quiet)
        for yardstick, mix in (
            ("acceptance", "same mix"),
            ("acceptance", "another mix"),
            ("acceptance, not thinned", "another mix"),
            ("baseline", "same mix"),
            ("baseline", "another mix"),
        )
        for n in WEEKS
    ]
    for kind in lab.drifted:
        held = ("acceptance", "baseline") if kind == "another laboratory" else ("acceptance",)
        cells += [(y, kind, n, share, drifted) for y in held for n in WEEKS for share in SHARES]
    for place, (yardstick, kind, n, share, count) in enumerate(cells):
        rows = list(weeks(lab, n, share, kind, count, yardstick, [seed, 7, place]))
        cell = {
            "seed": seed, "yardstick": yardstick, "kind": kind, "images": n, "share": share, "weeks": count,
            "alarms": sum(map(bool, rows)),
            "rules": {rule: sum(rule in r for r in rows) for rule in ANY_RULE},
        }  # fmt: skip
        console.print(json.dumps(cell), markup=False, soft_wrap=True)
        yield cell


def tables(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown: alarms of all seeds together, in percent, with exact 95 % intervals."""
    heads = ["yardstick", "weeks", *(f"{n} images a week" for n in WEEKS)]
    lines = ["Quiet weeks: how many alarm, of 100.", "", _line(heads), _line(["---"] * len(heads))]
    for yardstick, kind, _ in _keys(rows, 0.0):
        lines.append(_line([yardstick, kind, *(_cell(rows, yardstick, kind, n, 0.0) for n in WEEKS)]))
    heads = ["from elsewhere", "share", "yardstick", *(f"{n} images a week" for n in WEEKS)]
    lines += ["", "Drifted weeks: how many alarm, of 100.", "", _line(heads), _line(["---"] * len(heads))]
    for yardstick, kind, share in [k for s in SHARES for k in _keys(rows, s)]:
        cells = [_cell(rows, yardstick, kind, n, share) for n in WEEKS]
        lines.append(_line([kind, f"{share:.0%}", yardstick, *cells]))
    return "\n".join(lines) + "\n"


def _keys(rows: list[dict[str, Any]], share: float) -> list[tuple[str, str, float]]:
    return list(dict.fromkeys((r["yardstick"], r["kind"], share) for r in rows if r["share"] == share))


def _cell(rows: list[dict[str, Any]], yardstick: str, kind: str, images: int, share: float) -> str:
    wanted = (yardstick, kind, images, share)
    mine = [r for r in rows if (r["yardstick"], r["kind"], r["images"], r["share"]) == wanted]
    alarms, count = (sum(r[key] for r in mine) for key in ("alarms", "weeks"))
    low, high = proportion(alarms, count) or [0.0, 1.0]
    return f"{100 * alarms / count:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _mix(lab: Laboratory, kind: str, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Weights of images for another class mix, new for each week; a class is up to ten times as frequent."""
    if kind != "another mix":
        return None
    weights = rng.lognormal(0, 1, int(lab.truth.max()) + 1)[lab.truth]
    return weights / weights.sum()


def _together(one: Seen, two: Seen) -> Seen:
    pairs = zip(vars(one).values(), vars(two).values(), strict=True)
    look, features, called, stated, _ = (np.concatenate(pair) for pair in pairs)
    return Seen(look, features, called, stated, np.arange(len(called)))


def _student(folder: Path) -> Path:
    """The YAML of the hospital that asks."""
    return next(p for p in sorted((folder / "sites").glob("*.yaml")) if read_yaml(p).get("query"))


def _used(folder: Path) -> set[int]:
    """Positions of the images that a hospital of the demo has."""
    lists = [json.loads(p.read_text(encoding="utf-8")) for p in (folder / "data").glob("*.json")]
    entries = [e["image"] for c in lists for s in ("training", "validation", "test") for e in c[s]]
    return {int(re.findall(r"(\d+)\.png$", image)[0]) for image in entries}


def _written(folder: Path, images: NDArray[np.uint8]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:05d}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


def _other(folder: Path, names: list[str], size: int) -> NDArray[np.uint8]:
    """Pictures of the other laboratory of classes that the model has, as large as its own."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in names]
    pictures = [Image.open(folder / row["image"]).convert("RGB") for row in rows]
    return np.stack([np.asarray(p.resize((size, size), Image.Resampling.BICUBIC)) for p in pictures])


def main(
    data: Annotated[Path, typer.Option(help="A MedMNIST-style .npz file of colour pictures.")],
    other: Annotated[Path, typer.Option(help="Folder of another laboratory, with labels.csv: image, label.")],
    seeds: Annotated[str, typer.Option(help="Separated by commas.")] = "0,1,2",
    quiet: Annotated[int, typer.Option(min=1, help="Quiet weeks a seed and cell.")] = 70,
    drifted: Annotated[int, typer.Option(min=1, help="Drifted weeks a seed and cell.")] = 20,
    out: Annotated[Path, typer.Option()] = Path("runs/monitoring"),
) -> None:
    """Print and write the tables."""
    console, rows = Console(), []
    for seed in map(int, seeds.split(",")):
        lab = laboratory(data, other, seed, out / f"seed_{seed}", console)
        rows += list(measured(lab, seed, quiet, drifted, console))
        write_json(out / "results.json", {"rows": rows})
    write_text(out / "results.md", tables(rows))
    console.print(tables(rows), markup=False, soft_wrap=True)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
