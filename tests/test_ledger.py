import json
import multiprocessing
import sqlite3

import pytest
from rich.console import Console

from clinical_qkt.errors import OutputError
from clinical_qkt.ledger import Asked, BudgetSpent, Ledger
from clinical_qkt.ledger_printing import print_ledger
from clinical_qkt.privacy import Guarantee

ONE, TOTAL = Guarantee(1.0, 1e-5), Guarantee(1.5, 1e-5)  # room for two: together they come to 1.47


def asked(n: int = 0, **changes) -> Asked:
    facts = {
        "site": "a",
        "query_sha256": f"{n:064d}",
        "label": "p",
        "kind": "private_mean",
        "data_sha256": "d",
    }
    return Asked(**{**facts, **changes})


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    found = Ledger(tmp_path / "site" / "ledger.db")
    found.begin()
    return found


def test_releases_are_written_down_until_the_budget_is_spent(ledger):
    drawn = []

    def draw():
        drawn.append(1)
        return {"mean": [0.5]}

    for n in range(2):
        assert ledger.release(asked(n), ONE, TOTAL, draw) == {"mean": [0.5]}
    with pytest.raises(BudgetSpent):
        ledger.release(asked(2), ONE, TOTAL, draw)
    assert len(drawn) == 2 and len(ledger.lines()) == 2
    assert ledger.spent(1e-5) == pytest.approx(1.47, abs=0.01)


def test_the_same_question_gets_the_same_numbers_and_costs_nothing(ledger):
    first = ledger.release(asked(), ONE, TOTAL, lambda: {"mean": [0.1]})
    again = ledger.release(asked(), ONE, TOTAL, lambda: pytest.fail("drawn again"))
    assert first == again and ledger.spent(1e-5) == pytest.approx(1.0, abs=1e-3)


def test_the_same_question_gets_the_same_numbers_though_the_datalist_has_changed(ledger):
    first = ledger.release(asked(), ONE, TOTAL, lambda: 1)
    later = asked(data_sha256="e")
    assert ledger.release(later, ONE, TOTAL, lambda: pytest.fail("new numbers tell of the change")) == first


@pytest.mark.parametrize("changes", [{"label": "q"}, {"own_site": "s"}, {"query_sha256": "9" * 64}])
def test_another_class_another_site_or_another_query_is_another_release(ledger, changes):
    ledger.release(asked(), ONE, TOTAL, lambda: 1)
    assert ledger.release(asked(**changes), ONE, TOTAL, lambda: 2) == 2


def test_an_answer_that_spends_nothing_is_written_down_too(ledger):
    ledger.record(asked(kind="covariance"), {"count": 30})
    assert ledger.spent(1e-5) == 0 and json.loads(ledger.lines()[0]["release"]) == {"count": 30}


def test_a_crash_while_drawing_leaves_nothing_behind(ledger):
    def crash():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.release(asked(), ONE, TOTAL, crash)
    assert ledger.lines() == [] and ledger.spent(1e-5) == 0


def _spend(path, n, start, results) -> None:
    start.wait()
    try:
        Ledger(path).release(asked(n), ONE, Guarantee(1.1, 1e-5), lambda: n)
        results.put(n)
    except BudgetSpent:
        results.put(None)


def test_two_processes_cannot_both_spend_the_last_of_the_budget(ledger):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    processes = [context.Process(target=_spend, args=(ledger.path, n, start, results)) for n in range(4)]
    for p in processes:
        p.start()
    start.set()
    found = [results.get(timeout=60) for _ in processes]
    for p in processes:
        p.join()
    assert sum(f is not None for f in found) == 1 and len(ledger.lines()) == 1


def test_a_damaged_ledger_stops_every_release_and_is_named(ledger):
    ledger.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(OutputError, match=r"ledger\.db") as e:
        ledger.release(asked(), ONE, TOTAL, lambda: pytest.fail("drawn without a ledger"))
    assert e.value.exit_code == 5
    assert ledger.path.read_bytes().startswith(b"no database")


def test_the_print_shows_lines_and_what_is_spent(ledger):
    ledger.release(asked(), ONE, TOTAL, lambda: {"mean": [0.5]})
    ledger.record(asked(1), {"declined": "no such class"})
    console = Console(record=True, width=120)
    print_ledger(console, ledger, 1e-5)
    text = console.export_text()
    assert "private mean" in text and "declined" in text and "epsilon 1.00" in text


def test_a_ledger_is_plain_sqlite(ledger):
    ledger.record(asked(), {"count": 1})
    with sqlite3.connect(ledger.path) as db:
        assert db.execute("SELECT class FROM answers").fetchone() == ("p",)


def test_how_often_the_same_test_images_were_judged_before_is_known(ledger):
    first = ledger.judged("images", "rule", "weights 1")
    assert (first["judged_before"], first["rules_before"]) == (0, 0)
    second = ledger.judged("images", "rule", "weights 2")
    third = ledger.judged("images", "laxer rule", "weights 2")
    assert (second["judged_before"], third["judged_before"], third["rules_before"]) == (1, 1, 1)
    assert second["used_since"] == first["used_since"]
    assert ledger.judged("other images", "rule", "weights 3")["judged_before"] == 0


def test_the_same_model_judged_again_by_the_same_rule_is_no_further_try(ledger):
    for _ in range(3):
        assert ledger.judged("images", "rule", "weights")["judged_before"] == 0
    ledger.judged("images", "rule", "later")
    assert ledger.judged("images", "rule", "weights")["judged_before"] == 0
    assert len(ledger.lines("judged")) == 2
