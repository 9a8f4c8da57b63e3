"""The commands ``package …`` and ``keys …``."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import NetworkSpec, find_head
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import save_model
from clinical_qkt.packages.signing import SIGNATURE, new_key
from tests.conftest import run, site_file

SPEC = NetworkSpec(
    name="DenseNet121", spatial_dims=2, in_channels=1,
    args={"init_features": 8, "growth_rate": 4, "block_config": [2, 2]},
)  # fmt: skip


@pytest.fixture
def package(tmp_path: Path) -> Path:
    network = SPEC.build(2)
    card = Card(
        site="hospital_a", task="t", label_space=["left [bold]", "right"], network=SPEC,
        head=find_head(network),        input=InputContract(channels=1, spatial_size=[28, 28]),
    )  # fmt: skip
    save_model(tmp_path / "p", network, card)
    return tmp_path / "p"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return new_key("hospital_a", tmp_path / "keys")[:2]


def test_a_package_is_signed_and_then_verified_with_a_key_or_a_site(package, keys, tmp_path, capsys):
    site = str(site_file(tmp_path, trusted_keys={"hospital_a": str(keys[1])}))
    assert run("package", "verify", "--site", site, str(package)) == 3
    assert "is not signed" in capsys.readouterr().err
    assert run("package", "sign", str(package), "--key", str(keys[0])) == 0
    for how in (("--site", site), ("--key", str(keys[1]))):
        assert run("package", "verify", *how, str(package)) == 0
        assert "signed with the key that this site trusts" in " ".join(capsys.readouterr().out.split())
    stranger = new_key("stranger", tmp_path / "keys")[1]
    assert run("package", "verify", "--key", str(stranger), str(package)) == 3
    assert "another key" in capsys.readouterr().err


def test_unsigned_checks_all_but_the_signature(package, capsys):
    assert run("package", "verify", "--unsigned", str(package)) == 0
    assert "signature: not checked" in " ".join(capsys.readouterr().out.split())
    (package / "card.json").write_text("{}")
    assert run("package", "verify", "--unsigned", str(package)) == 3


@pytest.mark.parametrize("how", [(), ("--unsigned", "--key", "x.pub")])
def test_it_has_to_be_said_whose_signature_counts(package, how, capsys):
    assert run("package", "verify", *how, str(package)) == 2
    assert "--site, --key, --unsigned" in capsys.readouterr().err


def test_a_key_that_cannot_be_read_is_the_sites_own_mistake(package, keys, tmp_path, capsys):
    assert run("package", "sign", str(package), "--key", str(keys[0])) == 0
    assert run("package", "verify", "--key", str(tmp_path / "none.pub"), str(package)) == 2
    assert "none.pub" in capsys.readouterr().err


def test_a_package_that_is_refused_is_not_signed(package, keys):
    (package / "more").touch()
    assert run("package", "sign", str(package), "--key", str(keys[0])) == 3
    assert not (package / SIGNATURE).exists()


def test_show_tells_the_card_as_it_is_written(package, capsys):
    assert run("package", "show", str(package)) == 0
    out = capsys.readouterr().out
    assert "left [bold]" in out and "hospital_a" in out and "differential privacy" in out


def test_diff_tells_what_is_not_the_same(package, tmp_path, capsys):
    assert run("package", "diff", str(package), str(package)) == 0
    assert "The same card" in capsys.readouterr().out
    other = SPEC.build(2)
    card = Card(
        site="hospital_b", task="t", label_space=["left [bold]", "right"], network=SPEC,
        head=find_head(other),        input=InputContract(channels=1, spatial_size=[28, 28]),
    )  # fmt: skip
    save_model(tmp_path / "q", other, card)
    assert run("package", "diff", str(package), str(tmp_path / "q")) == 1
    out = capsys.readouterr().out
    assert "hospital_b" in out and "differs by" in out


@pytest.mark.parametrize("command", ["verify --unsigned", "show", "sign --key k.key", "diff"])
def test_an_absent_package_is_refused_without_a_traceback(command, tmp_path, capsys):
    absent = [str(tmp_path / "none")] * (2 if command == "diff" else 1)
    assert run("package", *command.split(), *absent) == 3
    assert "there is no such folder" in capsys.readouterr().err


def test_new_keys_are_made_and_told(tmp_path, capsys):
    assert run("keys", "new", "a", "--out", str(tmp_path)) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert run("keys", "fingerprint", str(tmp_path / "a.pub")) == 0
    mark = capsys.readouterr().out.strip()
    assert len(mark) == 64 and mark in told
    assert run("keys", "new", "a", "--out", str(tmp_path)) == 5
    assert run("keys", "fingerprint", str(tmp_path / "a.key")) == 2


def test_a_passphrase_is_asked_for_and_later_read_from_a_variable(package, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("typer.prompt", lambda *a, **k: asked.append(k) or "open sesame")
    assert run("keys", "new", "a", "--passphrase", "--out", str(tmp_path)) == 0
    assert asked[0]["hide_input"] and b"ENCRYPTED" in (tmp_path / "a.key").read_bytes()
    command = ("package", "sign", str(package), "--key", str(tmp_path / "a.key"))
    monkeypatch.delenv("CLINICAL_QKT_PASSPHRASE", raising=False)
    assert run(*command) == 2
    assert "CLINICAL_QKT_PASSPHRASE" in capsys.readouterr().err
    monkeypatch.setenv("CLINICAL_QKT_PASSPHRASE", "open sesame")
    assert run(*command) == 0


def test_a_name_that_no_card_may_have_gets_no_keys(tmp_path):
    assert run("keys", "new", "../up", "--out", str(tmp_path / "keys")) == 2
    assert not (tmp_path / "up.key").exists()
