"""What a transfer tells of looks: of each model and each answer, by the limits of the site's rule."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.data.look_shared import Compared
from clinical_qkt.evidence.acceptance import LookLimits
from clinical_qkt.qkt.look_facts import length_of, look_facts
from clinical_qkt.qkt.teacher_looks import TeacherLook
from clinical_qkt.query.residual import Residual
from clinical_qkt.query.told import Told
from clinical_qkt.statistics.class_statistics import ClassStatistics, PrivateSum
from tests.qkt.test_teacher_looks import teacher

LIMITS = LookLimits()
EXACT = ClassStatistics(50, torch.tensor([3.0, 4.0, 12.0]).double())


def compared(distance, shared=("a",)):
    return Compared(torch.zeros(15), torch.zeros(15), shared, distance)


def answers(told, left_out=(), given=EXACT):
    """One site's answer for q, to a query with two private axes and radius 10."""
    responses = SimpleNamespace(
        query=SimpleNamespace(card=SimpleNamespace(private_axes=2, radius=10.0)),
        responded=[0],
        labels=LabelSpace(["q"]),
        of_class=lambda position: [("other", given)],
    )
    looks = {"q": {"other": told}} if told else {}
    return responses, SimpleNamespace(looks=looks, left_out={"q": list(left_out)})


def test_of_a_teacher_it_tells_the_difference_and_what_is_left_between_looks():
    look = TeacherLook(compared(4.21), True, 0.1234, {"a": 0.3, "b": 0.7})
    (found,) = look_facts([replace(teacher("one", ["a", "q"]), look=look)], None, None, LIMITS).sites
    assert (found.gave, found.distance, found.left, found.mapped) == ("model", 4.21, 0.123, True)
    assert found.outcome == "within the limits" and found.apart == {"a": 0.3, "b": 0.7}
    (nothing,) = look_facts([teacher("one", ["a", "q"])], None, None, LIMITS).sites
    assert nothing.outcome == "not known"


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (Told(compared(0.1), None), "alike"),
        (Told(compared(6.0), Residual(torch.full((3,), 0.2), 0.01)), "within the limits"),
        (Told(compared(6.0), Residual(torch.full((3,), 1.9), 0.01)), "beyond the limits"),
        (Told(compared(6.0, ()), None), "beyond the limits"),
        (Told(None, None), "not known"),
        (None, "not known"),
    ],
)
def test_of_an_answer_it_tells_what_is_left_between_features(told, outcome):
    (found,) = look_facts([], *answers(told), LIMITS).sites
    assert (found.gave, found.query, found.outcome) == ("statistics", "q", outcome)
    assert found.length == 0.5 and found.used


def test_an_answer_that_is_left_out_is_told_and_not_counted():
    (found,) = look_facts([], *answers(Told(compared(6.0, ()), None), ["other"]), LIMITS).sites
    assert not found.used


def test_the_length_of_a_private_answer_is_without_what_noise_adds():
    noise = 400.0
    total = torch.full((1000,), 50.0).double() * 100
    total += noise * torch.randn(1000, generator=torch.Generator().manual_seed(0)).double()
    told = length_of(PrivateSum(total, 100, noise, 1.0), 1000)
    assert told == pytest.approx(50 * 1000**0.5, rel=0.02)
    assert length_of(PrivateSum(torch.zeros(4).double(), -3, 1.0, 1.0), 4) == 0
    (found,) = look_facts([], *answers(None, given=PrivateSum(total, 100, noise, 1.0)), LIMITS).sites
    assert found.gave == "private statistics" and found.outcome == "beyond the limits"
