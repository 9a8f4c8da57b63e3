"""What a site's training starts from, and what of it is trained, and how.

Of a site's YAML: ``pretrained``, ``trained_layers``, ``head_penalty``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from clinical_qkt.bundle.running import plain_errors
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256, write_json
from clinical_qkt.core.terms import TrainedLayers
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.frozen import train_only
from clinical_qkt.networks.spec import NetworkSpec, linear_head
from clinical_qkt.packages.pretrained import PretrainedWeights
from clinical_qkt.packages.weights_file import WeightsFile, read_weights, require_there
from clinical_qkt.site.config import Site
from clinical_qkt.training.frozen_features import frozen_features
from clinical_qkt.training.head_fit import HeadFit
from clinical_qkt.training.inference import Images

REPORT = "pretrained.json"
"""In ``output_dir``: which tensors the training of the model beside it took of which file."""


@plain_errors
def pretrained(
    path: str | Path | None, layers: TrainedLayers, spec: NetworkSpec, given: InputContract, classes: int
) -> WeightsFile | None:
    """The weights that a site's training starts from; what is taken of them is told.

    A site's words stand here one by one: MONAI's own tools ask for the network where no stage is run.

    Raises:
        InputError: they are refused, see ``weights_file.read_weights``.
    """
    found = _read(path, layers, spec, classes)
    if found:
        print("\n".join(found.told(given)))
    return found


def read_pretrained(site: Site, spec: NetworkSpec) -> WeightsFile | None:
    """The same, and nothing is told; None where the site names none.

    Raises:
        InputError: they are refused.
    """
    return _read(site.pretrained, site.trained_layers, spec, len(site.classes))


def _read(
    path: str | Path | None, layers: TrainedLayers, spec: NetworkSpec, classes: int
) -> WeightsFile | None:
    if path is None:
        return None
    with torch.device("meta"):
        network = spec.build(classes)
    return read_weights(Path(path), network, layers)


@plain_errors
def started(
    network: nn.Module, weights: WeightsFile | None, layers: TrainedLayers, spec: NetworkSpec
) -> nn.Module:
    """A new network with the pretrained weights, of which a training changes these layers alone; in place."""
    return train_only(weights.into(network) if weights else network, spec, layers)


@plain_errors
def learner(network: nn.Module, layers: TrainedLayers, mix_style: bool = False) -> nn.Module:
    """What a trainer trains: the network, or its head alone, which takes what ``seen`` gives.

    Raises:
        InputError: early features were to be mixed, which are frozen.
    """
    if layers != "all" and mix_style:
        raise InputError(
            f"mixes early features in training, which 'trained_layers: {layers}' leaves as they are",
            where="mix_style",
            fix="leave it out, or write 'trained_layers: all'",
        )
    return linear_head(network) if layers == "head" else network


@plain_errors
def seen(
    images: Images, network: nn.Module, layers: TrainedLayers, device: torch.device, what: str
) -> Images:
    """What ``learner`` takes of images: these, or what arrives at the head of each, see ``frozen_features``.

    Args:
        what: which images, for the progress bar.
    """
    return frozen_features(images, network, device, what) if layers == "head" else images


@plain_errors
def head_fit(penalty: float | None, class_weights: Tensor | None) -> HeadFit | None:
    """The one step that fits a head, instead of a trainer's own step; None where it is trained by epochs.

    Args:
        penalty: the site's ``head_penalty``.
        class_weights: ``(C,)`` of an image in the loss, or None.
    """
    return None if penalty is None else HeadFit(penalty, class_weights)


def facts_of(site: Site) -> list[str]:
    """What a training starts from and trains, for the name of its unfinished work; nothing if all is usual.

    Raises:
        InputError: there is no such file.
    """
    if site.pretrained is None:
        return []
    return [f"pretrained {sha256(require_there(site.pretrained))}", f"trained_layers {site.trained_layers}"]


def note_start(site: Site, weights: WeightsFile | None) -> list[PretrainedWeights]:
    """Write down what was taken of which file, beside the model; gives what the card tells of it."""
    report = site.output_dir / REPORT
    if weights is None:
        report.unlink(missing_ok=True)  # of a model that is no more
        return []
    write_json(report, weights.facts())
    return [weights.about]
