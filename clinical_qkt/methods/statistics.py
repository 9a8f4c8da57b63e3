"""QKT by statistics, with the product's own steps: ``statistics``, ``privacy``, ``heads`` and ``answers``.

``private`` is this with ``kind: private_mean``.
"""

from __future__ import annotations

from pydantic import Field

from clinical_qkt.answers import fitted
from clinical_qkt.heads import Head
from clinical_qkt.methods.asked import AskedSettings, answer_bytes, asked
from clinical_qkt.methods.case import Case, Outcome, of_network
from clinical_qkt.packages.gaussian import GaussianClassifier
from clinical_qkt.statistics import ClassStatistics, pooled


class Settings(AskedSettings):
    """
    Attributes:
        head, shrinkage: see ``phases.TransferSettings``.
    """

    head: Head = "auto"
    shrinkage: float | None = Field(default=0.75, ge=0, le=1)


def run(case: Case, settings: Settings) -> Outcome:
    """Answers, pooled; a head in closed form. The budget is spent by the caller."""
    network, answers = student(case, settings)
    outcome = of_network(case, network, [], answer_bytes(answers))
    used = {site for given in answers for site in given}
    return Outcome(outcome.predict, len(used), outcome.bytes_received)


def student(case: Case, settings: Settings) -> tuple[GaussianClassifier, list[dict[str, ClassStatistics]]]:
    """The new model, and for each queried class the sites' answers that it was made of."""
    question = asked(case, settings.depths)
    answers = question.answers(settings, case.seed)
    queried = [pooled(list(given.values())) for given in answers]
    network, _ = fitted(
        case.own,
        question.extractor,
        queried,
        question.training,
        question.validation,
        settings.head,
        settings.shrinkage,
        case.seed,
    )
    return network, answers
