import pytest
import torch

from clinical_qkt.networks.extractor import Extractor, ExtractorSpec
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier, GaussianSpec
from clinical_qkt.networks.spec import preset
from clinical_qkt.query.aggregate import HeadChoice, fill, gaussians_of, own_statistics
from clinical_qkt.query.by_fold import cross_fitted
from clinical_qkt.statistics.class_statistics import ClassStatistics, class_statistics

D, OWN = 4, 2


def world(images: int = 40):
    """Features of two own classes and, last, two images of the queried one; statistics of the latter."""
    g = torch.Generator().manual_seed(0)
    features = torch.randn(OWN * images, D, generator=g).double()
    features[:images, 0] += 4
    features[images:, 1] += 4
    labels = torch.tensor([0] * images + [1] * images + [2, 2])
    queried = class_statistics(torch.randn(30, D, generator=g).double() + torch.tensor([0, 0, 4.0, 0]))
    return features, labels, queried


def classifier(features, labels, queried, choice):
    spec = preset("resnet_small", 1, [16, 16])
    seen = ExtractorSpec(network=spec, depths=["bn1"], pooled=32, features=D)
    network = GaussianClassifier(
        GaussianSpec(extractor=seen, own=OWN, gaussians=3, shared=choice.head == "linear"),
        Extractor(seen, spec.build(OWN)),
        3,
    )
    everyone = [*own_statistics(features, labels[: len(features)], OWN), queried]
    fill(network, gaussians_of(everyone, choice), 1.0)
    return network


@pytest.mark.parametrize("choice", [HeadChoice("quadratic", 0.75, 1.0), HeadChoice("linear", None, 1.0)])
def test_an_images_answer_is_by_gaussians_and_a_map_that_it_had_no_part_in(choice):
    features, labels, queried = world()
    if choice.head == "linear":
        doubt = torch.full((D,), 0.1).double()
        queried = ClassStatistics(queried.count, queried.mean, noise=0.1, doubt=doubt)
    network = classifier(features, labels, queried, choice)
    own = torch.zeros(len(labels), OWN)
    found = cross_fitted(network, choice, [queried], features, labels, own, seed=0)
    assert found.shape == (len(labels), 3) and not found[-2:].any()
    right = found[: len(features)].argmax(1) == labels[: len(features)]
    assert right.float().mean() > 0.85
    # Far more of the same: a classifier fitted to the image would follow it, one without it cannot.
    outlier = features.clone()
    outlier[0] = torch.tensor([0, 0, 4.0, 0])
    held = cross_fitted(network, choice, [queried], outlier, labels, own, seed=0)
    assert held[0].argmax() == 2


def test_which_own_class_it_is_is_told_by_networks_without_the_image():
    features, labels, queried = world()
    choice = HeadChoice("quadratic", 0.75, 1.0)
    network = classifier(features, labels, queried, choice)
    wrong = 20 * torch.nn.functional.one_hot(1 - labels.clamp_max(1), OWN).float()
    said = cross_fitted(network, choice, [queried], features, labels, wrong, seed=0)
    plain = cross_fitted(network, choice, [queried], features, labels, torch.zeros_like(wrong), seed=0)
    gap = [z[: len(features), 0] - z[: len(features), 1] for z in (said, plain)]
    assert bool(((gap[0] - gap[1]).sign() == wrong[: len(features), 0].sub(1).sign()).all())


def test_a_head_that_is_trained_and_too_few_images_give_none():
    features, labels, queried = world()
    choice = HeadChoice("quadratic", 0.75, 1.0)
    network = classifier(features, labels, queried, choice)
    own = torch.zeros(len(labels), OWN)
    assert cross_fitted(network, HeadChoice("replay"), [queried], features, labels, own, 0) is None
    few = torch.tensor([0, 1])
    assert cross_fitted(network, choice, [queried], features[[0, -1]], few, own[:2], 0) is None
    one_left = torch.cat([labels[:41], labels[-2:]])  # of the second class a single image
    rows = features[:41]
    assert cross_fitted(network, choice, [queried], rows, one_left, own[: len(one_left)], 0) is None
