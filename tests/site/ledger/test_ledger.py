import json
import multiprocessing
import sqlite3
import stat
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from clinical_qkt.core.errors import InputError, OutputError
from clinical_qkt.privacy.composition import composed_epsilon
from clinical_qkt.privacy.mechanisms import Guarantee
from clinical_qkt.site.ledger.exact_floor import Shown
from clinical_qkt.site.ledger.ledger import Exact, Ledger, NoFurtherResponse, PrivacyBudgetSpent, Requested
from clinical_qkt.site.ledger.printing import as_data, print_ledger

ONE, TOTAL = Guarantee(1.0, 1e-5), Guarantee(1.5, 1e-5)  # room for two: together they come to 1.47


def asked(n: int = 0, **changes) -> Requested:
    facts = {
        "site": "a",
        "query_sha256": f"{n:064d}",
        "label": "p",
        "kind": "private_mean",
        "data_sha256": "d",
    }
    return Requested(**{**facts, **changes})


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
    with pytest.raises(PrivacyBudgetSpent):
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


@pytest.mark.parametrize(
    "changes",
    [{"label": "q"}, {"own_site": "s"}, {"query_sha256": "9" * 64}, {"form": "answer/3"}, {"unit": "image"}],
)
def test_another_class_site_query_unit_or_form_is_another_release(ledger, changes):
    ledger.release(asked(), ONE, TOTAL, lambda: 1)
    assert ledger.release(asked(**changes), ONE, TOTAL, lambda: 2) == 2


@pytest.mark.parametrize("guarantee", [Guarantee(0.5, 1e-5), Guarantee(1.0, 1e-6)])
def test_another_guarantee_is_another_release(ledger, guarantee):
    ledger.release(asked(), ONE, TOTAL, lambda: 1)
    assert ledger.release(asked(), guarantee, Guarantee(9.0, 1e-5), lambda: 2) == 2


def test_a_refusal_is_written_down_and_spends_nothing(ledger):
    ledger.record(asked(kind="none"), {"declined": "no such class"})
    assert ledger.spent(1e-5) == 0
    assert json.loads(ledger.lines()[0]["release"]) == {"declined": "no such class"}


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
    except PrivacyBudgetSpent:
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
    assert "do not add up" not in text


def test_a_ledger_is_plain_sqlite(ledger):
    ledger.record(asked(), {"count": 1})
    with sqlite3.connect(ledger.path) as db:
        assert db.execute("SELECT class FROM answers").fetchone() == ("p",)


def test_how_often_the_same_test_images_were_judged_before_is_known(ledger):
    first = ledger.judged("images", "rule", "weights 1")
    assert (first.judged_before, first.rules_before) == (0, 0)
    second = ledger.judged("images", "rule", "weights 2")
    third = ledger.judged("images", "laxer rule", "weights 2")
    assert (second.judged_before, third.judged_before, third.rules_before) == (1, 1, 1)
    assert second.used_since == first.used_since
    assert ledger.judged("other images", "rule", "weights 3").judged_before == 0


def test_the_same_model_judged_again_by_the_same_rule_is_no_further_try(ledger):
    for _ in range(3):
        assert ledger.judged("images", "rule", "weights").judged_before == 0
    ledger.judged("images", "rule", "later")
    assert ledger.judged("images", "rule", "weights").judged_before == 0
    assert len(ledger.lines("judged")) == 2


# Whom answers hide


def test_what_hides_an_image_counts_for_a_patient_with_so_many_times_less_noise(ledger):
    ledger.release(asked(unit="image"), ONE, TOTAL, lambda: 1)
    twice = composed_epsilon([ONE.noise_multiplier / 2], 1e-5)
    assert ledger.spent(1e-5, "image") == pytest.approx(1.0, abs=1e-3) and twice > 1.9
    assert ledger.spent(1e-5, "patient", images_per_patient=2) == pytest.approx(twice)
    with pytest.raises(PrivacyBudgetSpent):
        ledger.release(asked(1), ONE, Guarantee(2.1, 1e-5), lambda: 1, images_per_patient=2)


def test_where_nobody_says_how_many_images_a_patient_has_it_does_not_count_at_all(ledger):
    ledger.release(asked(unit="image"), ONE, TOTAL, lambda: 1)
    for ask in (
        lambda: ledger.spent(1e-5, "patient"),
        lambda: ledger.release(asked(1), ONE, Guarantee(100.0, 1e-5), lambda: 2),
    ):
        with pytest.raises(InputError, match="cannot be added to answers that hide a patient") as e:
            ask()
        assert "images_per_patient" in e.value.fix
    assert len(ledger.lines()) == 1


def test_what_hides_a_patient_hides_each_of_the_patient_s_images_as_well(ledger):
    ledger.release(asked(), ONE, TOTAL, lambda: 1)
    ledger.release(asked(1, unit="image"), ONE, TOTAL, lambda: 1)
    with pytest.raises(PrivacyBudgetSpent):
        ledger.release(asked(2, unit="image"), ONE, TOTAL, lambda: 1)


def test_the_print_keeps_them_apart(ledger):
    ledger.release(asked(), ONE, TOTAL, lambda: {"total": [1]})
    ledger.release(asked(1, unit="image"), ONE, TOTAL, lambda: {"total": [1]})
    console = Console(record=True, width=160)
    print_ledger(console, ledger, 1e-5)
    text = " ".join(console.export_text().split())
    for told in ("one patient", "one image", "hide a patient, together: epsilon 1.00", "These do not add up",
                 "hide an image, together: epsilon 1.00"):  # fmt: skip
        assert told in text, told
    assert as_data(ledger, 1e-5)["spent"] == pytest.approx({"patient": 1.0, "image": 1.0}, abs=1e-3)


# A ledger of the version before


@pytest.fixture
def first_version(tmp_path) -> Path:
    """One private response and one exact one, as they were written down then."""
    path = tmp_path / "first.db"
    columns = (
        "time, asked_by, query_sha256, class, kind, data_sha256, epsilon, delta, noise_multiplier, release"
    )
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE answers (id INTEGER PRIMARY KEY, time TEXT NOT NULL, asked_by TEXT NOT NULL,"
            " query_sha256 TEXT NOT NULL, class TEXT NOT NULL, kind TEXT NOT NULL, data_sha256 TEXT NOT NULL,"
            " epsilon REAL, delta REAL, noise_multiplier REAL, release TEXT NOT NULL)"
        )
        for cost, kind, release in (
            ((1.0, 1e-5, ONE.noise_multiplier), "private_mean", '{"mean": [1]}'),
            ((None, None, None), "mean", '{"count": 30}'),
        ):
            line = ("t", "a", f"{0:064d}", "p", kind, "d", *cost, release)
            db.execute(f"INSERT INTO answers ({columns}) VALUES ({', '.join('?' * 10)})", line)
    path.chmod(0o644)
    return path


def test_its_lines_count_and_are_never_told_again_as_answers_of_today(first_version):
    ledger, total = Ledger(first_version), Guarantee(1.6, 1e-5)
    assert ledger.is_begun() and len(ledger.lines()) == 2
    new = ledger.release(asked(unit="image"), ONE, total, lambda: {"total": [2]})
    assert new == {"total": [2]}
    with pytest.raises(PrivacyBudgetSpent):
        ledger.release(asked(1, unit="image"), ONE, total, lambda: {"total": [3]})
    assert stat.S_IMODE(first_version.stat().st_mode) == 0o600


def test_whom_they_hide_is_not_guessed(first_version):
    ledger = Ledger(first_version)
    with pytest.raises(InputError, match="not known whom they hide"):
        ledger.spent(1e-5, "patient")
    assert list(ledger.spent_by_unit(1e-5)) == ["unknown"]
    console = Console(record=True, width=160)
    print_ledger(console, ledger, 1e-5)
    assert "which did not write down whom they hide" in console.export_text()


def test_its_exact_answer_counts_for_the_class_of_that_name(first_version):
    ledger, of = Ledger(first_version), shown(range(30))
    with pytest.raises(NoFurtherResponse):
        ledger.exact(asked(kind="mean", own_class="P"), of, 1, 20, lambda: pytest.fail("drawn"))
    assert exact(ledger, 1, of, kind="mean", label="q", own_class="q").content == b"1"


# Exact responses


def shown(patients: Iterable[int], images: int = 2) -> Shown:
    return Shown({f"image {p} {k}": f"patient {p}" for p in patients for k in range(images)})


def exact(ledger: Ledger, n: int = 0, of: Shown | None = None, limit: int = 1, **changes) -> Exact:
    given = {"kind": "covariance", "own_class": "P", **changes}
    return ledger.exact(asked(n, **given), of or shown(range(40)), limit, 20, lambda: Exact(80, b"%d" % n))


def test_the_same_question_gets_the_same_exact_answer_whatever_the_data_are_by_then(ledger):
    first = exact(ledger)
    assert ledger.told_before(asked(kind="covariance"))
    again = ledger.exact(
        asked(kind="covariance", data_sha256="new"), shown(range(41)), 1, 20, lambda: pytest.fail("drawn")
    )
    assert first == again and len(ledger.lines()) == 1


def test_an_exact_answer_whose_numbers_are_lost_counts_all_the_same(ledger):
    exact(ledger)
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute("DELETE FROM kept")
    assert not ledger.told_before(asked(kind="covariance"))
    for n in (0, 1):
        with pytest.raises(NoFurtherResponse):
            exact(ledger, n)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"site": "b"},
        {"label": "of another name", "own_class": "p"},
        {"data_sha256": "e"},
        {"kind": "mean"},
    ],
)
def test_so_many_exact_answers_are_given_for_a_class_to_all_who_ask(ledger, changes):
    exact(ledger)
    with pytest.raises(NoFurtherResponse, match="no further exact response for this class"):
        exact(ledger, 1, shown(range(100, 140)), **changes)
    assert exact(ledger, 1, shown(range(100, 140)), limit=2, **changes) == Exact(80, b"1")


def test_the_same_images_count_as_the_same_class_whatever_it_is_called(ledger):
    exact(ledger)
    with pytest.raises(NoFurtherResponse):
        exact(ledger, 1, label="other", own_class="other")
    assert exact(ledger, 1, shown(range(40, 80)), label="other", own_class="other") == Exact(80, b"1")


@pytest.mark.parametrize(
    ("patients", "near"),
    [(range(41), True), (range(39), True), (range(1, 41), True), (range(9, 49), True),
     (range(40), False), (range(20, 40), False), (range(10, 50), False)],
)  # fmt: skip
def test_no_exact_answer_is_of_nearly_the_same_patients_as_another(ledger, patients, near):
    """Nearly: 1 to 19 have come or gone, in all."""
    exact(ledger, limit=9)
    if near:
        with pytest.raises(NoFurtherResponse):
            exact(ledger, 1, shown(patients), limit=9)
    else:
        assert exact(ledger, 1, shown(patients), limit=9) == Exact(80, b"1")


def test_an_image_more_of_one_patient_is_nearly_the_same_too(ledger):
    exact(ledger, limit=9)
    more = Shown({**shown(range(40)).patients, "one more": "patient 3"})
    with pytest.raises(NoFurtherResponse):
        exact(ledger, 1, more, limit=9)


def test_other_names_of_the_same_patients_hide_nothing(ledger):
    exact(ledger, limit=9)
    renamed = Shown({image: f"new {patient}" for image, patient in shown(range(41)).patients.items()})
    with pytest.raises(NoFurtherResponse):
        exact(ledger, 1, renamed, limit=9)


def test_what_is_kept_of_images_and_patients_names_none_of_them(ledger):
    exact(ledger)
    content = ledger.path.read_bytes()
    assert b"patient 3" not in content and b"image 3" not in content
    assert shown(range(40)).kept() != shown(range(40)).kept()
    assert "images" not in ledger.lines()[0]
