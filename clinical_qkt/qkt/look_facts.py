"""The summary's part on looks: of each model and each answer that came, beside the student's own images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clinical_qkt.evidence.acceptance import LookLimits
from clinical_qkt.evidence.looks import judged
from clinical_qkt.evidence.parts import Looks, SiteLook
from clinical_qkt.qkt.teacher_looks import TeacherLook
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.query.aggregate import Responses, TakenIn
from clinical_qkt.query.told import Told
from clinical_qkt.statistics.class_statistics import FEWEST_PATIENTS, ClassStatistics, PrivateSum

DIGITS = 3
"""After the point, of a distance that is told."""


def look_facts(
    participants: Sequence[Teacher],
    responses: Responses | None,
    taken_in: TakenIn | None,
    limits: LookLimits,
) -> Looks:
    """How the images behind each package look, and whether that is within the limits."""
    sites = [_of_teacher(teacher) for teacher in participants]
    if responses and taken_in:
        sites += _of_responses(responses, taken_in)
    return judged(limits, sites)


def _of_teacher(teacher: Teacher) -> SiteLook:
    seen = teacher.look or TeacherLook()
    return SiteLook(
        site=teacher.site,
        gave="model",
        query=None,
        used=True,
        shared=list(seen.compared.shared) if seen.compared else [],
        distance=_short(seen.compared.distance) if seen.compared else None,
        mapped=seen.mapped,
        left=_short(seen.left),
        length=None,
        apart={name: round(apart, DIGITS) for name, apart in (seen.apart or {}).items()},
    )


def _of_responses(responses: Responses, taken_in: TakenIn) -> Iterator[SiteLook]:
    query = responses.query.card
    for position in responses.responded:
        name = responses.labels[position].name
        for site, given in responses.of_class(position):
            told = taken_in.looks.get(name, {}).get(site, Told(None, None))
            yield SiteLook(
                site=site,
                gave="private statistics" if isinstance(given, PrivateSum) else "statistics",
                query=name,
                used=site not in taken_in.left_out.get(name, ()),
                shared=list(told.compared.shared) if told.compared else [],
                distance=_short(told.compared.distance) if told.compared else None,
                mapped=told.compared is not None and not told.compared.alike,
                left=_short(told.residual.per_axis) if told.residual else None,
                length=_short(length_of(given, query.private_axes) / query.radius),
            )


def length_of(given: ClassStatistics | PrivateSum, axes: int) -> float:
    """Of a class's mean features, of those that private responses are made of; without the noise's share."""
    if isinstance(given, ClassStatistics):
        return float(given.mean[:axes].norm())
    patients = max(given.count, FEWEST_PATIENTS)
    square = float(given.total.square().sum()) - len(given.total) * given.noise**2
    return max(0.0, square) ** 0.5 / patients


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
