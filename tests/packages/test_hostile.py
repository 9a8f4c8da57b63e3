"""1,000 hostile packages: none is accepted, none runs anything, none ends in a traceback; see ``hostile``.

A seeded 200 of them by default, all under ``-m slow``. A failure names its case; to see that one alone:
``python -m pytest tests/packages/test_hostile.py -n 0 -k KIND``.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigExpression
from safetensors.torch import load_file, save_file

from clinical_qkt.core.errors import PackageError
from clinical_qkt.packages.verify import verify
from clinical_qkt.packages.writer import CARD, SUMS
from tests.conftest import site_file
from tests.packages import hostile
from tests.packages.hostile import BASES, KINDS, Case, World

ALL, FEW = 1000, 200
SECONDS, MEGABYTES = 2.0, 500
NAMED = re.compile(
    r"card\.json|\.safetensors|SHA256SUMS|package\.sig|folder|lacks '|does not belong|not signed"
)
BROKEN_SEAL = re.compile(r"match its digest|after it was signed|not signed")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = hostile.world(tmp_path_factory.mktemp("world"))
    verify(made.valid["resnet"], made.trust)  # what is imported on first use does not count
    return made


@dataclass
class Cost:
    """Of one refusal: seconds on the clock and of computing, megabytes more at its peak than before."""

    wall: float
    computing: float
    megabytes: float


def refuse(case: Case, world: World) -> tuple[str, Cost]:
    """What is said when a package is refused, and what it took.

    Torch and MONAI alone need more than 500 MB: what counts is how much more than before.
    """
    before = _memory(start=True)
    wall, computing = time.perf_counter(), time.process_time()
    try:
        verify(case.folder, world.trust, world.query)
    except PackageError as e:
        said = str(e)
    else:
        raise AssertionError(f"accepted: {case}")
    finally:
        assert not world.canary.exists(), f"executed: {case}"
    cost = Cost(time.perf_counter() - wall, time.process_time() - computing, _memory() - before)
    return said, cost


def check(case: Case, world: World) -> Cost:
    try:
        said, cost = refuse(case, world)
    except Exception as e:
        raise AssertionError(f"{type(e).__name__}: {e}\n{case}") from e
    assert NAMED.search(said), f"names neither file nor field: {said}\n{case}"
    assert said.isprintable() or said.replace("\n", "").isprintable(), f"not fit to print: {said!r}\n{case}"
    assert len(said) < 10_000, case
    if case.sealed:  # otherwise nothing was tried but the seal
        assert not BROKEN_SEAL.search(said), f"refused for its seal alone: {said}\n{case}"
    # Of the clock no more than that it does not hang: other processes slow it down.
    assert cost.computing < SECONDS and cost.wall < 5 * SECONDS, f"{cost}\n{case}"
    assert cost.megabytes < MEGABYTES, f"{cost}\n{case}"
    return cost


@pytest.mark.parametrize("name", BASES)
def test_every_valid_package_is_accepted(name, world):
    for package in (world.valid[name], world.older[name]):
        query = package.parent / "query"
        assert verify(package, world.trust, query).signed.state == "trusted"


@pytest.mark.parametrize("name", sorted(KINDS))
def test_hostile_packages_are_refused(name, world, tmp_path):
    for number in _numbers(name, FEW):
        check(hostile.make(number, world, tmp_path), world)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(KINDS))
def test_all_hostile_packages_are_refused(name, world, tmp_path, record_property):
    costs = []
    for number in _numbers(name, ALL):
        case = hostile.make(number, world, tmp_path)
        costs.append(check(case, world))
        shutil.rmtree(case.folder, ignore_errors=True)
    for what in ("wall", "computing", "megabytes"):
        record_property(what, max(getattr(c, what) for c in costs))


def test_expressions_would_be_evaluated_if_anything_gave_them_to_monai():
    """Otherwise the canaries above would prove nothing."""
    assert os.environ.get("MONAI_EVAL_EXPR") is None and ConfigExpression.run_eval


@pytest.mark.slow
def test_the_command_refuses_them_with_exit_code_3(world, tmp_path):
    _check_command(range(7, 8), world, tmp_path)


@pytest.mark.slow
def test_the_command_refuses_a_sample_of_all(world, tmp_path):
    _check_command(range(3, ALL, ALL // 25), world, tmp_path)


def test_all_problems_are_told_at_once(world, tmp_path):
    package = tmp_path / "p"
    shutil.copytree(world.valid["resnet"], package)
    card = json.loads((package / CARD).read_text())
    (package / CARD).write_text(json.dumps({**card, "created": "today", "note": "$x", "task": "a/b"}))
    state = load_file(package / "model.safetensors")
    save_file({**state, "fc.bias": state["fc.bias"] * torch.nan}, package / "model.safetensors")
    (package / "extra.txt").write_text("hello")
    with pytest.raises(PackageError) as e:
        verify(package, world.trust)
    for told in (
        "holds a file that does not belong: 'extra.txt'", "card.json: does not match its digest", "created",
        "model.safetensors: does not match its digest", "task", "note: looks like an expression",
        "note: Extra",
    ):  # fmt: skip
        assert told in str(e.value), f"{told}\n{e.value}"


def test_tensors_are_looked_into_even_where_the_digests_are_wrong(world, tmp_path):
    package = tmp_path / "p"
    shutil.copytree(world.valid["resnet"], package)
    state = load_file(package / "model.safetensors")
    save_file({**state, "fc.bias": state["fc.bias"] * torch.nan}, package / "model.safetensors")
    (package / SUMS).write_text("none\n")
    with pytest.raises(PackageError) as e:
        verify(package, world.trust)
    for told in (
        "'fc.bias' holds NaN",
        "does not match its digest",
        "the digest on the card",
        "package.sig",
        SUMS,
    ):
        assert told in str(e.value)


def _numbers(name: str, total: int) -> range:
    return range(sorted(KINDS).index(name), total, len(KINDS))


def _check_command(numbers: range, world: World, tmp_path: Path) -> None:
    """The real command line, in processes of its own."""
    keys = {name: str(path) for name, path in world.trust.keys.items()}
    site = site_file(tmp_path, trusted_keys=keys)
    environment = {k: v for k, v in os.environ.items() if k != "MONAI_EVAL_EXPR"}
    command = [sys.executable, "-m", "clinical_qkt", "package", "verify", "--site", str(site)]
    for number in numbers:
        case = hostile.make(number, world, tmp_path)
        done = subprocess.run(
            [*command, "--query", str(world.query), str(case.folder)], capture_output=True, text=True,
            env=environment, timeout=100,
        )  # fmt: skip
        assert done.returncode == 3, f"{case}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr and done.stderr.startswith("error: "), done.stderr
        assert NAMED.search(done.stderr), done.stderr
        assert not world.canary.exists(), case


def _memory(start: bool = False) -> float:
    """The process's peak of memory in MB; or, at the start, what it holds now, and the peak begins anew."""
    status = Path("/proc/self/status")
    if not status.exists():  # not on Linux: the peak of the whole run
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if start:
        Path("/proc/self/clear_refs").write_text("5")
    kilobytes = re.search(r"VmRSS:\s+(\d+)" if start else r"VmHWM:\s+(\d+)", status.read_text())
    assert kilobytes
    return int(kilobytes[1]) / 1e3
