"""The main job in one go: simulate hospitals, train, share, transfer, evaluate, report.

Each simulated site is described by a YAML file like a real one's, and from there on every stage is the
bundle's own: what the demo does can be repeated by hand with ``python -m monai.bundle run``.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.markup import escape

from clinical_qkt import bundle
from clinical_qkt.core.errors import InputError, OutputError, one_of
from clinical_qkt.core.files import fingerprint, require_writable, write_json
from clinical_qkt.core.shipped_bundles import bundle_folder
from clinical_qkt.core.state_folder import state_in
from clinical_qkt.data.datalist import Section
from clinical_qkt.data.export import write_datalist, write_images
from clinical_qkt.data.images import raw_image, warn_skipped
from clinical_qkt.data.made_for import ImageFacts, fitting
from clinical_qkt.data.phantoms import phantom_source
from clinical_qkt.data.sources import Source, open_source
from clinical_qkt.packages.model import is_model
from clinical_qkt.packages.query import QueryCard
from clinical_qkt.packages.response import ResponseCard
from clinical_qkt.packages.signing import new_key
from clinical_qkt.packages.writer import is_package
from clinical_qkt.prepare import fit
from clinical_qkt.research.partitions import Ask, choose_query, pathological
from clinical_qkt.review import report
from clinical_qkt.review.summary_schema import TransferSummary
from clinical_qkt.review.tracking import viewing
from clinical_qkt.site.config import write_site

BUNDLE = "blood_cell_classification"
MARK = "demo.json"
USUAL = 28
"""Pixels along each side of what the shipped bundles for pictures take unless told otherwise."""
SIMULATED = {
    "origin": "given to the hospital by the simulation, images of the queried classes too",
    "labelled_by": "whoever made the data set",
}
"""Where a demo's test images come from."""
_KINDS = {"models": "private_mean", "statistics": "covariance", "private": "private_mean"}


@dataclass(frozen=True)
class DemoSettings:
    """What decides the demo's figures.

    Attributes:
        data: as for ``sources.open_source``; phantoms if None.
        sites, classes_per_site: of the simulated federation; by default three fifths of the classes.
        student, query: who asks for what; chosen by ``partitions.choose_query`` if None or empty.
        max_per_class: training images that are used of each class, at most.
        max_epochs: of each training; by default 8, more for small data.
        gained_from: what the other sites give: their models, exact statistics, or private means.
        bundle: that all sites run; empty for the shipped one that is made for the images.
    """

    data: Path | None = None
    sites: int = 4
    classes_per_site: int | None = None
    student: str | None = None
    query: tuple[str, ...] = ()
    seed: int = 0
    max_per_class: int = 2500
    max_epochs: int | None = None
    allow_mixed_sizes: bool = False
    gained_from: Literal["models", "statistics", "private"] = "models"
    bundle: str = ""


def run_demo(
    settings: DemoSettings, out: Path, *, overwrite: bool, keep: bool = False, console: Console
) -> TransferSummary:
    """Run what is not done yet, print the result, give the summary.

    Args:
        settings: what decides the figures.
        out: the folder for everything.
        overwrite: replace an earlier run of the demo.
        keep: take a finished run of the same settings as it is.
        console: for the people who watch.

    Raises:
        QKTError: bad input or output; nothing is written if it can be told beforehand.
    """
    started = time.perf_counter()
    if settings.bundle:
        bundle_folder(settings.bundle)
    source = _read(settings)
    settings = replace(settings, bundle=settings.bundle or _bundle_for(source))
    per_site = settings.classes_per_site or max(2, round(0.6 * len(source.classes)))
    dealt = pathological(len(source.classes), settings.sites, per_site, settings.seed)
    ask = _ask(settings, source, dealt)
    mark = fingerprint(asdict(settings), source.name, source.labels.tolist())
    continued = _claim(out, mark, overwrite, keep)
    console.print(
        f"[bold]{escape(source.name)}[/]: {len(source.labels)} images, {len(source.classes)} classes, "
        f"{settings.sites} hospitals"
        + (" - generated images, no patients" if source.generated else "")
        + (" - going on with what is there" if continued else "")
    )
    warn_skipped(source.left_out)
    for note in source.notes:
        console.print(f"note: {note}", markup=False)
    sites = _write_federation(out, source, dealt, ask, settings)
    for site in sites:
        _stage(
            console,
            f"train {site}",
            is_model(out / "hospitals" / site / "model"),
            partial(_run, out, settings.bundle, "train", site),
        )
    student = sites[ask.student]
    for what, done, run in _exchange(out, sites, student, settings):
        _stage(console, what, done, run)
    _stage(
        console,
        f"transfer to {student}",
        (out / "summary.json").is_file(),
        lambda: _run(out, settings.bundle, "transfer", student),
    )
    write_json(out / MARK, {"mark": mark, "finished": True})
    summary = TransferSummary.model_validate_json((out / "summary.json").read_bytes())
    console.print()
    report.print_transfer(console, summary)
    seconds = f"{time.perf_counter() - started:.0f} seconds"
    console.print(f"\n{seconds}. Read the report:  {out / 'report.html'}", markup=False)
    mlflow = Path(sys.executable).parent / "mlflow"
    mlflow = mlflow.relative_to(Path.cwd()) if mlflow.is_relative_to(Path.cwd()) else mlflow
    uri = f"sqlite:///{(out / 'mlflow.db').absolute()}"
    console.print(
        f"Compare runs in MLflow:  {viewing.line(uri, mlflow)}\nin a browser at:  {viewing.address(uri)}",
        soft_wrap=True,
        markup=False,
    )
    return summary


def _read(settings: DemoSettings) -> Source:
    if settings.data is None:
        drawn = phantom_source(seed=settings.seed)
        return replace(drawn, notes=[*drawn.notes, f"phantoms are shrunk to {USUAL}x{USUAL}, to be quick"])
    source = open_source(settings.data, settings.seed, allow_mixed_sizes=settings.allow_mixed_sizes)
    return source.limited(settings.max_per_class, settings.seed)


def _bundle_for(source: Source) -> str:
    """The shipped bundle that is made for a source's images; the first one where none is."""
    if isinstance(source.images, list):
        image = raw_image(source.images[int(source.splits["training"][0])])
        facts = ImageFacts({image.kind}, image.shape[0], len(image.shape) - 1, {image.modality})
    else:
        facts = ImageFacts({"picture"}, 1 if source.images.ndim == 3 else 3, 2)
    return next(iter(fitting(facts)), BUNDLE)


def _ask(settings: DemoSettings, source: Source, dealt: list[list[int]]) -> Ask:
    sites = [f"hospital_{i + 1}" for i in range(len(dealt))]
    if settings.student is not None and settings.student not in sites:
        raise InputError(
            f"there is no site '{settings.student}'", where="--student", fix=one_of(settings.student, sites)
        )
    student = None if settings.student is None else sites.index(settings.student)
    wanted = []
    for name in settings.query:
        found = source.classes.find(name)
        if found is None:
            raise InputError(
                f"the data has no class '{name}'", where="--query", fix=one_of(name, source.classes.names)
            )
        wanted.append(found)
    return choose_query(dealt, student, wanted)


def _claim(out: Path, mark: str, overwrite: bool, keep: bool) -> bool:
    """Make the folder ours; True if an earlier run of the same settings is to be continued."""
    continued = False
    if out.exists() and not out.is_dir():
        raise OutputError("is not a folder", where=str(out), fix="name another with --out")
    if out.is_dir() and any(out.iterdir()):
        try:
            earlier = json.loads((out / MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise OutputError(
                "holds files that are not a demo's",
                where=str(out),
                fix="name an empty or new folder with --out",
            ) from None
        continued = earlier.get("mark") == mark and (keep or not earlier.get("finished"))
        if not continued and not overwrite:
            raise OutputError(
                "holds an earlier run",
                where=str(out),
                fix="name another folder with --out, or give --overwrite",
            )
        if not continued:
            shutil.rmtree(out)
    require_writable(out, where="--out")
    write_json(out / MARK, {"mark": mark, "finished": False})
    return continued


def _write_federation(
    out: Path, source: Source, dealt: list[list[int]], ask: Ask, settings: DemoSettings
) -> list[str]:
    """Deal the images to the sites and write each site's datalist and YAML.

    Training and validation images of a class are shared out among the sites that have it. All sites are
    tested on the same test images of their classes; the student's test images show the queried classes too,
    which a real hospital would seldom have.
    """
    files, root = write_images(source, out / "data" / "images"), out.absolute()
    rng = np.random.default_rng([settings.seed, 1])
    shares: list[dict[Section, list[int]]] = [{"training": [], "validation": [], "test": []} for _ in dealt]
    for c in range(len(source.classes)):
        holders = [i for i, mine in enumerate(dealt) if c in mine]
        for section, positions in source.splits.items():
            of_class = positions[source.labels[positions] == c]
            if section == "test":
                for i, mine in enumerate(dealt):
                    if c in mine or (i == ask.student and c in ask.classes):
                        shares[i][section] += of_class.tolist()
            else:
                for i, part in zip(
                    holders, np.array_split(rng.permutation(of_class), len(holders)), strict=True
                ):
                    shares[i][section] += sorted(part.tolist())
    names, sites = source.classes.names, [f"hospital_{i + 1}" for i in range(len(dealt))]
    of_images = _image_keys(source, files)
    for i, site in enumerate(sites):
        write_datalist(root / "data" / f"{site}.json", source, files, shares[i])
        values = {
            "site": site,
            "bundle": settings.bundle,
            "data": str(root / "data" / f"{site}.json"),
            "classes": [names[c] for c in dealt[i]],
            "output_dir": str(root / "hospitals" / site),
            "ledger": str(root / "hospitals" / site / "ledger.db"),
            "package_dir": str(root / "packages" / site),
            "mlflow": f"sqlite:///{root / 'mlflow.db'}",
            **of_images,
            "max_epochs": settings.max_epochs or fit.epochs_for(len(shares[i]["training"])),
            "policy": {"kinds": [_KINDS[settings.gained_from]], "unit": "image"},
            "allow_mixed_sizes": settings.allow_mixed_sizes,
            "seed": settings.seed,
            "signing_key": str(root / "keys" / f"{site}.key"),
            "trusted_keys": {other: str(root / "keys" / f"{other}.pub") for other in sites if other != site},
        }
        if i == ask.student:
            values |= {
                "test_data": SIMULATED,
                "query": [names[c] for c in ask.classes],
                "query_dir": str(root / "packages" / "query"),
                "teachers" if settings.gained_from == "models" else "responses": [
                    str(root / "packages" / other) for j, other in enumerate(sites) if j != i
                ],
                "transfer_dir": str(root),
            }
        write_site(root / "sites" / f"{site}.yaml", values)
        if not (root / "keys" / f"{site}.pub").is_file():
            (root / "keys" / f"{site}.key").unlink(missing_ok=True)  # of a demo that was cut off just here
            new_key(site, root / "keys")
    return sites


def _image_keys(source: Source, files: Sequence[Path]) -> dict[str, Any]:
    """What the sites' YAML says of the images; pictures larger than the bundle's size keep theirs."""
    first = int(source.splits["training"][0])
    if isinstance(source.images, list):
        shape = raw_image(files[first]).shape
    else:
        _, height, width, *colours = source.images.shape
        shape = (colours[0] if colours else 1, width, height)
    keys: dict[str, Any] = {"channels": shape[0]}
    if len(shape) == 3 and max(shape[1:]) > USUAL and not source.generated:
        size = fit.flat_size(shape[1:])
        network = fit.network(size, len(source.splits["training"]) // 2)
        keys |= {"spatial_size": size, network.key: network.value}
    return keys


def _exchange(
    out: Path, sites: list[str], student: str, settings: DemoSettings
) -> Iterator[tuple[str, bool, Callable[[], None]]]:
    """What is handed over: models, or a query and the responses to it."""
    packages, run = out / "packages", partial(_run, out, settings.bundle)
    if settings.gained_from == "models":
        for site in sites:
            yield (
                f"share {site}",
                is_model(packages / site),
                partial(run, "share", site, to=student, yes=True),
            )
        return
    request = packages / "query"
    yield f"query of {student}", is_package(request, QueryCard), partial(run, "query", student, yes=True)
    for site in sites:
        if site != student:
            extra = {
                "request": str(request),
                "response_dir": str(packages / site),
                "yes": True,
                "new_ledger": True,
            }
            done = is_package(packages / site, ResponseCard)
            yield f"response of {site}", done, partial(run, "answer", site, **extra)


def _run(out: Path, name: str, command: str, site: str, **overrides: Any) -> None:
    configs = bundle_folder(name) / "configs"
    overlay = [] if command == "train" else [configs / f"{command}.yaml"]
    files = [configs / "train.yaml", *overlay, out / "sites" / f"{site}.yaml"]
    # Its hospitals are nobody's, and those of the next demo have the same names.
    with state_in(out / "state"):
        bundle.run(files, bundle_root=str(configs.parent), **overrides)


def _stage(console: Console, what: str, done: bool, run: Callable[[], None]) -> None:
    if done:
        console.print(f"{what}: done already", markup=False)
        return
    start = time.perf_counter()
    run()
    console.print(f"{what}: {time.perf_counter() - start:.1f} s", markup=False)
