import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from clinical_qkt.masks import knowledge_mask, knowledge_scores, multiscale_noise


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 3),
    st.lists(st.integers(5, 20), min_size=2, max_size=3),
    st.floats(-5, 0),
    st.floats(0.5, 5),
)
def test_noise_has_the_shape_and_stays_in_the_range(count, channels, size, low, high):
    noise = multiscale_noise(count, channels, size, low, high, torch.Generator().manual_seed(0))
    assert noise.shape == (count, channels, *size)
    assert noise.min() >= low and noise.max() <= high


def test_noise_is_repeatable_and_coarse_scales_are_smooth():
    noise = multiscale_noise(64, 1, (32, 32), -1, 1, torch.Generator().manual_seed(3))
    again = multiscale_noise(64, 1, (32, 32), -1, 1, torch.Generator().manual_seed(3))
    assert torch.equal(noise, again)
    steps = (noise[..., 1:] - noise[..., :-1]).abs().mean((1, 2, 3))
    assert steps[3::4].mean() < 0.5 * steps[0::4].mean()  # eight times enlarged against plain noise


class Knows(nn.Module):
    """Puts everything on the classes that it knows, whatever it sees."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits + 0.1 * x.mean((1, 2, 3))[:, None]


def test_scores_are_the_mean_softmax_and_the_mask_its_threshold():
    scores = knowledge_scores(Knows([4.0, 3.0, -9.0]), 3, (8, 8), -1, 1, count=40)
    assert scores.sum() == pytest.approx(1)
    assert torch.allclose(scores, torch.tensor([4.0, 3.0, -9.0]).softmax(0), atol=1e-5)
    assert knowledge_mask(scores, 0.005).tolist() == [True, True, False]
    assert knowledge_mask(scores, 0.5).tolist() == [True, False, False]
