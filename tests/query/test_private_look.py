"""A look that no patient can be made out of: sensitivity, shares, and what noise leaves of it."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_qkt.data.look_shared import NEGLIGIBLE, ClassLook
from clinical_qkt.privacy.mechanisms import STEPS, Guarantee, rounded_noise
from clinical_qkt.query.looks import AskersLooks
from clinical_qkt.query.private_look import (
    RADII,
    SHARES,
    compared_privately,
    differences,
    private_look,
    reference,
    shares_of,
)

GUARANTEE = Guarantee(1.0, 1e-5)
SILENT = rounded_noise(lambda n: torch.zeros(n).double())
LOOK = torch.linspace(0.1, 1.0, 15).double()
ASKED = AskersLooks({"a": ClassLook(100, LOOK)}, torch.full((15,), 0.1).double(), {})


def images(shift: float, patients: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(patients, 15, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return LOOK + 0.1 * (noise + shift)


def told(shift: float, patients: int, noise=SILENT):
    return compared_with(ASKED, images(shift, patients), noise)


def compared_with(asked, numbers, noise=SILENT, name="a"):
    """How a site that has these numbers of one class looks beside the asker."""
    beside = reference([name], asked)
    found = differences(numbers, [name] * len(numbers), beside.looks, asked.spread)
    look = private_look(found, [str(i) for i in range(len(numbers))], GUARANTEE, noise)
    return compared_privately(look, GUARANTEE, asked, beside)


def noisy(seed: int):
    generator = torch.Generator().manual_seed(seed)
    return rounded_noise(lambda n: torch.randn(n, generator=generator, dtype=torch.float64))


def test_the_shares_of_a_response_add_up_to_its_guarantee_whichever_way_it_goes():
    look = sum(SHARES[name] for name in RADII)
    for shared, mapped in itertools.product((True, False), repeat=2):
        assert look + sum(shares_of(True, shared, mapped).values()) == pytest.approx(1.0)
        assert shares_of(False, shared, mapped) == {"mean": 1.0}
    parts = [GUARANTEE.part(s) for s in SHARES.values()]
    spent = sum(1 / p.noise_multiplier**2 for p in parts)
    assert spent == pytest.approx(1 / GUARANTEE.noise_multiplier**2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=15, max_size=15))
def test_whatever_a_patient_looks_like_it_moves_each_release_by_the_radius_at_most(numbers):
    before = differences(images(0.5, 20), ["a"] * 20, ASKED.classes, ASKED.spread)
    added = differences(torch.tensor([numbers], dtype=torch.float64), ["a"], ASKED.classes, ASKED.spread)
    people = [str(i) for i in range(21)]
    one = private_look(before, people[:20], GUARANTEE, SILENT)
    other = private_look(torch.cat([before, added]), people, GUARANTEE, SILENT)
    moved = torch.tensor(one.releases["coarse"].total) - torch.tensor(other.releases["coarse"].total)
    assert moved.square().sum() <= STEPS**2


def test_what_is_told_is_about_right_with_patients_enough():
    found = told(3.0, 400, noisy(1))
    assert not found.alike and found.distance == pytest.approx(3.0, abs=0.4)
    assert float((found.seen - found.wanted).mean()) == pytest.approx(0.3, abs=0.05)


def test_what_is_no_more_than_noise_counts_as_alike():
    few = [told(0.0, 60, noisy(seed)) for seed in range(20)]
    assert sum(found.alike for found in few) >= 17
    assert all(found.distance <= NEGLIGIBLE for found in few if found.alike)


@pytest.mark.parametrize("patients", [3, 30])
def test_of_few_patients_a_look_is_noise_yet_no_farther_off_than_contributions_can_be(patients):
    """A count that is noised to next to nothing must not blow a mean up."""
    for seed in range(20):
        found = told(1.0, patients, noisy(seed))
        assert float((found.seen - found.wanted).norm()) <= 0.1 * sum(RADII.values()) + 1e-9


def through(*further: dict) -> AskersLooks:
    return AskersLooks(ASKED.classes, ASKED.spread, {}, further)


def looking(shift: float, count: int = 100) -> ClassLook:
    return ClassLook(count, LOOK + 0.1 * shift)


def test_a_site_that_shares_no_class_is_compared_through_one_that_shares_with_both():
    asked = through({"b": looking(0.0)}, {"a": looking(2.0), "b": looking(2.0)})
    found = compared_with(asked, images(3.0, 400), name="b")
    assert reference(["b"], asked).through == 1 and found.shared == () and found.first == ("b",)
    assert found.map.steps == 2 and found.distance == pytest.approx((1 + 2**2) ** 0.5, abs=0.3)
    assert float((found.before.seen - LOOK).mean()) == pytest.approx(0.3, abs=0.05)


def test_the_way_is_the_shortest_and_of_those_the_one_that_most_images_tell_of():
    far = {"b": looking(0.0, 9999), "c": looking(0.0)}
    few, many = ({"a": looking(0.0), "b": looking(0.0, n)} for n in (20, 200))
    assert reference(["b"], through(far, {"c": looking(0.0), "a": looking(0.0)}, few, many)).through == 3
    assert reference(["b"], through(far, {"c": looking(0.0), "a": looking(0.0)})).through == 0
    assert reference(["b"], through({"b": looking(0.0)})) is None
    assert reference(["a", "b"], through(many)).through is None
    long = [{x: looking(0.0), y: looking(0.0)} for x, y in ("bc", "cd", "da")]
    assert reference(["b"], through(*long)) is None  # more maps, one after the other, than there may be
