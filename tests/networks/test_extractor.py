import copy

import pytest
import torch
from monai.networks.utils import convert_to_torchscript
from pydantic import ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Extractor, ExtractorSpec, describe
from clinical_qkt.networks.gaussian_classifier import GaussianSpec
from clinical_qkt.networks.spec import NetworkSpec, find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.query.request import whitening

SPEC = preset("resnet_small", 3, [28, 28])
CONTRACT = InputContract(channels=3, spatial_size=[28, 28])
NETWORKS = [
    (SPEC, [28, 28]),
    (preset("resnet18", 1, [28, 28]), [28, 28]),
    (preset("densenet121", 3, [64, 64]), [64, 64]),
    (preset("resnet_small", 1, [16, 16, 16]), [16, 16, 16]),
    (preset("efficientnet_b0", 3, [64, 64]), [64, 64]),
    (NetworkSpec(name="SEResNet50", spatial_dims=2, in_channels=3), [64, 64]),
    (preset("efficientnet_small", 1, [28, 28]), [28, 28]),
    (preset("resnet_small_group", 3, [28, 28]), [28, 28]),
    (preset("resnet_small_instance", 1, [16, 16, 16]), [16, 16, 16]),
    (preset("vit_small", 3, [32, 32]), [32, 32]),
    (preset("vit_small", 1, [24, 24, 24]), [24, 24, 24]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "size"), NETWORKS, ids=lambda v: getattr(v, "name", str(v)))
def test_every_network_of_the_list_has_early_depths_that_can_be_pooled(spec, size):
    given = InputContract(channels=spec.in_channels, spatial_size=size)
    network = spec.build(3).eval()
    extractor = Extractor(describe(network, spec, spec.early_depths, given), network)
    image = torch.randn(2, spec.in_channels, *size)
    logits, features = extractor(image)
    assert logits.shape == (2, 3) and features.shape == (2, extractor.spec.features)
    assert torch.isfinite(features).all() and torch.equal(extractor.features(image), features)
    assert float((features[0] - features[1] != 0).float().mean()) > 0.9  # they can tell images apart


def test_features_are_mean_and_spread_of_each_channel_centred_and_mapped():
    network = SPEC.build(2).eval()
    extractor = Extractor(describe(network, SPEC, ["layer1"], CONTRACT), network)
    caught = []
    network.layer1.register_forward_hook(lambda _, __, out: caught.append(out))
    image = torch.randn(3, 3, 28, 28)
    extractor.center += 2.0
    extractor.projection *= 3.0
    _, features = extractor(image)
    expected = torch.cat([caught[0].mean((2, 3)), caught[0].std((2, 3), unbiased=False)], 1)
    assert torch.allclose(features, 3 * (expected - 2), atol=1e-3)


def test_a_copy_does_not_write_to_the_original():
    network = SPEC.build(2).eval()
    extractor = Extractor(describe(network, SPEC, SPEC.early_depths, CONTRACT), network)
    twin = copy.deepcopy(extractor)
    with torch.no_grad():
        twin.network.conv1.weight *= 2
    image = torch.randn(2, 3, 28, 28)
    before = extractor(image)[1]
    twin(image)
    assert torch.equal(extractor(image)[1], before) and not torch.equal(twin(image)[1], before)


@pytest.mark.parametrize(
    ("depths", "message"),
    [(["layer9"], "has no module 'layer9'"), (["fc"], "not channels with places"), ([""], "no module ''")],
)
def test_a_depth_that_cannot_be_is_refused_by_name(depths, message):
    with pytest.raises(InputError, match=message) as e:
        describe(SPEC.build(2), SPEC, depths, CONTRACT)
    assert e.value.fix


def test_a_depth_named_twice_is_refused():
    with pytest.raises(ValidationError, match="named twice"):
        ExtractorSpec(network=SPEC, depths=["bn1", "bn1"], features=64)


@pytest.fixture
def classifier():
    network = SPEC.build(3).eval()
    spec = describe(network, SPEC, SPEC.early_depths, CONTRACT)
    made = GaussianSpec(extractor=spec, own=3, gaussians=5).build(5)
    torch.manual_seed(0)
    with torch.no_grad():
        made.mean.normal_()
        made.temperature.fill_(20.0)
    return made.eval()


def test_own_classes_are_shared_out_by_network_and_gaussians_and_the_rest_by_gaussians_alone(classifier):
    image = torch.randn(4, 3, 28, 28)
    found = classifier(image).softmax(1)
    own, features = classifier.extractor(image)
    gap = features[:, None] - classifier.mean
    density = (classifier.log_volume - gap.square().sum(2) / 2) / 20.0
    said = density.softmax(1)
    assert torch.allclose(found[:, 3:], said[:, 3:], atol=1e-4)
    within = (own.softmax(1) + density[:, :3].softmax(1)) / 2
    assert torch.allclose(found[:, :3], said[:, :3].sum(1, keepdim=True) * within, atol=1e-4)


def test_it_exports_to_torchscript_and_the_network_in_it_stays_monais(classifier):
    image = torch.randn(2, 3, 28, 28)
    script = convert_to_torchscript(classifier, inputs=[image], use_trace=True)
    other = torch.randn(3, 3, 28, 28)
    assert torch.allclose(script(other), classifier(other), atol=1e-5)
    assert type(classifier.extractor.network).__module__.startswith("monai.networks.nets")


def test_it_is_kept_in_a_model_folder_like_any_other_network(classifier, tmp_path):
    card = Card(
        site="a", task="t", label_space=list("vwxyz"), network=classifier.spec,
        head=find_head(classifier), input=CONTRACT,
    )  # fmt: skip
    save_model(tmp_path / "m", classifier, card)
    image = torch.randn(2, 3, 28, 28)
    assert torch.equal(load_model(tmp_path / "m").network(image), classifier(image))
    assert card.head == "head"


def test_more_own_classes_than_gaussians_are_refused(classifier):
    with pytest.raises(ValidationError, match="fewer Gaussians"):
        GaussianSpec(extractor=classifier.spec.extractor, own=3, gaussians=2)


def test_the_map_keeps_no_more_axes_than_images_can_tell_and_classes_vary_by_one_along_each():
    torch.manual_seed(0)
    labels = torch.arange(600) % 3
    spread = torch.linspace(0.1, 3, 40, dtype=torch.float64)
    raw = (torch.randn(600, 40, dtype=torch.float64) + labels[:, None]) * spread
    for most, kept in ((100, 40), (12, 12)):
        center, projection = whitening(raw, labels, most)
        assert projection.shape == (40, kept)
        mapped = (raw - center) @ projection
        within = torch.stack([mapped[labels == k].var(0) for k in range(3)]).mean(0)
        assert float(within.min()) > 0.85 and float(within.max()) < 1.15
