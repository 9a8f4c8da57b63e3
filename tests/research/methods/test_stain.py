"""Stain normalisation, on pictures that two stains make and whose stains are known."""

import numpy as np
import pytest
import torch

from clinical_qkt.core.errors import InputError
from clinical_qkt.research.methods.stain import STAINS, TwoStains, _amounts, macenko, normaliser, vahadane

VIOLET, PINK = (0.75, 0.60, 0.30), (0.25, 0.85, 0.45)
BLUE, RED = (0.85, 0.40, 0.35), (0.40, 0.80, 0.25)


def stained(colours, strength=1.0, seed=0, count=6, size=24):
    """Pictures of spots and a ground, each mostly of one stain, in ``(N, 3, H, W)`` uint8."""
    rng = np.random.default_rng(seed)
    spot = rng.random((count, size, size)) < 0.4
    much, little = (rng.uniform(0.5, 1.6, spot.shape), rng.uniform(0, 0.05, spot.shape))
    amounts = np.stack([np.where(spot, much, little), np.where(spot, little, much)], -1)
    density = strength * amounts @ np.array(colours)
    pixels = (240 * np.exp(-density) - 1).clip(0, 255).round().astype(np.uint8)
    return torch.from_numpy(pixels).movedim(-1, 1)


def apart(a, b):
    return float((a.float() - b.float()).abs().mean())


@pytest.mark.parametrize("name", STAINS)
def test_pictures_in_the_reference_s_colours_stay_as_they_are(name):
    reference = stained((VIOLET, PINK))
    found = normaliser(name, reference)(reference)
    assert found.shape == reference.shape and found.dtype == torch.uint8
    assert apart(found, reference) < 3


@pytest.mark.parametrize(("name", "left"), [("macenko", 0.3), ("vahadane", 0.3), ("reinhard", 0.6)])
def test_the_same_things_in_other_stains_come_to_look_like_the_reference(name, left):
    reference, same = stained((VIOLET, PINK), seed=1), stained((VIOLET, PINK))
    other = stained((BLUE, RED), strength=0.8)
    found = normaliser(name, reference)(other)
    assert apart(other, same) > 15 and apart(found, same) < left * apart(other, same)
    assert torch.equal(found.float(), normaliser(name, reference)(other.float()))


@pytest.mark.parametrize("make", [macenko, vahadane])
def test_the_colours_of_both_stains_are_found(make):
    pixels = stained((VIOLET, PINK)).movedim(1, -1).reshape(-1, 3).double().numpy()
    colours = np.array([VIOLET, PINK])
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    alike = make(pixels).colours @ colours.T
    assert max(alike.trace(), alike[::-1].trace()) / 2 > 0.99


@pytest.mark.parametrize("name", STAINS)
def test_a_site_s_colours_may_come_from_other_pictures_than_are_shown(name):
    reference, site = stained((VIOLET, PINK)), stained((BLUE, RED), seed=2)
    normalised = normaliser(name, reference, site)
    two = stained((BLUE, RED), seed=5)[:2]
    assert torch.equal(normalised(two[:1])[0], normalised(two)[0])  # whichever others are beside it
    assert not torch.equal(normaliser(name, reference)(two[:1])[0], normaliser(name, reference)(two)[0])


def test_a_stain_is_that_of_the_reference_which_it_resembles():
    one = TwoStains(np.array([VIOLET, PINK]), np.array([1.0, 2.0]), None)
    turned = TwoStains(np.array([PINK, VIOLET]), np.array([2.0, 1.0]), None)
    assert np.array_equal(turned.beside(one).colours, one.colours)
    assert turned.beside(one).strongest.tolist() == [1.0, 2.0] and one.beside(one) is one


def test_sparse_amounts_are_the_best_that_are_not_below_zero():
    rng = np.random.default_rng(0)
    colours, density = np.array([VIOLET, RED]), rng.uniform(-0.5, 2, (50, 3))
    found = _amounts(density, colours, 0.05)

    def cost(amounts):
        return ((density - amounts @ colours) ** 2).sum(1) / 2 + 0.05 * amounts.sum(1)

    assert (found >= 0).all() and (found == 0).any() and (found > 0).all(1).any()
    for step in np.linspace(-0.2, 0.2, 9):
        for axis in np.eye(2):
            assert (cost(found) <= cost((found + step * axis).clip(0)) + 1e-9).all()


def test_what_has_no_stain_is_refused():
    reference = stained((VIOLET, PINK))
    with pytest.raises(InputError, match="(?s)unknown stain normalisation 'machenko'.*'macenko'"):
        normaliser("machenko", reference)
    with pytest.raises(InputError, match="macenko: pictures of shape \\(1, 24, 24\\) have no stain"):
        normaliser("macenko", reference[:, :1])
    with pytest.raises(InputError, match="vahadane: not one pixel is stained"):
        normaliser("vahadane", reference)(torch.full_like(reference, 250))
    for name in STAINS:
        with pytest.raises(InputError, match=f"{name}: all pixels are of one colour"):
            normaliser(name, torch.full_like(reference, 90))
