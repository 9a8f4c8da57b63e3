"""What leaves is shown, asked for and written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from clinical_qkt import bundle
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import sha256
from clinical_qkt.packages.model import load_model
from clinical_qkt.packages.writer import CARD
from clinical_qkt.site import consent
from clinical_qkt.site.consent import Leaving, Preview, contents, require_consent
from clinical_qkt.site.ledger.ledger import Ledger
from clinical_qkt.site.policy import Policy
from tests.conftest import CONFIGS, run


@pytest.fixture
def teacher(demo) -> Path:
    """The YAML of a site of the demo that asks for nothing."""
    return next(p for p in sorted(demo.glob("sites/*.yaml")) if "teachers:" not in p.read_text())


def share(teacher: Path, tmp_path: Path, **overrides) -> Path:
    where = {"package_dir": str(tmp_path / "p"), "ledger": str(tmp_path / "l.db")}
    bundle.run([CONFIGS / "train.yaml", CONFIGS / "share.yaml", teacher], **where, **overrides)
    return tmp_path / "p"


def test_nothing_leaves_where_nobody_is_there_to_agree(teacher, tmp_path):
    with pytest.raises(InputError, match="nobody is there to agree"):
        share(teacher, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("said", [True, False])
def test_whoever_is_there_is_shown_everything_and_asked(teacher, tmp_path, monkeypatch, capfd, said):
    asked = []
    monkeypatch.setattr(consent.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(consent.Confirm, "ask", lambda question, **_: asked.append(question) or said)
    if said:
        share(teacher, tmp_path, to="hospital_9")
    else:
        with pytest.raises(InputError, match="was not agreed to; nothing was written"):
            share(teacher, tmp_path, to="hospital_9")
    shown = " ".join(capfd.readouterr().err.split())
    assert len(asked) == 1 and str(tmp_path / "p") in asked[0]
    for told in ("for hospital_9", "label_space.0.name", "recall.", "training.epochs", "model.safetensors",
                 "card.json", "bytes, SHA-256", "tensors", "with the key", "none was made"):  # fmt: skip
        assert told in shown, told
    assert (tmp_path / "p").exists() is said
    assert len(Ledger(tmp_path / "l.db").lines("departures")) == said
    assert {p.name for p in tmp_path.iterdir()} <= {"p", "l.db"}  # no half of a package


def test_the_ledger_has_a_line_for_what_left_with_its_digest_and_receiver(teacher, tmp_path, capsys):
    package = share(teacher, tmp_path, yes=True, to="hospital_9")
    (line,) = Ledger(tmp_path / "l.db").lines("departures")
    card = json.loads((package / CARD).read_text())
    assert line["kind"] == "model" and line["sent_to"] == "hospital_9"
    assert line["card_sha256"] == sha256(package / CARD) and line["tensors_sha256"] == card["weights_sha256"]
    assert line["bytes"] == sum(p.stat().st_size for p in package.iterdir())
    assert run("ledger", str(tmp_path / "l.db")) == 0
    shown = capsys.readouterr().out
    assert "hospital_9" in shown and line["card_sha256"][:8] in shown
    assert run("ledger", "--json", str(tmp_path / "l.db")) == 0
    assert json.loads(capsys.readouterr().out)["packages"] == [line]


@pytest.mark.slow
def test_a_package_in_half_precision_teaches_and_tells_of_the_rounded_weights(demo, tmp_path):
    sites = {p: yaml.safe_load(p.read_text()) for p in sorted(demo.glob("sites/*.yaml"))}
    student, (asked,) = next((p, v["query"]) for p, v in sites.items() if v.get("teachers"))
    knows = next(p for p, v in sites.items() if p != student and asked in v["classes"])
    package = share(knows, tmp_path, yes=True, precision="float16")
    card = load_model(package).card
    assert card.precision == "float16" and card.recall
    where = {"transfer_dir": str(tmp_path / "t"), "mlflow": f"sqlite:///{tmp_path}/m.db"}
    files = [CONFIGS / "train.yaml", CONFIGS / "transfer.yaml", CONFIGS / "transfer_distil.yaml", student]
    bundle.run(files, **where, teachers=[str(package)])
    assert load_model(tmp_path / "t" / "model").card.precision == "float32"


def test_an_unknown_precision_is_refused_before_anything_is_shown(teacher, tmp_path):
    with pytest.raises(InputError, match=r"precision: must be 'float32' or 'float16' \(given: 'half'\)"):
        share(teacher, tmp_path, yes=True, precision="half")
    assert not list(tmp_path.iterdir())


def test_an_audit_that_was_made_is_on_the_card_and_shown(teacher, tmp_path):
    package = share(teacher, tmp_path, yes=True, audit=True, shadow_models=0)
    model = load_model(package)
    attacks = {(f.attack, f.of) for f in model.card.privacy.audit.figures}
    assert attacks == {("loss_threshold", "all_classes"), ("loss_threshold", "rarest_class")}
    shown = [str(cell) for cell in contents(package, model.card).columns[0].cells]
    assert "audit: loss threshold, rarest class" in shown
    assert not list(Path(yaml.safe_load(teacher.read_text())["output_dir"]).glob("unfinished/*"))


def test_a_key_that_cannot_be_used_is_found_before_any_work(teacher, tmp_path):
    with pytest.raises(InputError, match="signing_key: .*nowhere.key: cannot be read"):
        share(teacher, tmp_path, yes=True, signing_key=str(tmp_path / "nowhere.key"))
    assert not list(tmp_path.iterdir())


def test_a_ledger_that_cannot_be_written_keeps_the_package_back(tmp_path, demo):
    package = next((demo / "packages").iterdir())
    (tmp_path / "l.db").write_text("not a database" * 100)
    with pytest.raises(bundle.QKTError, match="the ledger cannot be used"):
        Leaving(tmp_path / "p", Ledger(tmp_path / "l.db"), yes=True)(package, load_model(package).card)


@pytest.mark.parametrize("unit", ["patient", "image"])
def test_an_answer_s_guarantee_says_whom_the_noise_hides(tmp_path, capsys, monkeypatch, unit):
    monkeypatch.setenv("COLUMNS", "200")
    rows = [Preview("a", "private mean", patients=84, numbers=129, private=True)]
    require_consent("them", rows, Policy(unit=unit), 0.0, tmp_path, yes=True)
    shown = capsys.readouterr().err
    assert f"(1, 1e-05)-private for one {unit}" in shown
    assert ("a patient with several images is hidden less" in shown) is (unit == "image")


@pytest.mark.parametrize("private", [True, False])
def test_exact_numbers_are_said_to_have_no_guarantee_before_anybody_agrees(tmp_path, capsys, private):
    row = Preview("red", "an answer", 30, 9, private=private)
    require_consent("site_a", [row], Policy(), 0.0, tmp_path, yes=True)
    assert ("Exact numbers have no guarantee" in capsys.readouterr().err) is not private
