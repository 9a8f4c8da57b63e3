"""A site answers a query: what leaves, what does not, and what an asker built to spy can learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import EnsureChannelFirstd, LoadImaged
from PIL import Image
from safetensors.torch import load_file

from clinical_qkt.audit.releases import audit_release
from clinical_qkt.core.errors import InputError, PackageError
from clinical_qkt.data.datalist import load_datalist
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Extractor, describe
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages.query import Query, QueryCard, load_query, save_query
from clinical_qkt.packages.response import ResponseCard, load_response
from clinical_qkt.privacy.mechanisms import STEPS, private_release, rounded_noise
from clinical_qkt.query.response import Responding
from clinical_qkt.site.config import check_site
from clinical_qkt.site.ledger.ledger import Ledger
from tests.conftest import CONFIGS, square

assert CONFIGS.is_dir()
SPEC = preset("resnet_small", 3, [28, 28])
CPU = torch.device("cpu")
EXACT = {"kinds": ["covariance"], "unit": "image", "minimum_patients": 5}
PRIVATE = {"unit": "image", "minimum_patients": 2}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """24 red and 24 green squares and a datalist; three images of each patient."""
    folder = tmp_path_factory.mktemp("site_b")
    rows = []
    for kind in ("red", "green"):
        for i in range(24):
            Image.fromarray(square(kind, i)).save(folder / f"{kind}{i:02d}.png")
            rows.append({"image": f"{kind}{i:02d}.png", "label": kind, "patient": f"MRN-{kind}-{i // 3}"})
    others = [{**row, "patient": f"{row['patient']}-v"} for row in rows[2::4]]
    content = {"training": rows[1::2] + rows[::4], "validation": others, "test": []}
    (folder / "d.json").write_text(json.dumps(content))
    return folder


def site(pictures: Path, tmp_path: Path, data: str = "d.json", **policy):
    values = {
        "site": "site_b", "data": str(pictures / data), "classes": ["red", "green"],
        "output_dir": str(tmp_path), "package_dir": "p", "query_dir": "q", "transfer_dir": "t",
        "ledger": str(tmp_path / "ledger.db"), "policy": policy,
    }  # fmt: skip
    return check_site(values, "site_b.yaml")


def given(who) -> InputContract:
    return InputContract(channels=who.channels, spatial_size=who.spatial_size)


def query(folder: Path, classes=("red",), edit=None, **changes) -> Query:
    torch.manual_seed(0)
    network = SPEC.build(2).eval()
    expects = InputContract(channels=3, spatial_size=[28, 28])
    extractor = Extractor(describe(network, SPEC, ["bn1"], expects), network)
    if edit:
        with torch.no_grad():
            edit(extractor)
    card = QueryCard(
        **{
            "site": "site_a", "task": "t", "extractor": extractor.spec, "input": expects,
            "query": list(classes),
            "welcome": ["covariance", "diagonal", "mean", "private_mean"], "private_axes": 32, "radius": 5.0,
            "model_sha256": "0" * 64, **changes,
        }
    )  # fmt: skip
    save_query(folder, extractor, card)
    return load_query(folder)


READ = [LoadImaged("image", reader="PILReader", image_only=True), EnsureChannelFirstd("image")]


def answer(asked: Query, who, out: Path, yes: bool = True) -> ResponseCard:
    data = load_datalist(who.data, who.labels, need=("training",))
    new = not Ledger(who.ledger).is_begun()
    return Responding(who, asked, data, given(who), READ, CPU, yes, new).run(out)


def test_exact_statistics_are_those_of_the_sites_own_images(pictures, tmp_path):
    asked = query(tmp_path / "q")
    card = answer(asked, site(pictures, tmp_path, **EXACT), tmp_path / "a")
    found = load_response(tmp_path / "a", asked).given[0]
    listed = json.loads((pictures / "d.json").read_text())
    reds = [e["image"] for s in ("training", "validation") for e in listed[s] if e["label"] == "red"]
    raw = [np.asarray(Image.open(pictures / f), np.float32).transpose(2, 1, 0) for f in reds]
    image = torch.nn.functional.interpolate(torch.tensor(np.stack(raw)), size=(28, 28), mode="area")
    _, features = asked.extractor((image / 127.5 - 1).clamp(-1, 1))
    assert torch.allclose(found.mean, features.mean(0), atol=1e-4)
    assert torch.allclose(found.covariance, torch.cov(features.T), atol=1e-4)
    assert card.answers[0].count == round(len(reds), -1)


@pytest.mark.parametrize("kind", ["covariance", "diagonal", "mean", "private_mean"])
def test_the_policy_decides_what_leaves_and_the_most_telling_that_is_welcome_is_given(
    pictures, tmp_path, kind
):
    asked = query(tmp_path / "q")
    policy = {**EXACT, "kinds": [kind, "private_mean"], "minimum_patients": 2}
    card = answer(asked, site(pictures, tmp_path, **policy), tmp_path / "a")
    assert card.answers[0].kind == kind
    tensors = {"private_mean": {"0.total"}, "mean": {"0.mean"}}.get(kind, {"0.mean", "0.covariance"})
    assert set(load_file(tmp_path / "a" / ResponseCard.TENSORS)) == tensors


@pytest.mark.parametrize(
    ("policy", "changes", "reason"),
    [
        ({}, {"classes": ("blue",)}, "no such class"),
        ({}, {"classes": ({"name": "Red", "system": "SCT", "code": "1"},)}, None),
        ({"may_ask": ["site_c"]}, {}, "site_a is not on this site's list"),
        ({"kinds": ["private_mean"]}, {"welcome": ["covariance"]}, "gives private_mean only"),
        ({"minimum_patients": 25}, {}, "fewer than 25 images show this class"),
        ({}, {"edit": lambda e: e.projection.zero_()}, "the same features for every image"),
        ({}, {"edit": lambda e: e.projection.mul_(1e30)}, "too large"),
        ({}, {"edit": lambda e: e.network.conv1.weight.fill_(1e38)}, "NaN or infinity"),
    ],
)
def test_what_cannot_be_answered_is_declined_with_a_reason_in_a_valid_package(
    pictures, tmp_path, policy, changes, reason
):
    asked = query(tmp_path / "q", **changes)
    answer(asked, site(pictures, tmp_path, **{**EXACT, **policy}), tmp_path / "a")
    found = load_response(tmp_path / "a", asked)
    told = found.card.answers[0]
    if reason is None:  # a code that the site does not use: found by name
        assert told.declined is None and found.given
        return
    assert reason in told.declined and not found.given
    assert "declined" in json.loads(Ledger(tmp_path / "ledger.db").lines()[0]["release"])


def test_a_class_under_another_code_of_the_same_system_is_another_class(pictures, tmp_path):
    asked = query(tmp_path / "q", classes=({"name": "red", "system": "SCT", "code": "1"},))
    who = site(pictures, tmp_path, **EXACT)
    who = who.model_copy(update={"classes": check_site(
        {**who.model_dump(), "classes": [{"name": "red", "system": "SCT", "code": "2"}, "green"]}, "x"
    ).classes})  # fmt: skip
    data = load_datalist(who.data, site(pictures, tmp_path).labels, need=("training",))
    card = Responding(who, asked, data, given(who), READ, CPU, True).run(tmp_path / "a")
    assert "no such class" in card.answers[0].declined


def test_images_that_cannot_meet_the_contract_are_an_error_that_names_it(pictures, tmp_path):
    spec = preset("resnet_small", 1, [28, 28])
    network, grey = spec.build(2).eval(), InputContract(channels=1, spatial_size=[28, 28])
    extractor = Extractor(describe(network, spec, ["bn1"], grey), network)
    card = QueryCard(
        site="site_a", task="t", extractor=extractor.spec, input=grey, query=["red"], welcome=["mean"],
        private_axes=1, radius=1.0, model_sha256="0" * 64,
    )  # fmt: skip
    save_query(tmp_path / "q", extractor, card)
    with pytest.raises(PackageError, match="expects images with 1 channels"):
        answer(
            load_query(tmp_path / "q"), site(pictures, tmp_path, kinds=["mean"], unit="image"), tmp_path / "a"
        )
    assert not (tmp_path / "a").exists()


def test_nothing_leaves_without_a_yes(pictures, tmp_path, monkeypatch):
    asked = query(tmp_path / "q")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(InputError, match="nobody is there to agree"):
        answer(asked, site(pictures, tmp_path, **PRIVATE), tmp_path / "a", yes=False)
    assert not (tmp_path / "a").exists() and Ledger(tmp_path / "ledger.db").lines() == []


@pytest.mark.parametrize("onward", ["student_only", "assessment"])
def test_where_a_model_may_go_that_is_made_of_it_is_shown_and_stands_on_the_card(
    pictures, tmp_path, capsys, monkeypatch, onward
):
    monkeypatch.setenv("COLUMNS", "300")
    card = answer(query(tmp_path / "q"), site(pictures, tmp_path, **EXACT, onward=onward), tmp_path / "a")
    assert card.onward == onward and f"onward is '{onward}'" in capsys.readouterr().err
    written = json.loads((tmp_path / "a" / "card.json").read_text())
    assert written.get("onward") == (None if onward == "student_only" else onward)  # else as cards had it


def test_the_patient_is_the_unit_and_has_to_be_named(pictures, tmp_path, capsys):
    asked = query(tmp_path / "q")
    answer(asked, site(pictures, tmp_path, minimum_patients=2), tmp_path / "a")
    assert "MRN" not in capsys.readouterr().err
    for file in (tmp_path / "a").iterdir():
        assert b"MRN" not in file.read_bytes()
    assert b"MRN" not in (tmp_path / "ledger.db").read_bytes()

    content = json.loads((pictures / "d.json").read_text())
    for entry in content["training"]:
        entry.pop("patient")
    (pictures / "e.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"e\.json: patient: an image names no patient") as e:
        answer(asked, site(pictures, tmp_path, data="e.json"), tmp_path / "b")
    assert "unit: image" in e.value.fix and "MRN" not in str(e.value)


def test_a_budget_that_is_spent_declines_and_the_same_question_costs_nothing(pictures, tmp_path):
    who = site(pictures, tmp_path, **PRIVATE, total_epsilon=1.2)
    first, second = query(tmp_path / "q1"), query(tmp_path / "q2", radius=6.0)
    answer(first, who, tmp_path / "a1")
    card = answer(second, who, tmp_path / "a2")
    assert card.answers[0].declined == "this site's privacy budget is spent"
    answer(first, who, tmp_path / "a3")
    assert (tmp_path / "a3" / ResponseCard.TENSORS).read_bytes() == (
        tmp_path / "a1" / ResponseCard.TENSORS
    ).read_bytes()


def spying(extractor: Extractor) -> None:
    """An extractor that screams at bright images and is silent otherwise."""
    extractor.network.conv1.weight.fill_(1e18)
    extractor.projection *= 1e6


def contributions(pictures: Path, tmp_path: Path, asked: Query, data: str = "d.json") -> torch.Tensor:
    who = site(pictures, tmp_path, data=data, **PRIVATE)
    data = load_datalist(who.data, who.labels, need=("training",))
    one_pass = Responding(who, asked, data, given(who), READ, CPU, True).one_pass()
    return one_pass.run(who.labels, {0: "private_mean"})[0].sums.contributions()


def test_nobodys_contribution_depends_on_who_else_is_there(pictures, tmp_path):
    """In a batch the last bits of features do; an extractor like this one makes much of them."""

    def blowing_up(extractor: Extractor) -> None:
        torch.manual_seed(1)
        extractor.projection.copy_(1e12 * torch.randn_like(extractor.projection))

    asked = query(tmp_path / "q", edit=blowing_up)
    everybody = contributions(pictures, tmp_path, asked)
    content = json.loads((pictures / "d.json").read_text())
    reds = [e for e in content["training"] if e["label"] == "red"]
    content["training"].remove(reds[2])
    (pictures / "without.json").write_text(json.dumps(content))
    without = contributions(pictures, tmp_path, asked, data="without.json")
    same = (everybody[:, None] == without[None]).all(2)
    assert len(without) == len(everybody) - 1 and bool(same.any(0).all())


def test_an_extractor_built_to_single_a_patient_out_learns_no_more_than_epsilon(pictures, tmp_path):
    asked = query(tmp_path / "q", edit=spying)
    rows = contributions(pictures, tmp_path, asked)
    assert not rows.is_floating_point() and int(rows.square().sum(1).max()) <= STEPS**2
    policy = site(pictures, tmp_path, **PRIVATE).policy
    source = torch.Generator().manual_seed(1)

    def release(share):
        def draw(n):
            return share * torch.randn(n, generator=source, dtype=torch.float64)

        return lambda r: private_release(r, policy.guarantee, rounded_noise(draw))

    target = int(rows.square().sum(1).argmax())
    others = torch.cat([rows[:target], rows[target + 1 :]])
    found = audit_release(release(1.0), others, rows[target], 2000, policy.delta)
    assert found.at_least <= policy.epsilon
    broken = audit_release(release(0.5), others, rows[target], 2000, policy.delta)
    assert broken.at_least > policy.epsilon
