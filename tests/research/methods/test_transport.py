"""Affine maps between Gaussians, and the Gaussian in their middle."""

from dataclasses import replace

import pytest
import torch

from clinical_qkt.research.methods.transport import (
    Affine,
    barycentre,
    optimal,
    recoloured,
    shrunk_statistics,
    together,
)
from clinical_qkt.statistics.class_statistics import ClassStatistics, class_statistics

WIDTH = 5


def drawn(seed, count=400):
    """A Gaussian of its own, and features that have its moments exactly."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, WIDTH, generator=generator).double()
    x = (
        x @ torch.randn(WIDTH, WIDTH, generator=generator).double()
        + 3 * torch.randn(WIDTH, generator=generator).double()
    )
    return x, class_statistics(x)


@pytest.fixture(params=["optimal", "recoloured"])
def carrying(request):
    return optimal if request.param == "optimal" else lambda a, b: recoloured(a, b, 1e-6)


def test_a_map_carries_one_gaussian_onto_the_other(carrying):
    (x, source), (_, target) = drawn(0), drawn(1)
    found = class_statistics(carrying(source, target)(x))
    assert torch.allclose(found.mean, target.mean) and torch.allclose(
        found.covariance, target.covariance, atol=1e-3
    )


def test_statistics_are_carried_as_the_features_are(carrying):
    (x, source), (_, target) = drawn(0), drawn(1)
    way = carrying(source, target)
    found, expected = way.of(source), class_statistics(way(x))
    assert found.count == len(x) and torch.allclose(found.mean, expected.mean)
    assert torch.allclose(found.covariance, expected.covariance)


def test_from_a_gaussian_to_itself_nothing_moves(carrying):
    x, source = drawn(0)
    assert torch.allclose(carrying(source, source)(x), x, atol=1e-6)


def test_the_optimal_transport_moves_less_than_whitening_and_colouring():
    x, source = drawn(0)
    target = replace(drawn(1)[1], mean=source.mean)  # both move the mean as far
    ways = [(way(x) - x).square().sum() for way in (optimal(source, target), recoloured(source, target, 0))]
    assert ways[0] < 0.99 * ways[1]
    matrix = optimal(source, target).matrix  # the gradient of something convex
    assert torch.allclose(matrix, matrix.T) and torch.linalg.eigvalsh(matrix).min() > 0


def test_coral_adds_its_ridge_to_both_sides():
    narrow, wide = (ClassStatistics(9, torch.zeros(1).double(), v * torch.eye(1).double()) for v in (0, 3))
    assert recoloured(narrow, wide, 1.0).matrix.item() == pytest.approx(2.0)


def test_maps_are_inverted_joined_and_gone_in_part():
    (x, a), (_, b) = drawn(0), drawn(1)
    way = optimal(a, b)
    assert torch.allclose(way.then(way.inverse)(x), x) and torch.allclose(way.inverse(way(x)), x)
    assert torch.allclose(way.partly(0)(x), x) and torch.allclose(way.partly(1)(x), way(x))
    assert torch.allclose(way.partly(0.25)(x), 0.75 * x + 0.25 * way(x))
    double = Affine(2 * torch.eye(WIDTH).double(), torch.ones(WIDTH).double())
    assert torch.allclose(double.then(way)(x), way(2 * x + 1))


def test_the_barycentre_is_where_the_transports_cancel_out():
    parts = [drawn(seed, count)[1] for seed, count in ((0, 100), (1, 300), (2, 600))]
    middle = barycentre(parts)
    ways = [optimal(middle, p) for p in parts]
    mean = sum(p.count * way.matrix for p, way in zip(parts, ways, strict=True)) / 1000
    offset = sum(p.count * way.offset for p, way in zip(parts, ways, strict=True)) / 1000
    assert torch.allclose(mean, torch.eye(WIDTH).double(), atol=1e-5)
    assert torch.allclose(offset, torch.zeros(WIDTH).double(), atol=1e-4)


def test_the_barycentre_of_one_gaussian_or_of_copies_is_itself():
    _, part = drawn(0)
    for parts in ([part], [part, part, part]):
        found = barycentre(parts)
        assert torch.allclose(found.covariance, part.covariance) and torch.allclose(found.mean, part.mean)


def test_classes_together_count_equally_however_many_images_they_have():
    one = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)).double()
    few, many = class_statistics(one[:1000]), class_statistics(one[1000:] + 6)
    found = together([few, many])
    assert torch.allclose(found.mean, torch.tensor(3.0).double(), atol=0.1)
    assert torch.allclose(found.covariance, torch.eye(2).double() + 9, atol=0.3)


def test_a_class_of_fewer_images_than_axes_still_has_an_invertible_covariance():
    x = torch.randn(6, 20, generator=torch.Generator().manual_seed(0)).double()
    assert torch.linalg.eigvalsh(shrunk_statistics(x).covariance).min() > 0.01
    assert torch.linalg.eigvalsh(class_statistics(x).covariance).min() < 1e-9
