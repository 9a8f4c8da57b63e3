"""The upper bound: what a student would reach if the other sites' queried images were its own.

No transfer can do this, since no image may leave a hospital; a benchmark can, to tell how much is left.
"""

from __future__ import annotations

from clinical_qkt.networks.spec import reshape_head
from clinical_qkt.research.methods.case import Case, Outcome, TrainingSettings
from clinical_qkt.research.methods.registry import method
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import logits_of


class Settings(TrainingSettings):
    """How long and how fast it trains."""


@method("pooled", family="bound")
def run(case: Case, settings: Settings) -> Outcome:
    """Supervised training with everybody's images of the queried classes."""
    items = [{"image": i["image"], "label": i["label"]} for i in case.training]
    for member in case.federation()[1:]:
        place = {k: case.labels.find(c) for k, c in enumerate(member.model.card.labels)}
        items += [
            {"image": i["image"], "label": place[int(i["label"])]}
            for i in member.training
            if place[int(i["label"])] in case.query
        ]
    network = reshape_head(case.own.network, {c: c for c in case.local}, len(case.labels))
    network = case.train(network, items, SINGLE_LABEL.loss, settings, "pooled images")
    return Outcome(lambda images: logits_of(network, images, case.device), 0, 0)
