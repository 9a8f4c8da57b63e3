"""Rivals that carry sites' features into the student's look: CORAL, SLOT-Align, AdaBN; and GGEUR's draws."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.data.folds import CLOSED_FORM, folds_of
from clinical_qkt.networks.spec import preset
from clinical_qkt.research.methods import METHODS, adabn, adabn_committee, carried, coral, ggeur, slot_align
from clinical_qkt.research.methods.carried import SiteFeatures, all_sites, answers_of
from clinical_qkt.research.methods.case import Member
from clinical_qkt.research.methods.requested import requested
from clinical_qkt.research.methods.transport import Affine
from clinical_qkt.statistics.class_statistics import class_statistics
from clinical_qkt.training.inference import labels_of, logits_of

QUICK = {"views": "one"}
CARRYING = {
    "coral": ("coral", QUICK),
    "slot_align": ("slot_align", {"classes": "shared", "tau": 1, **QUICK}),
    "adabn": ("adabn", QUICK),
    # With so few images 30 epochs learn the draws by heart, and how a processor rounds decides what is told.
    "ggeur": ("ggeur", {"epochs": 10, **QUICK}),
}


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def case(case, members, kept):
    """As ever, but with a third of the images, and features that are computed once."""
    fewer = [Member(m.model, m.training[::3]) for m in members]
    return replace(case, training=fewer[0].training, federation=lambda: fewer, kept=kept)


def outcome(case, name):
    method, settings = CARRYING[name]
    return METHODS[method].run(case, METHODS[method].settings(**settings))


@pytest.mark.parametrize("name", CARRYING)
def test_the_queried_class_is_gained_and_the_own_ones_are_kept(name, case, held_out):
    found = outcome(case, name)
    logits, truth = found.predict(held_out), labels_of(held_out)
    right = logits.argmax(1) == truth
    assert logits.shape == (len(held_out), 4) and torch.isfinite(logits).all()
    assert right[truth == 3].float().mean() >= 0.9 and right[truth != 3].float().mean() >= 0.7
    assert found.teachers_used == 2 and found.bytes_received > 0 and found.cross_fitted is None


def test_a_private_or_smaller_answer_cannot_be_carried():
    for method in ("coral", "slot_align", "adabn", "ggeur"):
        with pytest.raises(ValidationError, match="kind"):
            METHODS[method].settings(kind="private_mean")


def test_all_classes_of_a_site_are_known_by_the_students_columns(case):
    question = requested(case, None, "one")
    sites = all_sites(case, question, "one")
    b, c = sites["B"], sites["C"]  # of violet, which B has, the student knows nothing
    assert sorted(b.columns.unique()) == [-1, 0, 3] and sorted(c.columns.unique()) == [1, 2, 3]
    assert torch.equal(b.features[b.columns == 3], question.sites[0]["B"])
    assert sites is all_sites(case, question, "one")
    settings = coral.Settings(patients=12, minimum_patients=12)
    assert {k: len(x) for k, x in c.classes([0, 1, 3], settings).items()} == {1: 12, 3: 12}
    assert set(answers_of(case, sites, settings)[0]) == {"B", "C"}
    with pytest.raises(QueryError, match="enough images"):
        answers_of(case, sites, coral.Settings(minimum_patients=21))


# Gaussians whose look is known

LOCAL, ASKED, WIDTH = [0, 1], 2, 4


def looked_at(seed, columns, count=3000):
    """Classes about places of their own; as the student sees them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(columns).repeat_interleave(count)
    places = 5 * torch.eye(WIDTH, dtype=torch.float64)[:3]
    noise = torch.randn(len(labels), WIDTH, generator=generator, dtype=torch.float64)
    return SiteFeatures(places[labels] + noise * torch.linspace(0.6, 1.4, WIDTH), labels)


def in_a_look(site, seed=3):
    """Stretched along each axis, and moved by several spreads."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.empty(WIDTH, dtype=torch.float64).uniform_(0.6, 1.7, generator=generator)
    look = Affine(scale.diag(), 3 * torch.randn(WIDTH, generator=generator, dtype=torch.float64))
    return SiteFeatures(look(site.features), site.columns)


def gaussians(site):
    return {c: class_statistics(site.features[site.columns == c]) for c in LOCAL if (site.columns == c).any()}


def maps(own, sites):
    """From each site to the student, by each rival."""
    ours = {k: s for k, s in sites.items() if (s.columns != ASKED).any()}
    by_class = slot_align.class_by_class({k: gaussians(s) for k, s in ours.items()}, gaussians(own), 1.0)
    ridged = coral.Settings(ridge=1e-6)
    return {"slot_align": by_class, "coral": {k: coral.onto(own, s, LOCAL, ridged) for k, s in sites.items()}}


@pytest.mark.parametrize(("name", "left"), [("slot_align", 0.2), ("coral", 0.5)])  # CORAL turns axes
def test_a_known_look_is_taken_off_the_queried_class_that_the_student_lacks(name, left):
    own, there = looked_at(0, LOCAL), looked_at(1, [*LOCAL, ASKED])
    seen = in_a_look(there)
    before, asked = there.features[there.columns == ASKED], seen.features[seen.columns == ASKED]
    after = maps(own, {"B": seen})[name]["B"](asked)
    away = [float((x.mean(0) - before.mean(0)).norm()) for x in (asked, after)]
    assert away[0] > 3 and away[1] < left * away[0]


@pytest.mark.parametrize("name", ["slot_align", "coral"])
def test_where_all_look_alike_nearly_nothing_moves(name):
    own, there = looked_at(0, LOCAL), looked_at(1, [*LOCAL, ASKED])
    for site in maps(own, {"B": there, "C": looked_at(2, [0, ASKED])})[name].values():
        asked = there.features[there.columns == ASKED]
        assert (site(asked) - asked).norm(dim=1).mean() < 0.35
    one = maps(own, {"B": own})[name]["B"]
    assert torch.allclose(one(own.features), own.features, atol=1e-4)


def test_a_share_of_the_way_to_the_barycentre_brings_sites_nearer_and_none_leaves_them():
    own, there = class_statistics(looked_at(0, LOCAL).features), in_a_look(looked_at(1, LOCAL)).features
    site = class_statistics(there)
    away = [
        float((slot_align.to_barycentre({"B": site}, own, tau)["B"](there).mean(0) - own.mean).norm())
        for tau in (0.0, 0.4, 1.0)
    ]
    assert away[0] == pytest.approx(float((site.mean - own.mean).norm()))
    assert away[1] < 0.9 * away[0] and away[2] == pytest.approx(0, abs=1e-6)


def test_sites_that_share_no_class_with_the_student_are_compared_as_wholes():
    own, strange = looked_at(0, LOCAL), in_a_look(looked_at(1, [ASKED]))
    found = coral.onto(own, strange, LOCAL, coral.Settings(ridge=1e-6))(strange.features)
    assert torch.allclose(found.mean(0), own.features.mean(0), atol=1e-6)
    assert slot_align.class_by_class({"B": {}}, gaussians(own), 1.0) == {}


def test_a_site_without_a_shared_class_is_heard_where_no_other_is():
    part, way = class_statistics(looked_at(0, [ASKED]).features), Affine(torch.eye(WIDTH), torch.zeros(WIDTH))
    answers = [{"B": part, "C": part}, {"C": part}]
    assert [set(given) for given in carried.surest(answers, {"B": way})] == [{"B"}, {"C"}]
    assert carried.surest(answers, {}) == answers


# For the forgetting budget


def test_answers_are_carried_anew_without_each_fold_and_say_of_that_fold_alone(case, monkeypatch):
    case = replace(case, own_held_out=torch.eye(3)[labels_of(case.training)] * 5)
    question = requested(case, None, "one")
    answers, seen = answers_of(case, all_sites(case, question, "one"), coral.Settings()), []
    monkeypatch.setattr(carried, "cross_fitted", lambda *_: torch.full((60, 4), float(len(seen))))

    def carry(features, labels):
        seen.append(features)
        return answers

    found = carried.of_carried(case, question, carry, coral.Settings(head="linear")).cross_fitted
    folds = torch.from_numpy(folds_of(question.training[1], count=CLOSED_FORM, seed=case.seed))
    assert len(seen) == 1 + CLOSED_FORM and torch.equal(seen[0], question.training[0])
    for fold, others in enumerate(seen[1:]):
        assert torch.equal(others, question.training[0][folds != fold])
        assert (found[folds == fold] == fold + 2).all()


@pytest.mark.slow
def test_a_head_on_draws_says_of_a_fold_what_it_would_without_it(case):
    case = replace(case, own_held_out=torch.eye(3)[labels_of(case.training)] * 5)
    question = requested(case, None, "one")
    seen, labels = question.training
    folds = torch.from_numpy(folds_of(labels, count=CLOSED_FORM, seed=case.seed))
    changed = seen.clone()
    changed[0] += 50.0
    moved = {
        k: replace(question, training=(changed, labels)) if k[0] == "requested" else v
        for k, v in case.kept.items()
    }
    first, second = (outcome(c, "ggeur").cross_fitted for c in (case, replace(case, kept=moved)))
    mine, others = folds == folds[0], folds != folds[0]
    mine[0] = False
    away = (first - second).abs().amax(1)
    assert away[mine].max() < 1e-5 and away[others].max() > 1e-2


# AdaBN


def brighter(images, gain=0.5):
    return [{**item, "image": gain * item["image"]} for item in images]


def test_batch_norms_that_saw_a_look_take_its_contrast_off(case):
    network, images, there = case.own.network, case.training, brighter(case.training)
    plain = adabn.adapted(network, images, case, "adabn")
    moved = adabn.adapted(network, there, case, "adabn")
    expected, found = logits_of(plain, images, case.device), logits_of(moved, there, case.device)
    assert torch.allclose(found, expected, atol=0.02 * float(expected.std()))
    without = logits_of(plain, there, case.device)
    assert not torch.allclose(without, expected, atol=0.2 * float(expected.std()))


def test_batch_norms_change_by_what_sets_two_sites_apart_and_by_nothing_else(case):
    network = case.own.network
    home, away = (
        adabn.adapted(network, images, case, "adabn") for images in (case.training, brighter(case.training))
    )
    same = adabn.changed(network, home, home).state_dict()
    assert all(torch.equal(v, same[k]) for k, v in network.state_dict().items())
    found = adabn.changed(network, home, away)
    first = found.bn1.running_var / network.bn1.running_var
    assert torch.allclose(first, torch.full_like(first, 0.25), atol=0.01)  # contrast is halved
    said = logits_of(found, brighter(case.training), case.device)
    assert torch.allclose(said, case.own_logits, atol=0.02 * float(case.own_logits.std()))


def test_the_students_own_network_stays_as_it_is(case):
    before = {k: v.clone() for k, v in case.own.network.state_dict().items()}
    moved = adabn.adapted(case.own.network, brighter(case.training), case, "adabn").state_dict()
    assert all(torch.equal(v, before[k]) for k, v in case.own.network.state_dict().items())
    changed = {k.rpartition(".")[2] for k, v in moved.items() if not torch.equal(v, before[k])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}


def test_a_network_without_batch_norm_is_refused():
    with pytest.raises(InputError, match="method 'adabn': the network has no batch norm"):
        adabn.require_batch_norm(preset("densenet_private", 3, [28, 28]).build(2), "method 'adabn'")


def test_teachers_see_the_students_images_with_batch_norms_of_their_own(case):
    there = brighter(case.training)
    home = adabn_committee.at_home(case, there)
    for before, after in zip(case.teachers, home.teachers, strict=True):
        expected = adabn.adapted(before.model.network, there, case, "adabn")
        assert torch.equal(home.logits[after.site], logits_of(expected, case.training, case.device))
        assert (after.known, after.columns) == (before.known, before.columns)
        assert not torch.allclose(home.logits[after.site], case.logits[before.site], atol=0.1)


@pytest.mark.slow
def test_the_committee_of_adapted_teachers_gains_the_class_and_speaks_by_folds(case, held_out):
    own = torch.eye(3)[labels_of(case.training)] * 5
    case = replace(case, own_held_out=own)
    found = METHODS["adabn_committee"].run(case, METHODS["adabn_committee"].settings())
    logits, truth = found.predict(held_out), labels_of(held_out)
    evidence = logits[:, 3] - logits[:, :3].amax(1)
    assert evidence[truth == 3].median() > evidence[truth != 3].median()
    folds = torch.from_numpy(folds_of(labels_of(case.training), seed=case.seed))
    odd = [{**case.training[0], "image": 3 - case.training[0]["image"]}, *case.training[1:]]
    other = METHODS["adabn_committee"].run(replace(case, training=odd), METHODS["adabn_committee"].settings())
    away = (found.cross_fitted - other.cross_fitted).abs().amax(1)
    mine, others = folds == folds[0], folds != folds[0]
    mine[0] = False
    assert away[mine].max() < 1e-4 < away[others].max()


# GGEUR


def test_features_are_drawn_about_prototypes_and_own_features_by_the_shape_that_all_share():
    own, b, c = (looked_at(seed, LOCAL) for seed in range(3))
    b = SiteFeatures(b.features * torch.tensor([1.0, 3.0, 1.0, 1.0]), b.columns)
    asked = class_statistics(looked_at(4, [ASKED]).features)
    far = class_statistics(looked_at(5, [ASKED]).features + 9)
    told = {0: {"B": gaussians(b)[0], "C": gaussians(c)[0]}, 1: {}, ASKED: {"B": asked, "C": far}}
    settings = ggeur.Settings(own_draws=4000, draws=6000)
    x, y = ggeur.around(own.features, own.columns, told, settings, seed=0)
    assert torch.equal(x[:6000], own.features)
    assert y.bincount().tolist() == [3000 + 4000 + 2 * 6000, 3000 + 4000, 2 * 6000]
    drawn = x[y == ASKED]
    for part, place in ((drawn[:6000], asked), (drawn[6000:], far)):
        found = class_statistics(part)
        assert torch.allclose(found.mean, place.mean, atol=0.4)
        # The shape is that of both sites' images together: wide along the line between them.
        assert float(found.covariance.diagonal().min()) > 15
    assert torch.equal(x, ggeur.around(own.features, own.columns, told, settings, seed=0)[0])
