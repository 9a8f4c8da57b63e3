import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from conftest import COLOURS, square
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from clinical_qkt.errors import InputError
from clinical_qkt.masks import (
    knowledge_mask,
    knowledge_scores,
    multiscale_noise,
    published,
    random_shapes,
    randomised,
)
from clinical_qkt.packages.networks import preset


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


def test_scores_are_the_mean_or_the_peak_of_the_softmax():
    network = Knows([4.0, 3.0, -9.0])
    mean = knowledge_scores(network, 3, (8, 8), -1, 1, count=40, statistic="mean")
    assert mean.sum() == pytest.approx(1)
    assert torch.allclose(mean, torch.tensor([4.0, 3.0, -9.0]).softmax(0), atol=1e-5)
    assert torch.allclose(knowledge_scores(network, 3, (8, 8), -1, 1, count=40), mean, atol=1e-5)
    assert knowledge_mask(mean, 0.2).tolist() == [True, True, False]
    assert knowledge_mask(mean, 0.5).tolist() == [True, False, False]


class Seldom(nn.Module):
    """Names its second class only for images that are dark all over."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dark = (x.amax((1, 2, 3)) < 0).float()
        return torch.stack([4 - 9 * dark, 9 * dark - 4, torch.full_like(dark, -9)], 1)


def test_the_peak_finds_a_class_that_the_mean_overlooks():
    found = {s: knowledge_scores(Seldom(), 1, (16, 16), -1, 1, statistic=s) for s in ("mean", "peak")}
    assert found["mean"][1] < 0.2 < 0.9 < found["peak"][1] and found["peak"][2] < 0.01


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.lists(st.integers(5, 20), min_size=2, max_size=3))
def test_shapes_fit_the_contract_and_are_repeatable(count, channels, size):
    a, b = (random_shapes(count, channels, size, -1, 2, torch.Generator().manual_seed(1)) for _ in range(2))
    assert a.shape == (count, channels, *size) and torch.equal(a, b)
    assert a.min() >= -1 and a.max() <= 2


def test_a_trained_network_knows_what_it_was_trained_on_and_not_its_empty_rows():
    torch.manual_seed(0)
    known, network = [0, 2, 3], preset("resnet_small", 3, [28, 28]).build(5)
    pictures = np.stack([square(list(COLOURS)[c], i, size=28) for i in range(40) for c in known])
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    y = torch.tensor(known * 40)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(12):
        for batch in torch.randperm(len(x)).split(30):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    scores = knowledge_scores(network, 3, (28, 28), -1, 1)
    assert knowledge_mask(scores).tolist() == [c in known for c in range(5)], scores


def test_a_randomised_mask_tells_the_truth_as_often_as_epsilon_says():
    below = [math.nextafter(math.e / (1 + math.e), 0), math.e / (1 + math.e)]
    assert randomised([True, False], 1.0, lambda: below[0]) == [True, False]
    assert randomised([True, False], 1.0, lambda: below[1]) == [False, True]
    known = [True, False] * 2000
    for epsilon in (0.1, 1.0, 3.0):
        told = randomised(known, epsilon)
        right = np.mean([a == b for a, b in zip(known, told, strict=True)])
        assert right == pytest.approx(1 / (1 + math.exp(-epsilon)), abs=0.04)


def test_a_published_mask_is_as_found_or_nothing_but_ones_and_zeros():
    scores = {"a": 0.93, "b": 0.1, "c": 0.0999}
    assert published(scores).scores == scores and published(scores).epsilon is None
    told = published(scores, 100.0)  # as good as never a lie
    assert told.scores == {"a": 1.0, "b": 1.0, "c": 0.0} and (told.threshold, told.epsilon) == (0.5, 100.0)
    assert len({tuple(published(scores, 0.1).scores.values()) for _ in range(60)}) > 2


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.floats(0.01, 3))
def test_what_was_told_of_a_class_is_told_again(known, epsilon):
    scores = {f"class {i}": float(k) for i, k in enumerate(known)}
    with TemporaryDirectory() as folder:
        memory = Path(folder) / "mask.json"
        first = published(scores, epsilon, memory)
        assert all(published(scores, epsilon, memory) == first for _ in range(5))
        changed = {**scores, "class 0": 1 - scores["class 0"], "one more": 1.0}
        again = published(changed, epsilon, memory).scores
        assert {n: again[n] for n in list(scores)[1:]} == {n: first.scores[n] for n in list(scores)[1:]}


def test_a_class_that_is_no_longer_known_or_another_epsilon_is_drawn_anew(tmp_path):
    memory = tmp_path / "mask.json"
    assert published({"a": 1.0}, 100.0, memory).scores == {"a": 1.0}
    assert published({"a": 0.0}, 100.0, memory).scores == {"a": 0.0}
    drawn = {published({"a": 0.0}, e, memory).scores["a"] for e in (0.01, 0.02) * 40}
    assert drawn == {0.0, 1.0}


def test_a_damaged_memory_is_refused_and_kept(tmp_path):
    memory = tmp_path / "mask.json"
    memory.write_text('{"epsilon": 1')
    with pytest.raises(InputError, match="mask.json: cannot be read"):
        published({"a": 1.0}, 1.0, memory)
    assert memory.read_text() == '{"epsilon": 1'
