"""The training of a bundle's config once more without each fold of the images; see ``training.own_folds``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.data import Dataset
from monai.utils import set_determinism
from torch import Tensor
from torch.utils.data import Subset

from clinical_qkt.bundle.earlier_copies import WEIGHTS
from clinical_qkt.core.errors import QKTError
from clinical_qkt.core.files import drop_unfinished, fingerprint, write_json
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.transforms import adapter
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model
from clinical_qkt.packages.weights_file import WeightsFile
from clinical_qkt.qkt import own_held_out
from clinical_qkt.site.config import Site
from clinical_qkt.training import own_folds
from clinical_qkt.training.inference import logits_of

RECIPE = "trained.json"
"""In ``output_dir``: which training the model beside it comes from."""
TRACKING = "TrackTraining"


@dataclass(frozen=True)
class Given:
    """What a training without a fold is given instead of reading it; expressions know it as ``_fold``."""

    site: Site
    data: CheckedData
    training: Subset[Any]
    validation: Any
    work: Path
    weights: WeightsFile | None = None


def note_recipe(site: Site, card: Card, checkpoints: Path, best: Mapping[str, float] | None = None) -> None:
    """Write down from which training the site's model comes.

    Args:
        checkpoints: the folder that is named after all that decides the weights.
        best: which epoch's weights were kept, see ``training.best``.
    """
    made = {"weights_sha256": card.weights_sha256, "recipe": checkpoints.name}
    write_json(site.output_dir / RECIPE, {**made, **(best or {})})


def alone(site: Site, checkpoints: Path) -> bool:
    """Whether the model is there that the training would make, and only networks by folds are missing."""
    try:
        noted = json.loads((site.output_dir / RECIPE).read_text(encoding="utf-8"))
        card = load_model(site.output_dir / "model", site.trust).card
    except (OSError, ValueError, QKTError):
        return False
    made = {"weights_sha256": card.weights_sha256, "recipe": checkpoints.name}
    if not isinstance(noted, dict) or {key: noted.get(key) for key in made} != made:
        return False
    found = own_folds.made_of(site.output_dir / own_folds.FILE)
    there = found and (found.weights_sha256, found.folds) == (card.weights_sha256, str(site.held_out_folds))
    return own_held_out.wanted(site, card) and not there


def hold_out(site: Site, card: Card, data: CheckedData, parser: ConfigParser) -> None:
    """Keep what networks by folds say of the training images, unless it is there or not wanted.

    Args:
        card: of the site's model.
        data: the images that it was trained on.
        parser: the config that trained it.
    """
    of, path = own_held_out.made_of(site, card, data), site.output_dir / own_folds.FILE
    if not own_held_out.wanted(site, card) or own_folds.read(path, of) is not None:
        return
    folds, against = own_held_out.folds(site, data)
    if against:
        print(f"note: {against}: {own_held_out.ALONE}", file=sys.stderr)
        return
    work = site.output_dir / "unfinished" / f"folds-{fingerprint(*vars(of).values())}"
    logits = own_folds.by_folds(folds, lambda *fold: _said(site, data, parser, work, *fold), work)
    own_folds.write(path, logits, of)
    drop_unfinished(work)


def _said(
    site: Site,
    data: CheckedData,
    parser: ConfigParser,
    work: Path,
    fold: int,
    others: list[int],
    mine: list[int],
) -> Tensor:
    """Logits of a fold's images by a network that was trained on all others."""
    kept = others[:-1] if len(others) % site.batch_size == 1 else others  # one image alone has no spread
    seen = "seen" if "train::seen" in parser else "dataset"
    images, validation = (parser.get_parsed_content(k) for k in (f"train::{seen}", "validate::dataset"))
    checkpoints = work / f"without_{fold}"
    weights = parser.get_parsed_content(WEIGHTS) if WEIGHTS in parser else None
    given = Given(site, data, Subset(images, kept), validation, checkpoints, weights)
    what = f"train {site.site} without fold {fold + 1} of {site.held_out_folds}"
    again = ConfigParser(_config(parser, what), globals={"_fold": given})
    set_determinism(site.seed)
    again.get_parsed_content("train::trainer").run()
    network, read, contract, device = map(again.get_parsed_content, ("network", "read", "contract", "device"))
    shown = Dataset([data.items["training"][i] for i in mine], adapter(read, contract))
    said = logits_of(network, shown, device)
    drop_unfinished(checkpoints)
    return said


def _config(parser: ConfigParser, what: str) -> dict[str, Any]:
    """The config with other images and checkpoints, and without a run in MLflow."""
    config = deepcopy(parser.get())
    config |= {"checked": "$_fold.site", "labelled": "$_fold.data", "unfinished": "$_fold.work"}
    if WEIGHTS in config:  # read and told once
        config[WEIGHTS] = "$_fold.weights"
    for section, name in (("train", "training"), ("validate", "validation")):
        config[section]["dataset"] = f"$_fold.{name}"
        if "seen" in config[section]:  # features, where these are all that the training sees, are there
            config[section]["seen"] = f"@{section}::dataset"
    handlers = [h for h in config["train"]["handlers"] if TRACKING not in _target(h)]
    for bar in (h for h in handlers if _target(h).endswith(".ProgressBar")):
        bar["desc"] = what
    if "best" in config["train"]:  # a bundle that was copied before has none
        config["train"]["best"]["what"] = what
    config["train"]["handlers"] = handlers
    return config


def _target(handler: Any) -> str:
    return str(handler.get("_target_", "")) if isinstance(handler, dict) else ""
