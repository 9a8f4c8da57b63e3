import pytest
import torch
from pydantic import ValidationError

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import PoolingSpec, describe
from clinical_qkt.networks.joint_opinion import joint_opinion
from clinical_qkt.networks.multihead import MultiHeadSpec
from clinical_qkt.networks.spec import NetworkSpec, find_head, preset, reshape_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model

SPEC = preset("resnet_small", 3, [28, 28])
CONTRACT = InputContract(channels=3, spatial_size=[28, 28])
FOUND = describe(SPEC.build(1).eval(), SPEC, SPEC.stages, CONTRACT)
BODY = PoolingSpec(network=SPEC, depths=SPEC.stages, pooled=FOUND.pooled)
SPECS = {
    "own body": MultiHeadSpec(body=BODY, columns=[0, 1], heads=[[1, 2], [2, 3]], own=0, width=4),
    "teacher's body": MultiHeadSpec(body=BODY, columns=[2, 1], heads=[[0, 1], [2, 3]], own=1, width=4),
}


@pytest.fixture(params=SPECS)
def network(request):
    torch.manual_seed(0)
    return SPECS[request.param].build(3).eval()


def test_it_answers_with_the_joint_opinion_and_leaves_the_own_classes_to_the_own_model(network):
    image = torch.randn(5, 3, 28, 28)
    spoken, pooled = network.body.pooled(image)
    said = [spoken, *network.heads(pooled).split([2, 2], 1)]
    together = joint_opinion(said, network.spec.opinions, 4).softmax(1)
    logits = network(image)
    share = torch.cat([logits, joint_opinion(said, network.spec.opinions, 4)[:, 3:]], 1).softmax(1)
    assert torch.allclose(share[:, 2], together[:, 2], atol=1e-5)
    own = said[network.spec.own].softmax(1)
    assert torch.allclose(logits[:, :2].softmax(1), own, atol=1e-5)


def test_it_is_kept_in_a_model_folder_and_its_head_can_be_reshaped(network, tmp_path):
    card = Card(
        site="a", task="t", label_space=["p", "q", "r"], network=network.spec, head=find_head(network),
        input=CONTRACT,
    )  # fmt: skip
    save_model(tmp_path / "m", network, card)
    read, image = load_model(tmp_path / "m"), torch.randn(2, 3, 28, 28)
    assert torch.equal(read.network(image), network(image)) and read.card.network == network.spec
    fewer = reshape_head(read.network, {0: 2, 1: 0}, 2)
    assert torch.allclose(fewer(image), network(image)[:, [2, 0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 3}, "beyond 'width'"),
        ({"heads": [[1, 1]]}, "names a class twice"),
        ({"own": 2}, "not so many heads"),
        ({"own": 1}, "not the first of all"),
        ({"heads": [list(range(400))] * 21, "width": 400}, "more than 8,192 rows"),
        ({"heads": []}, "at least 1 item"),
    ],
)
def test_a_card_that_does_not_fit_together_is_refused(change, message):
    good = {"body": BODY, "columns": [0, 1], "heads": [[2, 3]], "own": 0, "width": 4}
    MultiHeadSpec(**good)
    with pytest.raises(ValidationError, match=message):
        MultiHeadSpec(**{**good, **change})


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (preset("resnet_small", 1, [16, 16, 16]), [16, 16, 16]),
        (preset("densenet_small", 3, [28, 28]), [28, 28]),
        (preset("efficientnet_small", 3, [28, 28]), [28, 28]),
        (NetworkSpec(name="SEResNet50", spatial_dims=2, in_channels=3), [64, 64]),
        (preset("vit_small", 1, [24, 24, 24]), [24, 24, 24]),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_every_network_of_the_list_has_stages_that_bear_heads(spec, size):
    given = InputContract(channels=spec.in_channels, spatial_size=size)
    found = describe(spec.build(1).eval(), spec, spec.stages, given)
    assert found.depths == spec.stages and len(found.depths) > len(spec.early_depths)
