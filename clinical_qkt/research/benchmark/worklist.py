"""How many labels a list to label needs, against labelling at random, and what its intervals cover.

    python -m clinical_qkt.research.benchmark.worklist --data FILE.npz [--seeds 0,1,2] [--max-epochs N]
        [--repetitions N] [--out DIR]

Each seed trains a federation as `clinical-qkt demo` does. The student's model then looks at all images that
nobody was trained on, of all classes. An archive is simulated from what it says of them: images of the
queried class and others are drawn with replacement, so that the queried class has a given share. Of each
archive a list is drawn and labelled with the true classes, and its figures are compared with those of the
whole archive.

Random labelling has the exact interval of the share among the images of the class that were found. With the
model's word on all images of the archive a random sample, too, says more: so it is also judged by the
narrower one of that interval and of our own estimates from the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from monai.transforms import Compose
from numpy.typing import NDArray
from rich.console import Console

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.exit_codes import exit_codes
from clinical_qkt.core.files import write_json, write_text
from clinical_qkt.core.version import __version__
from clinical_qkt.data.sources import Source, open_source
from clinical_qkt.data.transforms import contract_transforms
from clinical_qkt.evidence.intervals import proportion
from clinical_qkt.packages.model import Model, load_model
from clinical_qkt.research.benchmark.worklist_tables import SHARES, WANTED, tables
from clinical_qkt.research.demo import run_demo
from clinical_qkt.research.simulated_sites import DemoSettings
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import logits_of
from clinical_qkt.worklist.estimates import Counted, Figures, figures
from clinical_qkt.worklist.sampling import drawn, strata

Array = NDArray[Any]
PREVALENCES = (0.05, 0.01, 0.005)
SIZES = (20_000, 100_000)
"""Images of an archive; the first is also used for coverage."""
COUNTS = (200, 1000)
"""Labels of the lists whose intervals are looked at."""
TRIES = 10
"""Archives for the mean width."""
FINER = 1.05
"""How exactly the number of labels is found."""


@dataclass(frozen=True)
class Pool:
    """What a model says of images that nobody was trained on.

    Attributes:
        probabilities: ``(N, classes)``.
        wanted: ``(N,)`` whether it is an image of the queried class.
        column: of the queried class.
    """

    seed: int
    query: str
    probabilities: Array
    wanted: Array
    column: int

    def archive(self, share: float, size: int, rng: np.random.Generator) -> Pool:
        """A simulated archive."""
        of_class = round(share * size)
        chosen = np.concatenate(
            [
                rng.choice(np.flatnonzero(mine), n)
                for mine, n in ((self.wanted, of_class), (~self.wanted, size - of_class))
            ]
        )
        return Pool(self.seed, self.query, self.probabilities[chosen], self.wanted[chosen], self.column)

    @property
    def called(self) -> Array:
        """``(N,)`` whether the model calls an image so."""
        return np.asarray(SINGLE_LABEL.decide(self.probabilities) == self.column)

    def truth(self) -> dict[str, float | None]:
        """The figures of all its images."""
        called = self.called
        right = self.wanted[called]
        return {
            "recall": float(called[self.wanted].mean()),
            "false_alarms": float(called[~self.wanted].mean()),
            "precision": float(right.mean()) if len(right) else None,
            "prevalence": float(self.wanted.mean()),
        }


def pool_of(data: Path, settings: DemoSettings, out: Path, console: Console) -> Pool:
    """Train a federation, and ask the student's model about every image that was not used for it."""
    summary = run_demo(settings, out, overwrite=False, keep=True, console=console)
    source = open_source(data, settings.seed)
    splits = source.limited(settings.max_per_class, settings.seed).splits
    used = np.concatenate([splits["training"], splits["validation"]])
    fresh = np.setdiff1d(np.concatenate(list(source.splits.values())), used)
    model = load_model(out / "model")
    (query,) = summary.student.query
    column = model.card.labels.find(query)
    assert column is not None
    wanted = source.labels[fresh] == source.classes.find(query)
    return Pool(settings.seed, query, _said(source, fresh, model), wanted, column)


def _said(source: Source, positions: Array, model: Model) -> Array:
    """
    Raises:
        InputError: the images do not lie in the file itself.
    """
    if isinstance(source.images, list):
        raise InputError("holds no images", where="--data", fix="give an .npz file")
    stored, prepare = source.images, Compose(contract_transforms(model.card.input))

    class Images:
        def __len__(self) -> int:
            return len(positions)

        def __getitem__(self, i: int, /) -> Any:
            picture = stored[positions[i]]
            values = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
            return prepare({"image": torch.as_tensor(values.swapaxes(1, 2).copy()).float()})

    said = logits_of(model.network, Images(), torch.device("cpu"), what="the model's answers")
    return np.asarray(SINGLE_LABEL.probabilities(said).numpy())


def listed(archive: Pool, count: int, rng: np.random.Generator) -> Figures:
    """The figures of a list to label."""
    answers = []
    for part in strata(archive.probabilities, [archive.column], count):
        positions, weights = drawn(part, rng)
        found = tuple(weights[archive.wanted[positions]].tolist())
        answers.append(Counted(part.size, part.labels, found, (), part.called == archive.column))
    return figures(answers)


def half(interval: Sequence[float] | None) -> float:
    """Half the width of an interval; of none at all it is that of 0 to 1."""
    return (interval[1] - interval[0]) / 2 if interval else 0.5


def width_listed(archive: Pool, count: int, rng: np.random.Generator, figure: str) -> float:
    """Half the width of a figure's interval with a list to label."""
    told = getattr(listed(archive, count, rng), figure)
    return half([told.low, told.high])


def width_random(archive: Pool, count: int, rng: np.random.Generator, figure: str) -> float:
    """The same after labelling at random."""
    chosen = rng.choice(len(archive.wanted), count, replace=False)
    wanted, called = archive.wanted[chosen], archive.called[chosen]
    of = wanted if figure == "recall" else called
    return half(proportion(int((wanted & called).sum()), int(of.sum())))


def width_random_called(archive: Pool, count: int, rng: np.random.Generator, figure: str) -> float:
    """The same with the narrower interval, where the model's word on the whole archive is used."""
    chosen = rng.choice(len(archive.wanted), count, replace=False)
    wanted, called = archive.wanted[chosen], archive.called
    of = wanted if figure == "recall" else called[chosen]
    usual = half(proportion(int((wanted & called[chosen]).sum()), int(of.sum())))
    parts = []
    for mine in (True, False):
        size, looked = int((called == mine).sum()), called[chosen] == mine
        if size and not looked.any():
            return usual
        found = (size / looked.sum(),) * int((wanted & looked).sum()) if size else ()
        parts += [Counted(size, int(looked.sum()), found, (), mine)] if size else []
    ours = getattr(figures(parts), figure)
    return min(usual, half([ours.low, ours.high]))


WAYS: dict[str, Callable[[Pool, int, np.random.Generator, str], float]] = {
    "list": width_listed,
    "random": width_random,
    "random_called": width_random_called,
}


def needed(way: str, figure: str, archives: Sequence[Pool], seed: int) -> int:
    """The smallest number of labels with which the mean half width is as wanted; all images at most."""
    low, high = 20, len(archives[0].wanted)
    while high > FINER * low:
        middle = round((low * high) ** 0.5)
        rng = np.random.default_rng(seed)
        enough = np.mean([WAYS[way](a, middle, rng, figure) for a in archives]) <= WANTED[figure]
        low, high = (low, middle) if enough else (middle, high)
    return high


def labels_row(pool: Pool, share: float, size: int) -> dict[str, Any]:
    """How many labels each way needs, in archives of one kind."""
    rng = np.random.default_rng([pool.seed, 1])
    archives = [pool.archive(share, size, rng) for _ in range(TRIES)]
    truths = [a.truth() for a in archives]
    row: dict[str, Any] = {"seed": pool.seed, "query": pool.query, "share": share, "images": size}
    for figure in WANTED:
        true = float(np.mean([t[figure] for t in truths if t[figure] is not None]))
        row[figure] = {"true": true} | {way: needed(way, figure, archives, pool.seed) for way in WAYS}
    return row


def coverage_row(pool: Pool, share: float, count: int, repetitions: int) -> dict[str, Any]:
    """How often the intervals miss the truth, on which side, and the mean of the estimates' errors."""
    rng = np.random.default_rng([pool.seed, 2])
    above, below, errors, widths = ({key: [] for key in SHARES} for _ in range(4))  # type: ignore[var-annotated]
    for _ in range(repetitions):
        archive = pool.archive(share, SIZES[0], rng)
        told, truth = listed(archive, count, rng), archive.truth()
        for key in SHARES:
            one, true = getattr(told, key), truth[key]
            if true is not None:
                above[key].append(one.low > true + 1e-9)
                below[key].append(one.high < true - 1e-9)
                widths[key].append((one.high - one.low) / 2)
                errors[key] += [] if one.value is None else [one.value - true]
    means = {
        key: {
            "low_above": float(np.mean(above[key])),
            "high_below": float(np.mean(below[key])),
            "half_width": float(np.mean(widths[key])),
            "error": float(np.mean(errors[key])),
        }
        for key in SHARES
    }
    return {"seed": pool.seed, "query": pool.query, "share": share, "labels": count, **means}


def run(
    data: Path, seeds: Sequence[int], settings: DemoSettings, repetitions: int, out: Path, console: Console
) -> dict[str, Any]:
    """Measure, and write ``results.json`` and ``results.md``."""
    labels, coverage = [], []
    for seed in seeds:
        chosen = DemoSettings(
            data=data, seed=seed, max_epochs=settings.max_epochs, max_per_class=settings.max_per_class
        )
        pool = pool_of(data, chosen, out / f"seed_{seed}", console)
        for share in PREVALENCES:
            labels += [labels_row(pool, share, size) for size in SIZES]
            coverage += [coverage_row(pool, share, count, repetitions) for count in COUNTS]
            console.print(f"seed {seed}: {100 * share:g} % done", highlight=False)
    content = {
        "data": data.stem,
        "clinical_qkt": __version__,
        "max_epochs": settings.max_epochs,
        "max_per_class": settings.max_per_class,
        "repetitions": repetitions,
        "labels": labels,
        "coverage": coverage,
    }
    write_json(out / "results.json", content)
    write_text(out / "results.md", tables(content))
    return content


def main(
    data: Annotated[Path, typer.Option(help="An .npz file, as for `clinical-qkt demo`.")],
    seeds: Annotated[str, typer.Option(help="Separated by commas.")] = "0,1,2",
    max_epochs: Annotated[int, typer.Option(min=1, help="Of each training.")] = 4,
    max_per_class: Annotated[int, typer.Option(min=20, help="Training images of a class, at most.")] = 600,
    repetitions: Annotated[int, typer.Option(min=1, help="Archives for the coverage.")] = 500,
    out: Annotated[Path, typer.Option()] = Path("runs/worklist"),
) -> None:
    """Labels that a list to label needs, and what its intervals cover."""
    if not all(s.strip().isdigit() for s in seeds.split(",")):
        raise InputError(f"'{seeds}' is no list of numbers", where="--seeds", fix="write e.g. --seeds 0,1,2")
    settings = DemoSettings(max_epochs=max_epochs, max_per_class=max_per_class)
    console = Console()
    content = run(data, [int(s) for s in seeds.split(",")], settings, repetitions, out, console)
    console.print(tables(content), soft_wrap=True, markup=False)


if __name__ == "__main__":
    exit_codes(lambda: typer.run(main))
