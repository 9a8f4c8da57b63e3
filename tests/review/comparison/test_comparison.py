"""``clinical-qkt compare``, on the demo's summary and changed copies of it."""

import csv
import io
import json
import re
import shutil
from copy import deepcopy

import mlflow
import pytest
from PIL import Image
from rich.console import Console

from clinical_qkt.core.errors import InputError
from clinical_qkt.review.comparison import runs
from clinical_qkt.review.comparison.command import tracking_uri
from clinical_qkt.review.comparison.figures import as_csv, as_json, cautions, figures, ordered
from clinical_qkt.review.comparison.printing import print_comparison
from clinical_qkt.review.summary_schema import TransferSummary
from clinical_qkt.review.tracking import tracker
from tests.conftest import run, site_file
from tests.mlflow_ui import first_transfer


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """The command sets these where nobody has; here they are put back for the tests after it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@pytest.fixture(scope="module")
def finished(demo):
    return json.loads((demo / "summary.json").read_text())


@pytest.fixture
def transfer(tmp_path, finished):
    """Make the folder of a transfer, with changes to the demo's summary."""

    def make(name, change=None):
        summary = deepcopy(finished)
        if change:
            change(summary)
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
        return str(tmp_path / name)

    return make


@pytest.fixture(scope="module")
def store(demo, finished, tmp_path_factory):
    """A copy of the demo's database with more runs: ``(URI, {what: run id})``."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(demo / "mlflow.db", folder)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    other = client.create_experiment("other", (folder / "artifacts").as_uri())

    def make(name, status="FINISHED", change=None, **tags):
        made = client.create_run(other, run_name=name, tags=tags).info.run_id
        if change is not None:
            client.log_dict(made, {**finished, **change}, "summary.json")
        client.set_terminated(made, status)
        return made

    made = {
        "renamed": make("budget 4, it's mine", change={"seed": 4}),
        "failed": make("died", "FAILED"),
        "first": make("twin", change={}),
        "second": make("twin", change={}),
        "training": make("train somebody"),
        "old": make("of long ago", change={"schema": "clinical-qkt/transfer-summary/0"}),
    }
    made["child"] = make("after", **{"mlflow.parentRunId": made["first"]})
    made["demo"] = first_transfer(folder / "mlflow.db").info.run_id
    return uri, made


def printed(found, width=80):
    text = io.StringIO()
    print_comparison(Console(file=text, width=width), found)
    return text.getvalue()


def unknown_query(summary):
    query = summary["student"]["query"][0]
    summary["after"] |= {"query_recall": None, "query_recall_ci95": None}
    summary["after"]["per_class"][query] |= {"recall": None, "recall_ci95": None, "support": 0}
    summary["after"]["calibration"]["error"] = None


def renamed(old, new):
    def change(summary):
        text = json.dumps(summary).replace(json.dumps(old), json.dumps(new))
        summary |= json.loads(text)

    return change


def test_the_table_shows_what_was_gained_and_lost(transfer, finished):
    def worse(summary):
        name = summary["student"]["classes"][0]
        summary["forgetting"] |= {"mean": 0.05, "worst": 0.15625}
        summary["forgetting"]["per_class"] = dict.fromkeys(summary["student"]["classes"], 0.0) | {
            name: 0.15625
        }
        lost = next(c for c in summary["criteria"] if c["name"] == "forgetting")
        lost |= {"outcome": "failed", "measured": 0.05, "ci95": [0.041, 0.06]}
        alarms = {"count": 3, "images": 192, "share": 0.015625, "ci95": [0.003, 0.045]}
        summary["after"]["false_alarms"]["overall"] = alarms
        summary |= {"verdict": "not accepted", "bytes_received": 2150}
        fit = summary["method"]["fit"]
        fit |= {"state": "shown", "promise": {"mean": 4.0, "worst": 10.0, "confidence": 0.75}}
        fit["loss"] = {"mean": 1.25, "mean_bound": 3.5, "worst": 2.0, "worst_bound": 9.0}
        summary |= {"budget": {"forgetting": 4.0}, "untrusted_packages": ["hospital_9 (unsigned)"]}
        summary["seconds"] = {"a": 1.25, "b": 2.0}

    found = runs.find_runs([transfer("one"), transfer("two", worse)], None)
    text = printed(found)
    rows = {c[0].strip(): [x.strip() for x in c[1:]] for c in re.findall(r"│(.+?)│(.+?)│(.+?)│\n", text)}
    query, recall = finished["student"]["query"][0], finished["after"]["query_recall"]
    assert rows["site"] == [finished["student"]["site"]] * 2
    assert rows["query"] == [query, query]
    assert rows["method"] == ["committee", "committee"]
    assert rows["query recall"] == [f"{100 * recall:.0f}"] * 2
    assert rows["forgetting budget"] == ["2", "4"]
    assert (rows["promise"][1], rows["lost, held-out images"][1]) == ("shown", "1.2 (up to 3.5)")
    assert rows["verdict"][1] == "not accepted"
    assert "two: not accepted: " in text and "lost: 5.0 points of recall on average" in " ".join(text.split())
    assert rows["false alarms"][1] == "1.6 (3 of 192)"
    assert rows["forgetting, mean"][1] == "+5.0"
    assert rows["forgetting, worst"][1] == f"+15.6 ({finished['student']['classes'][0]})"
    assert rows["received"][1] == "2.1 kB" and rows["seconds in all"][1] == "3.2"
    assert rows["untrusted packages"] == ["none", "hospital_9 (unsigned)"]
    assert re.search(rf"│ {query} \(queried\) +│ +0 │ +{100 * recall:.0f} \(\d+ to \d+\) │", text)
    assert "Take care" not in text and max(map(len, text.splitlines())) <= 80


def test_what_is_unknown_is_called_so_and_never_zero(transfer):
    found = runs.find_runs([transfer("one"), transfer("two", unknown_query)], None)
    text = printed(found)
    for row in ("query recall", "95 % interval", "calibration error", r"\w+ \(queried\)"):
        assert re.search(rf"│ +{row} .*unknown │\n", text), row
    assert re.search(r"\ntwo +unknown\n", text)
    assert as_json(found)["runs"][1]["figures"]["after/query_recall"] is None


def test_other_images_sites_and_queries_are_told_first(transfer, finished):
    query = finished["student"]["query"][0]

    def elsewhere(summary):
        summary["student"]["site"] = "hospital_9"
        summary["data"]["sha256"] = "0" * 64

    one, two = transfer("one"), transfer("two", elsewhere)
    told = cautions(runs.find_runs([one, two], None))
    assert len(told) == 2 and "different sites" in told[0] and "cannot be compared image by image" in told[1]
    assert printed(runs.find_runs([one, two], None)).startswith("Take care: ")
    other = runs.find_runs([one, transfer("three", renamed(query, "else"))], None)
    assert "different classes (one: " in cautions(other)[0]
    text = printed(other)
    assert len(cautions(other)) == 1 and "–: no class there" in " ".join(text.split())
    assert re.search(r"│ else \(queried\) +│ +0 │ +– │ +\d+ \(\d+ to \d+\) │\n", text)


def test_what_the_classes_were_before_is_told_by_run_if_it_differs(transfer, finished):
    name = finished["student"]["classes"][0]
    found = runs.find_runs(
        [transfer("one"), transfer("two", lambda s: s["before"]["per_class"][name].update(recall=0.25))], None
    )
    text = printed(found)
    assert "began with differ" in cautions(found)[0] and "recall before → after" in text
    assert re.search(rf"│ {name} +│ +\d+ → \d+ │ +25 → \d+ │\n", text)


def test_many_runs_with_long_names_stay_within_the_width(transfer, finished):
    long = "segmented neutrophilic granulocyte with toxic granulation " * 3
    folders = [
        transfer(f"{i} of many long names", renamed(finished["student"]["query"][0], long))
        for i in "12345678"
    ]
    for width in (80, 120):
        lines = printed(runs.find_runs(folders, None), width).splitlines()
        assert max(map(len, lines)) <= width
        assert sum("forgetting, worst" in line for line in lines) == (3 if width == 80 else 2)


def test_names_from_elsewhere_are_neither_markup_nor_commands_to_the_terminal(transfer, finished, tmp_path):
    query = finished["student"]["query"][0]
    bad = "[bold red]x[/] $y$ \x1b[31m\u202e"
    found = runs.find_runs([transfer("[link]"), transfer("=b", renamed(query, bad))], None)
    text = printed(found, 200)
    assert "[bold red]x[/] $y$ ?[31m?" in text and "\x1b" not in text and "\u202e" not in text
    assert "[link]" in text and as_csv(found).startswith("figure,[link],'=b\n")
    assert run("compare", str(tmp_path / "[link]"), str(tmp_path / "=b"), "--out", str(tmp_path / "out")) == 0


def test_a_run_is_found_by_id_by_its_beginning_and_by_name(store, demo):
    uri, made = store
    id_, mine = made["demo"], made["renamed"]
    for names in ([id_, mine], [id_[:12], "budget 4, it's mine"]):
        found = runs.find_runs(names, uri)
        assert [f.label for f in found] == [id_[:8], "budget 4, it's mine"]
    by_folder = runs.find_runs([str(demo), mine], uri)[0]
    assert by_folder.summary == found[0].summary and by_folder.logged == found[0].logged
    logged = mlflow.MlflowClient(uri).get_run(id_).data.metrics
    assert logged.items() <= figures(found[0]).items()
    twins = runs.find_runs([made["first"], made["second"]], uri)
    assert [t.label for t in twins] == [f"twin ({made[w][:8]})" for w in ("first", "second")]


@pytest.mark.parametrize(
    ("which", "problem"),
    [
        ("failed", r"run \w{8} \('died'\): did not finish \(FAILED\)"),
        ("child", r"is one phase of the transfer \w{8}"),
        ("training", "has no summary.json, so it is no transfer"),
        ("old", "has the schema 'clinical-qkt/transfer-summary/0', this version"),
    ],
)
def test_a_run_that_is_no_finished_transfer_is_named(store, which, problem):
    uri, made = store
    with pytest.raises(InputError, match=problem):
        runs.find_runs([made["demo"], made[which]], uri)


def test_a_name_that_two_runs_have_is_refused_and_both_are_told(store):
    uri, made = store
    with pytest.raises(InputError, match="2 runs are called so") as told:
        runs.find_runs([made["demo"], "twin"], uri)
    assert made["first"][:12] in str(told.value) and made["second"][:12] in str(told.value)


@pytest.mark.parametrize("name", ["abc", "nobody", "0123456", 'it\'s "so"', "100%", "x" * 5000, "a\0b"])
def test_a_name_that_no_run_has_is_refused(store, name):
    uri, made = store
    with pytest.raises(InputError, match="neither a file or folder nor the id or name|cannot be looked up"):
        runs.find_runs([made["demo"], name], uri)


def test_a_beginning_that_two_ids_share_is_refused(store, monkeypatch):
    uri, made = store
    both = [mlflow.MlflowClient(uri).get_run(made[w]) for w in ("first", "second")]
    found = runs.Store(uri)
    monkeypatch.setattr(
        found.client, "search_runs", lambda ids, where, **_: both if "run_id" in where else []
    )
    with pytest.raises(InputError, match="2 runs are called so"):
        found.run("abcdef")


def test_a_store_that_is_not_there_is_not_made(transfer, tmp_path):
    missing = tmp_path / "no.db"
    with pytest.raises(InputError, match="no such database"):
        runs.find_runs([transfer("one"), "abcdef"], f"sqlite:///{missing}")
    assert not missing.exists()
    with pytest.raises(InputError, match="mlflow: http://127.0.0.1:9: MLflow cannot use this address"):
        runs.find_runs([transfer("two"), "abcdef"], "http://127.0.0.1:9")


def test_artifacts_that_are_gone_are_told(store, tmp_path):
    uri, made = store
    client = mlflow.MlflowClient(uri)
    gone = client.create_run(client.create_experiment("gone", (tmp_path / "gone").as_uri()), run_name="gone")
    client.set_terminated(gone.info.run_id)
    with pytest.raises(InputError, match="its artifacts are no longer where they were"):
        runs.find_runs([made["demo"], gone.info.run_id], uri)


def test_the_store_is_that_of_a_sites_file(tmp_path, demo, store, capsys):
    student = next(p for p in demo.glob("sites/*.yaml") if "\nteachers:" in p.read_text())
    assert tracking_uri(student).endswith("demo/mlflow.db")
    beside = f"sqlite:///{tmp_path / 'o' / 'transfer' / 'mlflow.db'}"
    assert tracking_uri(site_file(tmp_path, output_dir=str(tmp_path / "o"))) == beside
    assert tracking_uri(site_file(tmp_path, mlflow="sqlite:///x.db")) == "sqlite:///x.db"
    assert tracking_uri(site_file(tmp_path)).endswith("runs/us/transfer/mlflow.db")
    (tmp_path / "empty.yaml").write_text("{}")
    with pytest.raises(InputError, match="says nothing of where"):
        tracking_uri(tmp_path / "empty.yaml")
    asked = ["compare", store[1]["demo"][:10], str(demo / "summary.json"), "--site", str(student), "--json"]
    assert run(*asked) == 0
    one, two = json.loads(capsys.readouterr().out)["runs"]
    assert one["figures"] == two["figures"] and two["run"] == "demo"


def test_what_cannot_be_compared_is_an_error_that_names_it(transfer, tmp_path, capsys):
    one = transfer("one")
    (tmp_path / "empty").mkdir()
    bad = {
        "text": lambda s: s["after"].update(query_recall="0.9"),
        "nan": lambda s: s["after"].update(query_recall=float("nan")),
        "more": lambda s: s["forgetting"].update(worst=1.5),
        "less": lambda s: s["after"]["per_class"].clear(),
        "gap": lambda s: s["after"].pop("calibration"),
        "prepare": lambda s: s.update(schema="clinical-qkt/prepare-summary/1"),
        "next": lambda s: s.update(schema="clinical-qkt/transfer-summary/1"),
    }
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    for name, problem in {
        **dict.fromkeys(("text", "nan"), "after.query_recall: "),
        "more": "forgetting.worst: ",
        "less": "after.per_class: the queried class '",
        "gap": "after.calibration: is missing",
        "prepare": "is not the summary of a transfer",
        "next": "has the schema 'clinical-qkt/transfer-summary/1', this version of clinical-qkt reads",
        "list.json": "is not the summary of a transfer",
        "broken.json": "is no JSON",
        "empty": "holds no summary.json",
        "nowhere": "there is no such file or folder",
    }.items():
        other = transfer(name, bad[name]) if name in bad else str(tmp_path / name)
        assert run("compare", one, other) == 2, name
        told = capsys.readouterr().err
        assert problem in told and name in told and "To fix it: " in told, told
    assert run("compare", one) == 2 and run("compare", one, one) == 2
    assert run("compare", one, one, "--mlflow", "sqlite:///x", "--site", "y") == 2


def test_runs_are_sorted_best_first_and_the_unknown_last(transfer):
    def with_(recall, worst):
        def change(summary):
            summary["after"]["query_recall"], summary["forgetting"]["worst"] = recall, worst

        return change

    names = [
        transfer("a", with_(None, 0.2)),
        transfer("b", with_(0.0, 0.1)),
        transfer("c", with_(0.9, -0.1)),
        transfer("d", with_(0.5, None)),
    ]
    found = runs.find_runs(names, None)
    order = {
        k: "".join(r.label for r in ordered(found, k)) for k in ("after/query_recall", "forgetting/worst")
    }
    assert order == {"after/query_recall": "cdba", "forgetting/worst": "cbad"}
    assert ordered(found, None) == found
    with pytest.raises(InputError, match="no run has such a figure") as told:
        ordered(found, "after/query_recal")
    assert "did you mean 'after/query_recall'?" in str(told.value)


def test_runs_are_sorted_by_a_class_under_its_own_name(transfer, finished):
    query = finished["student"]["query"][0]

    def with_(recall):
        def change(summary):
            renamed(query, "HER2 [+]")(summary)
            summary["after"]["per_class"]["HER2 [+]"]["recall"] = recall

        return change

    found = runs.find_runs([transfer("a", with_(0.2)), transfer("b", with_(0.9))], None)
    for key in ("after/recall/HER2 [+]", tracker.metric_name("after/recall/HER2 [+]")):
        assert [r.label for r in ordered(found, key)] == ["b", "a"]


def test_json_holds_the_names_and_values_of_mlflow(transfer, finished, capsys):
    assert run("compare", transfer("one"), transfer("two"), "--json", "--sort", "seconds") == 0
    told = json.loads(capsys.readouterr().out)
    assert [r["run"] for r in told["runs"]] == ["one", "two"] and told["cautions"] == []
    mine = told["runs"][0]["figures"]
    assert {
        tracker.metric_name(k): v
        for k, v in tracker.figures(TransferSummary.model_validate(finished)).items()
    }.items() <= mine.items()
    low, high = finished["after"]["query_recall_ci95"]
    assert (mine["after/query_recall_low"], mine["after/query_recall_high"]) == (low, high)


def test_picture_and_csv_are_written_once_and_hold_the_same_figures(transfer, tmp_path, capsys):
    names, out = [transfer("one"), transfer("two", unknown_query)], tmp_path / "out"
    asked = ["compare", *names, "--out", str(out)]
    assert run(*asked) == 0
    assert sorted(p.name for p in out.iterdir()) == ["comparison.csv", "comparison.png"]
    with Image.open(out / "comparison.png") as picture:
        width, height = picture.size
    assert width == 1625 and 500 < height < 1000
    rows = list(csv.reader((out / "comparison.csv").read_text().splitlines()))
    figures_ = [r["figures"] for r in as_json(runs.find_runs(names, None))["runs"]]
    assert rows[0] == ["figure", "one", "two"] and [r[0] for r in rows[1:]] == list(figures_[0])
    for name, *cells in rows[1:]:
        assert [float(c) if c else None for c in cells] == [f[name] for f in figures_], name
    before = (out / "comparison.csv").read_bytes()
    capsys.readouterr()
    assert run(*asked) == 5
    assert "holds a comparison already" in capsys.readouterr().err
    assert run("compare", names[1], names[0], "--out", str(out), "--overwrite") == 0
    assert (out / "comparison.csv").read_bytes() != before


def test_the_picture_can_be_drawn_of_many_and_where_everything_is_unknown(transfer, tmp_path):
    def nothing(summary):
        unknown_query(summary)
        summary["forgetting"] |= {"mean": None, "worst": None}
        for row in summary["after"]["per_class"].values():
            row |= {"recall": None, "recall_ci95": None}

    folders = [transfer(f"none {i}", nothing) for i in range(2)]
    assert run("compare", *folders, "--out", str(tmp_path / "none")) == 0
    assert (
        run("compare", *folders, *(transfer(f"n{i}") for i in range(8)), "--out", str(tmp_path / "ten")) == 0
    )
