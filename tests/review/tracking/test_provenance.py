"""Where figures come from is told, and where anything lies is not."""

import json
import re

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clinical_qkt.review.tracking import provenance
from clinical_qkt.review.tracking.provenance import (
    HIDDEN,
    HIDDEN_EXPRESSION,
    HIDDEN_TEXT,
    PATH_KEYS,
    without_paths,
)
from clinical_qkt.site.config import Site


def test_the_environment_names_versions_and_no_host_user_or_path():
    told = provenance.environment(torch.device("cpu"))
    assert told["packages"]["monai"] == "1.6.1" and told["device"] == "cpu"
    assert not re.search(r"/\w", json.dumps(told))


def test_the_git_version_is_the_commit_of_this_checkout_or_nothing(monkeypatch, tmp_path):
    found = provenance.git_version()
    assert found is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "site-packages" / "provenance.py"))
    assert provenance.git_version() is None


OWN = [
    {
        "output_dir": "$'runs/' + @site",
        "transfer_dir": "$str(@output_dir) + '/transfer'",
        "head": {"_target_": "Net", "kind": "small"},
        "_meta_": {"schema": "https://example.org/schema.json", "note": "all of data/x"},
    }
]


def test_choices_stay_and_places_go():
    config = {
        "site": "us",
        "data": "relative/list.json",
        "teachers": ["/ward/b", "c"],
        "pretrained": "lite0.safetensors",
        "trained_layers": "head",
        "trusted_keys": {"them": "keys/them.pub"},
        "mlflow": "http://tracking.internal:5000",
        "output_dir": "$'runs/' + @site",
        "transfer_dir": "$str(@output_dir) + '/transfer'",
        "settings": {"max_epochs": 3, "soft_targets": "joint", "note": "see /home/anna/notes"},
        "classes": ["a", {"name": "b/c", "system": "http://snomed.info/sct", "code": "1"}],
        "_meta_": {"schema": "https://example.org/schema.json", "note": "all of data/y"},
        "head": {"_target_": "Net", "kind": "small", "weights": "wards/anna", "_seen_": "anna", "size": 3},
        "loss": object(),
        "query": [],
        "signing_key": None,
    }
    assert without_paths(config, OWN) == {
        "site": "us",
        "data": HIDDEN,
        "teachers": [HIDDEN, HIDDEN],
        "pretrained": HIDDEN,
        "trained_layers": "head",
        "trusted_keys": {"them": HIDDEN},
        "mlflow": HIDDEN,
        "output_dir": "$'runs/' + @site",
        "transfer_dir": "$str(@output_dir) + '/transfer'",
        "settings": {"max_epochs": 3, "soft_targets": "joint", "note": HIDDEN},
        "classes": ["a", {"name": "b/c", "system": "http://snomed.info/sct", "code": "1"}],
        "_meta_": {"schema": "https://example.org/schema.json", "note": HIDDEN_TEXT},
        "head": {
            "_target_": "Net",
            "kind": "small",
            "weights": HIDDEN_TEXT,
            "_seen_": HIDDEN_TEXT,
            "size": 3,
        },
        "loss": "object",
        "query": [],
        "signing_key": None,
    }


PARTS = st.from_regex(r"Q[A-Za-z0-9_.-]{1,8}", fullmatch=True)
ROOTS = ["/", "~/", "~anna/", "C:\\", "\\\\host\\", "file:///", "smb://host/", "./", "../", "wards\\"]


@given(st.lists(PARTS, min_size=2, max_size=4), st.sampled_from(ROOTS))
def test_a_path_is_found_wherever_it_stands(parts, root):
    place = root + "/".join(parts)
    for shown in (
        place,
        f"$str('{place}')",
        f"look in {place} for it",
        {"deep": [place]},
        {place: 1},
        f"a;{place}",
    ):
        told = yaml.safe_dump(without_paths({"licence": shown}))
        assert "<" in told and "Q" not in told


@given(st.text(min_size=1))
def test_of_a_persons_own_key_nothing_is_told(text):
    told = without_paths({"_where": text, "_more": {text: [text]}, "net": {"_note_": text}}, OWN)
    assert told == {"_where": HIDDEN_TEXT, "_more": HIDDEN_TEXT, "net": {"_note_": HIDDEN_TEXT}}


def test_an_expression_is_told_if_it_is_the_bundles_own_and_names_no_far_place():
    own = [{"a": "$len(@x)", "b": "$open('/home/anna/x')"}]
    told = without_paths({"a": "$len(@x)", "b": "$open('/home/anna/x')", "architecture": "$len(@y)"}, own)
    assert told == {"a": "$len(@x)", "b": HIDDEN, "architecture": HIDDEN_EXPRESSION}


def test_every_key_of_a_site_that_is_a_path_is_known():
    from pathlib import Path

    from clinical_qkt.site.config import Site

    paths = {k for k, f in Site.model_fields.items() if Path.__name__ in str(f.annotation)}
    assert paths - {"trusted_keys"} <= provenance.PATH_KEYS


@pytest.mark.parametrize("words", ["a/b", "and/or", "1/2", "http://x/y", "CC BY 4.0: see https://x.org/a"])
def test_what_names_no_place_stays(words):
    assert without_paths({"licence": words}) == {"licence": words}


def test_every_key_of_a_site_that_names_a_place_is_known_as_one():
    fields = {name: str(field.annotation) for name, field in Site.model_fields.items()}
    places = {name for name, kind in fields.items() if "Path" in kind}
    assert places - {"trusted_keys"} <= PATH_KEYS and "assessments" in places
