"""`exchange provision`, `check` and `relay`: what they print, and how they end."""

from __future__ import annotations

import importlib.util

import pytest
import yaml

from clinical_qkt.cli import exchange_flare
from tests.conftest import run
from tests.exchange.kits import CONSORTIUM, kit


def test_provision_says_where_it_wrote_and_a_wrong_key_is_one_clear_message(tmp_path, capsys):
    file = tmp_path / "consortium.yaml"
    file.write_text(yaml.safe_dump(CONSORTIUM))
    assert run("exchange", "provision", str(file), str(tmp_path / "flare")) == 0
    assert f"written: {tmp_path / 'flare'}" in capsys.readouterr().out.replace("\n", "")
    file.write_text(yaml.safe_dump(CONSORTIUM | {"relay": {}}))
    assert run("exchange", "provision", str(file), str(tmp_path / "other")) == 2
    assert "relay.host" in capsys.readouterr().err


def test_check_ends_with_two_where_something_is_careless(tmp_path, capsys, monkeypatch):
    made = kit(tmp_path)
    found: list[tuple[str, str]] = []
    monkeypatch.setattr("clinical_qkt.exchange.kit_check.careless", lambda _: found)
    assert run("exchange", "check", str(made)) == 0
    found.append(("resources.json", "is careless"))
    assert run("exchange", "check", str(made)) == 2
    assert "resources.json: is careless" in capsys.readouterr().out


def test_a_relay_without_flare_says_how_to_install_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exchange_flare, "find_spec", lambda _: None)
    assert run("exchange", "relay", str(tmp_path)) == 2
    assert "clinical-qkt[federation]" in capsys.readouterr().err


@pytest.mark.skipif(
    importlib.util.find_spec("nvflare") is None,
    reason='NVIDIA FLARE is not installed: pip install "clinical-qkt[federation]"',
)
@pytest.mark.parametrize(("reached", "code"), [(("hospital_a",), 0), ((), 5)])
def test_a_relay_tells_whom_it_reached_and_ends_with_five_if_nobody(
    tmp_path, capsys, monkeypatch, reached, code
):
    from clinical_qkt.exchange.carriers.flare.outcome import Swept

    swept = Swept(reached, ("hospital_b",), ("hospital_c",))
    monkeypatch.setattr("clinical_qkt.exchange.carriers.flare.submit.relay", lambda *_, **__: swept)
    assert run("exchange", "relay", str(tmp_path)) == code
    said = capsys.readouterr().out
    assert "not reached: hospital_b" in said and "not connected: hospital_c" in said
    assert ("no site was reached" in said) == (not reached)


@pytest.mark.skipif(
    importlib.util.find_spec("nvflare") is None,
    reason='NVIDIA FLARE is not installed: pip install "clinical-qkt[federation]"',
)
def test_a_folder_that_is_no_kit_of_a_sweeper_is_refused(tmp_path, capsys):
    assert run("exchange", "relay", str(kit(tmp_path))) == 2
    assert "no startup kit of somebody who may start sweeps" in capsys.readouterr().err.replace("\n", " ")
