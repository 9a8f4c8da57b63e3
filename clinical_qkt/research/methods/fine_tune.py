"""Transfer learning: start from the most relevant teacher and train on the own images."""

from __future__ import annotations

from clinical_qkt.qkt.teachers import relevant_teachers, starting_point
from clinical_qkt.research.methods.case import Case, Outcome, TrainingSettings, cross_entropy, of_network


class Settings(TrainingSettings):
    """How long and how fast it trains."""


def run(case: Case, settings: Settings) -> Outcome:
    """Plain cross-entropy over all classes, as one would fine-tune any classifier."""
    relevant = relevant_teachers(case.teachers, case.labels, case.query)
    network, start = starting_point(case.own, relevant, case.labels, case.query, "teacher")
    items = [{"image": i["image"], "label": i["label"]} for i in case.training]
    network = case.train(network, items, cross_entropy, settings, "fine-tuning")
    return of_network(case, network, [t for t in relevant if t.model is start])
