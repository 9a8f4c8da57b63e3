"""A request's way over two desks, and all that may befall it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.exchange import answering, asking, deciding, letters, receiving, sending, view
from clinical_qkt.exchange import sweep as sweeping
from clinical_qkt.exchange.clearing import clear
from clinical_qkt.site.ledger.ledger import Ledger
from tests.exchange.world import package


@contextmanager
def at(monkeypatch: pytest.MonkeyPatch, **later: float) -> Iterator[None]:
    """The same desks, at another time."""
    then = letters.now() + datetime.timedelta(**later)
    with monkeypatch.context() as patch:
        for module in (receiving, sending, sweeping, deciding, answering, asking):
            if hasattr(module, "now"):
                patch.setattr(module, "now", lambda: then)
        yield


def test_a_request_waits_for_a_person_and_its_answer_comes_back(world):
    world.ask()
    world.settle()
    assert [world.asked(s).state for s in ("north", "south")] == ["waiting", "waiting"]
    assert world.answered == {} and world.outcome("north") == "taken"
    world.approve("north")
    deciding.decline(world.desk("south"), world.asked("south"), "Dr. B", "our board meets in January")
    world.settle()
    assert (world.outcome("north"), world.outcome("south")) == ("answered", "declined")
    assert world.answered == {"north": 1}
    (reply,) = world.desk("ask").store.of("in", "reply", "verified")
    assert (receiving.package_of(world.desk("ask"), reply) / "statistics.safetensors").is_file()
    assert not world.parcels("ask") and not world.parcels("north")
    asked = next(r for r in world.desk("ask").store.of("out", "ask") if r.peer == "south")
    assert asked.reason == "our board meets in January"
    (line,) = view.next_lines(world.desk("ask"))
    assert "--responses" in line


def test_a_policy_answers_without_a_person_within_its_numbers(world):
    automatic = {"askers": ["ask"], "queries_per_asker_per_month": 1}
    world.write("north", exchange={"automatic": automatic})
    world.ask("north")
    world.settle()
    assert world.outcome("north") == "answered"
    package(
        world.query,
        *("query", "ask", "extractor.safetensors"),
        query=[{"name": "basophil", "system": None, "code": None}],
    )
    world.ask("north")
    world.settle()
    second = world.desk("north").store.of("in", "ask")[1]
    assert second.state == "waiting" and "1 queries answered in 30 days" in second.reason


@pytest.mark.parametrize("kinds, why", [(["covariance"], "among the kinds"), ([], "nothing would be")])
def test_exact_numbers_never_leave_without_a_person_unless_they_are_named(world, kinds, why, monkeypatch):
    world.write("north", exchange={"automatic": {"askers": ["ask"]}})
    rows = [{"label": "basophil", "what": "", "kind": k} for k in kinds]
    found = lambda desk, jobs, lock: ({j["id"]: {"preview": {"classes": rows}} for j in jobs}, [])  # noqa: E731
    monkeypatch.setattr("clinical_qkt.exchange.work.examine", found)
    world.ask("north")
    world.sweep("ask", "north")
    assert world.asked("north").state == "waiting" and why in world.asked("north").reason


def test_nothing_is_automatic_without_a_ledger(world):
    world.write("north", exchange={"automatic": {"askers": ["ask"]}})
    (world.root / "north.db").unlink()
    world.ask("north")
    world.sweep("ask", "north")
    assert "no ledger" in world.asked("north").reason
    with pytest.raises(InputError, match="has no ledger yet"):
        world.approve("north")


def test_a_letter_that_comes_again_changes_nothing(world):
    world.ask("north")
    world.sweep("ask")
    (parcel,) = world.parcels("north")
    kept = parcel.read_bytes()
    world.settle()
    world.approve("north")
    world.settle()
    parcel.write_bytes(kept)
    world.settle()
    assert world.asked("north").state == "answered" and world.answered == {"north": 1}
    assert any("came once more" in text for text in world.said)


def test_an_exchange_that_another_letter_has_is_refused(world):
    world.ask("north")
    desk = world.desk("ask")
    (first,) = desk.store.of("out", "ask")  # whichever comes first is taken
    other = first.ask.model_copy(update={"deadline": first.ask.deadline + datetime.timedelta(days=1)})
    sending.outgoing(desk, other, desk.query_dir)
    world.settle()
    states = sorted(r.state for r in desk.store.of("out", "ask"))
    assert states == ["refused", "taken"]
    assert world.asked("north").state == "waiting"


def test_after_the_deadline_nothing_can_be_approved_and_nothing_is_lost(world, monkeypatch):
    world.ask("north", days=3)
    world.settle()
    with at(monkeypatch, days=4):
        with pytest.raises(QueryError, match="deadline has passed"):
            world.approve("north")
        world.settle()
        assert world.asked("north").state == "expired" == world.outcome("north")
        assert receiving.package_of(world.desk("north"), world.asked("north")).is_dir()


def test_a_letter_that_comes_after_its_deadline_is_expired_on_arrival(world, monkeypatch):
    world.ask("north", days=3)
    world.sweep("ask")
    with at(monkeypatch, days=4):
        world.sweep("north")
    assert world.asked("north").state == "expired"


def test_an_answer_that_comes_too_late_is_told_so(world, monkeypatch):
    world.ask("north", days=3)
    world.settle()
    world.approve("north")
    with at(monkeypatch, days=4):
        world.settle()
    assert world.outcome("north") == "expired"
    (reply,) = world.desk("north").store.of("out", "reply")
    assert reply.state == "closed"


def test_a_clock_that_is_ahead_is_told_of(world, monkeypatch):
    with at(monkeypatch, days=2):
        world.ask("north")
    world.sweep("ask", "north")
    assert any("later than it is now, by this site's clock" in text for text in world.said)
    assert not world.desk("north").store.of("in", "ask") and not world.parcels("north")


def test_a_bit_that_flips_on_the_way_is_told_and_the_letter_comes_again(world, monkeypatch):
    world.ask("north", "south")
    world.sweep("ask")
    (parcel,) = world.parcels("north")
    raw = bytearray(parcel.read_bytes())
    raw[-40] ^= 4
    parcel.write_bytes(raw)
    world.sweep("north", "south", "ask")
    assert any("was changed on its way" in text for text in world.said)
    assert world.outcome("south") == "taken" and world.outcome("north") == "sent"
    with at(monkeypatch, hours=2):
        world.sweep("ask", "north", "ask")
    assert world.outcome("north") == "taken"


def test_a_parcel_in_another_sites_mailbox_is_refused(world):
    world.ask("north")
    world.sweep("ask")
    (parcel,) = world.parcels("north")
    (world.root / "mailbox" / "south").mkdir()
    parcel.rename(world.root / "mailbox" / "south" / parcel.name)
    world.sweep("south")
    assert any("is for 'north'" in text for text in world.said)
    assert not world.desk("south").store.rows() and not list(world.desk("south").place("in").iterdir())


def test_a_site_whose_key_is_not_held_bothers_nobody(world):
    keys = {"south": str(world.root / "keys" / "south.pub")}
    world.write("north", trusted_keys=keys)
    world.ask("north")
    world.sweep("ask", "north")
    assert not world.desk("north").store.rows() and any("holds no key of 'ask'" in t for t in world.said)


def test_a_package_that_is_somebody_elses_refuses_itself_alone(world):
    world.ask()
    world.settle()
    for site in ("north", "south"):
        world.approve(site)
    work = world.desk("north").folder / "work" / world.asked("north").id / "package"
    package(work, "answer", "south", "statistics.safetensors")
    world.settle()
    assert (world.outcome("north"), world.outcome("south")) == ("refused", "answered")
    (reply,) = world.desk("north").store.of("out", "reply")
    assert reply.state == "refused" and reply.reason == ""  # why is told to nobody but the asker


def test_what_is_too_large_or_beyond_the_quota_stays_with_the_carrier_and_is_told(world):
    limits = {"quota": 1_000_000, "largest_parcel": 1_000_000}
    world.write("north", exchange=limits)
    (world.query / "extractor.safetensors").write_bytes(bytes(1_100_000))
    world.ask("north")
    world.sweep("ask", "north")
    assert len(world.parcels("north")) == 1 and any("too large" in text for text in world.said)
    world.write("north", exchange={**limits, "largest_parcel": 10**9})
    world.sweep("north")
    assert len(world.parcels("north")) == 1 and any("quota is reached" in text for text in world.said)
    world.sweep("north")
    told = [text for _, text in world.desk("north").store.notes() if "quota" in text]
    assert len(told) == 1  # though each sweep says it
    world.write("north")
    world.settle()
    assert world.asked("north").state == "waiting"


def test_a_query_that_is_replaced_closes_its_exchange(world):
    world.ask("north")
    world.settle()
    world.approve("north")
    package(world.query, "query", "ask", "extractor.safetensors", query=[{"name": "monocyte"}])
    world.settle()
    assert world.outcome("north") == "closed"


def test_the_same_sites_are_not_asked_the_same_twice(world):
    world.ask("north")
    with pytest.raises(QueryError, match="were asked this already"):
        world.ask("north")
    world.ask()  # and the other one is
    assert [r.peer for r in world.desk("ask").store.of("out", "ask")] == ["north", "south"]


def test_two_sweeps_at_once_are_one(world):
    world.ask("north")
    desk = world.desk("ask")
    with sweeping.held(desk):
        assert sweeping.Sweep(desk, world.said.append).run() is False
    assert "another sweep is at work" in world.said[-1] and not world.parcels("north")


def test_a_mailbox_that_cannot_be_reached_loses_nothing(world):
    world.ask("north")
    (world.root / "mailbox").write_text("in the way")
    desk = world.desk("ask")
    assert sweeping.Sweep(desk, world.said.append).run() is False
    (world.root / "mailbox").unlink()
    world.sweep("ask", "north")
    assert world.asked("north").state == "waiting"


def test_three_attempts_that_fail_are_a_persons_and_can_be_approved_again(world, monkeypatch):
    world.ask("north")
    world.settle()
    world.approve("north")
    with monkeypatch.context() as patch:
        patch.setattr("clinical_qkt.exchange.work.answer", lambda *_, **__: (world.root, 2))
        for _ in range(4):
            world.sweep("north")
    assert world.asked("north").state == "failed" and "three attempts failed" in world.asked("north").reason
    world.approve("north")
    world.settle()
    assert world.outcome("north") == "answered"


def test_a_letter_that_ends_the_process_which_looks_at_it_is_refused_in_the_end(world, monkeypatch):
    world.ask("north")
    world.sweep("ask")
    ending = lambda desk, jobs, lock: ({}, [job["id"] for job in jobs])  # noqa: E731
    monkeypatch.setattr("clinical_qkt.exchange.work.examine", ending)
    for _ in range(4):
        world.sweep("north")
    assert world.asked("north").state == "refused" and "three times" in world.asked("north").reason


def test_a_model_that_was_agreed_to_leaves_as_it_was_and_is_in_the_ledger(world):
    world.ask("north", wants="model")
    world.settle()
    with pytest.raises(QueryError, match="nothing would leave"):
        world.approve("north")
    space = [{"name": "basophil", "system": None, "code": None}]
    folder = package(
        world.root / "north" / "package", "model", "north", "model.safetensors", label_space=space
    )
    desk = world.desk("north")
    shown = deciding.shown(desk, world.asked("north"))
    assert [row["kind"] for row in shown["classes"]] == ["model", None]
    deciding.approve(desk, world.asked("north"), "Dr. A", shown, new_ledger=False)
    world.settle()
    assert world.outcome("north") == "answered"
    (line,) = Ledger(desk.ledger).lines("departures")
    assert line["sent_to"] == "ask"
    (reply,) = world.desk("ask").store.of("in", "reply")
    got = receiving.package_of(world.desk("ask"), reply) / "model.safetensors"
    assert got.read_bytes() == (folder / "model.safetensors").read_bytes()


def test_another_model_than_was_agreed_to_does_not_leave(world):
    world.ask("north", wants="model")
    world.settle()
    space = [{"name": "basophil", "system": None, "code": None}]
    where = world.root / "north" / "package"
    package(where, "model", "north", "model.safetensors", label_space=space)
    world.approve("north")
    package(where, "model", "north", "model.safetensors", label_space=space, more=1)
    for _ in range(4):
        world.sweep("north")
    assert world.asked("north").state == "failed" and not world.desk("north").store.of("out", "reply")


def test_room_is_made_of_what_has_ended_and_answers_stay(world):
    world.ask()
    world.settle()
    world.approve("north")
    world.settle()
    desk = world.desk("ask")
    assert clear(world.desk("north")) > 0 and clear(desk) == 0
    (reply,) = desk.store.of("in", "reply", "verified")
    assert receiving.package_of(desk, reply).is_dir()
    assert not receiving.package_of(world.desk("north"), world.asked("north")).exists()


def test_what_scripts_are_told_holds_no_more_than_the_letter(world):
    world.ask("north")
    world.settle()
    told = view.facts(world.asked("north"))
    assert json.loads(json.dumps(told))["classes"] == ["basophil", "monocyte"]
    assert SimpleNamespace(**told).state == "waiting"
