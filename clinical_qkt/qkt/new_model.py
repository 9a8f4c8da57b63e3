"""The model that a transfer made, written with its card."""

from __future__ import annotations

import datetime
from typing import Any

from torch import nn

from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.evidence.gate import Door
from clinical_qkt.evidence.gate_file import write_gate
from clinical_qkt.evidence.parts import Gate
from clinical_qkt.networks.spec import find_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.card_file import card_text
from clinical_qkt.packages.model import CardedNetwork, save_model
from clinical_qkt.privacy.statement import PrivacyStatement
from clinical_qkt.site.config import Site


def finish_transfer(
    site: Site,
    labels: LabelSpace,
    data: CheckedData,
    network: nn.Module,
    start: CardedNetwork,
    task: str,
    gate: tuple[Door, Gate] | None = None,
) -> Card:
    """Write the new model with its card, and beside it its gate, ready for ``evaluate`` and ``inference``.

    The licence stays that of the model, or of all the models, that the weights derive from.

    Args:
        labels: the site's classes, then the queried ones.
        start: what the network was before anything was trained.
        task: the site's own; what a teacher calls it is the teacher's.
        gate: when it says 'none of these', see ``qkt.gate``.

    Raises:
        InputError: nobody could read the model, see ``packages.writer``.
    """
    folder = site.transfer_dir / "model"
    card = _gained(site, labels, data, network, start, task)
    card = save_model(folder, network, card, record=site.record)
    if gate:
        write_gate(folder, gate[0], card.weights_sha256)
    return card


def require_card(
    site: Site, labels: LabelSpace, data: CheckedData, network: nn.Module, start: CardedNetwork, task: str
) -> None:
    """Before any work is done: the new model will have a card that can be read; see ``finish_transfer``.

    Raises:
        InputError: it is too large, for instance with what teachers wrote on theirs.
    """
    card_text(_gained(site, labels, data, network, start, task))


def _gained(
    site: Site, labels: LabelSpace, data: CheckedData, network: nn.Module, start: CardedNetwork, task: str
) -> Card:
    """The card of the new model, but for the digest of its weights."""
    about: dict[str, Any] = {
        "site": site.site,
        "task": task,
        "label_space": labels.plain,
        "head": find_head(network),
        "precision": "float32",
        "recall": {},
        "knowledge_mask": None,
        "training": None,
        "looks": None,
        "privacy": PrivacyStatement(),
        "created": datetime.date.today().isoformat(),
        "gained": site.queried.names,
        "generated_data": data.generated or start.card.generated_data,
    }
    return start.card.model_copy(update=about)
