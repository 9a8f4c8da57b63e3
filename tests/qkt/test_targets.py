import pytest
import torch
from torch import nn

from clinical_qkt.core.errors import PackageError
from clinical_qkt.core.tensor_cache import cached
from clinical_qkt.qkt.targets import aligned, require_finite, veiled, with_targets
from clinical_qkt.training.inference import logits_of

IMAGES = [{"image": torch.full((1, 2, 2), float(i)), "label": i % 3} for i in range(7)]


class Mean(nn.Module):
    def forward(self, x):
        return torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1)


def test_answers_are_in_the_order_of_the_images():
    logits = logits_of(Mean(), IMAGES, torch.device("cpu"), batch_size=3)
    assert logits[:, 0].tolist() == list(range(7))


def test_alignment_puts_columns_in_place_and_masks_the_unknown():
    out = aligned(torch.tensor([[1.0, 2.0, 3.0]]), {0: 2, 1: 0}, [True, False, True], 4)
    assert torch.isnan(out[0, [0, 1, 3]]).all() and out[0, 2] == 1


def test_nan_in_an_answer_names_the_site():
    with pytest.raises(PackageError, match="hospital_b"):
        require_finite(torch.tensor([[1.0, torch.nan]]), "hospital_b")


def test_what_is_kept_is_not_made_again_and_a_damaged_file_is(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"x": torch.arange(3.0)}

    for _ in range(2):
        assert torch.equal(cached(tmp_path / "a" / "t.safetensors", make)["x"], torch.arange(3.0))
    assert len(made) == 1
    (tmp_path / "a" / "t.safetensors").write_bytes(b"half")
    cached(tmp_path / "a" / "t.safetensors", make)
    assert len(made) == 2


def test_targets_ride_with_their_image():
    data = with_targets(IMAGES, torch.arange(7.0)[:, None, None].expand(7, 2, 4), torch.arange(7.0)[:, None])
    assert data[5]["soft_targets"].shape == (2, 4) and data[5]["soft_targets"][0, 0] == 5 == data[5]["own"][0]
    assert data[5]["image"][0, 0, 0] == 5 and data[5]["label"] == 2


def test_what_a_teacher_is_unusually_sure_of_is_softened_and_nothing_else():
    sure = torch.tensor([0.5, 1.0, 2.0, 4.0, 9.0, 3.0])  # the last is put into the other class
    logits = torch.stack([sure, torch.zeros(6)], 1)
    logits[5] = logits[5].flip(0)
    out = veiled(logits, 3.0, 0.0)
    by = logits.abs().sum(1) / out.abs().sum(1)
    assert by.tolist() == pytest.approx([1.0, 1.0, 1.0, 2.0, 3.0, 1.0])
    assert torch.equal(out.argmax(1), logits.argmax(1))
    assert veiled(logits, 1.0, 0.0) is logits


def test_noise_on_answers_has_its_strength_and_is_not_the_seeds():
    logits = torch.zeros(4000, 3)
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        drawn.append(veiled(logits, 1.0, 0.5))
    assert float(drawn[0].std()) == pytest.approx(0.5, rel=0.05) and drawn[0].dtype == torch.float32
    assert not torch.equal(*drawn)
