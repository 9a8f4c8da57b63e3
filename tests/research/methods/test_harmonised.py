"""Sites whose images look different: what mapping them and taking off what is left brings back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from clinical_qkt.core.errors import QueryError
from clinical_qkt.data.inputs import converted
from clinical_qkt.research.methods import METHODS
from clinical_qkt.research.methods.case import Member
from clinical_qkt.training.inference import labels_of


def shown(given, item):
    """An image as another laboratory would show it: darker, duller, tinted."""
    share = (given.intensities(item["image"][None]) / 255).clamp(0, 1) ** 1.6
    tint = torch.linspace(0.95, 0.7, given.channels)[:, None, None]
    return {**item, "image": given.values(255 * (share * tint + 0.02))[0]}


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def elsewhere(case, members, kept):
    """The case, but that all other sites' images look different."""
    given = case.own.card.input
    others = [Member(m.model, [shown(given, item) for item in m.training[::2]]) for m in members[1:]]
    alike = [members[0], *(Member(m.model, m.training[::2]) for m in members[1:])]

    def view(images, contract):
        items = [images[i] for i in range(len(images))]
        seen = converted(torch.stack([torch.as_tensor(i["image"]) for i in items]), given, contract)
        return [{**item, "image": image} for item, image in zip(items, seen, strict=True)]

    return replace(
        case, view=view, federation=lambda: [members[0], *others], in_own_look=lambda: alike, kept=kept
    )


def recall(case, held_out, **settings):
    found = METHODS["statistics"].run(case, METHODS["statistics"].settings(views="one", **settings))
    truth = labels_of(held_out)
    return float((found.predict(held_out).argmax(1) == truth)[truth == 3].float().mean()), found


def test_a_class_that_looks_different_elsewhere_is_gained_if_images_are_mapped(elsewhere, held_out):
    without, _ = recall(elsewhere, held_out, harmonise="none")
    mapped, found = recall(elsewhere, held_out, harmonise="both")
    ceiling, _ = recall(elsewhere, held_out, harmonise="ceiling")
    assert without < 0.5 and mapped > 0.9 and ceiling > 0.9
    assert all(told["distance"] > 1 and told["shared"] >= 1 for told in found.looks)


def test_privately_as_well_if_there_are_patients_enough_for_the_noise(elsewhere, held_out):
    private = {"kind": "private_mean", "epsilon": 20.0}
    without, _ = recall(elsewhere, held_out, harmonise="none", **private)
    mapped, _ = recall(elsewhere, held_out, harmonise="both", **private)
    assert without < 0.5 < 0.8 < mapped


def test_between_sites_that_look_alike_nothing_is_changed(case, held_out):
    before, one = recall(case, held_out, harmonise="none")
    after, other = recall(case, held_out, harmonise="both")
    assert before == after
    assert torch.equal(one.predict(held_out), other.predict(held_out))
    assert all(told["distance"] < 0.3 and told["residual"] is None for told in other.looks)


def test_if_nobody_has_images_enough_it_is_said(elsewhere):
    with pytest.raises(QueryError, match="no site has enough images"):
        recall(elsewhere, [], harmonise="both", minimum_patients=10_000)


def test_others_stain_normalisation_can_take_the_maps_place(elsewhere, held_out):
    without, plain = recall(elsewhere, held_out, harmonise="none")
    turned, found = recall(elsewhere, held_out, harmonise="reinhard")
    assert turned > 0.9 > without and all(told["distance"] is None for told in found.looks)
    _, two_stains = recall(elsewhere, held_out, harmonise="macenko")  # phantoms are not stained with two dyes
    assert not torch.equal(two_stains.predict(held_out), plain.predict(held_out))


def test_stain_normalisation_of_private_responses_is_refused(elsewhere, held_out):
    with pytest.raises(QueryError, match="not private"):
        recall(elsewhere, held_out, harmonise="macenko", kind="private_mean")


def test_answers_along_another_sites_axes_are_the_same_whatever_was_asked_before(case, held_out):
    def said(given, **settings):
        asked = METHODS["statistics"].settings(kind="private_mean", views="one", harmonise="none", **settings)
        return METHODS["statistics"].run(given, asked).predict(held_out)

    first = said(replace(case, kept={}), reference=True)
    both = replace(case, kept={})
    own = said(both)
    assert torch.equal(said(both, reference=True), first) and not torch.equal(own, first)
