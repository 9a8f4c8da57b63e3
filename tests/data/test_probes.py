import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.core.footprint import Alive
from clinical_qkt.data.probes import COPIES, Noise, Normals, Shapes, multiscale_noise, probes, random_shapes


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


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.lists(st.integers(5, 20), min_size=2, max_size=3))
def test_shapes_fit_the_contract_and_are_repeatable(count, channels, size):
    a, b = (random_shapes(count, channels, size, -1, 2, torch.Generator().manual_seed(1)) for _ in range(2))
    assert a.shape == (count, channels, *size) and torch.equal(a, b)
    assert a.min() >= -1 and a.max() <= 2


@given(st.integers(0, 2**17 + 40), st.lists(st.integers(1, 2**16), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_numbers_taken_piece_by_piece_are_those_that_torch_draws_at_once(total, pieces):
    alone, taken = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    stream, got = Normals(total, taken), []
    for piece in [*pieces, total]:
        got.append(stream.take(min(piece, total - sum(map(len, got)))))
    assert torch.equal(torch.cat(got), torch.randn(total, generator=alone))
    assert torch.equal(alone.get_state(), taken.get_state())


@pytest.mark.parametrize("kind", [Noise, Shapes])
@pytest.mark.parametrize(("channels", "size"), [(1, (9, 7)), (3, (16, 16)), (2, (5, 6, 7))])
def test_images_are_the_same_however_many_are_made_at_once(kind, channels, size):
    def made(*counts: int) -> torch.Tensor:
        images = kind(11, channels, size, -1, 2, torch.Generator().manual_seed(3))
        return torch.cat([images.take(n) for n in counts])

    assert torch.equal(made(11), made(*[1] * 11)) and torch.equal(made(11), made(2, 7, 2))


def test_probes_are_noise_then_shapes_of_one_seed():
    generator = torch.Generator().manual_seed(4)
    made = (1, (8, 8), -1, 1)
    both = torch.cat([multiscale_noise(5, *made, generator), random_shapes(6, *made, generator)])
    for at_once in (1, 4, 128):
        batches = list(probes(11, *made, seed=4, at_once=at_once))
        assert torch.equal(torch.cat(batches), both) and max(map(len, batches)) <= at_once


@pytest.mark.parametrize("kind", [Noise, Shapes])
@pytest.mark.parametrize(("channels", "size"), [(1, (96, 96)), (3, (96, 96)), (1, (24, 24, 24))])
def test_making_images_takes_no_more_than_is_said_of_it(kind, channels, size):
    images = kind(2048, channels, size, -1, 2, torch.Generator().manual_seed(0))
    with Alive() as alive:
        taken = images.take(8)
    assert alive.most <= COPIES * taken.numel() * 4
