"""Records kept locally arrive on a server: all of them, each once, however often the sending was cut off."""

import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
import time

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient, pyfunc

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import load_model, save_model
from clinical_qkt.review.tracking import notes, registry, sync
from clinical_qkt.review.tracking.tracker import Tracker
from tests.conftest import ROOT, run
from tests.mlflow_ui import free_port, served


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder of two classes."""
    folder, given = tmp_path_factory.mktemp("m") / "model", InputContract(channels=3, spatial_size=[16, 16])
    spec = preset("resnet_small", 3, [16, 16])
    network = spec.build(2)
    about = {"site": "s", "task": "t", "input": given, "network": spec, "head": find_head(network)}
    save_model(folder, network, Card(label_space=["a", "b"], **about))
    return folder


def transfer(tracker, model, place, accepted=True):
    """What a transfer leaves: a parent with children, curves, artifacts and a registered model."""
    with tracker.run("transfer", {"site": "s", "query": "c"}, place=place, work="w") as parent:
        tracker.params(parent, {f"p{i}": i for i in range(130)})
        tracker.dataset(parent, "s", "d" * 64, "transfer")
        with tracker.run("phase 1", parent=parent) as child:
            for step in range(3):
                tracker.log(child, {"loss": 1 / (1 + step)}, step=step)
        verdict = "accepted" if accepted else "not accepted"
        version = registry.registered(tracker.client, parent, "task", model)
        of = registry.logged_model(tracker.client, parent)
        tracker.log(parent, {"after/query_recall": 0.9, "unknown": None}, model=of)
        tracker.tag(parent, {"verdict": verdict, notes.SENTENCE: "So many of 100."})
        notes.of_run(tracker.client, parent, notes.text(parent, verdict, "So many of 100."))
        tracker.document(parent, "summary.json", {"a": 1})
        registry.decide(tracker.client, "task", version, parent, verdict, "So many of 100.")
        tracker.rename(parent, f"c at s: {verdict}")
    return parent


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A database with its tables, which takes MLflow seconds to make."""
    path = tmp_path_factory.mktemp("empty") / "m.db"
    uri = f"sqlite:///{path}"
    MlflowClient(uri, uri).search_experiments()
    return path


@pytest.fixture
def database(empty, tmp_path):
    """The address of a new database."""

    def new(name):
        (tmp_path / name).mkdir()
        shutil.copy(empty, tmp_path / name / "m.db")
        return f"sqlite:///{tmp_path / name / 'm.db'}"

    return new


@pytest.fixture
def local(database):
    return Tracker(database("here"), "task", database("there"))


OWN_TAGS = (sync.TO, sync.SENT, sync.ORIGIN, notes.OURS, "mlflow.parentRunId")
"""Tags that differ between the two ends."""


def everything(uri):
    """What a reviewer would see there: of runs by name, of versions, of the experiment and of the model."""
    client = MlflowClient(uri, uri)
    seen = {}
    for experiment in client.search_experiments():
        for r in client.search_runs([experiment.experiment_id]):
            history = {
                k: [(m.step, m.value) for m in client.get_metric_history(r.info.run_id, k)]
                for k in r.data.metrics
            }
            files = [f.path for f in client.list_artifacts(r.info.run_id)]
            data = [d.dataset.digest for d in r.inputs.dataset_inputs]
            tags = {k: placeless(v) for k, v in r.data.tags.items() if k not in OWN_TAGS}
            of_model = registry.logged_model(client, r)
            linked = {m.key: m.value for m in of_model.metrics} if of_model else None
            assert (linked == r.data.metrics) if "verdict" in tags else linked is None
            assert len(r.outputs.model_outputs) == (of_model is not None)
            row = (r.info.status, r.info.start_time, r.info.end_time, r.data.params, history, files, data)
            seen.setdefault((experiment.name, r.info.run_name), []).append((*row, tags, linked))
        whole = [m for m in client.search_logged_models([experiment.experiment_id]) if m.status == "READY"]
        assert len(whole) == len({m.source_run_id for m in whole})
        assert all("mlflow.modelVersions" in m.tags for m in whole)
        seen[experiment.name] = placeless(experiment.tags.get(notes.NOTE))
    versions = [
        (
            v.name,
            str(v.version),
            {k: t for k, t in v.tags.items() if k != notes.OURS},
            placeless(v.description),
        )
        for v in client.search_model_versions()
    ]
    models = [
        (m.name, {k: str(v) for k, v in m.aliases.items()}, placeless(m.description))
        for m in client.search_registered_models()
    ]
    return seen, versions, models


def placeless(text):
    """A description without the numbers of its experiment and run."""
    return text and re.sub(r"experiments/\d+/runs/[0-9a-f]{32}", "experiments/E/runs/R", text)


def test_all_of_a_transfer_arrives_once(local, model, tmp_path):
    parent = transfer(local, model, tmp_path / "place")
    assert (sync.send(local.uri), sync.send(local.uri)) == (1, 0)
    assert everything(local.server) == everything(local.uri)
    there = MlflowClient(local.server, local.server)
    run, child = (
        there.search_runs(["1"], f"attributes.run_name = '{n}'")[0] for n in ("c at s: accepted", "phase 1")
    )
    assert (
        run.info.run_id in run.data.tags[notes.NOTE] and parent.info.run_id not in run.data.tags[notes.NOTE]
    )
    assert run.data.tags[sync.ORIGIN] == parent.info.run_id and sync.TO not in run.data.tags
    assert child.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert there.get_model_version_by_alias("task", "accepted").run_id == run.info.run_id


CALLS = (
    *("create_run", "log_batch", "log_artifacts", "set_terminated", "create_logged_model"),
    *(
        "log_model_artifacts",
        "finalize_logged_model",
        "log_outputs",
        "create_model_version",
        "set_registered_model_alias",
    ),
)


@pytest.mark.slow  # it cuts off at every step
def test_a_sending_that_was_cut_off_anywhere_goes_on_and_doubles_nothing(
    local, model, tmp_path, database, monkeypatch
):
    transfer(local, model, tmp_path / "place")
    for after in itertools.count():
        server, left = database(f"there_{after}"), [after]
        with monkeypatch.context() as patched:
            for name in CALLS:
                patched.setattr(MlflowClient, name, cut_off(getattr(MlflowClient, name), server, left))
            try:
                sync.send(local.uri, server)
                break
            except KeyboardInterrupt:
                pass
        assert sync.send(local.uri, server) == 1
        assert everything(server) == everything(local.uri), f"cut off after {after} calls"
    assert after > 10


def cut_off(real, server, left):
    """A client's method that is interrupted once so many calls to the server were made."""

    def call(self, *args, **kwargs):
        if self.tracking_uri == server:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    return call


def test_what_is_not_over_is_not_sent_and_what_is_run_again_is_sent_again(local, model, tmp_path):
    open_run = local.client.create_run(local.experiment_id, tags={sync.TO: local.server})
    assert sync.send(local.uri) == 0
    local.client.set_terminated(open_run.info.run_id)
    transfer(local, model, tmp_path / "place")
    assert sync.send(local.uri) == 2
    transfer(local, model, tmp_path / "place", accepted=False)  # the same place and work: the same run
    assert sync.send(local.uri) == 1
    seen, versions, _ = everything(local.server)
    assert len(seen["task", "c at s: not accepted"]) == 1 and versions[0][2]["verdict"] == "not accepted"
    assert len(versions) == 1 and "Not accepted. So many" in versions[0][3]
    assert "accepted" not in MlflowClient(local.server, local.server).get_registered_model("task").aliases


def test_an_older_transfer_that_is_sent_late_does_not_take_the_alias(local, model, tmp_path, database):
    early = transfer(local, model, tmp_path / "early")
    time.sleep(0.01)
    transfer(local, model, tmp_path / "late")
    late_only = database("late_only")
    local.client.set_tag(early.info.run_id, sync.SENT, late_only)
    sync.send(local.uri, late_only)
    local.client.delete_tag(early.info.run_id, sync.SENT)
    sync.send(local.uri, late_only)
    there = MlflowClient(late_only, late_only)
    assert there.get_model_version_by_alias("task", "accepted").version in (1, "1")
    assert len(there.search_model_versions()) == 2


def test_a_server_that_is_away_costs_a_warning_and_nothing_else(tmp_path, database, capsys):
    tracker = Tracker(database("here"), "task", f"http://127.0.0.1:{free_port()}")
    with tracker.run("transfer", place=tmp_path, work="w") as run:
        tracker.log(run, {"x": 1})
    start = time.perf_counter()
    tracker.deliver()
    assert time.perf_counter() - start < 10
    said = capsys.readouterr().err
    assert "was not reached" in said and f"clinical-qkt sync {tmp_path / 'here' / 'm.db'}" in said
    assert tracker.client.get_run(run.info.run_id).info.status == "FINISHED"
    with pytest.raises(OutputError, match="does not answer"):
        sync.send(tracker.uri)


def test_the_command_sends_later_what_a_server_missed(local, model, tmp_path, capsys):
    transfer(local, model, tmp_path / "place")
    database = str(tmp_path / "here" / "m.db")
    assert run("sync", database) == 0 and "1 run sent" in capsys.readouterr().out
    assert run("sync", database) == 0 and "nothing was left to send" in capsys.readouterr().out
    assert run("sync", database, "--to", f"http://127.0.0.1:{free_port()}") == 5
    assert "does not answer" in capsys.readouterr().err
    assert run("sync", str(tmp_path / "no.db")) == 2


def test_a_database_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.db: there is no such database"):
        sync.send(f"sqlite:///{tmp_path / 'nothing.db'}")


def test_a_sending_asks_nobody_but_the_two_ends_and_leaves_nothing_in_the_working_folder(
    local, model, tmp_path, database, monkeypatch
):
    transfer(local, model, tmp_path / "place")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    before = mlflow.get_tracking_uri()
    for elsewhere in (f"sqlite:///{tmp_path / 'elsewhere.db'}", ""):
        server = database(f"server {bool(elsewhere)}")
        mlflow.set_tracking_uri(elsewhere)
        try:
            assert sync.send(local.uri, server) == 1
            assert mlflow.is_tracking_uri_set() == bool(elsewhere)
        finally:
            mlflow.set_tracking_uri(before)
        assert everything(server) == everything(local.uri)
    assert not list((tmp_path / "cwd").iterdir()) and not (tmp_path / "elsewhere.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [None, "http://127.0.0.1:9"])
def test_a_tracking_server_gets_everything_from_the_command_wherever_mlflow_looks_by_itself(
    model, tmp_path, database, elsewhere
):
    where = (
        "--backend-store-uri",
        database("server"),
        "--artifacts-destination",
        str(tmp_path / "artifacts"),
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    if elsewhere:
        environment["MLFLOW_TRACKING_URI"] = elsewhere
    (tmp_path / "cwd").mkdir()
    with served(*where) as address:
        local = Tracker(database("here"), "task", address)
        transfer(local, model, tmp_path / "place")
        said = []
        for _ in range(2):
            command = [sys.executable, "-m", "clinical_qkt", "sync", str(tmp_path / "here" / "m.db")]
            environment["PYTHONPATH"] = str(ROOT)
            done = subprocess.run(
                command, cwd=tmp_path / "cwd", env=environment, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stderr
            said.append(done.stdout.strip())
        assert said == ["1 run sent", "nothing was left to send"]
        assert everything(address) == everything(local.uri)
        there = MlflowClient(address, address)
        version = registry.in_use(there, "task")
        fetched = registry.fetched(there, version, tmp_path / "fetched")
        assert load_model(fetched).card.weights_sha256 == load_model(model).card.weights_sha256
    assert not list((tmp_path / "cwd").iterdir())


def test_more_runs_than_a_page_of_mlflow_holds_are_all_sent(local, monkeypatch):
    for _ in range(3):
        with local.run("train s"):
            pass
    whole = MlflowClient.search_runs
    paged = functools.partialmethod(whole, max_results=2)
    monkeypatch.setattr(MlflowClient, "search_runs", paged)
    assert sync.send(local.uri) == 3


def test_what_a_person_called_a_run_or_wrote_of_it_stays(local, model, tmp_path):
    transfer(local, model, tmp_path / "place")
    sync.send(local.uri)
    there = MlflowClient(local.server, local.server)
    (run,) = there.search_runs(["1"], "attributes.run_name = 'c at s: accepted'")
    there.update_run(run.info.run_id, name="the one for the board")
    there.set_tag(run.info.run_id, notes.NOTE, "Seen on Monday.")
    there.set_experiment_tag("1", notes.NOTE, "Ours.")
    there.update_model_version("task", "1", "The old scanner.")
    there.update_registered_model("task", "Cells.")
    transfer(local, model, tmp_path / "place", accepted=False)
    assert sync.send(local.uri) == 1
    again, version = there.get_run(run.info.run_id), there.get_model_version("task", "1")
    assert again.info.run_name == "the one for the board" and again.data.tags[notes.NOTE] == "Seen on Monday."
    assert there.get_experiment("1").tags[notes.NOTE] == "Ours."
    assert version.description == "The old scanner." and version.tags["verdict"] == "not accepted"
    assert there.get_registered_model("task").description == "Cells."


def test_the_registered_model_predicts_what_the_network_does_and_holds_no_pickle_and_no_path(
    local, model, tmp_path
):
    parent = transfer(local, model, tmp_path / "place")
    version = local.client.search_model_versions()[0]
    served = pyfunc.load_model(version.source)
    example = (
        served.input_example["image"] if isinstance(served.input_example, dict) else served.input_example
    )
    assert example.shape == (1, 3, 16, 16) and served.metadata.signature.outputs.inputs[0].shape == (-1, 2)
    expected = load_model(model).network.eval()(torch.from_numpy(example)).softmax(1)
    np.testing.assert_allclose(served.predict(example), expected.detach().numpy(), atol=1e-6)
    files = [p for p in (tmp_path / "here" / "mlartifacts" / "models").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= {".txt", "", ".yaml", ".json", ".safetensors"}
    assert not [p for p in files if str(tmp_path).encode() in p.read_bytes() or b"pickle" in p.read_bytes()]
    assert parent.info.run_id == version.run_id
    wanted = [p for p in files if p.name in ("requirements.txt", "conda.yaml")]  # we are on no index
    assert wanted and not [p for p in wanted if "clinical" in p.read_text()]
