"""The assessing site's side: another site's new model on this site's test images, told in rounded counts.

What leaves is shown first, and written down in the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clinical_qkt.assessment.measured import Measured, figures, measured
from clinical_qkt.core.errors import PackageError, QueryError
from clinical_qkt.core.files import digest_of, sha256
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import Alignment, ClassLabel
from clinical_qkt.packages.assessment import AssessmentCard, ClassAssessment, save_assessment
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import Model
from clinical_qkt.packages.signing import require_private_key
from clinical_qkt.packages.writer import CARD
from clinical_qkt.site.assess_consent import Shown, require_agreement
from clinical_qkt.site.config import Site
from clinical_qkt.site.consent import Leaving, require_no_identifiers
from clinical_qkt.site.decision import agreed_to
from clinical_qkt.site.ledger import assessments, exact_floor, file, second_place
from clinical_qkt.site.ledger.beginning import require_begun
from clinical_qkt.site.ledger.ledger import Ledger, NoFurtherResponse, Requested
from clinical_qkt.tasks.single_label import SINGLE_LABEL

TELL = "tell the site that sent it; nothing was measured"
COUNTS = "counts"
"""What is told of a class, for whoever decides."""
UNVOUCHED = "?"
"""Who asks where nobody vouches for the package: all such askers are one, since any name can be claimed."""
OTHERWISE = "measured before with other settings, and not told anew"


def require_assessable(model: Model, own: InputContract) -> None:
    """Refuse what cannot be measured here, before any image is looked at.

    Args:
        own: how images are prepared for the site's own model.

    Raises:
        PackageError: the model takes other images than this site has, or gained no class.
    """
    where = f"model of {model.card.site}"
    model.card.input.require_same_kind(own, f"{where}: input", TELL)
    if not model.card.gained:
        raise PackageError(
            "names no class that it gained, so nothing would be measured",
            where=f"{where}: gained",
            fix="ask the sending site for the model of a transfer that was made with this version",
        )


class Assessing:
    """One assessment of one model.

    Args:
        site: who measures.
        model: as it was verified.
        data: the site's images.
        yes: tell without asking.
        new_ledger: begin the site's ledger, see ``ledger.beginning``.
        decision: the file of a decision at the desk, instead of ``yes``.
    """

    def __init__(
        self,
        site: Site,
        model: Model,
        data: CheckedData,
        *,
        yes: bool,
        new_ledger: bool = False,
        decision: Path | None = None,
    ) -> None:
        self.site, self.model, self.data, self.yes, self.new_ledger = site, model, data, yes, new_ledger
        self.decision = decision
        self.ledger, self.rule = Ledger(site.ledger), site.assess
        self.data_sha256 = sha256(site.data)

    @property
    def card(self) -> Card:
        return self.model.card

    @cached_property
    def places(self) -> dict[int, int]:
        """``{own class: row of the model}`` of all that is aligned without doubt; what is merged is not."""
        rows = Alignment(self.card.labels, self.data.labels).rows
        return {row.targets[0]: row.source for row in rows if row.aligned and row.how != "merged"}

    @cached_property
    def gained(self) -> list[int]:
        """Rows of the classes that the model gained."""
        names = self.card.labels.names
        return [names.index(name) for name in self.card.gained]

    @cached_property
    def items(self) -> list[dict[str, Any]]:
        """The test images of classes that the model has, with labels in its order.

        Raises:
            QueryError: there are none.
        """
        found = SINGLE_LABEL.relabelled(self.data.items["test"], self.places)
        if not found:
            raise QueryError(
                f"no test image shows a class of this model: {', '.join(self.card.labels.names)}",
                where=f"{self.data.name}: test",
                fix="decline; or tell under 'classes' which of yours are theirs, with codes or synonyms",
            )
        return found

    def require_admitted(self) -> None:
        """Stop before any work is done if nothing could be told.

        Raises:
            QueryError: the asker is not on the site's list, or nothing more is told to it.
            InputError: no ledger counts it; or the signing key cannot be used.
            OutputError: the ledger cannot be used, or lacks lines that it once had.
        """
        require_no_identifiers(self.site)  # class names and task are the asker's
        if self.site.signing_key:
            require_private_key(self.site.signing_key)
        who, may = self.card.site, self.site.policy.may_ask
        if may and who not in may:
            raise _declined([f"{who} is not on this site's list of those who may ask"], self.card)
        require_begun(
            self.site, self.ledger, self.files, question=self.question, new=self.new_ledger, yes=self.yes
        )
        told = [self.refusal(row) for row in self.gained]
        if None not in told:
            raise _declined(list(dict.fromkeys(filter(None, told))), self.card)

    @cached_property
    def files(self) -> set[str]:
        """Digests of the test images' files, by which the second place knows them."""
        return {exact_floor.content(Path(item["image"])) for item in self.items}

    @cached_property
    def question(self) -> str:
        """By which the ledger knows the model: weights, and all that gives them their meaning."""
        names = {"weights_sha256", "network", "head", "label_space", "input", "gained"}
        return digest_of(json.dumps(self.card.model_dump(mode="json", include=names), sort_keys=True))

    def asked(self, row: int) -> Requested:
        """How the ledger knows what is told of one class."""
        own = {row: place for place, row in self.places.items()}
        place = own.get(row)
        return Requested(
            site=self.card.site if self.model.signed.vouched else UNVOUCHED,
            query_sha256=self.question,
            label=self.card.labels[row].name,
            kind=file.ASSESSMENT,
            data_sha256=self.data_sha256,
            unit="image" if self.patients is None else "patient",
            form=AssessmentCard.model_fields["format"].default,
            own_site=self.site.site,
            own_class="" if place is None else self.data.labels[place].name,
        )

    @cached_property
    def patients(self) -> Any:
        """Whose images they are; None where they name nobody."""
        return self.data.whose_are(self.items)

    def refusal(self, row: int) -> str | None:
        """Why the ledger forbids that anything is told of a class, or None."""
        return assessments.refusal(self.ledger, self.asked(row), self.rule.assessments_per_query)

    def tell(self, named: Sequence[int], folder: Path) -> AssessmentCard:
        """From what the model names to the assessment package.

        Args:
            named: the row of the class that the model names for each of ``items``.

        Raises:
            QueryError: nothing may be told of any class.
            InputError: nobody agreed to what would leave.
            OutputError: the ledger cannot be used.
        """
        truth = np.array([item["label"] for item in self.items])
        found = measured(truth, np.asarray(named), self.patients, self.gained)
        preview = [self.known(row) or self.new(row, found) for row in self.gained]
        card = self.carded(preview)
        kinds = {c.label.name: COUNTS for c in card.classes if c.declined is None or c.called is not None}
        agreed = self.yes or agreed_to(self.decision, "assess", card.model_card_sha256, kinds)
        require_agreement(self.card.site, self.shown(preview, found), self.rule, folder, yes=agreed)
        second_place.note(self.site.site, self.files, self.ledger.require_newest(), self.ledger.path)
        card = self.carded([self.kept(row, told) for row, told in zip(self.gained, preview, strict=True)])
        leaving = Leaving(folder, self.ledger, to=self.card.site, shown=True)
        return save_assessment(folder, card, signing_key=self.site.signing_key, agree=leaving)

    def known(self, row: int) -> dict[str, Any] | None:
        """What was told of this model's class before."""
        return assessments.told_before(self.ledger, self.asked(row))

    def new(self, row: int, found: Measured) -> dict[str, Any]:
        """What would be told of a class now."""
        if reason := self.refusal(row):
            return {"declined": reason, "refused": True}
        return figures(found, row, self.rule)

    def kept(self, row: int, told: dict[str, Any]) -> dict[str, Any]:
        """What is told of a class, once the ledger has it."""
        asked = self.asked(row)
        if told.get("refused"):
            self.ledger.record(Requested(**{**vars(asked), "kind": "none"}), {"declined": told["declined"]})
            return told
        try:
            return assessments.tell(self.ledger, asked, self.rule.assessments_per_query, told)
        except NoFurtherResponse as e:  # told to somebody else in the meantime
            return {"declined": str(e)}

    def carded(self, told: Sequence[dict[str, Any]]) -> AssessmentCard:
        """The card of what is told.

        Raises:
            QueryError: that is nothing.
        """
        first = next((one for one in told if "rounding" in one), {})
        settings = {key: first.get(key) for key in ("rounding", "others")}
        rows = [self._class(row, one, settings) for row, one in zip(self.gained, told, strict=True)]
        card = AssessmentCard(
            site=self.site.site,
            task=self.card.task,
            model_sha256=self.card.weights_sha256,
            model_card_sha256=sha256(self.model.folder / CARD),
            rounding=settings["rounding"] or self.rule.rounding,
            classes=rows,
            others=settings["others"],
            licence=self.site.licence,
            generated_data=self.data.generated,
        )
        if not card.tells:
            raise _declined(list(dict.fromkeys(c.declined or "" for c in rows)), self.card)
        return card

    def _class(self, row: int, told: dict[str, Any], settings: dict[str, Any]) -> ClassAssessment:
        if "rounding" in told and any(told[key] != settings[key] for key in settings):
            told = {"declined": OTHERWISE}
        names = ("declined", "images", "patients", "recall", "called")
        return ClassAssessment(label=self._label(row), **{name: told.get(name) for name in names})

    def _label(self, row: int) -> ClassLabel:
        return self.card.labels[row]

    def shown(self, told: Sequence[dict[str, Any]], found: Measured) -> list[Shown]:
        """What is about to leave, class by class, for the eyes of this site."""
        return [
            Shown(
                label=self._label(row).name,
                tested=found.classes[row].tested.units,
                unit=found.classes[row].tested.unit,
                told=one,
                before=self.known(row) is not None,
            )
            for row, one in zip(self.gained, told, strict=True)
        ]


def _declined(reasons: Sequence[str], card: Card) -> QueryError:
    return QueryError(
        f"nothing is told of this model: {'; '.join(reasons)}",
        where=f"model of {card.site}",
        fix="tell the site that sent it; nothing was written",
    )
