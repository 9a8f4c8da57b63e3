import pytest
import torch
from monai.networks.utils import convert_to_torchscript
from pydantic import ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.networks.extractor import Extractor, ExtractorSpec, describe
from clinical_qkt.networks.spec import preset
from clinical_qkt.networks.views import views


@pytest.mark.parametrize(
    ("size", "mirror_axes", "count"),
    [([6, 6], [0, 1], 8), ([6, 8], [0, 1], 4), ([6, 6], [0], 2), ([6, 6], [], 1), ([4, 5, 6], [0, 1, 2], 8)],
)
def test_views_are_all_different_and_the_image_itself_comes_first(size, mirror_axes, count):
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    found = views(image, mirror_axes)
    assert torch.equal(found[0], image) and len(found) == count
    assert len({tuple(view.flatten().tolist()) for view in found}) == count
    assert all(torch.equal(view.flatten(1).sort().values, image.flatten(1).sort().values) for view in found)


@pytest.mark.parametrize(("size", "mirror_axes"), [([6, 6], [0, 1]), ([6, 6], [1]), ([4, 4, 4], [0, 2])])
def test_the_views_are_those_in_which_networks_see_their_training_images(size, mirror_axes):
    image = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
    known = {tuple(view.flatten().tolist()) for view in views(image, mirror_axes)}
    shown = set()
    for _ in range(200):
        item = {"image": image[0]}
        for change in symmetries(size, mirror_axes):
            item = change(item)
        shown.add(tuple(torch.as_tensor(item["image"]).flatten().tolist()))
    assert shown == known


def test_an_axis_that_images_do_not_have_is_refused():
    with pytest.raises(InputError, match="axis 2.*0 to 1"):
        views(torch.zeros(1, 1, 4, 4), [0, 2])


def made(size: list[int], mirror_axes: list[int], channels: int = 1) -> Extractor:
    torch.manual_seed(0)
    spec = preset("resnet_small", channels, size)
    network = spec.build(2).eval()
    contract = InputContract(channels=channels, spatial_size=size)
    found = describe(network, spec, list(spec.early_depths), contract)
    return Extractor(found.model_copy(update={"mirror_axes": mirror_axes}), network).eval()


@pytest.mark.parametrize(("size", "mirror_axes"), [([16, 16], [0, 1]), ([16, 16, 16], [0])])
@torch.no_grad()
def test_features_over_all_views_are_those_of_the_mirrored_and_turned_image(size, mirror_axes):
    extractor, single = made(size, mirror_axes), made(size, [])
    image = torch.randn(2, 1, *size)
    for view in views(image, mirror_axes):
        assert torch.allclose(extractor.pooled(view)[1], extractor.pooled(image)[1], atol=1e-5)
    assert not torch.allclose(single.pooled(image.flip(2))[1], single.pooled(image)[1], atol=1e-3)
    assert torch.equal(extractor.pooled(image)[0], single.network(image))  # the logits are the image's own


@torch.no_grad()
def test_the_numbers_alone_are_the_same_and_cost_no_later_stage():
    extractor = made([16, 16], [])
    image, ran = torch.randn(2, 1, 16, 16), []
    extractor.numbers(image)  # finds out that no later stage writes over what is pooled
    extractor.network.layer4.register_forward_hook(lambda *_: ran.append(1))
    assert torch.equal(extractor.numbers(image), extractor.pooled(image)[1])
    assert len(ran) == 1


@pytest.mark.parametrize("depths", [["bn1"], ["layer1", "bn1"], ["layer4"]])
@torch.no_grad()
def test_a_stage_that_is_written_over_by_the_next_is_pooled_as_it_is_left(depths):
    """The rectifier behind ``bn1`` works in place: without it the numbers would be others."""
    spec, image = preset("resnet_small", 1, [16, 16]), torch.randn(2, 1, 16, 16)
    network = spec.build(2).eval()
    found = describe(network, spec, depths, InputContract(channels=1, spatial_size=[16, 16]))
    for axes in ([], [0, 1]):
        extractor = Extractor(found.model_copy(update={"mirror_axes": axes}), network).eval()
        whole = [Extractor(found, network).eval().pooled(view)[1] for view in views(image, axes)]
        assert torch.allclose(extractor.features(image), torch.stack(whole).mean(0), atol=1e-5)
        assert torch.equal(extractor.features(image), extractor(image)[1])


def test_it_exports_to_torchscript_with_its_views():
    extractor, image = made([16, 16], [0, 1]), torch.randn(3, 1, 16, 16)
    script = convert_to_torchscript(extractor, inputs=[image[:2]], use_trace=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(script(image), extractor(image), strict=True))


@pytest.mark.parametrize("mirror_axes", [[0, 0], [3], [-1]])
def test_axes_that_cannot_be_are_refused_on_a_card(mirror_axes):
    spec = made([16, 16], []).spec.model_dump()
    with pytest.raises(ValidationError, match="mirror_axes"):
        ExtractorSpec(**{**spec, "mirror_axes": mirror_axes})
