import pytest
import torch

from clinical_qkt.data import folds
from clinical_qkt.networks.extractor import Extractor, ExtractorSpec
from clinical_qkt.networks.gaussian_classifier import GaussianClassifier, GaussianSpec
from clinical_qkt.networks.spec import preset
from clinical_qkt.query import by_fold
from clinical_qkt.query.aggregate import HeadChoice, fill, gaussians_of, own_statistics
from clinical_qkt.query.by_fold import MOST_FOLDS, cross_fitted, refitted
from clinical_qkt.query.request import whitening, within_classes
from clinical_qkt.query.shrinkage import told
from clinical_qkt.statistics.class_statistics import ClassStatistics, PrivateSum, class_statistics

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
    seen = ExtractorSpec(
        network=spec, depths=["bn1"], pooled=max(32, features.shape[1]), features=features.shape[1]
    )
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


def drawn(images: int, axes: int, g: torch.Generator, gap: float = 2.5):
    """Raw features of two own classes and of the queried one, each further along an axis of its own."""
    found = torch.randn(3 * images, axes, generator=g).double()
    labels = torch.arange(3).repeat_interleave(images)
    found[torch.arange(3 * images), labels] += gap
    return found, labels


def asked(raw, labels, told_axes, noise):
    """What a query begins with and all that follows: a map, a private answer along some axes, Gaussians.

    Returns whether images are called the queried class, and all that ``cross_fitted`` takes.
    """
    own, answering = labels[labels < 2], raw[labels == 2]
    center, projection = whitening(raw[labels < 2], own, raw.shape[1])
    # Turned, as axes of a query are, by what is known beforehand: here each lies along one of the raw ones.
    left, _, right = torch.linalg.svd(projection)
    projection = projection @ (left @ right).T
    features = (raw[labels < 2] - center) @ projection
    total = ((answering - center) @ projection).sum(0)[:told_axes] + noise[:told_axes]
    queried = told([PrivateSum(total, len(answering), 1.0, 0.0)], own_statistics(features, own, OWN))
    choice = HeadChoice("linear", None, 1.0)
    network = classifier(features, own, queried, choice)

    def called(images):
        seen = ((images - center) @ projection).float()
        return network.said(torch.zeros(len(images), OWN), seen).argmax(1) == 2

    return called, (network, choice, [queried], features, own, torch.zeros(len(own), OWN), 0)


def false_alarms(axes: int, dead: int, told_axes: int) -> list[float]:
    """The share of own images called the queried class: held out, held out with all made anew, and new ones.

    There are few images for the map's axes, and along some of these nothing varies.
    """
    shares = []
    for seed in range(12):
        g = torch.Generator().manual_seed(seed)
        raw, labels = drawn(60, axes, g)
        fresh, fresh_labels = drawn(400, axes, g)
        raw, fresh = (torch.cat([x, torch.zeros(len(x), dead).double()], dim=1) for x in (raw, fresh))
        noise = torch.randn(axes + dead, generator=g).double()
        called, made = asked(raw, labels, told_axes, noise)
        of = torch.full((len(labels),), -1)
        of[labels < 2] = torch.from_numpy(folds.folds_of(labels[labels < 2], count=MOST_FOLDS, seed=0))
        anew = [
            asked(raw[of != k], labels[of != k], told_axes, noise)[0](raw[of == k]) for k in range(MOST_FOLDS)
        ]
        held = cross_fitted(*made).argmax(1) == 2
        shares.append(
            [float(x.float().mean()) for x in (held, torch.cat(anew), called(fresh[fresh_labels < 2]))]
        )
    return torch.tensor(shares).mean(0).tolist()


@pytest.mark.parametrize(
    ("axes", "dead", "told_axes"), [(20, 0, 20), (60, 0, 15), (60, 12, 15), (60, 12, 72)]
)
def test_what_is_held_out_errs_as_if_all_had_been_made_without_it(axes, dead, told_axes):
    held, anew, new = false_alarms(axes, dead, told_axes)
    assert abs(held - anew) < 0.25 * anew, (held, anew)
    assert held > 0.9 * new > 0.02, (held, new)  # it does not flatter


def test_a_map_that_is_fitted_to_a_part_keeps_its_axes_and_what_does_not_vary_stays():
    g = torch.Generator().manual_seed(0)
    features = torch.randn(200, 6, generator=g).double() * torch.tensor([1.0, 1, 1, 1, 1, 1e-6]).double()
    labels = torch.zeros(200, dtype=torch.long)
    whole, part = within_classes(features, labels), within_classes(features[:150], labels[:150])
    anew = refitted(whole, part)
    assert torch.equal(refitted(whole, whole).round(decimals=9), torch.eye(6).double())
    moved = within_classes(features[:150] @ anew, labels[:150])
    assert torch.allclose(moved[:5, :5], whole[:5, :5])
    assert (anew - torch.eye(6)).abs().max() < 0.3 and torch.allclose(anew[5, 5], torch.ones(1).double())
    turned = torch.linalg.qr(torch.randn(6, 6, generator=g).double()).Q
    again = refitted(turned.T @ whole @ turned, turned.T @ part @ turned)
    assert torch.allclose(again, turned.T @ anew @ turned)


def test_there_are_as_many_folds_as_the_rarest_class_has_patients_within_limits(monkeypatch):
    features, labels, queried = world()
    choice = HeadChoice("quadratic", 0.75, 1.0)
    network = classifier(features, labels, queried, choice)
    found = []

    def folds_of(of, who=None, *, count, seed):
        found.append(count)
        return folds.folds_of(of, who, count=count, seed=seed)

    monkeypatch.setattr(by_fold, "folds_of", folds_of)
    about = network, choice, [queried], features, labels, torch.zeros(len(labels), OWN), 0
    for patients in (None, torch.arange(82) // 5, torch.arange(82) // 30):
        cross_fitted(*about, None if patients is None else patients.numpy())
    assert found == [MOST_FOLDS, 8, 5]
