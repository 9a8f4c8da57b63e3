"""An earlier model becomes the one in use again, by one command, and stays it."""

import shutil

import pytest

from clinical_qkt.review.tracking import registry, restore, sync
from clinical_qkt.review.tracking.tracker import Tracker
from tests.conftest import run, site_file
from tests.mlflow_ui import served

TASK = "blood_cell_classification"


def recorded(tracker, verdict, query="basophil"):
    """A transfer that registered a version; its weights do not matter here."""
    with tracker.run(f"transfer for {query}", {"site": "us", "query": query}) as made:
        registry.ensure_named(tracker.client, TASK)
        version = tracker.client.create_model_version(
            TASK, f"runs:/{made.info.run_id}/m", made.info.run_id
        ).version
        if verdict:
            registry.decide(tracker.client, TASK, str(version), made, verdict, "So many of 100.")
    return made


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """Four versions: two accepted, then one that is not, then one of a transfer that has not ended."""
    file = tmp_path_factory.mktemp("four") / "m.db"
    tracker = Tracker(f"sqlite:///{file}", TASK)
    for verdict in ("accepted", "accepted", "not accepted", None):
        recorded(tracker, verdict)
    return file


@pytest.fixture
def tracker(four, tmp_path):
    shutil.copy(four, tmp_path)
    return Tracker(f"sqlite:///{tmp_path / 'm.db'}", TASK)


@pytest.fixture
def site(tmp_path, tracker):
    return str(site_file(tmp_path, bundle=TASK, mlflow=tracker.uri, transfer_dir=str(tmp_path / "transfer")))


def in_use(tracker):
    return str(registry.in_use(tracker.client, TASK).version)


def test_the_alias_goes_back_and_what_was_and_what_is_are_shown(tracker, site, capsys):
    assert in_use(tracker) == "2"
    assert run("restore", site, "1", "--yes") == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in said] == [
        *("in use now:  version 2", "would be:    version 1", "in use now:  version 1")
    ]
    assert "basophil at us: accepted" in said[0] and in_use(tracker) == "1"
    tags = tracker.client.get_registered_model(TASK).tags
    assert tags[restore.RESTORED_FOR] == "us" and tags[restore.IN_USE_BEFORE] == "2"
    assert int(tags[registry.RESTORED]) > 1.7e12
    assert run("restore", site, "1", "--yes") == 0 and "nothing was changed" in capsys.readouterr().out


def test_what_a_person_chose_outlasts_transfers_that_began_before_and_not_later_ones(tracker, site):
    early = recorded(tracker, "accepted")
    assert in_use(tracker) == "5" and run("restore", site, "1", "--yes") == 0
    registry.decide(tracker.client, TASK, "5", early, "accepted", "")  # its record is sent late, or again
    assert in_use(tracker) == "1"
    recorded(tracker, "accepted")
    assert in_use(tracker) == "6"


@pytest.mark.parametrize(
    ("version", "words", "message"),
    [
        ("9", (), "there is no such version of blood_cell_classification"),
        ("latest", (), "VERSION latest: there is no such version"),
        ("3", (), "it was never accepted: not accepted"),
        ("4", (), "it was never accepted: its transfer has not ended"),
        ("1", (), "nobody is there to agree"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(tracker, site, capsys, version, words, message):
    yes = [] if "agree" in message else ["--yes"]
    assert run("restore", site, version, *yes) == 2
    assert message in capsys.readouterr().err and in_use(tracker) == "2"


def test_a_version_that_was_not_accepted_is_taken_by_whoever_says_so(tracker, site):
    assert run("restore", site, "3", "--yes", "--although-not-accepted") == 0 and in_use(tracker) == "3"


def test_a_database_or_a_server_that_is_not_there_is_told_and_none_is_made(tmp_path, capsys):
    gone = tmp_path / "gone.db"
    assert run("restore", str(site_file(tmp_path, bundle=TASK, mlflow=f"sqlite:///{gone}")), "1") == 2
    assert "there is no such database" in capsys.readouterr().err and not gone.exists()
    away = site_file(tmp_path, bundle=TASK, mlflow="http://127.0.0.1:9")
    assert run("restore", str(away), "1", "--yes") == 5 and "does not answer" in capsys.readouterr().err


@pytest.mark.slow
def test_a_server_and_the_sites_own_database_go_back_together(tmp_path, capsys):
    where = (
        "--backend-store-uri",
        f"sqlite:///{tmp_path / 's.db'}",
        "--artifacts-destination",
        str(tmp_path),
    )
    (tmp_path / "transfer").mkdir()
    with served(*where) as address:
        there = Tracker(address, TASK)
        own = Tracker(f"sqlite:///{tmp_path / 'transfer' / 'mlflow.db'}", TASK, address)
        recorded(there, "accepted", query="another hospital's")  # so that the numbers differ
        for _ in range(2):
            made = recorded(own, "accepted")
            copy = recorded(there, "accepted")
            there.client.set_tag(copy.info.run_id, sync.ORIGIN, made.info.run_id)
        site = site_file(
            tmp_path,
            bundle=TASK,
            mlflow=address,
            output_dir=str(tmp_path),
            transfer_dir=str(tmp_path / "transfer"),
        )
        assert run("restore", str(site), "2", "--yes") == 0
        assert in_use(there) == "2" and in_use(own) == "1"
        assert "version 3" in capsys.readouterr().out
