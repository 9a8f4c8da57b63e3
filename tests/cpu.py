"""CPU seconds of every test, and a guard: one that takes more than it may is named at the end.

It fails no run, since seconds are the machine's, and a slower one is no mistake of a test.

Counted are the process of the tests and all that it starts, waited for or still running; xdist's workers send
their figures to the process that reports. What a fixture of more than one test takes is the fixture's.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterable
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

import pytest

_TICK = os.sysconf("SC_CLK_TCK")
_START = "start and collection"


def seconds() -> float:
    """User and system time of this process, its ended children and, where there is /proc, its living ones."""
    own = (getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in own) + sum(map(_of_process, _descendants("self")))


def _descendants(pid: str) -> Iterable[str]:
    for thread in Path("/proc", pid, "task").glob("*/children"):
        try:
            children = thread.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            yield child
            yield from _descendants(child)


def _of_process(pid: str) -> float:
    """What a process and its ended children took, see proc(5)."""
    try:
        fields = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended: its parent has it among its children now
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK


class Meter:
    """What tests and shared fixtures took in this process and in xdist's workers."""

    def __init__(self, limit: float, show: int) -> None:
        self.limit, self.show = limit, show
        self.tests: Counter[str] = Counter()
        self.fixtures: Counter[str] = Counter()
        self.too_dear: list[str] = []
        self._of_fixtures = 0.0

    @pytest.hookimpl
    def pytest_collection_finish(self) -> None:
        self.fixtures[_START] += seconds()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        before, self._of_fixtures = seconds(), 0.0
        result = yield
        taken = seconds() - before - self._of_fixtures
        self.tests[item.nodeid] += taken
        if taken > self.limit and not item.get_closest_marker("slow"):
            self.too_dear.append(item.nodeid)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        if fixturedef.scope == "function":
            return (yield)
        before, others, self._of_fixtures = seconds(), self._of_fixtures, 0.0
        try:
            return (yield)
        finally:
            taken = seconds() - before
            self.fixtures[f"{fixturedef.baseid}::{fixturedef.argname}"] += taken - self._of_fixtures
            self._of_fixtures = others + taken

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output["cpu"] = (dict(self.tests), dict(self.fixtures), self.too_dear)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist has ended, or died and left nothing."""
        tests, fixtures, too_dear = getattr(node, "workeroutput", {}).get("cpu", ({}, {}, []))
        self.tests.update(tests)
        self.fixtures.update(fixtures)
        self.too_dear += too_dear

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        line = terminalreporter.write_line
        if self.show:
            self._tables(line)
        for name in self.too_dear:
            line(f"{name} took {self.tests[name]:.1f} s of CPU: make it cheaper, or mark it slow", red=True)

    def _tables(self, line: Any) -> None:
        everything = self.tests + self.fixtures
        groups: Counter[str] = Counter()
        for name, taken in everything.items():
            groups[str(Path(name.partition("::")[0]).parent) if "::" in name else name] += taken
        line(f"{sum(groups.values()):8.1f} s of CPU in all")
        for table in (groups.most_common(), everything.most_common(self.show)):
            line("")
            for name, taken in table:
                line(f"{taken:8.1f}  {name}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("cpu_limit", "CPU seconds that a test may take that is not marked slow", default="10")
    parser.addoption(
        "--cpu",
        nargs="?",
        type=int,
        const=40,
        default=0,
        metavar="N",
        help="show CPU seconds by folder, and those of the N dearest tests, 40 if no number is given",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Meter(float(config.getini("cpu_limit")), config.getoption("cpu")))
