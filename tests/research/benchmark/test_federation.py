import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.data.inputs import converted
from clinical_qkt.data.look_augmentation import SIZES, RandLookd
from clinical_qkt.data.look_map import LookMap
from clinical_qkt.data.sources import open_source
from clinical_qkt.networks.mix_style import mixes_images
from clinical_qkt.packages.model import load_model
from clinical_qkt.qkt import knowledge_masks
from clinical_qkt.research.benchmark import site_networks
from clinical_qkt.research.benchmark.config import Scenario
from clinical_qkt.research.benchmark.federation import Federation
from clinical_qkt.research.benchmark.partition import dirichlet_shares

CPU = torch.device("cpu")


def federation(npz, folder, **scenario):
    given = {"name": "squares", "sites": 3, "classes_per_site": [3], "max_epochs": 1} | scenario
    return Federation(open_source(npz, 0), Scenario(**given), 1, CPU, folder)


@pytest.fixture
def no_folds(monkeypatch):
    """Networks by folds are not what is looked at."""
    monkeypatch.setattr(Federation, "_held_out", lambda *_: None)


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 12), st.integers(3, 8), st.floats(0.3, 5), st.integers(0, 1000))
def test_dirichlet_shares_add_up_and_every_site_lacks_something(classes, sites, alpha, seed):
    try:
        shares = dirichlet_shares(classes, sites, alpha, seed)
    except InputError:
        return  # some numbers cannot be met; that is said
    assert np.allclose(shares.sum(0), 1)
    held = (shares > 0).sum(1)
    assert held.min() >= 2 and held.max() < classes


def test_no_image_is_dealt_twice_and_the_student_sees_no_queried_one(npz, tmp_path, no_folds):
    made = federation(npz, tmp_path)
    for section in ("training", "validation"):
        dealt = [i for mine in made.positions for i in mine[section]]
        assert len(dealt) == len(set(dealt)) == len(made.source.splits[section])
    for ask in made.queries(20):
        case = made.case(ask)
        for items in (case.training, case.validation):
            assert {int(i["label"]) for i in items} <= set(case.local)
        assert {int(i["label"]) for i in made.test_items(ask)} == set(range(len(case.labels)))


def test_a_few_queried_images_come_to_the_student_and_to_no_teacher(npz, tmp_path, no_folds):
    made = federation(npz, tmp_path, queried_images=4)
    ask = made.queries(1)[0]
    case = made.case(ask)
    assert sum(int(i["label"]) in case.query for i in case.training) == 4
    taken = {i for c in ask.classes for i in made.aside[c]}
    assert not taken & {i for mine in made.positions for i in mine["training"]}


def test_site_models_are_trained_once_and_know_more_rows_than_classes(npz, tmp_path):
    made = federation(npz, tmp_path)
    weights = {p: p.stat().st_mtime_ns for p in made.models[0].folder.parent.rglob("*.safetensors")}
    again = federation(npz, tmp_path)
    assert [m.card.weights_sha256 for m in again.models] == [m.card.weights_sha256 for m in made.models]
    assert weights == {p: p.stat().st_mtime_ns for p in weights}
    assert len(made.models[0].card.label_space) == 5 and len(made.classes[0]) == 3


def test_a_second_start_probes_nobody_again(npz, tmp_path, monkeypatch):
    scores = [teacher.scores for teacher in federation(npz, tmp_path).probed]
    monkeypatch.setattr(knowledge_masks, "of_probes", None)  # whoever probed now would fail
    again = [teacher.scores for teacher in federation(npz, tmp_path).probed]
    assert all(torch.equal(a, b) for a, b in zip(scores, again, strict=True))


def test_sites_train_with_looks_and_styles_where_the_scenario_says_so(npz, tmp_path, monkeypatch):
    seen = {}

    def instead(network, items, augment, loss, **how):
        seen.update(how, augment=augment, network=network)
        return network

    monkeypatch.setattr(site_networks, "train", instead)
    made = federation(npz, tmp_path)
    assert made._trained(0, [], "plain") is seen["network"] and seen["augment"] == made.augment
    assert seen["learning_rate"] == 3e-3
    assert not mixes_images(seen["network"])
    changed = {"training_looks": "strong", "mix_style": True, "learning_rate": 3e-4}
    made.scenario = made.scenario.model_copy(update=changed)
    made._trained(0, [], "robust")
    *plain, looks = seen["augment"]
    assert plain == made.augment and isinstance(looks, RandLookd) and looks.sizes == SIZES["strong"]
    assert mixes_images(seen["network"]) and seen["learning_rate"] == 3e-4


def test_too_many_classes_at_once_are_refused(npz, tmp_path):
    with pytest.raises(QueryError, match="query_size"):
        federation(npz, tmp_path, query_size=4).queries(3)


MIXED = {
    "architecture": ["resnet_small", "densenet_small"],
    "spatial_size": [28, 24, 32],
    "label_lists": "own",
}


@pytest.mark.slow
def test_sites_may_have_networks_sizes_and_label_lists_of_their_own(npz, tmp_path):
    made = federation(npz, tmp_path, **MIXED)
    assert [m.card.network.name for m in made.models] == ["ResNet", "DenseNet121", "ResNet"]
    assert [m.card.input.spatial_size for m in made.models] == [[28, 28], [24, 24], [32, 32]]
    for site, model in enumerate(made.models):
        listed = [made.source.classes.find(c) for c in model.card.labels]
        assert set(made.classes[site]) < set(listed) and len(listed) == len(made.classes[site]) + 1
    ask = made.queries(1)[0]
    case = made.case(ask)
    own = case.own.card.input
    assert tuple(case.training[0]["image"].shape[1:]) == tuple(own.spatial_size)
    for teacher in case.teachers:
        expects = teacher.model.card.input
        seen = case.view(case.training, expects)
        assert tuple(seen[0]["image"].shape[1:]) == tuple(expects.spatial_size)
        assert len(case.logits[teacher.site]) == len(case.training)
        assert teacher.columns  # its spelling was understood


def test_every_view_is_made_from_the_raw_image(npz, tmp_path):
    made = federation(npz, tmp_path, **MIXED)
    items = made.test_items(made.queries(1)[0])
    small, large = (made.raw.model_copy(update={"spatial_size": [s, s]}) for s in (12, 40))
    through = made.images.view(made.images.view(items, small), large)
    direct = made.images.view(items, large)
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(through, direct, strict=True))


def test_label_lists_alike_are_the_datas(npz, tmp_path):
    assert federation(npz, tmp_path).lists == [open_source(npz, 0).classes] * 3


def test_a_students_images_are_told_of_by_networks_by_folds_which_are_trained_once(
    npz, tmp_path, monkeypatch
):
    made = federation(npz, tmp_path, queried_images=2)
    ask = made.queries(1)[0]
    case = made.case(ask)
    again = federation(npz, tmp_path, queried_images=2)
    monkeypatch.setattr(site_networks, "train", None)  # whoever trained now would fail

    assert case.own_held_out is not None
    assert case.own_held_out.shape == (len(case.training), len(case.local))
    assert torch.allclose(
        case.own_held_out[-2:], case.own_logits[-2:], atol=1e-5
    )  # it was not fitted to queried images
    assert not torch.isclose(case.own_held_out[:-2], case.own_logits[:-2]).all(1).any()
    found = again.case(ask).own_held_out
    assert found is not None and torch.equal(found, case.own_held_out)


def test_a_scenario_says_without_how_many_parts_networks_are_trained_once_more(npz, tmp_path, monkeypatch):
    seen = []
    network = federation(npz, tmp_path).network(0)
    monkeypatch.setattr(
        site_networks, "train", lambda *_, what, **__: seen.append(what) or network.requires_grad_(False)
    )
    made = federation(npz, tmp_path, held_out_folds=5)
    case = made.case(made.queries(1)[0])
    assert len(case.own_held_out) == len(case.training)
    assert len([what for what in seen if "without fold" in what]) == 5

    none = federation(npz, tmp_path, held_out_folds=0)
    assert none.case(none.queries(1)[0]).own_held_out is None and len(seen) == 5 + 2 * 3
    with pytest.raises(ValidationError, match="without the only part"):
        federation(npz, tmp_path, held_out_folds=1)


@pytest.fixture(scope="module")
def looked(npz, tmp_path_factory):
    """Sites with looks of their own; their models, which are not looked at, are untrained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site_networks, "train", lambda network, *_, **__: network)
        made = federation(npz, tmp_path_factory.mktemp("looked"), shift="strong")
        made.probed = []
        assert len(made.models) == 3
    return made


def shown(made, site, positions):
    """A site's images as whole numbers, by the formulas of looks."""
    raw = torch.stack([made.prepared[i]["image"] for i in positions])
    return made.look(site).of(made.raw.intensities(raw), positions)


def of_items(made, items):
    return made.raw.intensities(torch.stack([i["image"] for i in items])).round().to(torch.uint8)


def test_a_sites_model_tells_how_its_training_images_look_and_what_is_kept_of_it_does_not(looked):
    for site, model in enumerate(looked.models):
        told = model.card.looks
        names = {looked.source.classes.names[c] for c in looked.classes[site]}
        assert {c.label.name for c in told.classes} == names and told.obstacle(model.card.input) is None
        assert load_model(looked.folder / looked.names[site]).card.looks is None


def test_without_a_shift_images_are_the_datas_bit_by_bit(npz, tmp_path, looked, no_folds):
    made = federation(npz, tmp_path)
    made.models, made.probed = looked.models, []
    ask = made.queries(1)[0]
    case = made.case(ask)
    members = [item for member in case.federation() for item in member.training]
    everything = [*case.training, *case.validation, *made.test_items(ask), *members]
    assert all(torch.equal(i["image"], made.prepared[i["position"]]["image"]) for i in everything)
    own_look = [item for member in case.in_own_look() for item in member.training]
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(members, own_look, strict=True))


def test_each_site_trains_on_its_own_look_and_the_student_is_tested_on_its(looked, no_folds):
    made = looked
    ask = made.queries(1)[0]
    case, student = made.case(ask), ask.student
    for items in (case.training, case.validation, made.test_items(ask)):
        positions = [i["position"] for i in items]
        assert torch.equal(of_items(made, items), shown(made, student, positions))
    for member in case.federation():
        site = made.names.index(member.model.card.site)
        positions = [i["position"] for i in member.training]
        assert positions == made.positions[site]["training"]
        assert torch.equal(of_items(made, member.training), shown(made, site, positions))
        assert torch.equal(of_items(made, made._training(site)), shown(made, site, positions))
    for member in case.in_own_look():
        positions = [i["position"] for i in member.training]
        assert torch.equal(of_items(made, member.training), shown(made, student, positions))


def test_views_keep_the_look_of_the_site_whose_images_they_are(looked, no_folds):
    made = looked
    ask = made.queries(1)[0]
    case = made.case(ask)
    small = made.raw.model_copy(update={"spatial_size": [10, 10]})
    mixed = [case.training[0], case.federation()[1].training[0], case.federation()[2].training[0]]
    seen = case.view(mixed, small)
    for before, after in zip(mixed, seen, strict=True):
        averaged = torch.nn.functional.avg_pool2d(before["image"][None], 2)[0]
        assert torch.allclose(after["image"], averaged, atol=1e-5)
    assert [i["site"] for i in seen] == [
        ask.student, *(s for s in range(3) if s != ask.student)
    ]  # fmt: skip
    back = case.view(seen, made.raw)
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(mixed, back, strict=True))


@pytest.mark.parametrize(("asked", "read"), [(None, [20, 20]), (12, [12, 12]), ([12, 16, 8], [16, 16])])
def test_images_in_files_are_read_at_the_largest_size_that_a_model_takes_or_at_their_own(
    folder, tmp_path, asked, read
):
    made = federation(folder, tmp_path, spatial_size=asked)
    assert made.raw.channels == 3 and made.raw.spatial_size == read
    assert made.contract(1).spatial_size == (
        [20, 20] if asked is None else [12, 12] if asked == 12 else [16, 16]
    )


def test_images_in_another_sites_look_are_made_anew_and_not_kept(looked):
    numbers = torch.linspace(0.1, 0.3, 15).double()
    mapped = looked.raw.model_copy(update={"look": LookMap.between(numbers, numbers + 0.1)})
    positions = looked.positions[0]["training"][:3]
    looked.images.of(0, positions)
    kept = len(looked.images._made)
    found = looked.images.of(0, positions, mapped)
    one = converted(looked.images.of(0, positions)[1][None], looked.raw, mapped)[0]
    torch.testing.assert_close(found[1], one, atol=1e-5, rtol=1e-5)
    assert len(looked.images._made) == kept
