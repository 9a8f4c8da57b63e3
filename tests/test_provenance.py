"""Where figures come from is told, and where anything lies is not."""

import json
import re

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clinical_qkt import provenance
from clinical_qkt.provenance import HIDDEN, without_paths


def test_the_environment_names_versions_and_no_host_user_or_path():
    told = provenance.environment(torch.device("cpu"))
    assert told["packages"]["monai"] == "1.6.1" and told["device"] == "cpu"
    assert not re.search(r"/\w", json.dumps(told))


def test_the_git_version_is_the_commit_of_this_checkout_or_nothing(monkeypatch, tmp_path):
    found = provenance.git_version()
    assert found is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "site-packages" / "provenance.py"))
    assert provenance.git_version() is None


def test_choices_stay_and_places_go():
    config = {
        "site": "us",
        "data": "relative/list.json",
        "teachers": ["/ward/b", "c"],
        "trusted_keys": {"them": "keys/them.pub"},
        "mlflow": "http://tracking.internal:5000",
        "output_dir": "$'runs/' + @site",
        "settings": {"max_epochs": 3, "note": "see /home/anna/notes"},
        "_meta_": {"schema": "https://example.org/schema.json", "mlflow": "3.17.2"},
        "loss": object(),
        "query": [],
        "signing_key": None,
    }
    assert without_paths(config) == {
        "site": "us",
        "data": HIDDEN,
        "teachers": [HIDDEN, HIDDEN],
        "trusted_keys": {"them": HIDDEN},
        "mlflow": HIDDEN,
        "output_dir": "$'runs/' + @site",
        "settings": {"max_epochs": 3, "note": HIDDEN},
        "_meta_": {"schema": "https://example.org/schema.json", "mlflow": "3.17.2"},
        "loss": "object",
        "query": [],
        "signing_key": None,
    }


PARTS = st.from_regex(r"[A-Za-z][\w.-]{0,8}", fullmatch=True)


@given(st.lists(PARTS, min_size=1, max_size=4), st.sampled_from(["/", "~/", "C:\\", "\\\\host\\"]))
def test_an_absolute_path_is_found_wherever_it_stands(parts, root):
    place = root + "/".join(parts)
    for shown in (place, f"$str('{place}')", f"look in {place} for it", {"deep": [place]}):
        told = yaml.safe_dump(without_paths({"whatever": shown}))
        assert HIDDEN in told and place not in told


def test_every_key_of_a_site_that_is_a_path_is_known():
    from pathlib import Path

    from clinical_qkt.sites import Site

    paths = {k for k, f in Site.model_fields.items() if Path.__name__ in str(f.annotation)}
    assert paths - {"trusted_keys"} <= provenance.PATH_KEYS


@pytest.mark.parametrize("address", ["$pathlib.Path(@data).parent", "a/b", "and/or", "1/2", "http://x/y"])
def test_what_names_no_place_stays(address):
    assert without_paths({"note": address}) == {"note": address}
