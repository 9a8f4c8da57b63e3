"""Promise: what nobody vouches for is refused wherever it lies; what the site made itself, it knows again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from clinical_qkt import bundle
from clinical_qkt.bundle.running import NOW
from clinical_qkt.core.errors import PackageError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.networks.extractor import Extractor, describe
from clinical_qkt.networks.spec import NetworkSpec, find_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.packages.query import QueryCard, load_query, save_query
from clinical_qkt.packages.response import ClassResponse, ResponseCard, save_response
from clinical_qkt.packages.signing import new_key
from clinical_qkt.packages.writer import CARD
from clinical_qkt.query.aggregate import read_responses
from clinical_qkt.site.config import Site, check_site
from tests.conftest import reseal, run

SPEC = NetworkSpec(
    name="DenseNet121", spatial_dims=2, in_channels=1,
    args={"init_features": 2, "growth_rate": 1, "block_config": [1, 1]},
)  # fmt: skip
NETWORK, EXPECTS = SPEC.build(2).eval(), InputContract(channels=1, spatial_size=[8, 8])
PLACES = ("out/model", "out/received/hospital_b", "out/package", "out/transfer/model", "elsewhere")


@pytest.fixture(autouse=True)
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NOW, "embedded", True)  # errors are raised, not printed


def our(root: Path, out: str = "out", **more: Any) -> Site:
    """This hospital, ``us``; its YAML lies in ``site.yaml``."""
    said = {"site": "us", "data": str(root / "data.json"), "classes": ["a", "b"], "query": ["c"], **more}
    folders = {"output_dir": out, "package_dir": f"{out}/package", "transfer_dir": f"{out}/transfer"}
    folders |= {"query_dir": f"{out}/query", "ledger": "ledger.db"}
    said |= {key: str(root / folder) for key, folder in folders.items()}
    (root / "site.yaml").write_text(yaml.safe_dump({k: v for k, v in said.items() if k != "data"}))
    return check_site(said, "us")


def model(folder: Path, site: str, classes: list[str], **keep: Any) -> Path:
    about = {"network": SPEC, "head": find_head(NETWORK), "input": EXPECTS}
    save_model(folder, NETWORK, Card(site=site, task="t", label_space=classes, **about), **keep)
    return folder


def query(folder: Path, site: str, own: Path, **keep: Any) -> Path:
    """A query as the model in ``own`` would ask it."""
    extractor = Extractor(describe(NETWORK, SPEC, ["features.norm0"], EXPECTS), NETWORK)
    about: dict[str, Any] = {
        "extractor": extractor.spec,
        "input": EXPECTS,
        "query": ["c"],
        "welcome": ["mean"],
    }
    if "private_axes" in QueryCard.model_fields:
        about["private_axes"] = 1
    digest = json.loads((own / CARD).read_text())["weights_sha256"]
    card = QueryCard(site=site, task="t", radius=1.0, model_sha256=digest, **about)
    save_query(folder, extractor, card, **keep)
    return folder


def declined(folder: Path, to: Path, key: Path) -> Path:
    asked = load_query(to)
    told = [ClassResponse(label=c, declined="none here") for c in asked.card.query]
    save_response(
        folder,
        ResponseCard(site="b", task="t", query_sha256=asked.digest, answers=told),
        [None],
        signing_key=key,
    )
    return folder


@pytest.mark.parametrize(("place", "says"), [*((place, "hospital_b") for place in PLACES), (PLACES[0], "us")])
def test_a_foreign_package_is_refused_in_our_folders_as_anywhere(place, says, tmp_path):
    site, foreign = our(tmp_path), model(tmp_path / place, says, ["a", "b"])
    with pytest.raises(PackageError, match="is not signed"):
        bundle.load_model(foreign, site)


def test_a_foreign_results_folder_does_not_vouch_for_what_is_in_it(tmp_path):
    site, theirs = our(tmp_path), tmp_path / "out" / "received"
    foreign = model(theirs / "model", "us", ["a", "b"])
    (theirs / "made_here.txt").write_text(f"{_digest(foreign)}  card 2026-11-26\n")
    with pytest.raises(PackageError, match="is not signed"):
        bundle.load_model(foreign, site)


def test_a_foreign_query_in_the_place_of_ours_is_not_what_answers_are_read_by(tmp_path):
    """Its centre and map would make another classifier of the answers."""
    key, public, _ = new_key("b", tmp_path)
    site = our(tmp_path, trusted_keys={"b": str(public)})
    own = model(tmp_path / "own", "us", ["a", "b"])
    asked = query(tmp_path / "out/query", "us", own)
    answers = [declined(tmp_path / "answer", asked, key)]
    with pytest.raises(PackageError, match="was not written by this site"):
        read_responses(answers, asked, load_model(own), LabelSpace(["c"]), site.trust)


def test_what_we_made_is_known_wherever_it_is_copied_to_and_without_the_ledger(tmp_path):
    site = our(tmp_path)
    own = model(tmp_path / "out/model", "us", ["a", "b"], record=site.record)
    assert bundle.load_model(own, site).signed.state == "made here"
    shutil.copytree(own, tmp_path / "usb" / "copy")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "ledger.db").unlink(missing_ok=True)
    assert bundle.load_model(tmp_path / "usb" / "copy", site).signed.state == "made here"
    other = our(tmp_path, "another/place")
    assert bundle.load_model(tmp_path / "usb" / "copy", other).signed.state == "made here"


def test_a_results_folder_is_known_on_another_computer(tmp_path, monkeypatch):
    own = model(tmp_path / "out/model", "us", ["a", "b"], record=our(tmp_path).record)
    monkeypatch.setenv("CLINICAL_QKT_STATE", str(tmp_path / "another computer"))
    (tmp_path / "out").rename(tmp_path / "moved")
    assert bundle.load_model(tmp_path / "moved/model", our(tmp_path, "moved")).card.site == "us"
    assert not own.exists()


def test_our_own_query_is_known_too(tmp_path):
    key, public, _ = new_key("b", tmp_path)
    site = our(tmp_path, trusted_keys={"b": str(public)})
    own = model(tmp_path / "out/model", "us", ["a", "b"], record=site.record)
    asked = query(tmp_path / "out/query", "us", own, record=site.record)
    answers = [declined(tmp_path / "answer", asked, key)]
    assert read_responses(answers, asked, load_model(own), LabelSpace(["c"]), site.trust).parts[0].site == "b"


def test_a_record_that_was_lost_is_made_good_by_a_person(tmp_path, capsys):
    own = model(tmp_path / "out/model", "us", ["a", "b"])
    with pytest.raises(PackageError, match="package adopt FOLDER --site SITE.yaml"):
        bundle.load_model(own, our(tmp_path))
    command = ("package", "adopt", str(own), "--site", str(tmp_path / "site.yaml"))
    assert run(*command) == 2 and "nobody is there" in capsys.readouterr().err
    assert run(*command, "--yes") == 0
    assert bundle.load_model(own, our(tmp_path)).signed.state == "made here"
    assert run("package", "verify", str(own), "--site", str(tmp_path / "site.yaml")) == 0
    assert run(*command) == 0 and "already" in capsys.readouterr().out


def test_nobody_adopts_anothers_package_by_a_slip(tmp_path, capsys):
    our(tmp_path)
    foreign = model(tmp_path / "b", "hospital_b", ["a", "b"])
    assert run("package", "adopt", str(foreign), "--site", str(tmp_path / "site.yaml"), "--yes") == 2
    assert "says that it is of 'hospital_b'" in capsys.readouterr().err


def test_what_was_changed_since_is_not_ours_any_more(tmp_path):
    site = our(tmp_path)
    own = model(tmp_path / "out/model", "us", ["a", "b"], record=site.record)
    card = json.loads((own / CARD).read_text())
    (own / CARD).write_text(json.dumps(card | {"intended_use": "all"}))
    reseal(own)
    with pytest.raises(PackageError, match="is not signed"):
        bundle.load_model(own, site)


def test_half_a_line_vouches_for_nothing_and_hides_no_other(tmp_path):
    site = our(tmp_path)
    own = model(tmp_path / "out/model", "us", ["a", "b"], record=site.record)
    for path in site.record:
        path.write_text(path.read_text() + _digest(own)[:40] + "\n\xff\n", encoding="utf-8")
    assert bundle.load_model(own, site).signed.state == "made here"
    assert len(site.trust.made_here) == 1


def _digest(folder: Path) -> str:
    from clinical_qkt.core.files import sha256

    return sha256(folder / CARD)
