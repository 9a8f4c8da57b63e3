"""Teachers see the student's images in the look of their own training images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import avg_pool2d

from clinical_qkt.data.inputs import InputContract, converted
from clinical_qkt.data.label_space import ClassLabel, LabelSpace
from clinical_qkt.data.look_shared import looks_of, spread_of
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.looks import SentLooks
from clinical_qkt.packages.model import Model, load_model, save_model
from clinical_qkt.qkt.teacher_looks import OwnLooks, in_own_looks
from clinical_qkt.qkt.teachers import Teacher, committee, possible_starts, starting_point
from clinical_qkt.query.looks import numbers_of

GIVEN = InputContract(channels=3, spatial_size=[20, 20])
LABELS = LabelSpace(["a", "b", "q"])
TINT = {"a": (1.0, 1.0, 1.0), "b": (1.0, 0.6, 0.8), "q": (0.7, 0.8, 1.0), "z": (0.5, 0.9, 0.6)}
COUNT = 24


def raw(name, seed):
    """Images of one class: every class has a tint of its own."""
    drawn = torch.rand(COUNT, 3, 20, 20, generator=torch.Generator().manual_seed(seed))
    return 255 * (avg_pool2d(drawn, 3, 1, 1) * 0.5 + 0.2) * torch.tensor(TINT[name])[:, None, None]


def stained(images):
    """As another laboratory would show them."""
    return 255 * ((images / 255) ** 1.5 * 0.85 + 0.05)


def as_they_are(images):
    return images


def told(names, look, seed, given=GIVEN):
    """What a site's card tells of its images of some classes."""
    images = {name: look(raw(name, seed + i)) for i, name in enumerate(names)}
    shown = [{"image": given.values(image[None])[0]} for images_ in images.values() for image in images_]
    numbers, classes = numbers_of(shown, given), [name for name in names for _ in range(COUNT)]
    labels = [ClassLabel(name=name) for name in names]
    return SentLooks.of(looks_of(numbers, classes), spread_of(numbers, classes), labels, given, 20)


def model(site, names, looks=None, given=GIVEN):
    spec = preset("resnet_small", 3, [20, 20])
    network = spec.build(len(names)).eval()
    card = Card(
        site=site, task="t", label_space=list(names), network=spec, head=find_head(network), input=given,
        looks=looks,
    )  # fmt: skip
    return Model(network, card, Path(), 0)


def teacher(site, names, look=stained, seed=100, looks=None):
    found = model(site, names, looks or told(names, look, seed))
    columns = {i: LABELS.names.index(name) for i, name in enumerate(names) if name in LABELS.names}
    return Teacher(found, columns, torch.ones(len(names)), [True] * len(names))


class OwnImages:
    """A student's images of a and b, as it sees them."""

    def prepared(self, section, given):
        images = [(name, image) for i, name in enumerate("ab") for image in raw(name, i)]
        return [
            {"image": given.values(image[None])[0], "label": LABELS.names.index(name)}
            for name, image in images
        ]

    def patients(self, section):
        return np.arange(2 * COUNT)


def seen(*teachers, **how):
    return in_own_looks(teachers, OwnLooks(OwnImages(), LABELS, GIVEN), LABELS, **how)


def test_a_teacher_with_another_look_sees_the_students_images_in_its_own():
    before = teacher("other", ["a", "b", "q"])
    (after,) = seen(before)
    assert after.look.mapped and after.look.compared.shared == ("a", "b")
    assert after.look.compared.distance > 1 and after.look.left < 1
    assert after.model.card.input.plain == GIVEN and after.model.card.input.look
    brought = after.model.card.input.values(raw("a", 0))
    wanted = GIVEN.values(stained(raw("a", 0)))
    assert (brought - wanted).abs().mean() < 0.2 * (GIVEN.values(raw("a", 0)) - wanted).abs().mean()
    assert before.model.card.input.look is None  # the package is as it was sent
    assert after.model.card.weights_sha256 == before.model.card.weights_sha256


def test_a_teacher_that_looks_alike_or_tells_nothing_sees_them_as_they_are():
    silent = replace(teacher("silent", ["a", "b", "q"]), model=model("silent", ["a", "b", "q"]))
    alike, nothing = seen(teacher("alike", ["a", "b", "q"], as_they_are), silent)
    assert not alike.look.mapped and alike.look.compared.alike and alike.model.card.input == GIVEN
    assert nothing.look.compared is None and nothing.model.card.input == GIVEN


def test_turned_off_looks_are_compared_and_nothing_is_changed():
    (found,) = seen(teacher("other", ["a", "b", "q"]), harmonise=False)
    assert found.look.compared.distance > 1 and not found.look.mapped and found.model.card.input == GIVEN


def test_a_teacher_that_shares_no_class_is_compared_through_another_one():
    alone = teacher("alone", ["q", "z"])
    third = teacher("third", ["a", "q"])
    found, _ = seen(alone, third)
    assert found.look.mapped and found.look.compared.shared == () and found.look.left is None
    assert seen(alone)[0].look.compared is None  # nothing tells a class from a site


def test_a_class_that_looks_otherwise_than_the_other_shared_ones_is_told_apart():
    wrong = told(["a", "q", "z"], as_they_are, 0).classes
    mixed = told(["a", "b", "q"], as_they_are, 0)
    classes = [mixed.classes[0], mixed.classes[1].model_copy(update={"numbers": wrong[2].numbers})]
    (found,) = seen(teacher("odd", ["a", "b"], looks=mixed.model_copy(update={"classes": classes})))
    (right,) = seen(teacher("right", ["a", "b", "q"], as_they_are))
    assert found.look.apart["b"] > 2 > 0.5 > max(right.look.apart.values())


def test_a_network_that_starts_from_a_teacher_takes_its_look_along(tmp_path):
    own = model("us", ["a", "b"])
    (other,) = seen(teacher("other", ["a", "b", "q"]))
    assert possible_starts(own, [other], [2]) == [other]
    network, start = starting_point(own, [other], LABELS, [2], "teacher")
    assert start.card.input.look == other.model.card.input.look
    about = {"label_space": LABELS.plain, "looks": None, "site": "us"}
    save_model(tmp_path / "m", network, start.card.model_copy(update=about))
    assert load_model(tmp_path / "m").card.input == other.model.card.input


def test_in_a_committee_each_member_sees_images_in_its_own_look(tmp_path):
    own, (other,) = model("us", ["a", "b"]), seen(teacher("other", ["a", "b", "q"]))
    joined = committee(own, [other], LABELS)
    assert joined.card.input == GIVEN
    images = GIVEN.values(raw("a", 0))
    first = other.model.network(converted(images, GIVEN, other.model.card.input))
    heard = []
    joined.network.members[1].register_forward_hook(lambda *call: heard.append(call[2]))
    with torch.no_grad():
        joined.network(images)
    torch.testing.assert_close(heard[0], first.detach(), atol=1e-4, rtol=1e-4)
    save_model(tmp_path / "m", joined.network, joined.card.model_copy(update={"label_space": LABELS.plain}))
    kept = load_model(tmp_path / "m")
    assert kept.card.network.members[1].input == other.model.card.input
    with torch.no_grad():
        torch.testing.assert_close(kept.network(images), joined.network(images))


def test_a_card_takes_looks_of_its_own_classes_and_images_alone():
    with pytest.raises(ValidationError, match="'q' is none of the model's classes"):
        model("us", ["a", "b"], told(["a", "q"], as_they_are, 0))
    grey = InputContract(channels=1, spatial_size=[20, 20])
    with pytest.raises(ValidationError, match="looks have 15 numbers, 8 are needed"):
        Card.model_validate(
            model("us", ["a", "b"]).card.facts()
            | {"input": grey.model_dump(), "looks": told(["a"], as_they_are, 0).model_dump()}
        )
    assert "looks" not in model("us", ["a", "b"]).card.facts()  # an old card stays the same to the byte
