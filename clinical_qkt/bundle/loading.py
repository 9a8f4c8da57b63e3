"""What a stage starts from: places for results, images, models and queries, each checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clinical_qkt.bundle import config_keys, sections
from clinical_qkt.bundle.running import check as check
from clinical_qkt.bundle.running import launch as launch
from clinical_qkt.bundle.running import plain_errors
from clinical_qkt.bundle.running import run as run
from clinical_qkt.bundle.start import facts_of
from clinical_qkt.core import batches
from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.core.errors import QKTError as QKTError
from clinical_qkt.core.files import fingerprint, require_writable, sha256
from clinical_qkt.core.state_folder import ledger_of as place_of_ledger
from clinical_qkt.data import image_cache
from clinical_qkt.data.datalist import CheckedData, load_datalist
from clinical_qkt.data.formats import entries, missed
from clinical_qkt.data.images import check_images, warn_skipped
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.made_for import MadeFor, require_made_for
from clinical_qkt.data.transforms import contract_transforms
from clinical_qkt.data.transforms import reading as reading
from clinical_qkt.data.transforms import show_progress as show_progress
from clinical_qkt.data.transforms import symmetries as symmetries
from clinical_qkt.networks import spec
from clinical_qkt.packages import model
from clinical_qkt.packages import query as query_package
from clinical_qkt.packages.query import Query
from clinical_qkt.review.tracking.handlers import TrackTraining as TrackTraining
from clinical_qkt.site.config import Site
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.handlers import FiniteLoss as FiniteLoss
from clinical_qkt.training.handlers import Resume as Resume
from clinical_qkt.training.handlers import SeedEachEpoch as SeedEachEpoch

TRAINING = "train"
"""The stage whose unfinished work depends on what its network starts from."""


@plain_errors
def claim(path: str | Path, overwrite: bool) -> Path:
    """A place for results that holds none yet, or may be overwritten.

    Raises:
        OutputError: it holds an earlier run's results, or cannot be written to.
    """
    path = Path(path)
    if path.exists() and not config_keys.switch("overwrite", overwrite):
        raise OutputError(
            "holds the result of an earlier run",
            where=str(path),
            fix="name another place, or give --overwrite true",
        )
    require_writable(path.parent)
    return path


@plain_errors
def ledger_of(site: str) -> str:
    """The ledger of a site whose YAML names none; see ``state_folder``."""
    return str(place_of_ledger(site))


@plain_errors
def load_data(
    site: Site,
    *need: Any,
    contract: InputContract,
    made_for: dict[str, Any],
    queried_in: Sequence[Any] = ("test",),
) -> CheckedData:
    """The site's datalist with every image opened; what cannot be used is named on standard error.

    See ``datalist.load_datalist`` for the arguments.

    Args:
        contract: what the images are to be prepared for.
        made_for: which images the bundle takes, see ``made_for.MadeFor``.
    """
    data = load_datalist(
        site.data,
        site.labels,
        site.queried if site.query else None,
        allow_mixed_sizes=site.allow_mixed_sizes,
        need=need,
        queried_in=tuple(queried_in),
        contract=contract,
    )
    where = f"{site.data.name}: image"
    require_made_for(MadeFor.model_validate(made_for), data.facts(len(contract.spatial_size)), where)
    if data.channels != site.channels:
        raise InputError(
            f"images have {data.channels} channels, the site's model takes {site.channels}",
            where=where,
            fix=f"set 'channels: {data.channels}' in the site's YAML, or convert the images",
        )
    if data.spatial_size is not None and len(data.spatial_size) != len(site.spatial_size):
        has, takes = len(data.spatial_size), len(site.spatial_size)
        raise InputError(
            f"images have {has} dimensions, the site's model takes {takes}",
            where=where,
            fix="use a bundle for such images, see docs/how-to/prepare-your-images.md",
        )
    warn_skipped(data.skipped)
    return data


@plain_errors
def contract(values: dict[str, Any]) -> InputContract:
    """The input contract of the site's model."""
    return sections.read_contract(values)


prepare = contract_transforms


@plain_errors
def network_spec(architecture: str, given: InputContract) -> spec.NetworkSpec:
    """The network that a short name stands for, for images as the contract says."""
    return spec.preset(architecture, given.channels, given.spatial_size)


@plain_errors
def at_once(network: nn.Module, given: InputContract, device: torch.device) -> int:
    """How many images a network is given at once; see ``batches``."""
    return batches.images_at_once(network, (given.channels, *given.spatial_size), device)


@plain_errors
def trainable(batch_size: int, network: nn.Module, given: InputContract, device: torch.device) -> int:
    """The same batch size, once it is known that a training on so many images fits into memory."""
    batches.require_trainable(network, (given.channels, *given.spatial_size), batch_size, device)
    return batch_size


kept_images = plain_errors(image_cache.kept_images)


def kept(items: Sequence[Any], given: InputContract) -> int:
    """How many of a section's images stay in memory once they are prepared; earlier versions' configs ask."""
    return batches.kept(len(items), (given.channels, *given.spatial_size))


@plain_errors
def load_model(folder: str | Path, site: Site) -> model.Model:
    """A model folder, verified; see ``packages.model``. A site's own are those that its record holds."""
    if not Path(folder).is_dir():
        raise InputError(
            "there is no such folder",
            where=f"model: {folder}",
            fix="run `train` first, or name a model's folder with --model FOLDER",
        )
    return model.load_model(folder, site.trust)


@plain_errors
def unfinished(site: Site, stage: str, *facts: Any) -> Path:
    """The folder where a stage keeps what it needs to go on after a crash.

    A training's is another one, too, where it starts from other weights or trains other layers.
    """
    start = facts_of(site) if stage == TRAINING else []
    made_of = fingerprint(site.seed, sha256(site.data), *facts, *start)
    return site.output_dir / "unfinished" / f"{stage}-{made_of}"


@plain_errors
def load_query(folder: str | Path | None, site: Site) -> Query:
    """A query package, verified; see ``packages.query``."""
    if folder is None:
        raise InputError("is missing", where="request", fix="give the query package with --request FOLDER")
    return query_package.load_query(folder, site.trust)


@plain_errors
def test_items(data: CheckedData, labels: LabelSpace) -> list[dict[str, Any]]:
    """The test images of the classes that a model has, with labels in its order.

    Raises:
        InputError: there are none.
    """
    place = {i: labels.find(c) for i, c in enumerate(data.labels)}
    items = SINGLE_LABEL.relabelled(data.items["test"], place)
    if not items:
        raise InputError(
            f"no test image shows a class that the model knows: {', '.join(labels.names)}",
            where=f"{data.name or 'the datalist'}: test",
            fix="add test images of these classes, or name another model with --model FOLDER",
        )
    return items


@plain_errors
def image_items(folder: str | Path, contract: InputContract) -> list[dict[str, Any]]:
    """The images below a folder, each opened once; what cannot be used is named and left out."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("there is no such folder", where=f"images: {folder}", fix="give --images FOLDER")
    found = entries(folder)
    paths = [entry.path for entry in found if entry.kind]
    if not paths:
        raise InputError(
            "holds no images", where=str(folder), fix="give a folder of pictures, DICOM or NIfTI files"
        )
    check = check_images(paths, str(folder), allow_mixed_sizes=True, contract=contract)
    warn_skipped([*missed(found), *check.skipped])
    return [{"image": str(p)} for p, ok in zip(paths, check.readable, strict=True) if ok]
