from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.networks import joint_opinion as module
from clinical_qkt.networks.joint_opinion import joint_opinion


def test_one_model_that_knows_all_is_repeated() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
    z = joint_opinion([logits], [[0, 1, 2]], 3)
    assert torch.allclose(z.softmax(1), logits.softmax(1), atol=2e-2)


def test_a_joint_distribution_is_found_again_from_its_parts() -> None:
    truth = torch.tensor([[1.0, 0.2, -0.5, -1.0], [-2.0, 0.0, 1.0, 0.5]])
    parts = [[0, 1], [1, 2], [2, 3]]
    z = joint_opinion([truth[:, p] for p in parts], parts, 4)
    assert torch.allclose(z.softmax(1), truth.softmax(1), atol=2e-2)


def test_two_models_without_a_common_class_are_compared_through_a_third() -> None:
    """The student takes the image for its class 0, the teacher for its class 3; a bridge knows both."""
    student, teacher = torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    apart = joint_opinion([student, teacher], [[0, 1], [2, 3]], 4)
    assert abs(float(apart[0, 0] - apart[0, 3])) < 1e-3  # nothing says which
    bridged = joint_opinion([student, teacher, torch.tensor([[3.0, 0.0]])], [[0, 1], [2, 3], [0, 3]], 4)
    assert float(bridged[0, 0] - bridged[0, 3]) > 2


def test_a_model_out_of_its_depth_is_overruled() -> None:
    """Class 0 is the student's alone. The teacher, which must choose between 1 and 2, says 2."""
    student, teacher = torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert joint_opinion([student, teacher], [[0, 1], [1, 2]], 3).argmax() == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.1, 1.0, 5.0, 30.0]), width=st.integers(2, 9))
def test_the_steps_arrive(seed: int, scale: float, width: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    count = int(torch.randint(1, 9, (), generator=rng))
    columns = [
        torch.randperm(width, generator=rng)[: int(torch.randint(1, width + 1, (), generator=rng))].tolist()
        for _ in range(count)
    ]
    logits = [scale * torch.randn(16, len(c), generator=rng) for c in columns]
    z = joint_opinion(logits, columns, width)
    assert z.shape == (16, width) and torch.isfinite(z).all()
    gradient, _ = module._derivatives(z, [x.softmax(1) for x in logits], [torch.tensor(c) for c in columns])
    assert float(gradient.abs().max()) < 1e-3


@pytest.mark.parametrize("shift", [-50.0, 7.0])
def test_what_all_logits_of_a_model_have_in_common_says_nothing(shift: float) -> None:
    a, b = torch.randn(5, 2), torch.randn(5, 2)
    plain = joint_opinion([a, b], [[0, 1], [1, 2]], 3)
    assert torch.allclose(plain, joint_opinion([a + shift, b], [[0, 1], [1, 2]], 3), atol=1e-4)
