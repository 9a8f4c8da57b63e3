"""Every command of the README, getting started, the how-to pages and the bundles' READMEs is executed.

Each page runs from its first command to its last in a folder of its own, laid out as the page assumes: a
checkout in which ``make demo`` was run, here on coloured squares with the names of blood cells. What is not
executed here stands in one of the lists below with the reason, and nothing else is left out.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from clinical_qkt.cli.app import app
from clinical_qkt.core.shipped_bundles import bundle_folder, stages
from clinical_qkt.packages.model import load_model
from clinical_qkt.packages.signing import new_key
from clinical_qkt.site.config import Site
from clinical_qkt.site.launch import keys_of
from tests.conftest import COLOURS, ROOT, reseal, run, square
from tests.documented import commands, execute, mentions, shell
from tests.once import once

NAMED = ["README.md", "docs/getting-started.md"]
HOW_TO = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/how-to/*.md"))
BUNDLES = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("bundles/*/docs/README.md"))
PAGES = [*NAMED, *HOW_TO, *BUNDLES]
CELLS_BUNDLE = bundle_folder("blood_cell_classification")
CELLS = dict(zip(COLOURS, ["basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil"], strict=True))

EXECUTED_BY = {
    "docs/how-to/exchange-by-desk.md": "tests/exchange/test_how_to.py::test_the_how_to_runs_as_it_stands",
    "docs/how-to/set-up-a-consortium.md": (
        "tests/exchange/test_set_up.py::test_the_commands_run_as_they_stand"
    ),
    "docs/how-to/find-images-to-label.md": (
        "tests/worklist/test_command.py::test_the_how_to_runs_as_it_stands"
    ),
    "docs/how-to/match-label-lists.md": (
        "tests/cli/test_align.py::test_the_how_to_shows_what_its_commands_print"
    ),
    "docs/how-to/prepare-your-images.md": "tests/prepare/test_prepare.py::test_the_how_to_runs_as_it_stands",
    "docs/how-to/watch-a-model.md": (
        "tests/monitoring/test_monitor.py::test_quiet_weeks_a_baseline_and_another_camera"
    ),
    "docs/how-to/train-with-differential-privacy.md": (
        "tests/training/test_dp_sgd.py"
        "::test_the_overlay_trains_a_model_that_is_like_any_other_as_the_how_to_says"
    ),
}
"""Pages with tests of their own, which read the commands from the page, too."""

NOT_RUN = {
    "make bundles": "tests/bundles/test_stand_alone.py runs what it runs, in a copy",
    "make demo": "installs an environment; `clinical-qkt demo`, which it runs, is executed for every page",
    "make test": "is what runs this test",
    "make docs": "installs an environment first; test_mkdocs.py builds the site as it does",
    "make lint": "is run beside the tests, see .ci/run",
    "make clean": "would delete the environment that the tests run in",
    "make benchmark": "trains federations for many minutes; tests/benchmark trains smaller ones",
    "make benchmark-methods": "runs `clinical-qkt benchmark`, which tests/benchmark runs on squares",
    "make benchmark-speed": "measures times for minutes",
    "make benchmark-responses": "measures times for minutes",
    "make benchmark-scale": "runs every stage for minutes; test_scale.py has its parts",
    "make benchmark-verify": "measures times for minutes",
    "make benchmark-worklist": "trains federations; tests/research/benchmark/test_worklist.py runs its parts",
    "make benchmark-monitor": "trains federations; tests/research/benchmark/test_monitoring.py has its parts",
    "python -m clinical_qkt.research.own_recall": "trains for long; tests/research/test_own_recall.py",
    "python -m clinical_qkt.research.what_new_models_tell": "trains; its test has its parts",
    "make figures": "draws the pictures of README and docs from a whole demo",
    "source .venv/bin/activate": "the tests' environment is active already",
    "MLFLOW_DISABLE_TELEMETRY=true .venv/bin/mlflow ui": "is a server; a test of its own opens it",
    "pip install": "needs a package index",
    "clinical-qkt weights lite0": "needs a package; tests/packages/test_weights_convert.py",
    "clinical-qkt weights convert net.pth": "these are examples; tests/packages/test_weights_convert.py",
    "clinical-qkt ledger SITE.yaml --mend": "needs a lost ledger; tests/site/ledger/test_beginning.py",
    "clinical-qkt restore sites/my_hospital/site.yaml 3": "an example; tests/review/tracking/test_restore.py",
    "clinical-qkt compare 3f9a1c 77b0de": "these ids are examples",
    "clinical-qkt package verify FOLDER": "FOLDER is an example; the how-to executes it on packages",
    "clinical-qkt exchange relay": "needs a relay; tests/exchange/carriers/flare/test_federation.py has one",
    "clinical-qkt exchange sweep SITE.yaml": "SITE.yaml is an example; another how-to executes it",
    "clinical-qkt demo --exchange": "several processes a hospital; tests/research/test_demo_exchange.py",
    "clinical-qkt demo --from private --exchange": "the same",
    "clinical-qkt exchange assess SITE.yaml": "`demo --exchange` runs it: tests/research",
    "clinical-qkt demo --data pbc_blood_28.npz": "needs real images; getting started runs it on squares",
}
"""What is not executed, by how it begins, and why. Checked all the same: targets, subcommands, options."""

SHORTER = {
    "--audit true": "--audit true --shadow_models 4",  # instead of eight
    "--from private": "--from private --seed 1 --out runs/private --data FILE.npz",
    "--data FILE.npz": "--data FILE.npz --sites 2 --max-epochs 1",  # whether it runs, not how well
    "--request runs/assessed": "--assess::minimum_images 10 --request runs/assessed",  # of the few squares
    "--assessments": "--mlflow sqlite:///runs/assessed/mlflow.db --assessments",  # the demo's is for all
    "--transfer_dir": "--settings::probes 256 --transfer_dir",  # instead of 2048: the squares are easily told
}
"""Parts of commands that are changed to take less time."""

EXACT = {"kinds": ["covariance"], "unit": "image", "minimum_patients": 5}
ALONE = {
    # nobody sits at the terminal, and there is none
    "run share sites/my_hospital/site.yaml": "run share sites/my_hospital/site.yaml --yes true",
    # the squares are few: an exact response stands in for a private one, which would decline
    "--request runs/asked": f'--policy "{EXACT}" --request runs/asked',
}
"""Parts that are changed since a test is not a hospital."""

IN_THE_TEXT = ["clinical-qkt audit", "clinical-qkt demo --from private"]
"""Commands that stand in a sentence and in no block, and are executed all the same."""

ASSUMED = {"docs/how-to/compare-transfers.md": ("docs/getting-started.md", "--transfer_dir runs/budget_4")}
"""What else a page takes as done: a command of another page."""


# The hospitals that the pages are about


@pytest.fixture(scope="session")
def squares() -> Path:
    """A MedMNIST-style file with the names of blood cells."""
    return once("FILE.npz", write_cells)


def write_cells(path: Path) -> None:
    content: dict[str, Any] = {"classes": np.array(list(CELLS.values()))}
    for split, count, start in (("train", 30, 0), ("val", 12, 1000), ("test", 12, 2000)):
        content[f"{split}_images"] = np.stack([square(k, start + i) for k in CELLS for i in range(count)])
        content[f"{split}_labels"] = np.repeat(np.arange(len(CELLS)), count)[:, None]
    np.savez(path, **content)


@pytest.fixture(scope="session")
def checkout(squares) -> Path:
    """A folder in which the demo was run: hospital_3 asks for basophils, hospital_1 has some."""
    asks = ("--sites", "4", "--student", "hospital_3", "--query", "basophil", "--seed", "12")

    def make(root: Path) -> None:
        out = ("--out", str(root / "runs" / "demo"), "--max-epochs", "3")
        assert run("demo", "--data", str(squares), *asks, *out) == 0

    return once("checkout", make)


@pytest.fixture
def here(checkout, squares, tmp_path) -> Path:
    """A copy of it for one page, with what the pages take for granted beside the demo."""
    shutil.copytree(checkout / "runs", tmp_path / "runs")
    for site in tmp_path.glob("runs/demo/sites/*.yaml"):
        # logging the model itself as well takes seconds; tests of its own look at that
        values = yaml.safe_load(site.read_text().replace(str(checkout), str(tmp_path)))
        site.write_text(yaml.safe_dump(values | {"register_model": False}))
    (tmp_path / "configs").mkdir()
    for name in ("benchmarks", "schemas"):
        (tmp_path / "configs" / name).symlink_to(ROOT / "configs" / name)
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    (tmp_path / "FILE.npz").symlink_to(squares)
    return tmp_path


def own_images(here: Path) -> None:
    """A real hospital: a folder of pictures and a table of labels, and what two others sent."""
    rows = ["file,label"]
    for kind, cell in list(CELLS.items())[1:4]:
        (here / "IMAGES" / cell).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(square(kind, i, size=28)).save(here / "IMAGES" / cell / f"{i:02d}.png")
            rows.append(f"{cell}/{i:02d}.png,{cell}")
    (here / "labels.csv").write_text("\n".join(rows))
    for name, like in (("hospital_b", "hospital_1"), ("hospital_c", "hospital_2")):
        private, _, _ = new_key(name, here / "keys", None)
        package = here / "packages" / name
        shutil.copytree(here / "runs/demo/packages" / like, package)
        card = json.loads((package / "card.json").read_text())
        (package / "card.json").write_text(json.dumps({**card, "site": name}))
        reseal(package, key=private)


def a_copied_bundle(here: Path, page: str) -> Path:
    """The folder of a bundle's README, copied alone, with the demo's student, whose files go elsewhere."""
    copy = Path(shutil.copytree((ROOT / page).parents[1], here / "copy"))
    values = yaml.safe_load((here / "runs/demo/sites/hospital_3.yaml").read_text())
    values |= {
        f"{k}_dir": str(here / "runs" / "mine" / k) for k in ("output", "package", "query", "transfer")
    }
    values["trusted_keys"]["hospital_3"] = str(here / "runs/demo/keys/hospital_3.pub")  # it asks itself
    (copy / "SITE.yaml").write_text(yaml.safe_dump(values))
    (copy / "QUERY_FOLDER").symlink_to(here / "runs" / "mine" / "query")
    (copy / "MODEL_FOLDER").symlink_to(here / "runs" / "mine" / "output" / "model")
    (copy / "FOLDER").symlink_to(here / "runs" / "demo" / "data" / "images")
    (copy / "SCHEMA.json").symlink_to(ROOT / "configs" / "schemas" / "bundle_metadata.json")
    return copy


def site_yaml(page: str) -> list[dict[str, Any]]:
    """The blocks of a page that belong into a site's YAML, in their order."""
    found = []
    for block in re.findall(r"(?:^    .+\n?)+", (ROOT / page).read_text(), re.M):
        try:
            content = yaml.safe_load("\n".join(line[4:] for line in block.splitlines()))
        except yaml.YAMLError:
            continue
        if isinstance(content, dict) and set(content) <= set(Site.model_fields):
            found.append(content)
    return found


# The pages


def lines_of(page: str) -> list[str]:
    """The commands of a page that are to be executed."""
    return [c for c in commands((ROOT / page).read_text()) if not is_left_out(c)]


def is_left_out(command: str) -> bool:
    return any(command.startswith(begin) for begin in NOT_RUN)


@pytest.fixture
def follow(here, monkeypatch) -> Callable[..., dict[str, int]]:
    """Execute a page's commands, or some of them."""

    def followed(page: str, lines: list[str] | None = None) -> dict[str, int]:
        if page in ASSUMED:
            other, part = ASSUMED[page]
            set_before = [c for c in lines_of(other) if part in c or re.match(r"[A-Z]+=", c)]
            execute(set_before, monkeypatch, here, {})
        return execute(lines_of(page) if lines is None else lines, monkeypatch, here, SHORTER | ALONE)

    return followed


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.slow  # a whole page; each of its commands is one of another page, executed there
def test_getting_started(here, follow):
    own_images(here)
    lines, site = lines_of("docs/getting-started.md"), here / "sites" / "my_hospital" / "site.yaml"
    blocks = iter(site_yaml("docs/getting-started.md"))
    # the page says what to write into site.yaml before `share`, and before the package is verified
    stops = [next(i for i, c in enumerate(lines) if part in c) for part in ("run share", "package verify")]
    done: list[dict[str, int]] = []
    variables = [c for c in lines if re.match(r"[A-Z]+=", c)]
    for i, (begin, end) in enumerate(zip([0, *stops], [*stops, None], strict=True)):
        if i:
            site.write_text(site.read_text() + yaml.safe_dump(next(blocks)))
        done.append(follow("docs/getting-started.md", [*(variables if i else ()), *lines[begin:end]]))
    assert next(blocks, None) is None
    assert done == [{"clinical-qkt": 8, "monai": 1}, {"clinical-qkt": 1}, {"clinical-qkt": 2}]
    assert {"evaluation.json", "predictions.csv"} <= files(here / "runs/demo/hospitals/hospital_3")
    assert (here / "runs/budget_4/report.html").is_file() and (here / "runs/real/report.html").is_file()
    assert load_model(here / "sites/my_hospital/results/package").card.site == "hospital_a"
    gained = summary(here / "sites/my_hospital/results/transfer")
    assert gained["after"]["query_recall"] is None and gained["verdict"] != "accepted"
    promised = (ROOT / "docs/getting-started.md").read_text().split("runs/demo/\n")[1].split("\n\n")[0]
    for name in re.findall(r"^      ([\w./<>]+)", promised, re.M):
        assert list((here / "runs/demo").glob(name.replace("<site>", "*"))), name


def test_the_readme(here, follow):
    own_images(here)
    lines, site = lines_of("README.md"), here / "sites" / "my_hospital" / "site.yaml"
    at = next(i for i, c in enumerate(lines) if "run transfer" in c)
    assert follow("README.md", lines[:at]) == {"clinical-qkt": 4}
    for block in site_yaml("docs/getting-started.md")[1:]:  # what the README says in words
        site.write_text(site.read_text() + yaml.safe_dump(block))
    variables = [c for c in lines if re.match(r"[A-Z]+=", c)]
    assert follow("README.md", [*variables, *lines[at:]]) == {"clinical-qkt": 1}
    assert summary(here / "sites/my_hospital/results/transfer")["student"]["query"] == ["basophil"]


def test_train(here, follow):
    assert follow("docs/how-to/train.md") == {"clinical-qkt": 4}
    assert files(here / "runs/trained") >= {"model/card.json", "model/model.safetensors", "model/SHA256SUMS"}
    assert not (here / "runs/trained/unfinished").exists() or not files(here / "runs/trained/unfinished")
    assert "best_epoch" in json.loads((here / "runs/trained_best/trained.json").read_text())
    assert load_model(here / "runs/trained_densenet/model").card.network.name == "DenseNet121"


def test_evaluate(here, follow):
    assert follow("docs/how-to/evaluate.md") == {"clinical-qkt": 2}
    before, after = (json.loads((here / f"runs/evaluated/{n}.json").read_text()) for n in ("before", "after"))
    assert set(after["per_class"]) - set(before["per_class"]) == {"basophil"}
    page = (ROOT / "docs/how-to/evaluate.md").read_text()
    keys = {*after, *next(iter(after["per_class"].values())), *after["model"]}
    assert not [k for k in keys if f"`{k}`" not in page]


@pytest.mark.slow
def test_a_block_of_commands_runs_in_a_shell_as_it_stands(here):
    lines = [c for c in lines_of("docs/how-to/evaluate.md") if "--model" not in c]
    assert shell("\n".join(lines), here) == 0
    assert (here / "runs/evaluated/before.json").is_file()


def test_classify_new_images(here, follow):
    assert follow("docs/how-to/classify-new-images.md") == {"clinical-qkt": 1}
    first = (here / "runs/classified/predictions.csv").read_text().splitlines()[0]
    assert first.startswith("file,class,none_of_these,probability of ") and "probability of basophil" in first


@pytest.mark.slow  # tests/export/test_export.py runs its parts
def test_export(here, follow, monkeypatch):
    lines = lines_of("docs/how-to/export.md")
    ours = [c for c in lines if "monai.bundle" not in c and "--format onnx" not in c]
    assert follow("docs/how-to/export.md", ours) == {"clinical-qkt": 3}
    bundle, images = here / "OUT" / "bundle", here / "runs" / "demo" / "data" / "images"
    (bundle / "FOLDER").mkdir()
    for image in sorted(images.iterdir())[:3]:
        (bundle / "FOLDER" / image.name).symlink_to(image)
    assert execute([c for c in lines if "monai.bundle" in c], monkeypatch, bundle, {}) == {"monai": 2}
    found = (bundle / "RESULTS" / "predictions.csv").read_text().splitlines()
    assert len(found) == 3 and len(found[0].split(",")) == 1 + len(
        load_model(here / "runs/demo/model").card.label_space
    )


@pytest.mark.slow
def test_export_as_onnx(here, follow):
    lines = lines_of("docs/how-to/export.md")
    pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed: pip install 'clinical-qkt[export]'"
    )
    wanted = [c for c in lines if c.startswith("SITE=") or "--format onnx" in c]
    assert follow("docs/how-to/export.md", wanted) == {"clinical-qkt": 1}


def test_gain_a_class(here, follow):
    assert follow("docs/how-to/gain-a-class.md") == {"clinical-qkt": 5}
    variants = {name: summary(here / "runs" / name) for name in ("gained", "gained_light", "gained_distil")}
    assert [s["method"]["variant"] for s in variants.values()] == ["committee", "light", "distil"]
    networks = {name: load_model(here / "runs" / name / "model").card.network for name in variants}
    assert len(networks["gained_light"].members) == 2 and networks["gained_distil"].name == "MultiHead"
    assert summary(here / "runs/gained_budget_4")["budget"] == {"forgetting": 4.0}
    assert files(here / "runs/gained") >= {"report.html", "summary.json", "figures", "model/card.json"}


def test_ask_for_a_class(here, follow):
    assert follow("docs/how-to/ask-for-a-class.md") == {"clinical-qkt": 6}
    told = summary(here / "runs/asked/transfer")
    assert told["responses"][0]["site"] == "hospital_1" and told["teachers"] == []
    assert told["responses"][0]["signature"] == "trusted"
    assert (here / "runs/asked/transfer/report.html").is_file()


@pytest.mark.slow
def test_publish_statistics(here, follow, capfd):
    assert follow("docs/how-to/publish-statistics.md") == {"clinical-qkt": 3}
    assert "everybody who uses the reference of hospital_3" in " ".join(capfd.readouterr().err.split())
    told = summary(here / "runs/published/transfer")
    assert told["responses"][0]["site"] == "hospital_1" and told["method"]["variant"] == "statistics"
    assert [c["class"] for c in told["responses"][0]["classes"]] == told["student"]["query"]


def test_have_it_assessed(here, follow):
    assert follow("docs/how-to/have-it-assessed.md") == {"clinical-qkt": 5}
    told = summary(here / "runs/demo")
    assert told["others"]["classes"]["basophil"]["images"] == 10 and len(told["judged_earlier"]) == 1


def test_exchange_packages(here, follow, capfd):
    assert follow("docs/how-to/exchange-packages.md") == {"clinical-qkt": 9}
    seen = capfd.readouterr()
    assert "This would leave for hospital_3" in seen.err and "AUC" in seen.err
    for said in re.findall(r"error: \S+ (.+)", (ROOT / "docs/how-to/exchange-packages.md").read_text()):
        assert said in seen.err
    assert (here / "runs/exchange/ledger.db").is_file() and "likelihood ratio, all classes" in seen.out


FOLLOWED = {
    "README.md": test_the_readme,
    "docs/getting-started.md": test_getting_started,
    "docs/how-to/train.md": test_train,
    "docs/how-to/evaluate.md": test_evaluate,
    "docs/how-to/classify-new-images.md": test_classify_new_images,
    "docs/how-to/export.md": test_export,
    "docs/how-to/gain-a-class.md": test_gain_a_class,
    "docs/how-to/ask-for-a-class.md": test_ask_for_a_class,
    "docs/how-to/publish-statistics.md": test_publish_statistics,
    "docs/how-to/have-it-assessed.md": test_have_it_assessed,
    "docs/how-to/exchange-packages.md": test_exchange_packages,
}
"""Pages whose results are looked at; all others are executed by the test below."""


@pytest.mark.parametrize("page", [p for p in HOW_TO if p not in {*FOLLOWED, *EXECUTED_BY}])
def test_any_other_how_to(page, follow):
    assert follow(page)


@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=[pytest.mark.slow] * ("demo" in c or "audit" in c)) for c in IN_THE_TEXT],
)
def test_a_command_in_a_sentence(command, follow):
    assert any(command in mentions((ROOT / page).read_text()) for page in PAGES)
    assert follow("README.md", [command]) == {"clinical-qkt": 1}


def test_the_bundles_readme(here, monkeypatch):
    copy = a_copied_bundle(here, BUNDLES[0])
    assert execute(lines_of(BUNDLES[0]), monkeypatch, copy, {}) == {"monai": 9}
    assert summary(here / "runs/mine/transfer")["student"]["site"] == "hospital_3"


@pytest.mark.parametrize("page", BUNDLES[1:])
def test_the_other_bundles_say_the_same_commands(page, here, monkeypatch):
    """What they do on images of their kind: tests/bundles/test_other_formats.py."""
    assert lines_of(page) == lines_of(BUNDLES[0])
    copy = a_copied_bundle(here, page)
    lines = [c for c in lines_of(page) if "verify_" in c]
    assert execute(lines, monkeypatch, copy, {}) == {"monai": 2}


# Nothing is left out


def test_every_page_is_followed_or_has_a_test_of_its_own():
    assert set(FOLLOWED) | set(EXECUTED_BY) <= set(PAGES)
    for page, named in EXECUTED_BY.items():
        file, test = named.split("::")
        text = (ROOT / file).read_text()
        assert f"def {test}(" in text and Path(page).name in text, page


@pytest.mark.parametrize("page", PAGES)
def test_what_stands_in_the_text_exists(page):
    """A command with options or a target in the text is executed on some page, or stands on the list."""
    everywhere = " ".join([*IN_THE_TEXT, *(c for p in PAGES for c in lines_of(p))])
    for command in mentions((ROOT / page).read_text()):
        check_that_it_exists(command)
        told = is_left_out(command) or command in everywhere or "--help" in command
        assert told or not has_options(command), f"`{command}` is neither executed nor on the list NOT_RUN"


@pytest.mark.parametrize("command", NOT_RUN)
def test_what_is_not_run_is_still_on_a_page(command):
    text = " ".join(" ".join((ROOT / p).read_text().split()) for p in PAGES)
    assert command in text


@pytest.mark.parametrize("page", PAGES)
def test_what_is_not_run_exists_all_the_same(page):
    for command in commands((ROOT / page).read_text()):
        if is_left_out(command):
            check_that_it_exists(command.split("#")[0])


def has_options(command: str) -> bool:
    words = shlex.split(command)
    return words[0] == "make" or any(w.startswith("--") for w in words)


def check_that_it_exists(command: str) -> None:
    """The target, the module, or the subcommand with all its options."""
    words = shlex.split(command)
    if words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(), command
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]), command
    elif words[0] == "clinical-qkt":
        found: Any = typer.main.get_command(app)
        rest = words[1:]
        while rest and rest[0] in getattr(found, "commands", {}):
            found, rest = found.commands[rest[0]], rest[1:]
        assert not hasattr(found, "commands") or rest in ([], ["…"]), f"there is no such command: {command}"
        known = {o for p in found.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        if stage := next((w for w in rest if w in stages(CELLS_BUNDLE)), None):
            known |= {f"--{key}" for key in keys_of(stage, CELLS_BUNDLE)}
        assert not [w for w in rest if w.startswith("--") and w not in known], command
    elif words[0].endswith("mlflow"):
        assert (Path(sys.executable).parent / "mlflow").is_file()


# Messages


def messages(page: str) -> list[str]:
    """What a page's table says that the software says."""
    table = (ROOT / page).read_text().split("| message | what to do |")
    if len(table) == 1:
        return []
    rows = re.findall(r"^\| (.+?) \| ", table[1].split("\n\n")[0], re.M)
    return [m for row in rows for m in re.findall(r"`([^`]+)`", row.split(" (`")[0])]


@pytest.mark.parametrize("page", [p for p in HOW_TO if messages(p)])
def test_every_message_of_a_how_to_is_one_of_the_softwares(page):
    code = " ".join(p.read_text() for p in sorted(ROOT.glob("clinical_qkt/**/*.py")))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # texts that go over several lines
    assert len(messages(page)) > 2
    for message in messages(page):
        for part in message.split("…"):
            assert part.strip(" '") in code, message
