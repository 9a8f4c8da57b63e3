"""Responses of sites whose images look different, as the product's sites make them and its asker reads them.

Each answering site compares its images' look with the asker's, maps its images, and tells what is left in
features of shared classes: see ``query.looks``, ``query.private_look`` and ``query.residual``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from clinical_qkt.core.errors import QueryError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.look_shared import Compared, Looks, looks_of
from clinical_qkt.privacy.mechanisms import (
    STEPS,
    Guarantee,
    Noise,
    clipped,
    private_release,
    rounded_noise,
    whole,
)
from clinical_qkt.query.looks import AskersLooks, askers_looks, change, in_look, numbers_of, sure
from clinical_qkt.query.private_look import (
    Reference,
    compared_privately,
    differences,
    private_look,
    reference,
    shares_of,
)
from clinical_qkt.query.request import CLIP
from clinical_qkt.query.residual import (
    Apart,
    Residual,
    private_residual,
    private_sums,
    residual,
    taken_off,
    told_of,
)
from clinical_qkt.research.methods.case import Case, Member
from clinical_qkt.research.methods.requested import Requested, RequestSettings
from clinical_qkt.research.methods.stain import STAINS, Stain, normaliser
from clinical_qkt.statistics.class_statistics import ClassStatistics, PrivateSum, class_statistics
from clinical_qkt.training.inference import Images, features_of

Harmonise = Literal["both", "look", "residual", "none", "ceiling", "macenko", "vahadane", "reinhard"]
"""``both``: images are mapped and what is left is taken off; ``ceiling``: the sites' same images in the
asker's look, which only a simulation has; the last three are others' stain normalisation, see ``stain``: the
asker's colours are estimated of its images of shared classes, or of all where none is shared."""
Answer = ClassStatistics | PrivateSum
MOST_SHARED = 400
"""Images of a shared class that a residual is computed of."""


@dataclass(frozen=True, eq=False)
class Told:
    """One site's answer for one class.

    Attributes:
        answer: what is left of the difference in look is taken off.
        compared, left: how its images look beside the asker's, and what is left after the map.
    """

    answer: Answer
    compared: Compared | None = None
    left: Residual | None = None

    @property
    def bytes(self) -> int:
        """What the asker received besides the answer: a look and what is left, in single precision."""
        look = 0 if self.compared is None else len(self.compared.seen)
        return 4 * (look + (0 if self.left is None else len(self.left.shift)))

    def row(self) -> dict[str, Any]:
        """Figures for a row of results."""
        return {
            "distance": None if self.compared is None else round(self.compared.distance, 3),
            "shared": 0 if self.compared is None else len(self.compared.shared),
            "residual": None if self.left is None else round(self.left.per_axis, 3),
        }


class Site:
    """One site of a case, as it answers.

    Args:
        question: what is asked with; its own images are the asker's.
        member: the site with its raw images.
        asked: how the asker's images look.
    """

    def __init__(self, case: Case, question: Requested, member: Member, asked: AskersLooks) -> None:
        self.case, self.question, self.asked = case, question, asked
        self.given = case.own.card.input
        self.items: dict[str, list[dict[str, Any]]] = {}
        for place, label in enumerate(member.model.card.labels):
            mine = [item for item in member.training if int(item["label"]) == place]
            if mine:
                self.items[label.name] = mine
        self.name = member.model.card.site
        self.numbers = {c: numbers_of(self.view(c, self.given), self.given) for c in self.items}
        self.seen: dict[tuple[str, str], Tensor] = {}

    def view(self, name: str, given: InputContract) -> Images:
        return self.case.view(self.items[name], given)

    def features(self, name: str, given: InputContract) -> Tensor:
        """``(N, D)`` of a class's images under a contract."""
        key = name, given.model_dump_json()
        if key not in self.seen:
            extractor, view = self.question.extractor, self.view(name, given)
            if given == self.given:
                self.seen[key] = self.case.numbers(extractor, view)[1].double()
            else:
                self.seen[key] = features_of(extractor, view, self.case.device)
        return self.seen[key]

    @property
    def looks(self) -> Looks:
        names = [c for c, numbers in self.numbers.items() for _ in range(len(numbers))]
        return looks_of(torch.cat([*self.numbers.values()]), names)

    def shared(self) -> list[str]:
        return sorted(set(self.items) & set(self.asked.classes))

    def exact(self, queried: str, settings: RequestSettings, how: Harmonise) -> Told | None:
        if len(self.items[queried][: settings.patients]) < settings.minimum_patients:
            return None
        if how in STAINS:
            features = self.in_colours(queried, cast(Stain, how))[: settings.patients]
            return Told(class_statistics(features).reduced(settings.kind))
        found = change(self.looks, self.asked)
        given = in_look(self.given, found) if how in ("both", "look") else self.given
        features = self.features(queried, given)[: settings.patients]
        left = None
        if how in ("both", "residual") and found is not None and not found.alike:
            left = self.left(given)
        if left and left.unclipped is not None:
            features = clipped(features, self.question.radius)
        answer = class_statistics(features).reduced(settings.kind)
        return Told(taken_off(answer, left), found, left)

    def in_colours(self, name: str, how: Stain) -> Tensor:
        """``(N, D)`` of a class's images in the asker's colours."""
        case, given = self.case, self.given
        known = {case.labels[i].name: i for i in case.local}
        classes = self.shared() or [*self.items]
        places = {known[c] for c in classes if c in known} or set(case.local)
        wanted = [item for item in case.training if int(item["label"]) in places]
        mine = torch.cat([_shown(self.view(c, given), given) for c in classes])
        turned = normaliser(how, _shown(wanted, given), mine)
        view = self.view(name, given)
        images = given.values(turned(_shown(view, given)).float())
        seen = [{**view[i], "image": images[i]} for i in range(len(view))]
        return features_of(self.question.extractor, seen, case.device)

    def left(self, given: InputContract) -> Residual | None:
        """What is left of the difference in look, of images prepared so."""
        apart = {}
        for c in self.shared():
            apart[c] = Apart(self.asked.means[c], self.question.radius)
            apart[c].update(self.features(c, given)[:MOST_SHARED])
        return residual(apart, {c: look.count for c, look in self.asked.classes.items()})

    def private(self, queried: str, settings: RequestSettings, how: Harmonise, noise: Noise) -> Told:
        guarantee = Guarantee(settings.epsilon, settings.delta)
        beside, found, given = reference(self.items, self.asked) if how == "both" else None, None, self.given
        if beside is not None:
            found = self._compared(beside, guarantee, noise)
            given = in_look(given, found)
        shared = beside.classes if beside and beside.through is None else ()
        mapped = found is not None and not found.alike
        shares = shares_of(beside is not None, bool(shared and found), mapped)
        radius, axes = self.question.clip(settings.private_axes), settings.private_axes
        left = None
        if "residual" in shares:
            width = self.question.training[0][:, :axes].shape[1]
            sums = private_sums(width, radius, mapped)
            for c in shared:
                apart = self.features(c, given)[:, :axes] - self.asked.means[c][:axes]
                sums.update(told_of(apart, radius, mapped), [f"{c} {i}" for i in range(len(apart))])
            part, counts = guarantee.part(shares["residual"]), [self.asked.classes[c].count for c in shared]
            release = private_release(sums.contributions(), part, noise)
            left = private_residual(release, part, width, radius, radius / CLIP, counts, mapped)
        features = self.features(queried, given)[: settings.patients, :axes]
        part = guarantee.part(shares["mean"])
        answer = private_release(whole(features, radius, STEPS), part, noise).read(radius, part)
        return Told(taken_off(answer, left), found, left)

    def _compared(self, beside: Reference, guarantee: Guarantee, noise: Noise) -> Compared | None:
        numbers = torch.cat([self.numbers[c] for c in beside.classes])
        names = [c for c in beside.classes for _ in range(len(self.numbers[c]))]
        found = differences(numbers, names, beside.looks, self.asked.spread)
        told = private_look(found, [str(i) for i in range(len(found))], guarantee, noise)
        return compared_privately(told, guarantee, self.asked, beside)


def _shown(images: Images, given: InputContract) -> Tensor:
    """``(N, C, *places)`` of 0 to 255, of what a network takes."""
    return given.intensities(torch.stack([torch.as_tensor(images[i]["image"]) for i in range(len(images))]))


def responses(
    case: Case, question: Requested, settings: RequestSettings, how: Harmonise
) -> list[dict[str, Told]]:
    """For each queried class the sites' answers; see ``Requested.told``.

    An answer of a site that looks different and shares no class is left out where others are surer.

    Raises:
        QueryError: nobody answers for a queried class; or colours are to be changed of private responses,
            which would not be private then.
        InputError: pictures have no stain.
    """
    if how in STAINS and settings.kind == "private_mean":
        raise QueryError("stain normalisation is not private", where="harmonise", fix="ask for exact answers")
    members = (case.in_own_look() if how == "ceiling" else case.federation())[1:]
    own = [item for item in case.training if int(item["label"]) in set(case.local)]
    key = ("harmonised", how == "ceiling", settings.views, settings.reference, *(settings.depths or ()))
    if key not in case.kept:
        names = [case.labels[i].name for i in case.local]
        mine = askers_looks(own, names, case.own.card.input, question.training[0])
        case.kept[key] = [Site(case, question, member, mine) for member in members]
    sites: list[Site] = case.kept[key]
    draw = torch.Generator().manual_seed(case.seed)
    noise = rounded_noise(lambda n: torch.randn(n, generator=draw, dtype=torch.float64))
    looks = {site.name: site.looks for site in sites}
    answers = []
    for name in (case.labels[q].name for q in case.query):
        given: dict[str, Told] = {}
        for site in (s for s in sites if name in s.items):
            site.asked = AskersLooks(
                site.asked.classes,
                site.asked.spread,
                site.asked.means,
                [found for other, found in looks.items() if other != site.name],
            )
            if settings.kind == "private_mean":
                given[site.name] = site.private(name, settings, how, noise)
            elif told := site.exact(name, settings, how):
                given[site.name] = told
        if how not in ("none", "ceiling") and any(sure(t.compared) for t in given.values()):
            given = {s: t for s, t in given.items() if sure(t.compared)}
        if not given:
            raise QueryError("no site has enough images of a queried class", where="query")
        answers.append(given)
    return answers
