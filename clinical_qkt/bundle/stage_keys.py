"""What stages can be told besides what a site's YAML says, with the type of each key."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from clinical_qkt.core.terms import PSEUDONYM, Precision
from clinical_qkt.core.values import Strict


class StageKeys(Strict):
    """The single values of the bundles' configs, of all stages together; a stage has some of them."""

    model_config = ConfigDict(protected_namespaces=())

    command: Literal[
        "train", "share", "query", "answer", "transfer", "assess", "judge", "evaluate", "inference"
    ] = "train"
    """Which stage it is."""
    overwrite: bool = False
    """Whether the results of an earlier run may be replaced."""
    yes: bool = False
    """Whether what leaves was agreed to beforehand."""
    new_ledger: bool = False
    """Whether a ledger is begun: this site has never told anything of its patients before, under whatever
    name and from whatever computer."""
    to: str = Field(default="", max_length=200)
    """The receiver, for the ledger."""
    precision: Precision = "float32"
    """Of the weights that leave."""
    audit: bool = False
    """Whether the model is attacked before it leaves."""
    shadow_models: int = Field(default=8, ge=0, le=1000)
    """Of an audit."""
    amp: bool = False
    """Whether mixed precision is used."""
    val_interval: int = Field(default=1, ge=1)
    """After how many epochs of a training validation images are looked at."""
    mix_style: bool = False
    """Whether a network in training sees each image's early features in the style of another image, too."""
    epsilon: float = Field(default=8.0, gt=0)
    """Of a training with differential privacy."""
    delta: float = Field(default=1e-5, gt=0, lt=1)
    """Of the same."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Of the same: to which norm each image's gradient is clipped."""
    device: str = "cpu"
    """Where networks run: `cpu`, `cuda` or `cuda:NUMBER`."""
    task: str = Field(default="", pattern=PSEUDONYM)
    """The bundle's."""
    bundle_root: Path = Path()
    """The bundle's folder."""
    dataset_dir: Path = Path()
    """The datalist's folder."""
    model: Path = Path()
    """Folder of the model that is used."""
    images: Path = Path()
    """Folder with images to be classified."""
    result: Path = Path()
    """File for the figures or classes."""
    request: Path = Path()
    """Folder of the query package that is responded to, or of the model package that is measured."""
    response_dir: Path = Path()
    """Folder for the response."""
    assessment_dir: Path = Path()
    """Folder for what was measured."""
