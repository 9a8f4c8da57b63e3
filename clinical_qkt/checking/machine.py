"""Where results go, and what the machine has: disk, device, memory, time."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.checking.data import counts
from clinical_qkt.checking.estimates import (
    RATE,
    Load,
    cost_of,
    seconds_told,
)
from clinical_qkt.checking.finding import Finding
from clinical_qkt.core import batches, memory
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.memory import bytes_told
from clinical_qkt.data.image_cache import in_memory
from clinical_qkt.networks.spec import NetworkSpec, preset
from clinical_qkt.packages.writer import package_bytes

CHECKPOINTS = 2 * 3
"""Of a training: two are kept, each with weights and the optimiser's two moments."""
ROOM = 50 * 2**20
"""Bytes for figures, logs and MLflow's database."""


def places(stage: Stage) -> Iterator[Finding]:
    """What the stage claims: its folder can be written to and holds no earlier result."""
    overwrite = stage.value("overwrite")
    for step in stage.workflow.parser["initialize"]:
        claimed = re.fullmatch(r"\$(?:@(\w+) or )?qkt\.claim\((.+), @overwrite\)", step)
        if not claimed:
            continue
        try:
            path = Path(stage.worked_out(claimed[2]))
        except SystemExit:  # the place is named after a package that is refused, which is told with packages
            continue
        if claimed[1] and stage.value(claimed[1]):
            yield Finding("ok", "output", f"{path} stays as it is; networks by folds are trained beside it")
            continue
        base = _existing(path.parent)
        if not _writable(base):
            yield Finding("problem", "output", f"{base} cannot be written to", "name another folder")
        elif path.exists() and not overwrite:
            fix = "name another place, or give --overwrite true"
            yield Finding("problem", "output", f"{path} holds the result of an earlier run", fix)
        else:
            told = " will be replaced, as --overwrite true says" if path.exists() else " can be written"
            yield Finding("warning" if path.exists() else "ok", "output", f"{path}{told}")


def disk(stage: Stage) -> Iterator[Finding]:
    """Space for models, checkpoints and packages, where the results go."""
    base = _existing(stage.site.output_dir)
    free, needed = shutil.disk_usage(base).free, _bytes_written(stage)
    told = f"about {bytes_told(needed)} needed, {bytes_told(free)} free at {base}"
    if free < needed:
        yield Finding("problem", "disk", told, "free some space, or name another 'output_dir'")
    else:
        yield Finding("ok" if free > 3 * needed else "warning", "disk", told)


def device(stage: Stage) -> Iterator[Finding]:
    """What will compute."""
    where: torch.device = stage.value("device")
    if where.type == "cuda":
        yield Finding("ok", "device", torch.cuda.get_device_name(where))
        return
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    fix = f"OMP_NUM_THREADS={cores} lets large networks use all of them" if threads < cores else ""
    told = f"CPU, {threads} of {cores} threads; no GPU was found"
    yield Finding("ok", "device", told, fix)


def memory_and_time(stage: Stage) -> Iterator[Finding]:
    """Estimates from the network's shapes; the reading of files comes on top."""
    load = _load(stage)
    if load is None:
        return
    where: torch.device = stage.value("device")
    free = memory.free(where)
    has = f", {bytes_told(free)} free" if free else ""
    short = free is not None and free < load.memory
    fix = "a smaller 'batch_size' or 'spatial_size', fewer images, or another machine" if short else ""
    told = (
        f"about {bytes_told(load.memory)}{has} (estimate: {load.cached} images kept, batches of {load.batch})"
    )
    yield Finding("warning" if short else "ok", "memory", told, fix)
    adds = load.cost.multiply_adds / 1e6
    told = (
        f"{seconds_told(load.seconds(where))} (estimate: {adds:,.0f} million multiply-adds an image, "
        f"{load.passes:,} images in all, {RATE[where.type] / 1e9:,.0f} billion a second "
        f"{'a thread' if where.type == 'cpu' else 'of the GPU'}; reading files comes on top)"
    )
    yield Finding("ok", "time", told)


def _spec(stage: Stage) -> tuple[NetworkSpec, int, list[int]] | None:
    """The network that does the work, with its channels and image size; None for one of several models."""
    model = stage.model()
    if model is None:
        size = stage.site.spatial_size
        return preset(stage.site.architecture, stage.site.channels, size), stage.site.channels, size
    given = model.card.input
    spec = model.card.network
    return (spec, given.channels, given.spatial_size) if isinstance(spec, NetworkSpec) else None


def _load(stage: Stage) -> Load | None:
    found = _spec(stage)
    if found is None or stage.command not in ("train", "evaluate", "share", "transfer"):
        return None
    spec, channels, size = found
    number, site = counts(stage.site), stage.site
    cost, shape = cost_of(spec, len(site.classes), channels, size), (channels, *size)
    training = number["training"]
    held = in_memory(training + number["validation"], shape)
    if stage.command == "train":
        model, folds = _trainings(stage)
        if (
            site.trained_layers == "head"
        ):  # each image is looked at once, and what is trained is nothing beside
            looks = training * (1 + bool(folds)) + number["validation"]
            at_once = _at_once(spec, shape, stage.value("device"))
            return Load(cost, channels, size, held, looks, 0, at_once)
        trained = training * (model + max(0, folds - 1)) * site.max_epochs
        looks = number["validation"] * (model + folds) * site.max_epochs + training * bool(folds)
        return Load(cost, channels, size, held, trained + looks, trained, site.batch_size)
    at_once = _at_once(spec, shape, stage.value("device"))
    if stage.command == "transfer":
        everything = sum(number.values())
        epochs = int(stage.value("settings").get("max_epochs") or 0)
        models = 1 + len(site.teachers)
        passes = models * (2 * everything + int(stage.value("settings")["probes"])) + epochs * training
        held = in_memory(everything, shape)
        return Load(cost, channels, size, held, passes, epochs * training, at_once)
    return Load(cost, channels, size, 0, number["test"], 0, at_once)


def _trainings(stage: Stage) -> tuple[int, int]:
    """How many models ``train`` trains, of all training images, and how many without a fold of them."""
    private = "guarded" in stage.workflow.parser
    there = stage.has("folds_alone") and bool(stage.value("folds_alone"))
    return int(not there), stage.site.held_out_folds if stage.site.query and not private else 0


def _at_once(spec: NetworkSpec, shape: Sequence[int], device: torch.device) -> int:
    with torch.device("meta"):
        network = spec.build(2)
    try:
        return batches.images_at_once(network, shape, device)
    except InputError:  # the estimate of the memory shows it
        return 1


def _bytes_written(stage: Stage) -> int:
    found = _spec(stage)
    weights = cost_of(found[0], len(stage.site.classes), *found[1:]).weights * 4 if found else 2**30
    if stage.command == "train":
        return weights * (1 + CHECKPOINTS) + ROOM
    received = sum(package_bytes(f) for f in stage.site.teachers if f.is_dir())
    if stage.command == "transfer":  # the model, the one in MLflow, and unfinished work
        return 3 * (weights + received) + ROOM
    return 2 * weights + ROOM


def _writable(folder: Path) -> bool:
    """Tried out with a file that has no name and is gone at once."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _existing(folder: Path) -> Path:
    """The nearest folder above that is there."""
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
