"""Whether a startup kit is set up with care."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clinical_qkt.core.errors import InputError
from clinical_qkt.exchange.kit_check import careless, kind_of
from tests.exchange.kits import NOW, kit, pair

Change = Callable[[dict[str, Any]], object]


def problems(folder: Path, installed: str = "2.9.1") -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for file, problem in careless(folder, today=NOW, installed=installed):
        told.setdefault(file, []).append(problem)
    return told


def change(file: Path, how: Change) -> None:
    content = json.loads(file.read_text())
    how(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("kind", ["client", "server", "admin"])
def test_what_provision_writes_is_not_careless(tmp_path, kind):
    made = kit(tmp_path, kind)
    assert kind_of(made) == kind and problems(made) == {}


def rights(**changed: Any) -> Change:
    return lambda content: content["permissions"]["lead"].update(changed)


def default(name: str) -> Change:
    """FLARE's own value of a key of resources.json: it is not there."""
    return lambda content: content.pop(name)


@pytest.mark.parametrize(
    ("file", "how", "told"),
    [
        ("authorization.json", rights(byoc="any"), "'lead' may bring own code"),
        ("authorization.json", rights(shell_commands="o:site"), "may read files"),
        ("authorization.json", rights(submit_job="any"), "any organisation"),
        ("authorization.json", lambda c: c["permissions"].update(project_admin="any"), "may do everything"),
        ("authorization.json", lambda c: c.clear(), "has no 'permissions'"),
        ("resources.json", default("class_allow_list"), "has no 'class_allow_list'"),
        ("resources.json", lambda c: c["class_allow_list"].append("nvflare.app_common."), "more than sweeps"),
        ("resources.json", lambda c: c.update(class_allow_list=["*"]), "more than sweeps"),
        ("resources.json", lambda c: c.update(class_allow_list=["clinical_qkt."]), "more than sweeps"),
        ("resources.json", lambda c: c.update(class_list_enforcement_mode="warn"), "only warns"),
        ("resources.json", default("allow_log_streaming"), "'allow_log_streaming' is not false"),
        (
            "resources.json",
            lambda c: c["components"].append({"path": "a.SiteLogStreamer"}),
            "carries logs away",
        ),
        (
            "privacy.json",
            lambda c: c["scopes"][0].pop("task_data_filters"),
            "'task_data_filters' has no ParcelGate",
        ),
        ("privacy.json", lambda c: c["scopes"].append({"name": "other"}), "has no ParcelGate"),
        ("privacy.json", lambda c: c.pop("default_scope"), "has no 'default_scope'"),
        ("exchange.hospital_a.json", lambda c: c.update(spool="/tmp/spool"), "temporary"),
        ("exchange.hospital_a.json", lambda c: c.update(relay_organisations=[]), "relay_organisations"),
    ],
)
def test_a_careless_policy_of_a_site_is_told(tmp_path, file, how, told):
    made = kit(tmp_path)
    change(made / "local" / file, how)
    found = problems(made)
    assert set(found) == {file} and told in " ".join(found[file])


@pytest.mark.parametrize(
    "file", ["authorization.json", "resources.json", "privacy.json", "exchange.hospital_a.json"]
)
def test_a_policy_that_is_missing_is_told(tmp_path, file):
    made = kit(tmp_path)
    (made / "local" / file).unlink()
    assert any(found.startswith(file) for found in problems(made))


def test_flares_default_counts_where_no_file_takes_its_place(tmp_path):
    made = kit(tmp_path)
    local = made / "local"
    (local / "authorization.json").rename(local / "authorization.json.default")
    assert problems(made) == {}
    change(local / "authorization.json.default", rights(byoc="any"))
    assert set(problems(made)) == {"authorization.json.default"}


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda c: c["components"][1]["args"].update(uri_root="/tmp/nvflare/jobs-storage"), "'uri_root'"),
        (
            lambda c: c["snapshot_persistor"]["args"]["storage"]["args"].update(root_dir="/tmp/nvflare"),
            "'root_dir'",
        ),
        (lambda c: c["components"].append({"path": "nvflare.a.JobLogReceiver"}), "carries logs away"),
    ],
)
def test_a_careless_relay_is_told(tmp_path, how, told):
    made = kit(tmp_path, "server")
    change(made / "local" / "resources.json", how)
    assert told in problems(made)["resources.json"][0]


@pytest.mark.parametrize(("days", "told"), [(59, "ends on"), (-1, "has ended on"), (61, None)])
def test_certificates_that_end_within_sixty_days_are_told(tmp_path, days, told):
    made = kit(tmp_path, "admin")
    pair(made / "startup", "client", days)
    assert problems(made) == (
        {"client.crt": [f"{told} {problems(made)['client.crt'][0][-10:]}"]} if told else {}
    )


def test_a_key_that_others_can_read_and_a_certificate_that_is_none_are_told(tmp_path):
    made = kit(tmp_path)
    (made / "startup" / "client.key").chmod(0o640)
    (made / "startup" / "rootCA.pem").write_text("none")
    assert set(problems(made)) == {"client.key", "rootCA.pem"}


def test_a_connection_without_certificates_on_both_ends_and_unsigned_jobs_are_told(tmp_path):
    made = kit(tmp_path)
    change(made / "startup" / "fed_client.json", lambda c: c["client"].update(connection_security="tls"))
    change(made / "startup" / "fed_client.json", lambda c: c.update(require_signed_jobs=False))
    assert len(problems(made)["fed_client.json"]) == 2


@pytest.mark.parametrize(
    ("installed", "good"), [("2.9.0", True), ("2.9", True), ("2.90.0", False), ("2.8.1", False)]
)
def test_another_version_of_flare_is_told(tmp_path, installed, good):
    assert ("nvflare" not in problems(kit(tmp_path), installed)) is good


def test_a_folder_that_is_no_kit_is_refused(tmp_path):
    with pytest.raises(InputError, match="no startup kit"):
        careless(tmp_path)
