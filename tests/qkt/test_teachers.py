from dataclasses import replace

import pytest
import torch

from clinical_qkt.core.errors import InputError, PackageError, QueryError
from clinical_qkt.data.inputs import InputContract, covering
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.targets import soft_targets
from clinical_qkt.qkt.teachers import committee, read_teachers, relevant_teachers, starting_point

LABELS, QUERY = LabelSpace(["a", "b", "c", "q"]), [3]


def package(folder, site, classes, known=None, size=28):
    """A package whose model says, whatever it sees, one of the known classes."""
    spec = preset("resnet_small", 3, [28, 28])
    network = spec.build(len(classes))
    with torch.no_grad():
        network.fc.weight *= 0.01
        network.fc.bias.copy_(torch.tensor([0.0 if known is None or c in known else -20.0 for c in classes]))
    card = Card(
        site=site, task="t", label_space=classes, network=spec, head=find_head(network),
        input=InputContract(channels=3, spatial_size=[size, size]),
    )  # fmt: skip
    save_model(folder / site, network, card)
    return folder / site


@pytest.fixture
def teachers(tmp_path):
    folders = [
        package(tmp_path, "one", ["q", "a"]),
        package(tmp_path, "two", ["B", "c", "Q"]),
        package(tmp_path, "claims", ["a", "b", "q"], known=["a", "b"]),
        package(tmp_path, "other", ["x", "a"]),
    ]
    found = read_teachers(folders, LABELS)
    return [probe(model, count=32, seed=0, device=torch.device("cpu")) for model in found]


def test_columns_are_aligned_by_name_and_knowledge_is_probed(teachers):
    assert [t.columns for t in teachers] == [{0: 3, 1: 0}, {0: 1, 1: 2, 2: 3}, {0: 0, 1: 1, 2: 3}, {1: 0}]
    assert [t.known_columns for t in teachers] == [{3, 0}, {1, 2, 3}, {0, 1}, {0}]


def test_relevant_is_who_knows_a_queried_class_and_not_who_claims_it(teachers):
    assert [t.site for t in relevant_teachers(teachers, LABELS, QUERY)] == ["one", "two"]


def test_a_class_that_nobody_knows_ends_the_transfer_by_name(teachers):
    with pytest.raises(QueryError, match="no teacher knows 'q'"):
        relevant_teachers(teachers[2:], LABELS, QUERY)


def test_a_site_that_is_listed_twice_is_refused(tmp_path):
    folder = package(tmp_path, "one", ["q", "a"])
    with pytest.raises(PackageError, match="a second package of the site 'one'"):
        read_teachers([folder, folder], LABELS)


def test_the_start_is_the_teacher_that_shares_most_classes_or_the_own_model(teachers, tmp_path):
    own = load_model(package(tmp_path, "student", ["a", "b", "c"]))
    chosen = relevant_teachers(teachers, LABELS, QUERY)
    network, start = starting_point(own, chosen, LABELS, QUERY, "teacher")
    assert start.card.site == "two"
    old = start.network.fc.bias.detach()
    assert torch.equal(network.fc.bias, torch.tensor([0.0, old[0], old[1], old[2]]))
    network, start = starting_point(own, chosen, LABELS, QUERY, "own")
    assert start is own and network.fc.out_features == 4
    assert torch.equal(network.fc.weight[:3], own.network.fc.weight)


def test_a_teacher_with_another_input_is_no_start(teachers, tmp_path):
    own = load_model(package(tmp_path, "student", ["a", "b", "c"], size=32))
    assert starting_point(own, teachers[:2], LABELS, QUERY, "teacher")[1] is own


def test_a_committee_speaks_for_all_that_its_members_know(teachers, tmp_path):
    own = load_model(package(tmp_path, "student", ["a", "b", "c"]))
    joined = committee(own, teachers, LABELS)
    spec = joined.card.network
    # 'claims' does not know its q; 'other' brings the class x, which nobody asked for
    assert [seat.columns for seat in spec.members] == [[0, 1, 2], [3, 0], [1, 2, 3], [0, 1], [4, 0]]
    assert spec.width == 5 and joined.network.head.out_features == 4
    assert joined.card.label_space == own.card.label_space
    logits = joined.network(torch.rand(2, 3, 28, 28))
    assert logits.shape == (2, 4) and torch.isfinite(logits).all()


def test_a_committee_keeps_every_licence_and_tells_of_generated_data(teachers, tmp_path):
    own = load_model(package(tmp_path, "student", ["a", "b", "c"]))
    told = {"licence": ["CC-BY-NC-4.0"], "generated_data": True}
    model = teachers[1].model
    teachers[1] = replace(teachers[1], model=replace(model, card=model.card.model_copy(update=told)))
    card = committee(own, teachers, LABELS).card
    assert card.licence == [*own.card.licence, "CC-BY-NC-4.0"] and card.generated_data


def test_a_committee_does_not_sit_in_a_committee(teachers, tmp_path):
    own = load_model(package(tmp_path, "student", ["a", "b", "c"]))
    joined = committee(own, teachers[1:], LABELS)
    inside = replace(teachers[0].model, network=joined.network, card=joined.card)
    teachers[0] = replace(teachers[0], model=inside, known=[True] * 3)
    with pytest.raises(PackageError, match=r"package of student.*is itself a committee"):
        committee(own, teachers[:1], LABELS)


def test_asked_jointly_teachers_and_student_give_the_committees_answer(teachers, tmp_path):
    own = load_model(package(tmp_path, "student", ["a", "b", "c"]))
    images = torch.rand(3, 3, 28, 28)
    logits = {t.site: t.model.network(images).detach() for t in teachers}
    mine = own.network(images).detach()
    joint = soft_targets(teachers, logits, mine, LABELS, "joint")
    expected = committee(own, teachers, LABELS).network(images)
    assert torch.allclose(joint[:, 0], expected, atol=1e-4)
    each = soft_targets(teachers, logits, mine, LABELS, "each")
    assert each.shape == (3, 4, 4) and torch.isnan(each[0, 0]).tolist() == [False, True, True, False]


def test_few_teachers_are_those_that_know_most_of_the_students_classes(teachers):
    assert [t.site for t in relevant_teachers(teachers, LABELS, QUERY, per_class=1)] == ["two"]


def test_a_committee_that_is_too_large_is_refused_in_plain_words(teachers, tmp_path):
    own = load_model(package(tmp_path, "student", ["a", "b", "c"]))
    with pytest.raises(InputError, match="a committee of 129 models over 5 classes is too large"):
        committee(own, teachers * 32, LABELS)


ARCHITECTURES = ["densenet_small", "efficientnet_small", "seresnet_small", "vit_small"]
CONTRACTS = {
    2: InputContract(channels=1, spatial_size=[28, 28]),
    3: InputContract(
        channels=1, spatial_size=[24, 24, 24], intensity="relative", intensity_range=(0, 1), spacing=[1, 1, 1]
    ),
}


@pytest.mark.parametrize("dims", [2, 3])
def test_a_resnet_student_sits_beside_teachers_of_every_kind(dims, tmp_path):
    given = CONTRACTS[dims]

    def saved(site, architecture, classes, contract):
        torch.manual_seed(len(site))
        spec = preset(architecture, contract.channels, contract.spatial_size)
        network = spec.build(len(classes)).eval()
        card = Card(
            site=site, task="t", label_space=classes, network=spec, head=find_head(network), input=contract
        )
        save_model(tmp_path / site, network, card)
        return tmp_path / site

    own = load_model(saved("student", "resnet_small_stride2", ["a", "b"], given))
    finer = {"spacing": [0.9] * 3} if dims == 3 else {}
    other = given.model_copy(update={"spatial_size": [32] * dims, **finer})
    folders = [
        saved(f"site_{k}", name, ["c", "B", f"extra {k}"], [given, other][k % 2])
        for k, name in enumerate(ARCHITECTURES)
    ]
    labels = LabelSpace(["a", "b", "c"])
    cpu = torch.device("cpu")
    teachers = [
        probe(model, seed=0, device=cpu, count=32, threshold=0.0) for model in read_teachers(folders, labels)
    ]
    for teacher in teachers:
        assert teacher.scores.shape == (3,) and teacher.columns == {0: 2, 1: 1}
    joined = committee(own, teachers, labels)
    expects = joined.card.input
    assert expects == covering([given, other])
    card = joined.card.model_copy(update={"label_space": list(labels), "head": "head"})
    save_model(tmp_path / "joined", joined.network, card)
    image = torch.rand(2, 1, *expects.spatial_size) * 2 - 1
    said = load_model(tmp_path / "joined").network(image)
    assert said.shape == (2, 3) and torch.allclose(said, joined.network(image), atol=1e-5)
