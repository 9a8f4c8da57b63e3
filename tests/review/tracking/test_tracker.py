import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_length_limit, _validate_metric

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import fingerprint
from clinical_qkt.evidence.evaluation import Alarms, Calibration, Evaluation, FalseAlarms, Forgetting, Row
from clinical_qkt.review.budget_fit import Fit, HeldOutImages, HeldOutLoss
from clinical_qkt.review.summary_schema import Method, TransferSummary
from clinical_qkt.review.tracking import store
from clinical_qkt.review.tracking.tracker import PLACE, Tracker, figures, metric_name
from tests import empty_database


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    return Tracker(f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'm.db'}", "task")


def status(tracker, run):
    return tracker.client.get_run(run.info.run_id).info.status


def test_a_run_is_closed_finished_or_failed(tracker):
    with tracker.run("good", {"site": "a"}) as good:
        tracker.log(good, {"after/recall/x": 0.5, "unknown": None}, step=2)
    data = tracker.client.get_run(good.info.run_id).data
    assert status(tracker, good) == "FINISHED" and data.metrics == {"after/recall/x": 0.5}
    with pytest.raises(ZeroDivisionError), tracker.run("bad") as bad:
        1 / 0  # noqa: B018
    assert status(tracker, bad) == "FAILED"
    with pytest.raises(SystemExit), tracker.run("stopped") as stopped:
        raise SystemExit(143)
    assert status(tracker, stopped) == "FAILED"


def test_a_run_that_was_cut_off_is_taken_up_and_a_finished_one_is_not(tracker):
    cut = tracker.client.create_run(
        tracker.experiment_id, tags={"mlflow.runName": "job", "site": "a"}, run_name="job"
    )
    with tracker.run("job", {"site": "b"}) as other:
        assert other.info.run_id != cut.info.run_id
    with tracker.run("job", {"site": "a"}) as again:
        assert again.info.run_id == cut.info.run_id
        tracker.params(again, {"seed": 1})
        tracker.params(again, {"seed": 1})
    with tracker.run("job", {"site": "a"}) as new:
        assert new.info.run_id != cut.info.run_id


def test_a_phase_stands_once_below_its_parent(tracker):
    with tracker.run("parent") as parent:
        with tracker.run("before", parent=parent) as first:
            pass
        with tracker.run("before", parent=parent) as second:
            assert second.info.run_id == first.info.run_id
    assert tracker.client.get_run(first.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_quotes_in_a_tag_do_no_harm(tracker):
    with tracker.run("job", {"query": "Howell's body"}) as run:
        pass
    assert tracker.client.get_run(run.info.run_id).data.tags["query"] == "Howell's body"


def test_artifacts_lie_beside_the_database(tracker, tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with tracker.run("files") as run:
        tracker.artifact(run, tmp_path / "a.txt")
    assert [f.path for f in tracker.client.list_artifacts(run.info.run_id)] == ["a.txt"]


def test_names_that_mlflow_refuses_are_changed_and_marked():
    assert metric_name("recall/T-cell (CD8+), 50 %").startswith("recall/T-cell _CD8___ 50 _:")
    assert metric_name("after/f1/B/T cell_2.0 -") == "after/f1/B/T cell_2.0 -"
    digits = metric_name("after/recall/HER2+").rpartition(":")[2]
    assert len(digits) == 8 and metric_name("before/auroc/HER2+") == f"before/auroc/HER2_:{digits}"


HEADS = st.sampled_from(["after/recall/", "before/auroc/", "forgetting/", "recall/", "val/", ""])
NAMES = st.text(st.sampled_from("aB1é+-*?:/._ \t\n(%") | st.characters(), min_size=1, max_size=400)


@given(HEADS, NAMES, NAMES)
@example("after/recall/", "HER2+", "HER2*")
@example("after/recall/", "HER2+", metric_name("HER2+"))
@example("recall/", "a//b", "a/_/b")
@example("", "..", "__")
@example("forgetting/", "a" * 260, "a" * 261)
def test_every_name_becomes_one_that_mlflow_takes_and_two_never_the_same(head, one, other):
    for name in (one, other):
        _validate_metric(metric_name(head + name), 0.5, 0, 0)
        _validate_length_limit("Metric name", MAX_ENTITY_KEY_LENGTH, metric_name(head + name))
    assert (metric_name(head + one) == metric_name(head + other)) == (one == other)


def summary(verdict="accepted", per_class=None, share=0.25):
    """The parts of a transfer's summary that are logged; the rest is of no account here."""
    ends = share and [0.006, 0.81]
    alarms = Alarms(count=1, images=4, share=share, ci95=ends)
    part = Evaluation.model_construct(
        query_recall=0.5,
        query_recall_ci95=[0.1, 0.9],
        retained_recall=None,
        false_alarms=FalseAlarms(overall=alarms, per_class={"c": alarms}),
        calibration=Calibration(error=0.1, ci95=[0.05, 0.2], images=4, bins=[]),
        per_class={"c": Row(recall=0.5, recall_ci95=None, precision=None, f1=None, auroc=None, support=4)},
    )
    lost = Forgetting.model_construct(
        per_class=per_class or {"a": -0.1},
        mean=0.25,
        worst=0.3,
        worst_ci95=[0.1, 0.6],
        mean_loss=0.26,
        mean_loss_ci95=[0.2, 0.35],
    )
    held_out = HeldOutImages(images=90, cross_fitted=60, fewest=20, needed=40)
    loss = HeldOutLoss(mean=0.5, mean_bound=1.75, worst=1.0, worst_bound=4.5)
    fit = Fit(state="shown", false_alarms=0.02, loss=loss, held_out=held_out)
    return TransferSummary.model_construct(
        before=part,
        after=part,
        forgetting=lost,
        verdict=verdict,
        bytes_received=1,
        method=Method(variant="committee", fit=fit),
    )


def test_false_alarms_and_every_bad_end_are_logged():
    told = figures(summary())
    expected = {
        "false_alarms": 0.25,
        "false_alarms_low": 0.006,
        "false_alarms_high": 0.81,
        "false_alarms/c": 0.25,
    }
    expected |= {"query_recall_low": 0.1, "calibration_error_high": 0.2}
    for when in ("before", "after"):
        assert {k: told[f"{when}/{k}"] for k in expected} == expected
    assert (told["forgetting/mean_loss"], told["forgetting/mean_loss_high"]) == (0.26, 0.35)
    assert told["forgetting/worst_high"] == 0.6 and told["forgetting/a"] == -0.1
    assert figures(summary(share=None))["after/false_alarms_high"] is None


def test_what_held_out_images_showed_of_the_budget_is_logged_and_nothing_made_up_of_an_earlier_summary():
    told = {
        k.removeprefix("held_out/"): v for k, v in figures(summary()).items() if k.startswith("held_out/")
    }
    assert told == {
        "mean": 0.5, "mean_bound": 1.75, "worst": 1.0, "worst_bound": 4.5,
        "false_alarms": 0.02, "images": 90, "cross_fitted": 60, "fewest": 20,
    }  # fmt: skip
    earlier = summary()
    earlier.method.fit.held_out = None
    assert figures(earlier)["held_out/images"] is None


@pytest.mark.parametrize(
    ("verdict", "accepted", "undecided"),
    [("accepted", 1, 0), ("not accepted", 0, 0), ("cannot be decided", 0, 1)],
)
def test_three_verdicts_are_told_apart(verdict, accepted, undecided):
    told = figures(summary(verdict))
    assert (told["accepted"], told["undecided"]) == (accepted, undecided)


def test_a_class_that_is_called_as_an_overall_figure_does_not_take_its_place():
    overall = ("mean", "worst", "worst_high", "mean_loss", "mean_loss_high")
    classes = {name: i for i, name in enumerate([*overall, ":mean"], 10)}
    told = {metric_name(k): v for k, v in figures(summary(per_class=classes)).items()}
    assert [told[f"forgetting/{k}"] for k in overall] == [0.25, 0.3, 0.6, 0.26, 0.35]
    assert sorted(v for k, v in told.items() if k.startswith("forgetting/_")) == list(range(10, 16))


def test_a_run_that_was_renamed_is_taken_up_by_what_it_was_begun_as(tracker, tmp_path):
    def start(name):
        with tracker.run("transfer to a", {"site": "a"}, place=tmp_path / "renamed", work="w") as run:
            tracker.rename(run, name)
        return run

    def called():
        return tracker.client.get_run(first.info.run_id).info.run_name

    first = start("c at a: accepted")
    assert called() == "c at a: accepted"
    assert start("c at a: not accepted").info.run_id == first.info.run_id
    assert called() == "c at a: not accepted"
    tracker.client.update_run(first.info.run_id, name="mine")  # a person's word
    assert start("c at a: accepted").info.run_id == first.info.run_id and called() == "mine"


def test_an_address_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="mlflow: sqlite:///"):
        Tracker(f"sqlite:///{tmp_path / 'file' / 'm.db'}", "task")


def test_a_run_is_known_by_its_place_and_its_work(tracker, tmp_path):
    place = tmp_path / "result"

    def start(work, fails=False):
        with tracker.run("t", {"site": "a"}, place=place, work=work) as run:
            if fails:
                raise RuntimeError
        return run

    first = start("w1")
    assert start("w1").info.run_id == first.info.run_id  # killed after its end, before its results were there
    with pytest.raises(RuntimeError):
        start("w2", fails=True)
    second = start("w2")  # a failure stays on record
    assert second.info.run_id != first.info.run_id
    assert [r.info.status for r in here(tracker, place)].count("FAILED") == 1
    place.touch()
    assert start("w2").info.run_id != second.info.run_id  # overwritten on purpose: what was found then, stays


def test_a_killed_run_whose_work_changed_is_closed_with_its_children(tracker, tmp_path):
    opened = tracker.run("t", place=tmp_path, work="w1")
    parent = opened.__enter__()
    below = tracker.run("phase", parent=parent)
    below.__enter__()
    with tracker.run("another stage", place=tmp_path, work="x"):
        pass
    assert status(tracker, parent) == "RUNNING"  # it may well be running
    with tracker.run("t", place=tmp_path, work="w2") as new:
        assert new.info.run_id != parent.info.run_id
    found = tracker.client.search_runs([tracker.experiment_id], "attributes.status = 'RUNNING'")
    assert status(tracker, parent) == "KILLED"
    assert not [r for r in found if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]


def here(tracker, place):
    at = fingerprint(str(place.absolute()))
    return tracker.client.search_runs([tracker.experiment_id], f"tags.`{PLACE}` = '{at}'")


def test_many_parameters_are_logged_and_those_that_stand_there_stay(tracker):
    with tracker.run("params") as run:
        tracker.params(run, {f"p{i}": i for i in range(250)})
        tracker.params(run, {"p0": "other", "new": 1})
    params = tracker.client.get_run(run.info.run_id).data.params
    assert len(params) == 251 and params["p0"] == "0"


def test_a_database_is_whole_or_not_there(tmp_path, monkeypatch):
    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    uri = f"sqlite:///{tmp_path / 'm.db'}"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(store, "make_tables", empty_database.made)
        patched.setattr("mlflow.MlflowClient.search_experiments", killed)
        Tracker(uri, "task")
    assert not list(tmp_path.glob("*.db"))
    assert Tracker(uri, "task").experiment_id == "1"


def test_an_experiment_that_was_deleted_is_refused_with_how_to_restore_it(tmp_path):
    uri = f"sqlite:///{tmp_path / 'm.db'}"
    made = Tracker(uri, "task")
    made.client.delete_experiment(made.experiment_id)
    with pytest.raises(InputError, match="the experiment 'task' was deleted") as e:
        Tracker(uri, "task")
    assert f"experiments restore --experiment-id {made.experiment_id}" in e.value.fix
    made.client.restore_experiment(made.experiment_id)
    assert Tracker(uri, "task").experiment_id == made.experiment_id
