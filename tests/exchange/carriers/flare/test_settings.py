"""What a site allows a sweep."""

from __future__ import annotations

import json

import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.exchange.carriers.flare.settings import read_settings, settings_file

GOOD = {"spool": "/var/lib/spool", "relay_organisations": ["university"]}


def read(tmp_path, **values):
    settings_file(tmp_path, "hospital_a").write_text(json.dumps(GOOD | values))
    return read_settings(tmp_path, "hospital_a")


def test_only_people_of_a_named_organisation_in_a_named_role_start_sweeps(tmp_path):
    settings = read(tmp_path)
    assert settings.allows("university", "lead")
    for organisation, role in (("clinic_b", "lead"), ("university", "org_admin"), (None, None), ("", "lead")):
        assert not settings.allows(organisation, role)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"spool": "spool"}, "spool"),
        ({"relay_organisations": []}, "relay_organisations"),
        ({"relay_roles": ["boss"]}, "relay_roles"),
        ({"qota": 5}, "qota"),
        ({"quota": "much"}, "quota"),
    ],
)
def test_a_wrong_key_is_named(tmp_path, wrong, told):
    with pytest.raises(InputError, match=told):
        read(tmp_path, **wrong)


def test_missing_settings_and_settings_that_are_no_json_are_told(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        read_settings(tmp_path, "hospital_a")
    settings_file(tmp_path, "hospital_a").write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        read_settings(tmp_path, "hospital_a")
