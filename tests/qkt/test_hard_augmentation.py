"""In each step the student is shown the looks that it and the teachers disagree about most."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract, LookMap
from clinical_qkt.qkt import method
from clinical_qkt.qkt.hard_augmentation import HardImages, disagreement
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.research.methods.case import CaseImages
from clinical_qkt.training.inference import logits_of

CPU = torch.device("cpu")
GREY = InputContract(channels=1, spatial_size=[8, 8])


class Brightness(nn.Module):
    """A student to whom bright images show the second class; counts how it was asked."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = images.mean((1, 2, 3))
        return torch.stack([-bright, bright], 1)


def batch(brightness: list[float]) -> dict[str, torch.Tensor]:
    images = torch.tensor(brightness).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    return {
        "image": images,
        "label": torch.arange(len(images)),
        "soft_targets": torch.zeros(len(images), 1, 2),
        "own": torch.zeros(len(images), 2),
    }


def hard(said, shifts: list[float], student: nn.Module | None = None) -> HardImages:
    """Images that are drawn as brighter ones by some shifts."""
    found = HardImages(student or Brightness(), GREY, said, len(shifts), 1.0)
    drawn = iter(shifts)
    found.draw.of_batch = lambda images: images + next(drawn)
    return found


def always_first(images):
    """A teacher to whom every image shows the first class."""
    sure = torch.tensor([4.0, 0.0]).expand(len(images), 2)
    return {"soft_targets": sure[:, None], "own": sure}


def by_brightness(images):
    """A teacher that says the contrary of the student."""
    bright = 3 * images.mean((1, 2, 3))
    logits = torch.stack([bright, -bright], 1)
    return {"soft_targets": logits[:, None], "own": logits}


def test_the_look_is_taken_that_the_student_and_the_teachers_disagree_about_most():
    images, told = hard(always_first, [0.5, -0.5])(batch([0.0, 0.1]), CPU)
    assert torch.allclose(images.mean((1, 2, 3)), torch.tensor([0.5, 0.6]))
    assert told["label"].tolist() == [0, 1] and told["soft_targets"][0, 0].tolist() == [4.0, 0.0]


def test_an_image_stays_as_it_is_where_every_look_is_easier():
    images, _ = hard(always_first, [-0.5, -0.2])(batch([0.0, 0.1]), CPU)
    assert torch.allclose(images.mean((1, 2, 3)), torch.tensor([0.0, 0.1]))


def test_a_look_that_changes_what_the_teachers_themselves_say_is_not_taken_for_that():
    def sure_of_bright_images(images):
        bright = 8 * images.mean((1, 2, 3))
        logits = torch.stack([bright, -bright], 1)
        return {"soft_targets": logits[:, None], "own": logits}

    class Unsure(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(images), 2)

    taught = [sure_of_bright_images(batch([b])["image"])["soft_targets"] for b in (0.0, 0.8)]
    apart = [float(disagreement(said, torch.zeros(1, 1, 2), 1.0)) for said in taught]
    assert apart[1] > apart[0]  # of the two the brighter one is disagreed about more
    images, _ = hard(sure_of_bright_images, [0.8], Unsure())(batch([0.0]), CPU)
    assert float(images.abs().max()) == 0


def test_what_is_taught_is_what_is_said_of_the_image_that_is_shown_and_the_student_trains_on():
    student = Brightness().train()
    images, told = hard(by_brightness, [0.3, -0.4, 0.7], student)(batch([0.0, -0.2, 0.5]), CPU)
    for name, rows in by_brightness(images).items():
        assert torch.allclose(told[name], rows)
    assert student.training


def test_drawn_looks_follow_the_seed():
    found = HardImages(Brightness(), GREY, always_first, 2, 1.0)
    seen = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        seen.append(found(batch([0.0, 0.1]), CPU)[0])
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_it_is_a_part_of_the_method_and_trains_on_other_images(case):
    few = replace(case, training=case.training[::15], validation=case.validation[::8])
    base, logits = method.Base(few.own, few.own_held_out), []
    for looks in (0, 1, 1):
        settings = TransferSettings(max_epochs=1, start_from="own", batch_size=6, hard_augmentation=looks)
        learnt = method.learn(few, CaseImages(few), base, few.teachers, settings)
        logits.append(logits_of(learnt.network, few.validation, CPU))
    assert torch.equal(logits[1], logits[2]) and not torch.allclose(logits[0], logits[1], atol=1e-3)


def test_images_in_a_teachers_look_are_refused():
    look = LookMap(seen=[0.0] * 8, wanted=[0.1] * 8)
    with pytest.raises(InputError, match="another site's look") as e:
        HardImages(Brightness(), GREY.model_copy(update={"look": look}), always_first, 2, 1.0)
    assert "start_from: own" in str(e.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "set 'max_epochs'"),
        ({"max_epochs": 1}, "members are the teachers themselves"),
        ({"max_epochs": 1, "start_from": "own", "soft_target_noise": 1}, "answers that are given once"),
        ({"max_epochs": 1, "start_from": "own", "subclass": 2, "soft_targets": "each"}, "given once"),
    ],
)
def test_where_it_can_do_nothing_or_undoes_another_setting_it_is_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        TransferSettings(hard_augmentation=2, **settings)


def test_without_it_settings_are_told_as_before():
    assert "hard_augmentation" not in TransferSettings().model_dump()
