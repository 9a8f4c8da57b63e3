"""A network over many images: nothing runs that is not asked for, and what comes of it is in their order."""

from __future__ import annotations

import pytest
import torch

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Pooling, PoolingSpec, describe
from clinical_qkt.networks.spec import preset
from clinical_qkt.training import inference
from clinical_qkt.training.inference import head_inputs, logits_of, pooled_of
from tests.little_memory import narrow

CPU = torch.device("cpu")


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return [{"image": torch.rand(3, 28, 28, generator=generator)} for _ in range(7)]


@pytest.fixture
def body():
    spec, given = preset("resnet_small", 3, [28, 28]), InputContract(channels=3, spatial_size=[28, 28])
    torch.manual_seed(0)
    network = spec.build(3).eval()
    found = describe(network, spec, spec.early_depths, given)
    return Pooling(PoolingSpec(network=spec, depths=found.depths, pooled=found.pooled), network)


def test_pooled_numbers_are_those_of_a_whole_pass_whose_later_stages_are_left_out(body, images):
    whole = body.pooled(torch.stack([item["image"] for item in images]))[1]
    ran = []
    body.network.fc.register_forward_hook(lambda *_: ran.append(1))
    assert torch.equal(pooled_of(body, images, CPU), whole.double().detach())
    assert len(ran) <= 1  # once it is found out whether later stages write over what is pooled


def test_logits_and_features_come_of_one_pass(body, images):
    logits, numbers = inference._all(body, body.pooled, images, CPU)
    assert torch.allclose(logits, logits_of(body.network, images, CPU)) and len(numbers) == len(images)
    inputs = head_inputs(body.network, images, CPU)
    assert torch.allclose(body.network.fc(inputs), logits, atol=1e-6)


def test_a_device_that_runs_out_of_memory_is_given_fewer_images_and_answers_the_same(body, images, capfd):
    def passes():
        logits, numbers = inference._all(body, body.pooled, images, CPU)
        inputs, pooled = head_inputs(body.network, images, CPU), pooled_of(body, images, CPU)
        return logits, numbers, inputs, pooled, logits_of(body.network, images, CPU, batch_size=7)

    whole = passes()
    assert "warning" not in capfd.readouterr().err
    narrow(body.network)
    for part, expected in zip(passes(), whole, strict=True):
        assert torch.allclose(part, expected, atol=1e-5)
    assert "the memory does not suffice for 7 images at once; going on with 4" in capfd.readouterr().err


def test_an_evaluation_goes_on_likewise_and_remembers_it(images, capfd):
    network = narrow(torch.nn.Flatten())
    batch, inferer = torch.stack([item["image"] for item in images]), inference.PartsInferer()
    for _ in range(2):
        assert torch.equal(inferer(batch, network), batch.flatten(1))
    assert capfd.readouterr().err.count("warning: evaluation") == 2  # 7 and 4, of the first batch
