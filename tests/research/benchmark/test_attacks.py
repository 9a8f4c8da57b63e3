import json

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from clinical_qkt.audit import shadows
from clinical_qkt.core.errors import InputError
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.research.benchmark.privacy import attacks, masks, responses, tables
from clinical_qkt.research.benchmark.privacy.attacks import Record
from clinical_qkt.research.benchmark.privacy.config import PrivacyConfig, read_privacy_config
from clinical_qkt.research.benchmark.privacy.run import Run
from clinical_qkt.research.methods.requested import RequestSettings, requested
from tests.conftest import ROOT

SITES = {"sites": 3, "classes_per_site": [3], "max_epochs": 1, "max_per_class": 20}
DISTIL = {
    "method": "qkt",
    "variant": "distil",
    "participants": "relevant",
    "start_from": "teacher",
    "max_epochs": 1,
}
PRIVATE = RequestSettings(kind="private_mean", views="one")
ON_MODELS = ("likelihood_ratio", "pairwise_ratio", "loss_threshold")
CONFIG = {
    "name": "squares",
    "seeds": [1],
    "methods": {
        "committee": {"method": "qkt"},
        "distil": DISTIL,
        "exact": {"method": "statistics", "minimum_patients": 2, "views": "one"},
        "private": {"method": "statistics", "kind": "private_mean", "views": "one"},
    },
    "parts": [
        {
            "title": "plain training",
            "scenario": {"name": "plain", **SITES},
            "shadow_models": 4,
            "transfers": ["committee", "distil", "private"],
            "queries": 1,
            "attacked_queries": 1,
            "shadow_responses": 4,
            "responses": ["exact", "private"],
            "draws": 2,
        },
        {
            "title": "with differential privacy",
            "scenario": {
                "name": "private",
                **{**SITES, "sites": 2},
                "architecture": "densenet_private",
                "spatial_size": 24,
                "private": {"epsilon": 8, "delta": 0.01, "max_epochs": 1},
            },
            "shadow_models": 4,
            "packages": 1,
            "queries": 0,
            "attacked_queries": 0,
        },
    ],
}


@pytest.fixture(scope="module")
def finished(npz, tmp_path_factory):
    """A whole benchmark on the squares: its run, what it found, its folder. Read-only."""
    out = tmp_path_factory.mktemp("privacy")
    run = Run(PrivacyConfig.model_validate({**CONFIG, "data": npz}), out, quiet())
    return run, run.everything(), out


@pytest.fixture(scope="module")
def plain(finished):
    """The sites of the first part, probed once."""
    run, _, _ = finished
    return run.federation(run.config.parts[0], 1)


def quiet():
    from rich.console import Console

    return Console(quiet=True)


@pytest.mark.slow
def test_everything_is_attacked_and_written(finished):
    _, content, out = finished
    seen = {(r["scenario"], r["of"], r["attack"], r["images"]) for r in content["attacks"]}
    for of in (attacks.PACKAGE, "committee", "distil"):
        for attack in ON_MODELS:
            assert ("plain", of, attack, "all_classes") in seen
            assert ("plain", of, attack, "rarest_class") in seen or of == attacks.PACKAGE
    assert ("plain", attacks.BEFORE, "loss_threshold", "all_classes") in seen
    assert ("private", attacks.PACKAGE, "likelihood_ratio", "all_classes") in seen
    assert {("plain", "private", attack, "all_classes") for attack in ON_MODELS} <= seen
    for method in ("exact", "private"):
        of = f"answers ({method})"
        assert {("plain", of, a, "all_classes") for a in ("inclusion_ratio", "others_known")} <= seen
    packages = next(r for r in content["attacks"] if r["of"] == attacks.PACKAGE)
    assert packages["models"] == 3 and packages["members"] == packages["others"]
    assert {r["transfer"] for r in content["recalls"]["plain"]} == {"committee", "distil", "private"}
    assert json.loads((out / "squares.json").read_text())["attacks"] == content["attacks"]
    assert "Knowledge masks" in (out / "squares.md").read_text()
    assert (out / "squares.png").stat().st_size > 1000


@pytest.mark.slow
def test_what_is_done_is_not_done_again(finished, npz, monkeypatch):
    run, content, out = finished
    monkeypatch.setattr(shadows, "train", None)
    monkeypatch.setattr("clinical_qkt.research.benchmark.federation.train", None)
    again = Run(run.config, out, quiet()).everything()
    for key in ("attacks", "recalls", "masks"):
        assert again[key] == content[key]


@pytest.mark.slow
def test_nobody_trained_on_the_others_and_no_two_sites_share_them(plain):
    trained = {i for mine in plain.positions for part in mine.values() for i in part}
    dealt = [i for mine in plain.held_out for i in mine]
    assert len(dealt) == len(set(dealt)) and not trained & set(dealt)
    for site in range(3):
        known = plain.known(site)
        labels = np.array([int(item["label"]) for item in known.images])
        counts = [np.bincount(labels[which], minlength=5) for which in (known.members, ~known.members)]
        assert np.array_equal(*counts)
        assert set(np.flatnonzero(counts[0])) == set(plain.classes[site])


@pytest.mark.slow
def test_a_shadow_student_learns_from_shadow_teachers(plain):
    case = plain.case(plain.queries(1)[0])
    networks = {t.site: plain.shadow_models(plain.names.index(t.site))[2] for t in case.teachers}
    before = {t.site: a.clone() for t, a in zip(case.teachers, case.logits.values(), strict=True)}
    shadow = attacks._with_teachers(case, networks)
    assert all(t.model.network is networks[t.site] for t in shadow.teachers)
    assert not any(torch.equal(shadow.logits[site], said) for site, said in before.items())
    assert case.teachers[0].model.network is not shadow.teachers[0].model.network


@pytest.mark.slow
def test_an_answer_is_attacked_with_the_very_features_that_it_was_made_of(plain):
    ask = plain.queries(1)[0]
    case = plain.case(ask)
    question = requested(case, None, "one")
    those = responses.candidates(plain, ask, case, question, PRIVATE)
    assert {known.site for known in those} == set(question.sites[0])
    for known in those:
        assert torch.equal(known.features[known.members], question.sites[0][known.site])
        assert known.members.sum() == (~known.members).sum()
    few = RequestSettings(
        views="one", minimum_patients=1 + max(len(seen) for seen in question.sites[0].values())
    )
    assert responses.candidates(plain, ask, case, question, few) == []  # who does not answer


@pytest.mark.slow
def test_a_shadow_student_is_made_of_other_answers_and_other_noise(plain):
    ask = plain.queries(1)[0]
    case = plain.case(ask)
    question = requested(case, None, "one")
    those = responses.candidates(plain, ask, case, question, PRIVATE)
    mine = np.concatenate([~known.members for known in those])
    student = responses._answered(case, question, those, mine, 0)
    answered = requested(student, None, "one")
    for known in those:
        assert torch.equal(answered.sites[0][known.site], known.features[~known.members])
    assert answered.extractor is question.extractor and student.seed != case.seed
    assert requested(case, None, "one") is question  # the student's own is left as it was


@pytest.mark.slow
def test_exact_answers_are_found_out_and_a_promise_is_told_beside_private_ones(finished):
    _, content, out = finished
    row = {r["attack"]: r for r in content["attacks"] if r["of"] == "answers (exact)"}
    assert row["others_known"]["auc"]["mean"] == 1 and row["inclusion_ratio"]["auc"]["mean"] > 0.9
    (promise,) = content["promises"]
    assert promise["of"] == "answers (private)" and promise["epsilon"] == 1
    assert f"| answers (private) | 1 | 1e-05 | {promise['auc']:.3f} |" in (out / "squares.md").read_text()


@pytest.mark.slow
def test_private_sites_say_on_their_cards_what_they_promise(finished):
    run, _, _ = finished
    models = run.federation(run.config.parts[1], 1).models
    assert {m.card.privacy.training.epsilon for m in models} == {8}
    assert run.federation(run.config.parts[0], 1).models[0].card.privacy.training is None


def test_the_page_shows_what_the_command_wrote():
    """Every row of a table on the results page stands in a command's own output, and that follows from its
    figures."""
    page, folder = ROOT / "docs/results/privacy.md", ROOT / "docs/results/privacy"
    written = set()
    for name, config in (("privacy", "privacy"), ("students", "privacy_students")):
        content = json.loads((folder / f"{name}.json").read_text())
        lines = (folder / f"{name}.md").read_text()
        assert tables.tables(content) == lines
        written |= set(lines.splitlines())
        for method in content["config"]["methods"].values():  # published before the words were changed
            for old, new in TransferSettings.RENAMED.items():
                method |= {new: method.pop(old)} if old in method else {}
        made = PrivacyConfig.model_validate(content["config"])
        assert made == read_privacy_config(ROOT / f"configs/benchmarks/{config}.yaml")
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert len(rows) > 80 and set(rows) <= written


def record(of, scores, members, rare=None):
    rare = np.zeros(len(scores), bool) if rare is None else rare
    return Record(of, "x", "loss_threshold", np.array(scores, float), np.array(members), rare)


def test_rows_average_over_models_and_pool_rates():
    config = PrivacyConfig.model_validate({**CONFIG, "parts": CONFIG["parts"][:1]})
    members = np.repeat([True, False], 100)
    perfect = record(attacks.PACKAGE, members, members)
    blind = record(attacks.PACKAGE, np.zeros(200), members, rare=np.arange(200) % 2 == 0)
    rows = tables.attack_rows(config, {"plain": [perfect, blind]})
    assert [r["images"] for r in rows] == ["all_classes", "rarest_class"]
    assert rows[0]["auc"]["mean"] == pytest.approx(0.75) and rows[0]["members"] == 200
    assert rows[0]["tpr_at_1_percent"]["rate"] == 0.5 and rows[0]["tpr_at_01_percent"] is None
    assert rows[1]["models"] == 1 and rows[1]["others"] == 50 and rows[1]["tpr_at_1_percent"] is None


def test_records_come_back_from_their_file(tmp_path):
    made = [record("distil", [0.5, 0.25, 0.0], [True, False, True], np.array([True, True, False]))]
    read = [attacks.kept(tmp_path / "r.npz", lambda: made)[0] for _ in range(2)]
    for r in read:
        assert r.of == "distil" and r.attack == "loss_threshold"
        assert np.array_equal(r.scores, made[0].scores) and np.array_equal(r.rare, made[0].rare)
    assert attacks.kept(tmp_path / "none.npz", list) == attacks.kept(tmp_path / "none.npz", list) == []


def test_randomised_masks_tell_less_the_smaller_epsilon_is():
    config = PrivacyConfig.model_validate({**CONFIG, "parts": CONFIG["parts"][:1]})
    drawn = [{"scores": [0.9, 0.0, 0.9, 0.0], "truth": [True, False, True, False]} for _ in range(20)]
    rows = masks.mask_rows(config, {"plain": drawn})
    accuracy = {r["epsilon"]: r["accuracy"][0] for r in rows}
    assert accuracy[None] == 1
    for epsilon in (0.5, 1.0, 2.0, 4.0):
        assert accuracy[epsilon] == pytest.approx(1 / (1 + np.exp(-epsilon)), abs=0.01)


def test_measures_of_masks_are_scikit_learns():
    rng = np.random.default_rng(0)
    told, truth = (rng.random((6, 8)) < share for share in (0.4, 0.6))
    found = masks._measured(told.tolist(), truth.tolist())
    said, true = told.ravel(), truth.ravel()
    both = [precision_score(true, said), recall_score(true, said), accuracy_score(true, said)]
    assert found == pytest.approx([*both, f1_score(true, said)])
    assert masks._measured([[False]], [[False]]) == [0, 0, 1, 0]


def test_a_config_says_what_is_wrong_with_it(tmp_path):
    no_answers = {**CONFIG["parts"][0], "responses": ["distil"]}
    for change, message in (
        ({"methods": {}}, "no method 'committee'"),
        ({"parts": [no_answers]}, "'distil' is a method without responses"),
        ({"parts": [{"title": "", "scenario": {"name": "plain"}, "shadow_models": 3}]}, "shadow_models"),
        ({"parts": CONFIG["parts"][:1] * 2}, "same name"),
        ({"colour": 1}, "colour"),
    ):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **change}))
        with pytest.raises(InputError, match=message):
            read_privacy_config(tmp_path / "config.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_privacy_config(tmp_path / "absent.yaml")
