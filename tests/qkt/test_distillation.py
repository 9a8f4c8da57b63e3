import copy

import numpy as np
import pytest
import torch
from monai.data import Dataset
from monai.transforms import RandFlipd

from clinical_qkt.networks.spec import preset
from clinical_qkt.qkt.distillation import distil, retrain_head
from clinical_qkt.qkt.forgetting_budget import Promise, fit_to_budget, spend_budget
from clinical_qkt.qkt.held_out import HeldOut
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.validation_curves import retained_recall
from clinical_qkt.training.inference import head_inputs, labels_of, logits_of
from clinical_qkt.training.loop import prepare_batch
from tests.conftest import COLOURS, square

CPU, QUERY = torch.device("cpu"), [2]


def items(start: int, count: int) -> list[dict]:
    """Red and green squares with targets: a teacher to whom red looks more like the queried class."""
    made = []
    for i in range(count):
        label = i % 2
        pixels = np.moveaxis(square(list(COLOURS)[label], start + i, size=28), -1, 0)
        image = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1)
        known = torch.tensor([float(label == 0), float(label == 1), 3.0 * (label == 0)])
        made.append({"image": image, "label": label, "soft_targets": known[None], "own": known[:2] * 3})
    return made


@pytest.fixture
def network():
    torch.manual_seed(0)
    return preset("resnet_small", 3, [28, 28]).build(3)


def test_targets_ride_in_the_batch_like_a_label():
    batch = {
        "image": torch.zeros(2, 3, 8, 8),
        "label": torch.zeros(2),
        "soft_targets": torch.ones(2, 1, 3),
        "own": torch.ones(2, 2),
    }
    image, targets = prepare_batch(batch, CPU)
    assert image.shape == (2, 3, 8, 8) and set(targets) == {"label", "soft_targets", "own"}


def test_phase_1_learns_the_labels_and_the_teachers_evidence(network, tmp_path):
    training, held_out = Dataset(items(0, 64)), items(500, 32)
    settings = TransferSettings(max_epochs=8, batch_size=16, divergence_weight=1.0)
    before = copy.deepcopy(network.state_dict())
    learnt = distil(
        network, training, [RandFlipd("image", prob=0.5)], held_out, QUERY, settings, 0, CPU, tmp_path
    )
    logits = logits_of(learnt, held_out, CPU)
    assert retained_recall(logits[:, :2], labels_of(held_out), [0, 1]) > 0.9
    wanted = torch.stack([i["soft_targets"][0] for i in held_out])
    evidence = [z[:, 2] - z[:, :2].mean(1) for z in (logits, wanted)]
    assert torch.corrcoef(torch.stack(evidence))[0, 1] > 0.7
    assert any(not torch.equal(before[k], v) for k, v in learnt.state_dict().items())


def test_phase_2_changes_the_head_alone_and_raises_the_biases_as_was_found(network):
    training, images = Dataset(items(0, 64)), items(500, 120)
    before = copy.deepcopy(network.state_dict())
    retrain_head(network, training, QUERY, TransferSettings(refine_epochs=3), 0, CPU)
    labels, logits = labels_of(images), logits_of(network, images, CPU)
    held_out = HeldOut.of(logits, logits[:, :2], labels, [0, 1])
    fit = fit_to_budget(held_out, QUERY, Promise(30, 40, 0.75))
    spend_budget(network, fit, QUERY)
    changed = {k for k, v in network.state_dict().items() if not torch.equal(before[k], v)}
    assert changed == {"fc.weight", "fc.bias"}
    raised = logits_of(network, images, CPU)
    assert torch.allclose(raised[:, QUERY] - logits[:, QUERY], torch.tensor(fit.bias), atol=1e-4)
    recall = [retained_recall(z, labels, [0, 1]) for z in (logits[:, :2], raised)]
    assert fit.loss.mean == pytest.approx(100 * (recall[0] - recall[1]), abs=1e-3)


def test_head_inputs_are_what_the_head_sees(network):
    made = items(0, 5)
    seen = head_inputs(network, made, CPU)
    assert seen.shape == (5, 128)
    assert torch.allclose(network.fc(seen), logits_of(network, made, CPU), atol=1e-5)


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValueError, match="divergnce"):
        TransferSettings.model_validate({"divergnce": "kl"})


def test_veiled_answers_are_refused_where_the_new_model_holds_a_teachers_weights():
    TransferSettings(soft_target_noise=0.5, private_temperature=2.0, max_epochs=1, start_from="own")
    for holds in ({"start_from": "teacher", "max_epochs": 1}, {"start_from": "own"}, {}):
        with pytest.raises(ValueError, match="start_from: own"):
            TransferSettings(soft_target_noise=0.5, **holds)
