"""The main job in one go: simulate hospitals, train, share, transfer, evaluate, report.

Each simulated site is described by a YAML file like a real one's, and from there on every stage is the
bundle's own: what the demo does can be repeated by hand with ``python -m monai.bundle run``.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from clinical_qkt import bundle
from clinical_qkt.core.errors import OutputError
from clinical_qkt.core.files import fingerprint, require_writable, write_json
from clinical_qkt.core.shipped_bundles import bundle_folder
from clinical_qkt.core.state_folder import state_in
from clinical_qkt.data.images import warn_skipped
from clinical_qkt.data.sources import Source
from clinical_qkt.packages.model import is_model
from clinical_qkt.packages.query import QueryCard
from clinical_qkt.packages.response import ResponseCard
from clinical_qkt.packages.writer import is_package
from clinical_qkt.research import demo_exchange, simulated_sites
from clinical_qkt.research.partitions import pathological
from clinical_qkt.research.simulated_sites import LOOKS, DemoSettings
from clinical_qkt.review import report
from clinical_qkt.review.summary_schema import TransferSummary
from clinical_qkt.review.tracking import viewing
from clinical_qkt.training import own_folds

MARK = "demo.json"


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
    demo_exchange.require(settings.exchange)
    source = simulated_sites.read(settings)
    settings = replace(settings, bundle=settings.bundle or simulated_sites.bundle_for(source))
    per_site = settings.classes_per_site or max(2, round(0.6 * len(source.classes)))
    dealt = pathological(len(source.classes), settings.sites, per_site, settings.seed)
    ask = simulated_sites.ask(settings, source, dealt)
    mark = fingerprint(settings.facts, source.name, source.labels.tolist())
    continued = _claim(out, mark, overwrite, keep)
    _begin(console, source, settings.sites, continued=continued)
    sites = simulated_sites.write_federation(out, source, dealt, ask, settings)
    student = sites[ask.student]
    for site in sites:
        folder = out / "hospitals" / site
        by_folds = site != student or (folder / own_folds.FILE).is_file()
        _stage(
            console,
            f"train {site}",
            is_model(folder / "model") and by_folds,
            partial(_run, out, settings.bundle, "train", site),
        )
    for what, done, run in _exchange(out, sites, student, settings):
        _stage(console, what, done, run)
    came = demo_exchange.packages(out / "sites" / f"{student}.yaml") if settings.exchange else {}
    _stage(
        console,
        f"transfer to {student}",
        (out / "summary.json").is_file(),
        lambda: _run(out, settings.bundle, "transfer", student, **came),
    )
    for what, done, run in _assessment(out, sites, student, settings):
        _stage(console, what, done, run)
    write_json(out / MARK, {"mark": mark, "finished": True})
    summary = TransferSummary.model_validate_json((out / "summary.json").read_bytes())
    console.print()
    report.print_transfer(console, summary)
    _end(console, out, time.perf_counter() - started)
    return summary


def _begin(console: Console, source: Source, sites: int, *, continued: bool) -> None:
    """What the demo begins with."""
    console.print(
        f"[bold]{escape(source.name)}[/]: {len(source.labels)} images, {len(source.classes)} classes, "
        f"{sites} hospitals"
        + (" - generated images, no patients" if source.generated else "")
        + (" - going on with what is there" if continued else "")
    )
    warn_skipped(source.left_out)
    for note in source.notes:
        console.print(f"note: {note}", markup=False)


def _end(console: Console, out: Path, seconds: float) -> None:
    """How long it took, and where the results lie."""
    console.print(f"\n{seconds:.0f} seconds. Read the report:  {out / 'report.html'}", markup=False)
    if (out / LOOKS).is_file():
        console.print(f"See how the hospitals' pictures differ:  {out / LOOKS}", markup=False)
    mlflow = Path(sys.executable).parent / "mlflow"
    mlflow = mlflow.relative_to(Path.cwd()) if mlflow.is_relative_to(Path.cwd()) else mlflow
    uri = f"sqlite:///{(out / 'mlflow.db').absolute()}"
    console.print(
        f"Compare runs in MLflow:  {viewing.line(uri, mlflow)}\nin a browser at:  {viewing.address(uri)}",
        soft_wrap=True,
        markup=False,
    )


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


def _exchange(
    out: Path, sites: list[str], student: str, settings: DemoSettings
) -> Iterator[tuple[str, bool, Callable[[], None]]]:
    """What is handed over: models, or a query and the responses to it."""
    packages, run = out / "packages", partial(_run, out, settings.bundle)
    models, request = settings.gained_from == "models", packages / "query"
    if models:
        for site in sites:
            yield (
                f"share {site}",
                is_model(packages / site),
                partial(run, "share", site, to=student, yes=True),
            )
    if settings.exchange or not models:
        yield f"query of {student}", is_package(request, QueryCard), partial(run, "query", student, yes=True)
    if settings.exchange:
        others = [site for site in sites if site != student]
        letters = partial(_letters, out, others, student, settings, None if models else request)
        yield "letters", (out / "summary.json").is_file(), letters
    for site in [] if settings.exchange or models else sites:
        if site != student:
            extra = {
                "request": str(request),
                "response_dir": str(packages / site),
                "yes": True,
                "new_ledger": True,
            }
            done = is_package(packages / site, ResponseCard)
            yield f"response of {site}", done, partial(run, "answer", site, **extra)


def _assessment(
    out: Path, sites: list[str], student: str, settings: DemoSettings
) -> Iterator[tuple[str, bool, Callable[[], None]]]:
    """Where hospitals write letters, those who have test images of the new classes measure the new model."""
    if not settings.exchange:
        return
    run, new = partial(_run, out, settings.bundle), out / "packages" / "new_model"
    there = {"model": str(out / "model"), "package_dir": str(new), "yes": True}
    yield f"share the new model of {student}", is_model(new), partial(run, "share", student, **there)
    others = [site for site in sites if site != student]
    yield "letters", False, partial(_letters, out, others, student, settings, new)
    judged = partial(_judge, out, settings.bundle, student)
    yield f"judge the new model of {student}", False, judged


def _judge(out: Path, name: str, student: str) -> None:
    """By what the others measured."""
    came = demo_exchange.packages(out / "sites" / f"{student}.yaml").get("assessments", [])
    _run(out, name, "judge", student, assessments=came)


def _letters(
    out: Path, others: list[str], student: str, settings: DemoSettings, package: Path | None
) -> None:
    """The student asks, and each hospital answers at its own desk.

    Args:
        package: a query, or a new model that is to be measured; None: it asks for models.
    """
    mine, *yamls = (out / "sites" / f"{site}.yaml" for site in (student, *others))
    with state_in(out / "state"):
        demo_exchange.ask(mine, others, package)
        demo_exchange.round_trip(yamls, mine, Console(), processes=settings.processes)


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
