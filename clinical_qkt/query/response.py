"""The answering site's side: statistics of its own images of the queried classes, by its own policy.

What leaves is shown first, and written down in the ledger.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from clinical_qkt.core.files import sha256
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import ClassLabel
from clinical_qkt.packages.query import Query
from clinical_qkt.packages.response import ClassResponse, ResponseCard, save_response
from clinical_qkt.packages.signing import require_private_key
from clinical_qkt.packages.told_look import LookNumbers
from clinical_qkt.privacy.mechanisms import Guarantee, Release
from clinical_qkt.query import what_leaves
from clinical_qkt.query.compare_looks import Comparing
from clinical_qkt.query.contributions import OnePass, Seen
from clinical_qkt.query.shared_classes import beside
from clinical_qkt.site.config import Site
from clinical_qkt.site.consent import Leaving, Preview, require_consent, require_no_identifiers
from clinical_qkt.site.decision import agreed_to
from clinical_qkt.site.ledger import second_place
from clinical_qkt.site.ledger.beginning import require_begun
from clinical_qkt.site.ledger.exact_floor import Shown, require_at_most
from clinical_qkt.site.ledger.kept_responses import packed, unpacked, unpacked_look
from clinical_qkt.site.ledger.ledger import Ledger, NoFurtherResponse, PrivacyBudgetSpent, Requested
from clinical_qkt.site.ledger.lines import together
from clinical_qkt.site.policy import Declined
from clinical_qkt.statistics.class_statistics import ClassStatistics


class Responding:
    """One answer to one query.

    Args:
        site: who answers.
        query: as it was verified; of a reference, all of the site's classes are asked for.
        data: the site's images.
        given: how they are prepared for the site's own model.
        read: MONAI transforms from a file to a raw channel-first image.
        device: where the extractor runs.
        yes: send without asking.
        new_ledger: begin the site's ledger, see ``ledger.beginning``.
        decision: the file of a decision at the desk, instead of ``yes``.
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
        new_ledger: bool = False,
        decision: Path | None = None,
    ) -> None:
        self.site, self.data, self.given = site, data, given
        self.query = query.for_classes(site.labels.plain)
        self.read, self.device, self.yes, self.new_ledger = read, device, yes, new_ledger
        self.decision = decision
        self.policy, self.ledger = site.policy, Ledger(site.ledger)
        self.data_sha256 = sha256(site.data)
        self.shown: dict[int, Shown] = {}
        self.own_shown: dict[int, Shown] = {}
        self.files: set[str] = set()
        self.beside = beside(query, site.labels) if self.policy.tell_looks else None

    def run(self, folder: Path) -> ResponseCard:
        """From query to answer package.

        Raises:
            PackageError: this site's images cannot meet the query's input contract.
            InputError: patients are not named; nobody agreed to what would leave; or no ledger counts it.
            OutputError: the ledger cannot be used, or lacks lines that it once had.
        """
        require_no_identifiers(self.site)  # class names and task are the asker's
        if self.site.signing_key:  # before any of the privacy budget is spent
            require_private_key(self.site.signing_key)
        own = self.site.labels
        decisions = [self.policy.decide(self.query.card, label, own) for label in self.query.card.query]
        kinds = {i: d for i, d in enumerate(decisions) if not isinstance(d, Declined)}
        self.shown = self.images(kinds)
        spent = self.require_ledger(private="private_mean" in kinds.values())
        found = self.one_pass().run(own, kinds)
        seen = [d if isinstance(d, Declined) else found[i] for i, d in enumerate(decisions)]
        rows = [self.preview(i, one) for i, one in enumerate(seen)]
        would = {row.label: row.kind for row in rows if row.kind}
        agreed = self.yes or agreed_to(self.decision, "answer", self.query.digest, would)
        require_consent(self.asker, rows, self.policy, spent, folder, yes=agreed)
        if self.shown:
            second_place.note(self.site.site, self.files, self.ledger.require_newest(), self.ledger.path)
        answers, given, looks = [], [], {}
        for i, one in enumerate(seen):
            told, statistics, looks[i] = self.answer(i, one)
            answers.append(told)
            given.append(statistics)
        card = ResponseCard(
            site=self.site.site,
            task=self.query.card.task,
            query_sha256=self.query.digest,
            answers=answers,
            onward=self.policy.onward,
            licence=self.site.licence,
            generated_data=self.data.generated,
        )
        leaving = Leaving(folder, self.ledger, to=self.query.card.site, shown=True)
        return save_response(
            folder, card, given, looks, query=self.query, signing_key=self.site.signing_key, agree=leaving
        )

    @property
    def asker(self) -> str:
        """For whom the answer is, in words for whoever agrees to it."""
        card = self.query.card
        return f"everybody who uses the reference of {card.site}" if card.reference else card.site

    def one_pass(self) -> OnePass:
        """The pass over this site's images, still to be made."""
        policy, listed = self.policy, self.site.data.name
        comparing = None
        if self.beside is not None:
            exact, fewest = self.exactly_compared(), policy.minimum_patients
            comparing = Comparing(self.beside, exact, fewest, policy.guarantee)
        return OnePass(
            *(self.query, self.data, self.given, self.read, self.device, policy.unit, listed),
            comparing=comparing,
        )

    def exactly_compared(self) -> list[int]:
        """Own classes, by place, that an exact response for another one may compare.

        The floor holds for them, too: their mean is told.
        """
        fewest = self.policy.minimum_patients
        return [
            place
            for place, shown in self.own_shown.items()
            if len(set(shown.patients.values())) >= fewest
            and self.ledger.may_compare(self.site.labels[place].name, shown, fewest)
        ]

    def images(self, kinds: Collection[int]) -> dict[int, Shown]:
        """Which images each answer would be made of, by the class's position in the query.

        Images of all classes are looked at, whatever is asked for: if a class were refused for what is wrong
        with its images, the asker would learn that it has such.

        Args:
            kinds: the positions of the classes that get a response.

        Raises:
            PackageError: this site's images cannot meet the query's input contract.
            InputError: patients are not named; or one has more images than the policy says.
        """
        if not kinds:
            return {}
        one_pass, own, asked = self.one_pass(), self.site.labels, self.query.card.query
        one_pass.require_same_kind()
        found: dict[int, list[tuple[Path, str]]] = {label: [] for label in range(len(own))}
        for item in (i for s in ("training", "validation") for i in self.data.items[s]):
            found[item["label"]].append((Path(item["image"]), one_pass.patient(item)))
        for images in found.values():
            require_at_most(self.policy.images_per_patient, [whose for _, whose in images])
        self.own_shown = shown = {label: Shown.of(images) for label, images in found.items()}
        self.files = {image for one in shown.values() for image in one.patients}
        return {i: Shown.together([shown[place] for place in own.places(asked[i])]) for i in kinds}

    def require_ledger(self, *, private: bool) -> float:
        """What is spent in the ledger that is about to count, before any work is done.

        Raises:
            InputError: there is none; or what is in it cannot be added to what would come.
            OutputError: it cannot be used.
        """
        if self.shown or self.new_ledger:
            question, new = self.query.digest, self.new_ledger
            require_begun(self.site, self.ledger, self.files, question=question, new=new, yes=self.yes)
        unit = self.policy.unit if private else "image"
        return self.ledger.spent(self.policy.total_delta, unit, self.policy.images_per_patient)

    def answer(
        self, position: int, seen: Seen | Declined
    ) -> tuple[ClassResponse, ClassStatistics | Release | None, LookNumbers]:
        """One class's part of the card, its statistics, and numbers of looks; a line in the ledger."""
        label = self.query.card.query[position]
        if isinstance(seen, Declined):
            return self.declined(label, seen)
        if seen.kind == "private_mean":
            return self.private(label, seen)
        if no := self.no_exact(position, seen):
            return self.declined(label, no)
        try:
            kept = self.ledger.exact(
                *self.floor(position, seen),
                draw=lambda: packed(seen.exact(), *what_leaves.told_exactly(seen.look, self.query.card)),
                beside=self.compared_images(seen),
            )
        except NoFurtherResponse as e:
            return self.declined(label, Declined(str(e)))
        look, numbers = unpacked_look(kept)
        told = ClassResponse(label=label, kind=seen.kind, count=kept.count, look=look)
        return told, unpacked(kept), numbers

    def compared_images(self, seen: Seen) -> dict[str, Shown]:
        """Own classes that are compared in an exact response, and of which images."""
        if seen.look is None or self.beside is None:
            return {}
        places = {name: place for place, name in self.beside.names.items()}
        own, started = self.site.labels, seen.look.compared.first if seen.look.compared else ()
        return {own[places[c]].name: self.own_shown[places[c]] for c in started}

    def asked(self, label: ClassLabel, kind: str) -> Requested:
        """How the ledger knows this answer."""
        own = self.site.labels
        places = own.places(label) if kind != "none" else ()
        return Requested(
            site=self.query.card.site,
            query_sha256=self.query.digest,
            label=label.name,
            kind=kind,
            data_sha256=self.data_sha256,
            unit=self.policy.unit,
            form=ResponseCard.model_fields["format"].default,
            own_site=self.site.site,
            own_class=together(own.names_of(places)),
        )

    def floor(self, position: int, seen: Seen) -> tuple[Requested, Shown, int, int]:
        """What the ledger has to know before it keeps an exact response; see ``Ledger.exact``."""
        asked = self.asked(self.query.card.query[position], seen.kind)
        policy = self.policy
        return asked, self.shown[position], policy.exact_responses_per_class, policy.minimum_patients

    def no_exact(self, position: int, seen: Seen) -> Declined | None:
        """Why there is no exact response, or None; the same question always gets what it got."""
        if self.told_before(position, seen):
            return None
        reason = what_leaves.too_little(seen, self.policy) or self.ledger.exact_refusal(
            *self.floor(position, seen)
        )
        return None if reason is None else Declined(reason)

    def told_before(self, position: int, seen: Seen) -> bool:
        """Whether the same question got an exact response."""
        return self.ledger.told_before(self.floor(position, seen)[0])

    def declined(self, label: ClassLabel, why: Declined) -> tuple[ClassResponse, None, LookNumbers]:
        """No answer, and why."""
        self.ledger.record(self.asked(label, "none"), {"declined": why.reason})
        return ClassResponse(label=label, declined=why.reason), None, LookNumbers()

    def preview(self, position: int, seen: Seen | Declined) -> Preview:
        """What of one class is about to leave."""
        name, card = self.query.card.query[position].name, self.query.card
        if isinstance(seen, Declined):
            return Preview(name, f"declined: {seen.reason}", None, 0, private=False)
        beside = what_leaves.compared(seen)
        if seen.kind == "private_mean":  # a yes shall not depend on how many there are
            numbers = what_leaves.most_numbers(seen, card)
            return Preview(name, f"private mean{beside}", None, numbers, private=True, kind=seen.kind)
        if no := self.no_exact(position, seen):
            return Preview(name, f"declined: {no.reason}", len(seen.patients), 0, private=False)
        what = f"{seen.kind}, as told before" if self.told_before(position, seen) else f"{seen.kind}{beside}"
        numbers = what_leaves.most_numbers(seen, card)
        return Preview(name, what, len(seen.patients), numbers, private=False, kind=seen.kind)

    def private(self, label: ClassLabel, seen: Seen) -> tuple[ClassResponse, Release | None, LookNumbers]:
        """Noised whole numbers, drawn and paid for in one transaction, or the same as before for nothing."""
        policy = self.policy

        def draw() -> dict[str, Any]:
            return what_leaves.drawn(seen, policy.guarantee)

        total = Guarantee(policy.total_epsilon, policy.total_delta)
        asked, most = self.asked(label, seen.kind), policy.images_per_patient
        try:
            kept = self.ledger.release(asked, policy.guarantee, total, draw, most)
        except PrivacyBudgetSpent:
            return self.declined(label, Declined("this site's privacy budget is spent"))
        release, look, numbers = what_leaves.read(kept, self.query.card)
        told = ClassResponse(
            label=label,
            kind="private_mean",
            noised_count=release.count,
            epsilon=policy.epsilon,
            delta=policy.delta,
            unit=policy.unit,
            look=look,
        )
        return told, release, numbers
