"""The tests' own guard over CPU seconds, on small runs of pytest."""

from __future__ import annotations

import pytest

TESTS = """
import subprocess, sys, time
import pytest

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

@pytest.fixture(scope="module")
def shared():
    burn(0.1)

def test_quick():
    time.sleep(0.1)

def test_of_a_dear_fixture(shared):
    pass

@pytest.mark.slow
def test_known_to_be_slow():
    burn(0.1)

def test_by_itself():
    burn(0.1)

def test_by_a_child():
    subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.1: pass"])

@pytest.mark.skip(reason="there is no moon")
@pytest.mark.parametrize("i", range(3))
def test_by_moonlight(i):
    pass
"""
NAMED = ["test_by_a_child", "test_by_itself"]


@pytest.fixture
def small(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_small=TESTS)
    pytester.makeini("[pytest]\nmarkers = slow: x\ncpu_limit = 0.08")
    return pytester


@pytest.mark.parametrize("processes", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)])
def test_a_test_over_the_limit_is_named_and_skips_are_told(small, processes):
    done = small.runpytest_inprocess("-p", "tests.cpu", "-p", "tests.skips", "--cpu", *processes)
    lines = done.outlines
    assert done.ret == pytest.ExitCode.OK
    assert sorted(line.split()[0].split("::")[1] for line in lines if "make it cheaper" in line) == NAMED
    assert "3 skipped: there is no moon" in lines
    assert any(line.endswith("test_small.py::shared") for line in lines)
    assert done.parseoutcomes() == {"passed": 5, "skipped": 3}


def test_a_run_of_cheap_tests_ends_well(small):
    done = small.runpytest_inprocess("-p", "tests.cpu", "-k", "quick or dear")
    assert done.ret == pytest.ExitCode.OK
