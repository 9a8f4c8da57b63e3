"""What a site lets leave when it is asked: its policy, a section of its YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.schema import SHOWN
from clinical_qkt.core.terms import KEPT, KINDS, PSEUDONYM, Kind, Onward, Unit
from clinical_qkt.core.values import Strict
from clinical_qkt.data.label_space import ClassLabel, LabelSpace

if TYPE_CHECKING:  # whoever only reads a site's YAML need not wait for torch
    from clinical_qkt.packages.query import QueryCard
    from clinical_qkt.privacy.mechanisms import Guarantee

_NOT_SAID: dict[str, Any] = {SHOWN: "not said"}


@dataclass(frozen=True)
class Declined:
    """No response for a class.

    Attributes:
        reason: as it stands in the response.
    """

    reason: str


class Policy(Strict):
    """Which responses a site gives. The default is the careful one: private means alone."""

    RENAMED: ClassVar[Mapping[str, str]] = {"exact_answers_per_class": "exact_responses_per_class"}

    kinds: list[Kind] = Field(default=["private_mean"])
    """What may leave; of what is also welcome, the kind that tells most is given."""
    epsilon: float = Field(default=1.0, gt=0, le=20)
    """Of each private response, for each class: smaller protects more."""
    delta: float = Field(default=1e-5, gt=0, lt=0.01)
    """The delta of the same guarantee."""
    total_epsilon: float = Field(default=4.0, gt=0, le=100)
    """Of all private responses that the ledger holds, together; one that would overrun it is declined."""
    total_delta: float = Field(default=1e-5, gt=0, lt=0.01)
    """The delta of all of them together."""
    minimum_patients: int = Field(default=20, ge=2)
    """Fewer give no exact response. A private one needs none: its noise protects each patient, however few
    there are, and a refusal would tell more than it hides."""
    exact_responses_per_class: int = Field(default=1, ge=1, le=1000)
    """So many exact responses are given for a class, to all who ask together and whatever the data are by
    then; the same query gets the same answer again. None is given for images of nearly the same patients as
    an earlier one's, `minimum_patients` being what is not nearly."""
    unit: Unit = "patient"
    """Whom a private response protects: a `patient`, which needs `patient` in the datalist's entries, or an
    `image`, where no two images show the same patient."""
    images_per_patient: int | None = Field(default=None, ge=1, le=100_000, json_schema_extra=_NOT_SAID)
    """No patient ever had more images of a class than that. It is needed where the ledger holds answers of
    `unit: image` and now a `patient` is to be protected: each of them then counts with so many times less
    noise."""
    tell_looks: bool = True
    """Whether a response to a query that tells how the asker's images look also tells how this site's look
    beside them, by classes that both know. If it does not, images that look different are not brought to the
    asker's look, and the response may be worth little."""
    onward: Onward = KEPT
    """Where a model may go that was made of this site's exact responses. `student_only`: to nobody but the
    asker, and to this site itself. `assessment`: to other hospitals, too, which measure it on their images;
    from its Gaussians and their own responses they can compute this site's exact numbers."""
    may_ask: list[Annotated[str, Field(pattern=PSEUDONYM)]] = Field(default=[])
    """Pseudonyms of the sites that get an answer; everybody whose key is trusted if empty. A query's
    signature proves the pseudonym, unless the site accepts untrusted packages."""

    @property
    def guarantee(self) -> Guarantee:
        from clinical_qkt.privacy.mechanisms import Guarantee

        return Guarantee(self.epsilon, self.delta)

    def decide(self, query: QueryCard, label: ClassLabel, own: LabelSpace) -> Kind | Declined:
        """The kind of response for one class, or the reason for none.

        It looks at what is no secret: the site's label list and this policy, never at images.
        """
        if self.may_ask and query.site not in self.may_ask:
            return Declined(f"{query.site} is not on this site's list of those who may ask")
        try:
            # Of a class that is merged into another there are no images apart.
            places = own.places(label)
        except InputError:
            return Declined("more than one class of this site could be meant")
        if not places:
            return Declined("this site has no such class")
        if sum(_shares(places, other, own) for other in query.query) > 1:
            return Declined("another class that is asked for is the same one at this site, or a part of it")
        kind = next((k for k in KINDS if k in self.kinds and k in query.welcome), None)
        if kind is None:
            return Declined(f"this site gives {', '.join(self.kinds)} only, which was not welcome")
        return kind


def _shares(places: tuple[int, ...], label: ClassLabel, own: LabelSpace) -> bool:
    """Whether a class has images of those at some places of the site's list."""
    try:
        return bool(set(places) & set(own.places(label)))
    except InputError:  # it could be several, and is declined itself
        return False
