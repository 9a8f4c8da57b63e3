import json

import pytest
import torch
from pydantic import ValidationError

from clinical_qkt.core.errors import PackageError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.committee import CommitteeSpec, Seat
from clinical_qkt.networks.joint_opinion import joint_opinion
from clinical_qkt.networks.spec import find_head, preset, reshape_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.packages.writer import CARD
from tests.conftest import reseal

HERE = InputContract(channels=3, spatial_size=[28, 28])
LARGER = InputContract(channels=3, spatial_size=[32, 32], value_range=(0.0, 1.0))


def spec(**changes):
    small = preset("resnet_small", 3, [28, 28])
    seats = [
        Seat(network=small, input=HERE, columns=[0, 1]),
        Seat(network=small, input=LARGER, columns=[2, 0]),
    ]
    return CommitteeSpec(**{"input": HERE, "members": seats, "width": 4, **changes})


@pytest.fixture
def package(tmp_path):
    network = spec().build(3)
    card = Card(
        site="hospital_a", task="t", label_space=["a", "b", "c"], network=network.spec,
        head=find_head(network), input=HERE,
    )  # fmt: skip
    save_model(tmp_path / "p", network, card)
    return tmp_path / "p"


def test_a_committee_is_saved_and_loaded_like_any_model(package):
    model = load_model(package)
    x = torch.rand(2, 3, 28, 28) * 2 - 1
    assert model.network(x).shape == (2, 3)
    assert torch.equal(model.network(x), load_model(package).network(x))


def test_it_answers_with_the_joint_opinion_of_what_each_member_sees(package):
    network = load_model(package).network
    x = torch.rand(2, 3, 28, 28) * 2 - 1
    larger = torch.nn.functional.interpolate(x, size=(32, 32), mode="area") / 2 + 0.5
    said = [network.members[0](x), network.members[1](larger)]
    expected = joint_opinion(said, [[0, 1], [2, 0]], 4)[:, :3]
    assert torch.allclose(network(x), expected, atol=1e-4)


def test_which_own_class_an_image_shows_the_first_member_settles(package):
    model = load_model(package)
    network = spec(own=[1, 0]).build(3)
    network.load_state_dict(model.network.state_dict())
    x = torch.rand(2, 3, 28, 28) * 2 - 1
    before, now = model.network(x).softmax(1), network.eval()(x).softmax(1)
    own = model.network.members[0](x).softmax(1)
    assert torch.allclose(now[:, 2], before[:, 2], atol=1e-5)  # whether it is one of them, all together do
    assert torch.allclose(now[:, :2] / now[:, :2].sum(1, keepdim=True), own, atol=1e-5)


def test_committees_of_earlier_versions_answer_as_they_did(package):
    assert load_model(package).card.network.own == []
    assert "own" not in json.loads((package / CARD).read_text())["network"]


def test_its_head_grows_like_any_other(package):
    network = load_model(package).network
    x = torch.rand(2, 3, 28, 28)
    grown = reshape_head(network, {0: 0, 1: 1, 2: 2}, 4)
    assert torch.allclose(grown.eval()(x)[:, :3], network(x), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 2}, "beyond 'width'"),
        ({"members": []}, "at least 1"),
        ({"own": [0, 0]}, "own: it names a class twice"),
        ({"own": [0, 2]}, "own: the first member does not know one of them"),
        ({"input": InputContract(channels=1, spatial_size=[28, 28])}, "3 channels, this site.s have 1"),
    ],
)
def test_a_committee_that_does_not_fit_together_is_refused(change, says):
    with pytest.raises(ValidationError, match=says):
        spec(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": [-1, 1]},
        {"columns": [0, 10**9]},
        {"network": {"name": "Committee", "input": HERE.model_dump(), "members": [], "width": 2}},
    ],
)
def test_a_card_with_a_strange_member_is_refused(package, change):
    card = json.loads((package / CARD).read_text())
    card["network"]["members"][0] |= change
    (package / CARD).write_text(json.dumps(card))
    reseal(package)
    with pytest.raises(PackageError, match=r"network\.committee\.members\.0"):
        load_model(package)


@pytest.mark.parametrize(("name", "size"), [("densenet121", 32), ("resnet18", 28)])
def test_eight_large_networks_may_sit_in_it(name, size):
    given = InputContract(channels=3, spatial_size=[size, size])
    seats = [Seat(network=preset(name, 3, [size, size]), input=given, columns=[0, 1])] * 8
    with torch.device("meta"):
        network = CommitteeSpec(input=given, members=seats, width=2).build(2)
    assert len(network.members) == 8


def test_a_committee_that_would_be_expensive_to_build_is_refused():
    large = preset("densenet121", 3, [32, 32])
    given = InputContract(channels=3, spatial_size=[32, 32])
    with pytest.raises(ValidationError, match="deeper than 512 blocks"):
        spec(members=[Seat(network=large, input=given, columns=[0])] * 9)
    small = preset("resnet_small", 3, [28, 28])
    with pytest.raises(ValidationError, match="more than 8,192 rows"):
        spec(members=[Seat(network=small, input=HERE, columns=[0] * 512)] * 17)


def one_body(**changes):
    small = preset("resnet_small", 3, [28, 28])
    seats = [Seat(network=small, input=HERE, columns=columns) for columns in ([0, 1], [2, 0], [1, 3, 3])]
    return CommitteeSpec(**{"input": HERE, "members": seats, "width": 4, "one_body": True, **changes})


def test_with_one_body_it_answers_as_the_same_networks_each_by_itself(tmp_path):
    network = one_body().build(3).eval()
    first, *heads = network.members
    whole = one_body(one_body=False).build(3).eval()
    for member, head in zip(whole.members, [find(first), *heads], strict=True):
        member.load_state_dict(first.state_dict() | {"fc.weight": head.weight, "fc.bias": head.bias})
    whole.head.load_state_dict(network.head.state_dict())
    x = torch.rand(2, 3, 28, 28) * 2 - 1
    assert torch.allclose(network(x), whole(x), atol=1e-5)
    card = Card(
        site="hospital_a", task="t", label_space=["a", "b", "c"], network=network.spec,
        head=find_head(network), input=HERE,
    )  # fmt: skip
    save_model(tmp_path / "p", network, card)
    save_model(tmp_path / "w", whole, card.model_copy(update={"network": whole.spec}))
    assert torch.equal(load_model(tmp_path / "p").network(x), network(x))
    one, each = ((tmp_path / f / "model.safetensors").stat().st_size for f in "pw")
    assert one < 0.4 * each
    for folder, says in (("p", False), ("w", True)):  # a card that says the other thing of these weights
        told = json.loads((tmp_path / folder / CARD).read_text())
        told["network"]["one_body"] = says
        (tmp_path / folder / CARD).write_text(json.dumps(told))
        reseal(tmp_path / folder)
        with pytest.raises(PackageError):
            load_model(tmp_path / folder)


def find(network):
    return network.get_submodule(find_head(network))


def test_one_body_is_one_network_of_the_closed_list_on_the_same_images():
    seats = spec().members
    with pytest.raises(ValidationError, match="one_body: members are not one network"):
        one_body(members=seats)
    other = Seat(network=preset("densenet_small", 3, [28, 28]), input=HERE, columns=[0])
    with pytest.raises(ValidationError, match="one_body: members are not one network"):
        one_body(members=[seats[0], other])
    # what is there once counts once
    large, given = preset("densenet121", 3, [32, 32]), InputContract(channels=3, spatial_size=[32, 32])
    seat = Seat(network=large, input=given, columns=[0])
    assert len(CommitteeSpec(input=given, members=[seat] * 9, width=1, one_body=True).members) == 9
