"""From a request to what others measured, over provisioned processes of FLARE with mutual TLS."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

pytest.importorskip("nvflare", reason='NVIDIA FLARE is not installed: pip install "clinical-qkt[federation]"')

from clinical_qkt.exchange import deciding
from clinical_qkt.exchange.at_desk import AtDesk, at_desk
from clinical_qkt.exchange.letters import now
from clinical_qkt.research import demo_exchange, simulated_sites
from clinical_qkt.research.demo import run_demo
from clinical_qkt.research.simulated_sites import DemoSettings
from tests.research.test_demo_exchange import truth

pytestmark = pytest.mark.slow
SITES = [f"hospital_{i}" for i in range(1, 6)]
STUDENT, SLOW, UNWILLING = "hospital_3", "hospital_2", "hospital_5"
WAIT = datetime.timedelta(seconds=60)


def person(desk: AtDesk, console: Console) -> None:
    """One approves a minute after the request has come; another one says no to all."""
    for row in desk.store.of("in", "ask", "waiting"):
        if desk.site == UNWILLING:
            deciding.decline(desk, row, "Dr. C", "our board meets in January")
        elif desk.site != SLOW or now() - row.since >= WAIT:
            deciding.approve(desk, row, "Dr. B", deciding.shown(desk, row), new_ledger=False)


def test_four_hospitals_answer_by_policy_after_a_minute_or_not_at_all(tmp_path, monkeypatch):
    section = demo_exchange.section

    def at(root: Path, sites: Any, i: int, carrier: Any) -> dict[str, object]:
        found = section(root, sites, i, carrier)
        return found | ({"automatic": {"askers": []}} if sites[i] == UNWILLING else {})

    monkeypatch.setattr(simulated_sites, "at_desk", at)
    monkeypatch.setattr(demo_exchange, "_person", person)
    monkeypatch.setattr(demo_exchange, "ROUNDS", 20)
    settings = DemoSettings(
        sites=5, student=STUDENT, gained_from="private", max_epochs=6, exchange="flare", processes=True
    )
    out = tmp_path / "demo"
    summary = run_demo(settings, out, overwrite=False, console=Console())
    desks = {site: at_desk(out / "sites" / f"{site}.yaml") for site in SITES}
    first, *_ = desks[SLOW].store.of("in", "ask")
    decided = desks[SLOW].store.decision(first)
    assert decided is not None and decided["by"] == "Dr. B"
    assert datetime.datetime.fromisoformat(decided["at"]) - first.since >= WAIT
    states = {r.peer: r.state for r in desks[STUDENT].store.of("out", "ask")[:4]}
    assert states.pop(UNWILLING) == "declined" and set(states.values()) == {"answered"}
    (name,) = summary.student.query
    assert summary.others is not None and UNWILLING not in [s.site for s in summary.others.sites]
    low, high = summary.others.classes[name].ci95
    assert low <= truth(out, name, [s.site for s in summary.others.sites]) <= high
