"""Teachers: other sites' models, verified, aligned to the student's classes, probed for what they know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from clinical_qkt.core.errors import PackageError, QueryError
from clinical_qkt.data.inputs import InputContract, covering
from clinical_qkt.data.label_space import Alignment, LabelSpace, align
from clinical_qkt.networks.committee import Committee, CommitteeSpec, Seat
from clinical_qkt.networks.spec import NetworkSpec, linear_head, reshape_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.derived import DerivedModel, derived
from clinical_qkt.packages.model import CardedNetwork, Model, load_model
from clinical_qkt.packages.signing import Trust
from clinical_qkt.qkt.committee_limits import require_room
from clinical_qkt.qkt.one_body import one_body

if TYPE_CHECKING:
    from clinical_qkt.qkt.teacher_looks import TeacherLook

Start = Literal["committee", "teacher", "own"]


@dataclass(frozen=True, eq=False)
class AlignedModel:
    """Another site's model, verified; what it really knows is to be found out, see ``probe``.

    Attributes:
        columns: ``{its column: student's column}``; several are the same where the student merges them.
    """

    model: Model
    columns: dict[int, int]

    @property
    def site(self) -> str:
        return self.model.card.site


@dataclass(frozen=True, eq=False)
class Teacher(AlignedModel):
    """Another site's model, seen from the student.

    Attributes:
        scores: ``(teacher's classes,)`` from the noise probes.
        known: the knowledge mask over the teacher's classes.
        look: how the student's images look beside its own; None: nobody has looked, see ``teacher_looks``.
    """

    scores: Tensor
    known: list[bool]
    look: TeacherLook | None = None

    @property
    def known_columns(self) -> set[int]:
        """The student's columns that this teacher really knows."""
        return {to for source, to in self.columns.items() if self.known[source]}

    @property
    def merges(self) -> bool:
        """Whether several of the classes that it knows are one of the student's."""
        known = [to for source, to in self.columns.items() if self.known[source]]
        return len(set(known)) < len(known)

    def known_rows(self, everyone: LabelSpace) -> dict[int, int]:
        """``{row of its head: column of everyone}`` of the classes that it knows.

        What the student has is aligned already, whatever other teachers call their classes. Of the rest, a
        class that could be more than one of everyone's is left out.

        Args:
            everyone: as from ``all_classes``.
        """
        classes = self.model.card.labels
        found, rest = dict(self.columns), [r for r in range(len(classes)) if r not in self.columns]
        if rest:
            table = Alignment(LabelSpace(classes[r] for r in rest), everyone)
            found |= {rest[i]: column for i, column in table.columns.items()}
        return {row: found[row] for row in sorted(found) if self.known[row]}

    def score(self, column: int) -> float:
        """What the probes say of one of the student's columns; 0 if the teacher has no such class.

        Of a merged class the highest of its parts counts, as for the mask.
        """
        return max((float(self.scores[s]) for s, to in self.columns.items() if to == column), default=0.0)

    def told(self, column: int) -> float | None:
        """The recall that its card tells of one of the student's columns; the lowest of a merged class."""
        names = self.model.card.labels.names
        parts = [self.model.card.recall.get(names[s]) for s, to in self.columns.items() if to == column]
        return min((p for p in parts if p is not None), default=None)


def read_teachers(
    folders: Sequence[Path], labels: LabelSpace, trust: Trust | None = None
) -> list[AlignedModel]:
    """Verify the packages and align their label spaces to the student's.

    Args:
        trust: whose signatures count; None: none is asked for.

    Raises:
        PackageError: a package is refused, or two come from the same site.
        InputError: a class could be more than one of the student's, or the other way round.
    """
    teachers: dict[str, AlignedModel] = {}
    for folder in folders:
        model = load_model(folder, trust)
        if model.card.site in teachers:
            raise PackageError(
                f"a second package of the site '{model.card.site}'",
                where=str(folder),
                fix="list each site's package once under 'teachers'",
            )
        where = f"package of {model.card.site}: label_space"
        teachers[model.card.site] = AlignedModel(model, align(model.card.labels, labels, where=where))
    return list(teachers.values())


def relevant_teachers(
    teachers: Sequence[Teacher],
    labels: LabelSpace,
    query: Sequence[int],
    per_class: int | None = None,
    responded: Sequence[int] = (),
) -> list[Teacher]:
    """The teachers that know a queried class.

    Args:
        responded: queried classes that a site sent statistics of: no teacher has to know them.
        per_class: keep so many for each queried class: those that know most of the student's other classes,
            then those whose probe scores for it are highest.

    Raises:
        QueryError: names the queried classes that nobody knows.
    """
    missing = [q for q in query if q not in responded]
    unknown = [labels[q].name for q in missing if not any(q in t.known_columns for t in teachers)]
    if unknown:
        raise QueryError(
            f"no teacher knows {', '.join(repr(n) for n in unknown)}, and no site sent statistics of it",
            where="query",
            fix="add packages of sites that know it under 'teachers' or 'responses', or ask for others",
        )
    if per_class is None:
        return [t for t in teachers if t.known_columns & set(query)]
    best: set[str] = set()
    for q in query:
        holders = [t for t in teachers if q in t.known_columns]
        holders.sort(key=lambda t: (len(t.known_columns), t.score(q)), reverse=True)
        best |= {t.site for t in holders[:per_class]}
    return [t for t in teachers if t.site in best]


def starting_point(
    own: CardedNetwork,
    teachers: Sequence[Teacher],
    labels: LabelSpace,
    query: Sequence[int],
    start_from: Start,
) -> tuple[nn.Module, CardedNetwork]:
    """The network that phase 1 starts from, with a head for all the student's classes, and whose it was.

    Raises:
        PackageError: a model cannot sit in a committee.
    """
    if start_from == "committee" and teachers:
        joined = committee(own, teachers, labels)
        return joined.network, joined
    fitting = possible_starts(own, teachers, query)
    if start_from == "own" or not fitting:
        rows = {column: row for row, column in align(own.card.labels, labels).items()}
        return reshape_head(own.network, rows, len(labels)), own
    best = fitting[0]
    rows = {to: source for source, to in best.columns.items() if best.known[source]}
    return reshape_head(best.model.network, rows, len(labels)), best.model


def possible_starts(own: CardedNetwork, teachers: Sequence[Teacher], query: Sequence[int]) -> list[Teacher]:
    """The teachers whose network the student could go on with, those first that know most.

    Such a teacher knows a queried class, expects the same input as the student's model, in whatever look, has
    a row of its own for each of the student's classes that it knows, and is a single network.
    """
    expected = own.card.input.plain
    same = [t for t in teachers if t.model.card.input.plain == expected and not t.merges]
    single = [t for t in same if isinstance(t.model.card.network, NetworkSpec)]
    fitting = [t for t in single if t.known_columns & set(query)]
    return sorted(fitting, key=lambda t: (-len(t.known_columns & set(query)), -len(t.known_columns)))


def require_same_kind(card: Card, given: InputContract) -> None:
    """Refuse a model whose images could not be made of this site's without guessing.

    Raises:
        PackageError: says what is in the way, see ``InputContract.obstacle``.
    """
    fix = "take it out of 'teachers', or ask for a model of such images"
    card.input.require_same_kind(given, f"package of {card.site}", fix)


def all_classes(labels: LabelSpace, teachers: Sequence[Teacher]) -> LabelSpace:
    """The student's and the queried classes, then every other one that some teacher knows."""
    for teacher in teachers:
        classes = zip(teacher.model.card.labels, teacher.known, strict=True)
        labels = labels.extended([c for c, known in classes if known and not any(k.means(c) for k in labels)])
    return labels


def seated(own: CardedNetwork, teachers: Sequence[Teacher], labels: LabelSpace) -> LabelSpace:
    """``all_classes`` of a committee, if it has room for all of them; see ``committee_limits``."""
    everyone = all_classes(labels, teachers)
    spoken = sum(len(t.known_rows(everyone)) for t in teachers)
    require_room(own, [t.model for t in teachers], len(own.card.labels) + spoken, len(everyone))
    return everyone


def committee(own: CardedNetwork, teachers: Sequence[Teacher], labels: LabelSpace) -> DerivedModel:
    """The student's model and its teachers' as one network; see ``networks.committee``.

    All teachers take part, whether they know a queried class or not: two models that share no class are
    compared through a third. Each speaks only for the classes that its knowledge mask covers. Of models that
    differ in their heads alone the committee has one network with all heads, which answers the same.

    Args:
        labels: the student's classes, then the queried ones: the rows of the head.

    Returns:
        The network with a card, that of the student but for what is new.

    Raises:
        PackageError: a model cannot sit in a committee.
        InputError: there are too many models or classes for one.
    """
    everyone = seated(own, teachers, labels)
    seats: list[Seat] = []
    members: list[CardedNetwork] = []
    mine = align(own.card.labels, labels)
    for model, columns in [(own, mine), *((t.model, t.known_rows(everyone)) for t in teachers)]:
        card = model.card
        require_same_kind(card, own.card.input)
        assert not isinstance(card.network, CommitteeSpec)
        if columns:
            seats.append(Seat(network=card.network, input=card.input, columns=list(columns.values())))
            rows = dict(enumerate(columns))  # iterating the mapping gives the member's rows
            members.append(CardedNetwork(reshape_head(model.network, rows, len(rows)), card))
    given = covering([own.card.input, *(seat.input for seat in seats)])
    spec = CommitteeSpec(input=given, members=seats, width=len(everyone), one_body=one_body(members))
    first, *others = (member.network for member in members)
    heads = [linear_head(other) for other in others] if spec.one_body else others
    network = Committee(spec, [first, *heads], len(labels)).eval()
    return derived(own.card, network, [m.card for m in members], network=spec, input=given)
