import pytest
import torch

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.variations import variations
from clinical_qkt.networks.extractor import Extractor, describe
from clinical_qkt.networks.spec import preset
from clinical_qkt.query import axes
from tests.little_memory import narrow


def drawn(rows: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_turn_is_orthogonal_and_loses_nothing():
    found = axes.turn(drawn(3, 10, 0), drawn(20, 10, 1))
    assert torch.allclose(found.T @ found, torch.eye(10, dtype=torch.float64), atol=1e-10)


def test_what_moves_most_comes_first_then_where_own_classes_differ_then_the_rest():
    means, moved = torch.zeros(2, 6, dtype=torch.float64), torch.zeros(40, 6, dtype=torch.float64)
    means[0, 4] = 3.0
    moved[:, 2] = drawn(40, 1, 0).flatten()
    found = axes.turn(means, moved)
    assert abs(float(found[2, 0])) > 0.99 and abs(float(found[4, 1])) > 0.99


def test_a_single_enormous_move_does_not_outweigh_all_others():
    moved = torch.zeros(30, 6, dtype=torch.float64)
    moved[0, 0] = 1e9
    moved[1:, 1] = 2.0
    assert abs(float(axes.turn(torch.zeros(2, 6, dtype=torch.float64), moved)[1, 0])) > 0.99


def test_without_any_move_there_is_an_order_all_the_same():
    found = axes.turn(drawn(1, 5, 0), torch.zeros(0, 5, dtype=torch.float64))
    assert torch.allclose(found.T @ found, torch.eye(5, dtype=torch.float64), atol=1e-10)


@pytest.mark.parametrize("features", [1, 3, 128])
def test_the_prior_falls_from_axis_to_axis_and_reaches_further_than_own_classes_do(features):
    means = drawn(4, features, 0)
    found = axes.prior(means)
    apart = (means - means.mean(0)).norm(dim=1).square().mean()
    assert float(found.sum()) == pytest.approx(float(axes.FURTHER * apart))
    assert torch.allclose(axes.prior(10 * means + 3), 100 * found)
    assert (found[1:] < found[:-1]).all() and float(found[-1]) > 0


@pytest.mark.parametrize(("channels", "size"), [(1, [16, 16]), (3, [16, 16]), (1, [16, 16, 16])])
def test_moves_are_of_every_class_under_every_variation(channels, size):
    torch.manual_seed(0)
    spec, contract = (
        preset("resnet_small", channels, size),
        InputContract(channels=channels, spatial_size=size),
    )
    network = spec.build(2).eval()
    body = Extractor(describe(network, spec, ["bn1"], contract), network)
    images = [{"image": torch.rand(channels, *size) * 2 - 1, "label": i % 2} for i in range(5)]
    found = axes.moves(body, images, contract, torch.device("cpu"))
    assert found.shape == (2 * len(variations(channels)), body.spec.pooled)
    assert found.dtype == torch.float64 and (found.abs().sum(1) > 0).all()
    narrow(network, 1)  # a device that runs out of memory is shown fewer at once
    assert torch.allclose(axes.moves(body, images, contract, torch.device("cpu")), found, atol=1e-5)


def test_rounds_hold_one_image_of_each_class_and_as_many_as_the_rarest_has():
    labels = torch.tensor([0] * 40 + [1] * 3 + [2] * 40)
    found = axes.rounds_of(labels)
    assert found.shape == (3, 3) and torch.equal(labels[found], torch.tensor([[0, 1, 2]] * 3))
    assert found[:, 0].tolist() == [0, 13, 26]  # spread over the list
    assert len(axes.rounds_of(torch.arange(300) % 2)) == axes.SHOWN
