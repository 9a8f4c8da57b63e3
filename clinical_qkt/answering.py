"""The answering site's side: statistics of its own images of the queried classes, by its own policy.

What leaves is shown first, and written down in the ledger.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from clinical_qkt.consent import Leaving, Preview, require_consent, require_no_identifiers
from clinical_qkt.contributions import OnePass, Seen
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.files import sha256
from clinical_qkt.labels import ClassLabel
from clinical_qkt.ledger import Asked, BudgetSpent, Ledger
from clinical_qkt.packages.answer import AnswerCard, ClassAnswer, save_answer
from clinical_qkt.packages.query import Query
from clinical_qkt.packages.signing import require_private_key
from clinical_qkt.privacy import Guarantee, Release, private_release
from clinical_qkt.sites import Site
from clinical_qkt.statistics import ClassStatistics


class Answering:
    """One answer to one query.

    Args:
        site: who answers.
        query: as it was verified.
        data: the site's images.
        given: how they are prepared for the site's own model.
        read: MONAI transforms from a file to a raw channel-first image.
        device: where the extractor runs.
        yes: send without asking.
    """

    def __init__(
        self,
        site: Site,
        query: Query,
        data: CheckedData,
        given: InputContract,
        read: list[Any],
        device: torch.device,
        yes: bool,
    ) -> None:
        self.site, self.query, self.data, self.given = site, query, data, given
        self.read, self.device, self.yes = read, device, yes
        self.policy, self.ledger = site.policy, Ledger(site.ledger)
        self.data_sha256 = sha256(site.data)

    def run(self, folder: Path) -> AnswerCard:
        """From query to answer package.

        Raises:
            PackageError: this site's images cannot meet the query's input contract.
            InputError: patients are not named; or nobody agreed to what would leave.
        """
        require_no_identifiers(self.site)  # class names and task are the asker's
        if self.site.signing_key:  # before any of the budget is spent
            require_private_key(self.site.signing_key)
        own = self.site.labels
        decisions = [self.policy.decide(self.query.card, label, own) for label in self.query.card.query]
        seen = self.one_pass().run(own, decisions)
        rows = [self.preview(i, d, seen.get(i)) for i, d in enumerate(decisions)]
        spent = self.ledger.spent(self.policy.total_delta)
        require_consent(self.query.card.site, rows, self.policy, spent, folder, yes=self.yes)
        answers, given = [], []
        for i, label in enumerate(self.query.card.query):
            told, statistics = self.answer(label, decisions[i], seen.get(i))
            answers.append(told)
            given.append(statistics)
        card = AnswerCard(
            site=self.site.site,
            task=self.query.card.task,
            query_sha256=self.query.digest,
            answers=answers,
            licence=self.site.licence,
            generated_data=self.data.generated,
        )
        leaving = Leaving(folder, self.ledger, to=self.query.card.site, shown=True)
        return save_answer(
            folder, card, given, query=self.query, signing_key=self.site.signing_key, agree=leaving
        )

    def one_pass(self) -> OnePass:
        """The pass over this site's images, still to be made."""
        protects, listed = self.policy.unit, self.site.data.name
        return OnePass(self.query, self.data, self.given, self.read, self.device, protects, listed)

    def answer(
        self, label: ClassLabel, decision: str, seen: Seen | None
    ) -> tuple[ClassAnswer, ClassStatistics | Release | None]:
        """One class's part of the card and its statistics; a line in the ledger."""
        if seen is None:
            return self.declined(label, decision)
        if seen.kind == "private_mean":
            return self.private(label, seen)
        reason = self.too_little(seen)
        if reason is not None:
            return self.declined(label, reason)
        statistics = seen.moments.statistics().reduced(seen.kind)
        count = max(1, round(statistics.count, -1))
        self.ledger.record(self.asked(label, seen.kind), {"count": count})
        return ClassAnswer(label=label, kind=seen.kind, count=count), statistics

    def asked(self, label: ClassLabel, kind: str) -> Asked:
        """How the ledger knows this answer."""
        return Asked(self.query.card.site, self.query.digest, label.name, kind, self.data_sha256)

    def declined(self, label: ClassLabel, reason: str) -> tuple[ClassAnswer, None]:
        """No answer, and why."""
        self.ledger.record(self.asked(label, "none"), {"declined": reason})
        return ClassAnswer(label=label, declined=reason), None

    def too_little(self, seen: Seen) -> str | None:
        """Why exact statistics cannot be given, or None."""
        if len(seen.patients) < self.policy.minimum_patients:
            return f"fewer than {self.policy.minimum_patients} {self.policy.unit}s show this class"
        if not seen.finite:
            return "the extractor gives NaN or infinity on this site's images"
        found = seen.moments.statistics()
        assert found.covariance is not None
        if float(found.covariance.diagonal().max()) < 1e-12:
            return "the extractor gives the same features for every image"
        if not (torch.isfinite(found.covariance.float()).all() and torch.isfinite(found.mean.float()).all()):
            return "the extractor gives features that are too large"
        return None

    def preview(self, position: int, decision: str, seen: Seen | None) -> Preview:
        """What of one class is about to leave."""
        name = self.query.card.query[position].name
        if seen is None:
            return Preview(name, f"declined: {decision}", None, 0, private=False)
        if seen.kind == "private_mean":
            numbers = 1 + self.query.card.private_axes
            return Preview(name, "private mean", len(seen.patients), numbers, private=True)
        reason = self.too_little(seen)
        if reason:
            return Preview(name, f"declined: {reason}", len(seen.patients), 0, private=False)
        width = self.query.card.extractor.features
        numbers = {"covariance": width * (width + 3) // 2, "diagonal": 2 * width}.get(seen.kind, width)
        return Preview(name, seen.kind, len(seen.patients), 1 + numbers, private=False)

    def private(self, label: ClassLabel, seen: Seen) -> tuple[ClassAnswer, Release | None]:
        """Noised whole numbers, drawn and paid for in one transaction, or the same as before for nothing."""
        policy = self.policy

        def draw() -> dict[str, Any]:
            return asdict(private_release(seen.sums.contributions(), policy.guarantee))

        total = Guarantee(policy.total_epsilon, policy.total_delta)
        try:
            kept = self.ledger.release(self.asked(label, seen.kind), policy.guarantee, total, draw)
        except BudgetSpent:
            return self.declined(label, "this site's privacy budget is spent")
        release = Release(**kept)
        told = ClassAnswer(
            label=label,
            kind="private_mean",
            noised_count=release.count,
            epsilon=policy.epsilon,
            delta=policy.delta,
            unit=policy.unit,
        )
        return told, release
