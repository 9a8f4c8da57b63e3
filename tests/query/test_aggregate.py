"""A transfer with responses with statistics, alone and beside models, as a site runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from clinical_qkt import bundle
from clinical_qkt.core.errors import InputError, PackageError, QueryError
from clinical_qkt.packages import made_here
from clinical_qkt.packages.made_of import obstacle
from clinical_qkt.packages.model import load_model
from clinical_qkt.packages.response import ResponseCard
from clinical_qkt.packages.writer import CARD
from tests.conftest import COLOURS, CONFIGS, reseal, run

EXACT = {"kinds": ["covariance"], "unit": "image", "minimum_patients": 5}


def student_of(demo: Path) -> tuple[Path, dict]:
    file = next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" in p.read_text())
    return file, yaml.safe_load(file.read_text())


def stage(name: str, file: Path, **overrides) -> None:
    overlay = [CONFIGS / f"{name}.yaml"] if name != "train" else []
    bundle.run([CONFIGS / "train.yaml", *overlay, file], **overrides)


@pytest.fixture(scope="session")
def asked(demo: Path, tmp_path_factory) -> Path:
    """The demo's student has asked, and every other site has answered with exact statistics; read-only."""
    out = tmp_path_factory.mktemp("asked")
    student, _ = student_of(demo)
    stage("query", student, query_dir=str(out / "query"), yes=True)
    for file in sorted(demo.glob("sites/*.yaml")):
        if file != student:
            where = {"response_dir": str(out / file.stem), "ledger": str(out / f"{file.stem}.db")}
            stage(
                "answer", file, request=str(out / "query"), yes=True, new_ledger=True, policy=EXACT, **where
            )
    return out


def transfer(demo: Path, asked: Path, out: Path, answers: list[Path], **overrides) -> dict:
    where = {
        "query_dir": str(asked / "query"),
        "responses": [str(a) for a in answers],
        "transfer_dir": str(out),
        "mlflow": f"sqlite:///{out.parent}/m.db",
    }
    stage("transfer", student_of(demo)[0], **{**where, **overrides})
    return json.loads((out / "summary.json").read_text())


def given(asked: Path) -> list[Path]:
    """The answer packages; only some sites know the class."""
    return sorted(p for p in asked.iterdir() if p.is_dir() and p.name != "query")


def test_statistics_alone_gain_the_class_and_the_model_is_used_like_any_other(demo, asked, tmp_path):
    s = transfer(demo, asked, tmp_path / "t", given(asked), teachers=[])
    assert s["after"]["query_recall"] > 0.7 and s["before"]["query_recall"] == 0
    assert s["teachers"] == [] and {a["site"] for a in s["responses"]} == {p.name for p in given(asked)}
    told = [c for a in s["responses"] for c in a["classes"]]
    assert {c["kind"] for c in told} <= {"covariance", None}
    assert s["method"]["variant"] == "statistics" and s["method"]["head"] == "quadratic"
    assert s["bytes_received"] == sum(a["bytes"] for a in s["responses"])

    model = load_model(tmp_path / "t" / "model")
    assert model.card.network.name == "GaussianClassifier"
    assert model.card.labels.names == [*student_of(demo)[1]["classes"], *s["student"]["query"]]
    told = {a["site"] for a in s["responses"] for c in a["classes"] if c["kind"]}
    assert {one.site for one in model.card.made_of} == told and all(one.exact for one in model.card.made_of)
    assert model.card.gained == s["student"]["query"] and "nobody but the asker" in obstacle(model.card, "x")
    page = (tmp_path / "t" / "report.html").read_text()
    assert "asked for numbers" in page and (tmp_path / "t" / "figures" / "responses.png").is_file()
    result = tmp_path / "evaluation.json"
    where = {"output_dir": str(tmp_path), "mlflow": f"sqlite:///{tmp_path}/m.db"}
    stage("evaluate", student_of(demo)[0], model=str(tmp_path / "t" / "model"), result=str(result), **where)
    assert json.loads(result.read_text())["per_class"].keys() == s["after"]["per_class"].keys()


def test_statistics_from_one_site_and_a_model_from_another_work_together(demo, asked, tmp_path):
    holders = [p for p in given(asked) if json.loads((p / CARD).read_text())["answers"][0]["kind"]]
    teachers = student_of(demo)[1]["teachers"]
    other = next(t for t in teachers if Path(t).name != holders[0].name)
    s = transfer(demo, asked, tmp_path / "t", holders[:1], teachers=[other])
    assert s["method"]["variant"] == "committee and statistics" and s["after"]["query_recall"] > 0.5
    spec = load_model(tmp_path / "t" / "model").card.network
    assert [seat.network.name for seat in spec.members] == ["GaussianClassifier", "ResNet"]


@pytest.mark.slow
def test_of_two_classes_one_can_come_from_numbers_and_the_other_from_models(demo, tmp_path):
    student, values = student_of(demo)
    lacking = [c for c in COLOURS if c not in values["classes"]]
    others = {p: yaml.safe_load(p.read_text()) for p in sorted(demo.glob("sites/*.yaml")) if p != student}
    # the second one by numbers, so that the order of the new classes is not that of the query
    asked_class = next(c for c in reversed(lacking) if any(c in v["classes"] for v in others.values()))
    query = [*(c for c in lacking if c != asked_class), asked_class]
    stage("query", student, query=query, query_dir=str(tmp_path / "query"), yes=True)
    file = next(p for p, v in others.items() if asked_class in v["classes"])
    where = {
        "response_dir": str(tmp_path / "a"),
        "ledger": str(tmp_path / "l.db"),
        "request": str(tmp_path / "query"),
    }
    stage("answer", file, yes=True, new_ledger=True, policy=EXACT, **where)
    card = json.loads((tmp_path / "a" / CARD).read_text())
    tensors = load_file(tmp_path / "a" / ResponseCard.TENSORS)
    for i, told in enumerate(card["answers"][:-1]):  # it may know the others too
        card["answers"][i] = {"label": told["label"], "declined": "left out here"}
    save_file({k: v for k, v in tensors.items() if k.startswith("1.")}, tmp_path / "a" / ResponseCard.TENSORS)
    (tmp_path / "a" / CARD).write_text(json.dumps(card))
    reseal(tmp_path / "a", ResponseCard.TENSORS, key=demo / "keys" / f"{card['site']}.key")

    s = transfer(demo, tmp_path, tmp_path / "t", [tmp_path / "a"], query=query)
    found = [s["after"]["per_class"][c]["recall"] for c in query]
    assert [r for r in found if r is not None and r > 0.3]  # the demo tests one of them only
    network = load_model(tmp_path / "t" / "model").card.network
    own = network.members[0]
    assert own.network.name == "GaussianClassifier" and own.columns == [0, 1, 2, 4]


@pytest.mark.parametrize("head", ["linear", "replay"])
@pytest.mark.slow
def test_the_other_heads_are_one_value_away(demo, asked, tmp_path, head):
    s = transfer(demo, asked, tmp_path / "t", given(asked), teachers=[], **{"settings::head": head})
    assert s["method"]["head"] == head and s["after"]["query_recall"] > 0.4


def test_a_shrinkage_that_is_not_given_is_chosen_on_own_images(demo, asked, tmp_path):
    s = transfer(demo, asked, tmp_path / "t", given(asked), teachers=[], **{"settings::shrinkage": None})
    assert 0 <= s["method"]["shrinkage"] <= 1


def test_a_query_that_everybody_declined_ends_the_transfer(demo, asked, tmp_path):
    file = next(p for p in sorted(demo.glob("sites/*.yaml")) if p != student_of(demo)[0])
    where = {
        "response_dir": str(tmp_path / "a"),
        "ledger": str(tmp_path / "l.db"),
        "request": str(asked / "query"),
    }
    stage("answer", file, yes=True, policy={**EXACT, "may_ask": ["nobody"]}, **where)
    with pytest.raises(QueryError, match="no teacher knows .* and no site sent statistics of it"):
        transfer(demo, asked, tmp_path / "t", [tmp_path / "a"], teachers=[])
    assert not (tmp_path / "t" / "summary.json").exists()


def test_answers_to_an_earlier_query_are_refused(demo, asked, tmp_path):
    student, _ = student_of(demo)
    stage("query", student, query_dir=str(tmp_path / "query"), yes=True, **{"settings::depths": ["bn1"]})
    with pytest.raises(PackageError, match="answers another query"):
        transfer(demo, asked, tmp_path / "t", given(asked), teachers=[], query_dir=str(tmp_path / "query"))


def test_answers_do_not_fit_a_model_that_was_trained_again(demo, asked, tmp_path):
    student, values = student_of(demo)
    again = {"output_dir": str(tmp_path / "o"), "mlflow": f"sqlite:///{tmp_path}/m.db"}
    stage("train", student, max_epochs=1, **again)
    with (tmp_path / "o" / made_here.FILE).open("a") as record:  # as one computer's state folder has both
        record.write((Path(values["output_dir"]) / made_here.FILE).read_text())
    with pytest.raises(InputError, match="trained again since the query was written"):
        transfer(demo, asked, tmp_path / "t", given(asked), teachers=[], **again)


def test_nothing_is_trained_on_statistics(demo, asked, tmp_path):
    with pytest.raises(InputError, match="nothing is trained on responses with statistics"):
        transfer(demo, asked, tmp_path / "t", given(asked), **{"settings::max_epochs": 1})


def test_two_answers_of_one_site_are_refused(demo, asked, tmp_path):
    one = given(asked)[0]
    with pytest.raises(PackageError, match="a second response of the site"):
        transfer(demo, asked, tmp_path / "t", [one, one])


def mirrored(package: Path, to: Path) -> Path:
    """A site that would do harm: its mean points the other way, its digests fit."""
    to.mkdir()
    card = json.loads((package / CARD).read_text())
    tensors = load_file(package / ResponseCard.TENSORS)
    tensors["0.mean"] = -3 * tensors["0.mean"]
    save_file(tensors, to / ResponseCard.TENSORS)
    (to / CARD).write_text(json.dumps({**card, "site": "hospital_x"}))
    reseal(to, ResponseCard.TENSORS)
    return to


def test_a_mirrored_answer_is_warned_of_by_name_and_stands_in_the_report(demo, asked, tmp_path, capsys):
    holders = [p for p in given(asked) if json.loads((p / CARD).read_text())["answers"][0]["kind"]]
    bad = mirrored(holders[0], tmp_path / "bad")
    untrusted = {"untrusted_packages": "accept"}
    s = transfer(demo, asked, tmp_path / "t", [*holders, bad], teachers=[], **untrusted)
    assert s["untrusted_packages"] == ["hospital_x (unsigned)"]
    assert "warning: the response of hospital_x" in capsys.readouterr().err
    rows = {a["site"]: a["classes"][0] for a in s["responses"]}
    assert rows["hospital_x"]["far_off"] is True
    assert "far off" in (tmp_path / "t" / "report.html").read_text()


def test_the_exported_result_is_the_same_classifier(demo, asked, tmp_path):
    transfer(demo, asked, tmp_path / "t", given(asked), teachers=[])
    network = load_model(tmp_path / "t" / "model").network
    image = torch.rand(4, 3, 28, 28) * 2 - 1
    with torch.no_grad():
        script = torch.jit.trace(network, image[:2])
        assert torch.allclose(script(image), network(image), atol=1e-4)


def test_the_command_line_shows_packages_and_the_ledger(demo, asked, capsys):
    verify = ("package", "verify", "--site", str(student_of(demo)[0]))
    assert run(*verify, str(given(asked)[0]), "--query", str(asked / "query")) == 0
    assert run(*verify, str(given(asked)[0])) == 2
    assert run(*verify, str(asked / "query")) == 0  # a site knows what it wrote itself
    assert "this site made it" in " ".join(capsys.readouterr().out.split())
    capsys.readouterr()
    assert run("ledger", str(asked / f"{given(asked)[0].name}.db")) == 0
    assert "All private responses that hide a patient, together: epsilon 0.00" in capsys.readouterr().out
    assert run("ledger", str(asked / "nothing.db")) == 2


def test_the_audit_is_a_command_with_an_exit_code(capsys):
    assert run("audit", "--releases", "1500") == 0
    out = capsys.readouterr().out
    assert "The promise held." in out and "The broken releases were found out." in out
