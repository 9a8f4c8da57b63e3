"""Transfer learning: start from the most relevant teacher and train on the own images."""

from __future__ import annotations

from clinical_qkt.qkt.teachers import relevant_teachers, starting_point
from clinical_qkt.research.methods.case import Case, Outcome, TrainingSettings, of_network
from clinical_qkt.research.methods.registry import method
from clinical_qkt.tasks.single_label import SINGLE_LABEL


class Settings(TrainingSettings):
    """How long and how fast it trains."""


@method("fine_tune", family="fine_tuning")
def run(case: Case, settings: Settings) -> Outcome:
    """Plain cross-entropy over all classes, as one would fine-tune any classifier."""
    relevant = relevant_teachers(case.teachers, case.labels, case.query)
    network, start = starting_point(case.own, relevant, case.labels, case.query, "teacher")
    items = [{"image": i["image"], "label": i["label"]} for i in case.training]
    network = case.train(network, items, SINGLE_LABEL.loss, settings, "fine-tuning")
    return of_network(case, network, [t for t in relevant if t.model is start])
