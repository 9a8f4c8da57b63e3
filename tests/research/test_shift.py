"""Looks of simulated sites."""

from __future__ import annotations

import pytest
import torch

from clinical_qkt.research.shift import PARTS, STRENGTHS, USUAL, look_of
from tests.conftest import COLOURS, square


@pytest.fixture(scope="module")
def pictures():
    """``(5, 3, 28, 28)`` uint8."""
    drawn = [torch.from_numpy(square(kind, k).copy()).permute(2, 1, 0) for k, kind in enumerate(COLOURS)]
    return torch.stack(drawn)


@pytest.mark.parametrize("level", STRENGTHS)
def test_the_same_seed_site_and_level_give_the_same_look_whatever_else_is_shown(pictures, level):
    look, again = look_of(1, 2, level), look_of(1, 2, level)
    assert look == again
    seen = look.of(pictures, range(5))
    assert torch.equal(seen[3:], again.of(pictures[3:], [3, 4]))
    assert seen.dtype == torch.uint8 and seen.shape == pictures.shape


def test_another_site_seed_or_level_looks_different(pictures):
    looks = [look_of(1, 2, "mild"), look_of(1, 3, "mild"), look_of(2, 2, "mild"), look_of(1, 2, "medium")]
    seen = [look.of(pictures, range(5)) for look in looks]
    assert not any(torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])


def test_a_stronger_level_is_further_from_the_picture(pictures):
    def change(level):
        seen = [look_of(1, site, level).of(pictures, range(5)).float() for site in range(8)]
        return torch.stack([(s - pictures).abs().mean() for s in seen]).mean()

    mild, medium, strong = (float(change(level)) for level in ("mild", "medium", "strong"))
    assert 3 < mild < medium < strong


@pytest.mark.parametrize("channels", [1, 3])
def test_without_any_part_nothing_changes(pictures, channels):
    shown = pictures[:, :channels]
    assert torch.equal(look_of(1, 2, "strong", (), channels).of(shown, range(5)), shown)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_alone_changes_the_picture_and_leaves_out_no_other(pictures, part):
    seen = [look_of(1, site, "strong", (part,)).of(pictures, range(5)) for site in range(4)]
    assert any(not torch.equal(s, pictures) for s in seen)  # a resolution may round to the same pixels
    without = look_of(1, 0, "strong", tuple(p for p in PARTS if p != part))
    everything = look_of(1, 0, "strong", PARTS)
    names = {"stain": ["stain"], "gain": ["gain", "offset"], "sharpness": ["blur", "sharpening"]}
    changed = [k for k, v in vars(everything).items() if v != getattr(without, k)]
    assert changed and set(changed) <= set(names.get(part, [part]))


def test_a_magnification_is_not_usual_and_makes_things_larger_by_its_factor():
    assert "magnification" not in USUAL and look_of(1, 2, "strong").magnification == 1
    dot = torch.zeros(1, 1, 64, 64)
    dot[..., 22:42, 22:42] = 255
    for site in range(4):
        look = look_of(5, site, "strong", ("magnification",), 1)
        side = float(look.of(dot, [0]).float().sum() / 255) ** 0.5
        assert side == pytest.approx(20 * look.magnification, abs=0.3) and 0.75 <= look.magnification <= 1.25


def test_grey_pictures_of_any_size_have_looks_too(pictures):
    grey = torch.nn.functional.interpolate(pictures[:, :1].float(), size=(50, 41))
    look = look_of(1, 2, "medium", PARTS, 1)
    seen = look.of(grey, range(5))
    assert seen.shape == grey.shape and len(look.stain) == 1
    assert look.stain[0][0] == look_of(1, 2, "medium").stain[0][0]


def test_a_larger_picture_is_as_blurred_as_a_small_one():
    small = torch.zeros(1, 1, 28, 28)
    small[..., 14:] = 255
    large = torch.nn.functional.interpolate(small, size=(112, 112))
    site = next(i for i in range(9) if look_of(1, i, "strong").blur > 0.5)
    seen = [look_of(1, site, "strong", ("sharpness",), 1).of(x, [0]).float() for x in (small, large)]
    shrunk = torch.nn.functional.avg_pool2d(seen[1], 4)
    assert (seen[0] - shrunk).abs().max() < 20 < (seen[0] - small).abs().max()
