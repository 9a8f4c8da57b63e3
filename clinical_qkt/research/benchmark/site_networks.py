"""The networks of a simulation's sites: what each starts from, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clinical_qkt.networks.frozen import train_only
from clinical_qkt.networks.mix_style import mix_styles
from clinical_qkt.networks.spec import NetworkSpec, linear_head
from clinical_qkt.packages.weights_file import read_weights
from clinical_qkt.research.benchmark.config import Scenario
from clinical_qkt.research.benchmark.known_numbers import KnownNumbers
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.head_fit import fit_head
from clinical_qkt.training.inference import logits_of
from clinical_qkt.training.loop import train


def started(scenario: Scenario, spec: NetworkSpec, classes: int) -> nn.Module:
    """A site's network before its training, with a head of ``classes`` rows."""
    network = spec.build(classes)
    if scenario.pretrained:
        network = read_weights(scenario.pretrained, network, scenario.trained_layers).into(network)
    network = train_only(network, spec, scenario.trained_layers)
    return mix_styles(network, spec) if scenario.mix_style else network


def fitted(
    network: nn.Module,
    items: Sequence[dict[str, Any]],
    augment: list[Any],
    scenario: Scenario,
    seed: int,
    device: torch.device,
    what: str,
    known: KnownNumbers | None = None,
) -> nn.Module:
    """The network, trained on a site's images; in place.

    Args:
        augment: transforms that change an image at random.
        what: named in the progress bar.
        known: what arrives at the head, where that alone is trained.
    """
    learner = network
    if known and scenario.head_penalty is not None:
        labels = torch.tensor([int(item["label"]) for item in items])
        fit_head(linear_head(network), known.head_inputs(items), labels, scenario.head_penalty)
        return network.eval()
    if known:
        seen = zip(known.head_inputs(items), items, strict=True)
        learner, augment = linear_head(network), []
        items = [{**item, "image": row} for row, item in seen]
    train(
        learner,
        items,
        augment,
        SINGLE_LABEL.loss,
        max_epochs=scenario.max_epochs,
        learning_rate=scenario.learning_rate,
        batch_size=16,
        seed=seed,
        device=device,
        what=what,
    )
    return network.eval()


def said_of(
    network: nn.Module, items: Sequence[dict[str, Any]], known: KnownNumbers | None, device: torch.device
) -> Tensor:
    """``(N, classes)``: a site's network's logits."""
    return known.logits(network, items) if known else logits_of(network, items, device)
