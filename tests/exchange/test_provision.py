"""What FLARE's own provisioning is given, and what stands in place of its defaults."""

from __future__ import annotations

import json

import pytest
import yaml

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.exchange.carriers.flare.policies import authorisation
from clinical_qkt.exchange.carriers.flare.settings import read_settings
from clinical_qkt.exchange.provision import read_consortium
from tests.exchange.kits import CONSORTIUM, RELAY, SWEEPER, written


def read(file):
    return yaml.safe_load(file.read_text())


def test_flare_gets_a_file_of_all_and_one_of_each(tmp_path):
    out = written(tmp_path)
    project = read(out / "project.yml")
    assert [p["name"] for p in project["participants"]] == [RELAY, SWEEPER, "hospital_a", "hospital_b"]
    assert [p.get("role") for p in project["participants"] if p["type"] == "admin"] == ["lead"]
    assert {f.stem: read(f)["participants"] for f in (out / "participants").iterdir()} == {
        p["name"]: [p] for p in project["participants"]
    }
    assert read(out / "profile.yaml") == {
        "name": "blood_cells",
        "scheme": "grpc",
        "connection_security": "mtls",
        "server": {"host": RELAY, "fed_learn_port": 8002},
    }


def test_each_site_gets_policies_that_let_in_sweeps_of_the_sweeper_alone(tmp_path):
    local = written(tmp_path) / "policies" / "hospital_a" / "local"
    resources, rights, privacy = (
        json.loads((local / name).read_text())
        for name in ("resources.json", "authorization.json", "privacy.json")
    )
    assert resources["class_allow_list"] == ["clinical_qkt.exchange.carriers.flare."]
    assert resources["allow_log_streaming"] is False
    assert all(rights["permissions"][role].get("byoc", "none") == "none" for role in rights["permissions"])
    assert rights["permissions"]["lead"]["submit_job"] == ["o:university"]
    assert privacy["default_scope"] == privacy["scopes"][0]["name"]
    settings = read_settings(local, "hospital_a")
    assert settings.allows("university", "lead") and not settings.allows("clinic_b", "lead")


def test_what_flare_tells_the_relay_of_a_site_holds_no_path(tmp_path):
    """FLARE sends the server each key of resources.json that it does not know itself."""
    local = written(tmp_path) / "policies" / "hospital_a" / "local"
    assert "spool" not in (local / "resources.json").read_text()
    assert "spool" in (local / "exchange.hospital_a.json").read_text()


def test_the_relay_keeps_its_jobs_where_they_last(tmp_path):
    local = written(tmp_path) / "policies" / RELAY / "local"
    assert "/var/lib/clinical-qkt/relay/jobs" in (local / "resources.json").read_text()
    assert "/tmp" not in (local / "resources.json").read_text()
    assert not (local / "privacy.json").exists()


def test_nobody_may_do_what_is_not_said():
    rights = authorisation(["a", "b"])["permissions"]
    assert rights["lead"]["submit_job"] == ["o:a", "o:b"]
    assert rights["project_admin"]["submit_job"] == "none" and rights["member"] == {"view": "any"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sites": {"hospital_a": {"organisation": "clinic_a"}}}, "sites"),
        ({"sites": CONSORTIUM["sites"] | {"hospital.c": {"organisation": "clinic_c"}}}, "hospital.c"),
        ({"relay": {"host": "relay example", "organisation": "university"}}, "relay.host"),
        ({"relay": {"host": RELAY, "organisation": "University"}}, "relay.organisation"),
        ({"sweeper": {"name": "sweeps", "organisation": "university"}}, "sweeper.name"),
        ({"server": {}}, "server"),
    ],
)
def test_a_wrong_key_is_named(tmp_path, wrong, told):
    file = tmp_path / "consortium.yaml"
    file.write_text(yaml.safe_dump(CONSORTIUM | wrong))
    with pytest.raises(InputError, match=told):
        read_consortium(file)


def test_nothing_is_written_over(tmp_path):
    written(tmp_path)
    with pytest.raises(OutputError, match="is not empty"):
        written(tmp_path)
