"""FLARE's classes of ours, called as FLARE calls them."""

from __future__ import annotations

import json
import logging

import pytest

pytest.importorskip("nvflare", reason='NVIDIA FLARE is not installed: pip install "clinical-qkt[federation]"')

from nvflare.apis.event_type import EventType
from nvflare.apis.filter import FilterChainType, FilterContextKey
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.apis.workspace import Workspace

from clinical_qkt.exchange.carriers.flare.executor import SiteExecutor
from clinical_qkt.exchange.carriers.flare.gate import ParcelGate
from clinical_qkt.exchange.carriers.flare.job import NAME, sweep_job
from clinical_qkt.exchange.carriers.flare.messages import CONTENT, TASK, Order, Piece, Report, written
from clinical_qkt.exchange.carriers.flare.policies import HERE
from clinical_qkt.exchange.carriers.flare.settings import settings_file
from tests.exchange.carriers.flare.parcels import SECRET, A, B, C, bytes_of, put, waiting

TELL = Order(tell=True)


def order(given: Order = TELL) -> Shareable:
    data = Shareable()
    data[CONTENT] = written(given)
    return data


@pytest.fixture
def context(tmp_path):
    """A client's context in a job that a lead of the university submitted; the spool is in spool/."""
    for folder in ("startup", "local", "spool"):
        (tmp_path / folder).mkdir()
    allowed = {"spool": str(tmp_path / "spool"), "relay_organisations": ["university"]}
    settings_file(tmp_path / "local", A).write_text(json.dumps(allowed))
    made = FLContext()
    made.set_prop(ReservedKey.IDENTITY_NAME, A)
    made.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(str(tmp_path), A))
    made.set_prop(FLContextKey.JOB_META, {"submitter_org": "university", "submitter_role": "lead"})
    return made


def execute(context, given: Shareable | None = None, executor: SiteExecutor | None = None, task: str = TASK):
    return (executor or SiteExecutor()).execute(task, given or order(), context, Signal())


def test_it_tells_what_lies_there(context, tmp_path):
    name = put(tmp_path / "spool", A, B)
    reply = execute(context)
    assert reply.get_return_code() == ReturnCode.OK
    assert [o["name"] for o in reply[CONTENT]["offers"]] == [name]


@pytest.mark.parametrize(
    "submitter",
    [{}, {"submitter_org": "clinic_b", "submitter_role": "lead"}, {"submitter_org": "university"}],
)
def test_a_job_of_somebody_else_is_told_nothing(context, tmp_path, submitter):
    put(tmp_path / "spool", A, B)
    context.set_prop(FLContextKey.JOB_META, submitter)
    reply = execute(context)
    assert reply.get_return_code() != ReturnCode.OK and CONTENT not in reply


def test_two_jobs_do_not_hold_one_spool_and_the_end_of_a_job_lets_go(context):
    first, second = SiteExecutor(), SiteExecutor()
    assert execute(context, executor=first).get_return_code() == ReturnCode.OK
    assert execute(context, executor=second).get_return_code() != ReturnCode.OK
    first.handle_event(EventType.END_RUN, context)
    assert execute(context, executor=second).get_return_code() == ReturnCode.OK


def test_an_error_is_a_reply_and_its_kind_alone_is_logged(context, tmp_path, caplog):
    settings_file(tmp_path / "local", A).unlink()
    with caplog.at_level(logging.DEBUG):
        assert execute(context).get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "InputError" in caplog.text
    assert (
        str(tmp_path) not in caplog.text
        and "Traceback" not in caplog.text
        and "is missing" not in caplog.text
    )


def test_another_task_and_an_order_of_another_form_are_not_carried_out(context):
    assert execute(context, task="train").get_return_code() == ReturnCode.BAD_TASK_DATA
    assert (
        execute(context, Shareable({CONTENT: {"tell": "all"}})).get_return_code() == ReturnCode.BAD_TASK_DATA
    )


def piece(sender: str, receiver: str) -> Piece:
    data = bytes_of(sender, receiver)
    return Piece(sender=sender, receiver=receiver, name="a" * 64, size=len(data), offset=0, data=data)


def through(chain: str, given: Shareable, context: FLContext) -> Shareable:
    gate = ParcelGate()
    gate.set_prop(FilterContextKey.CHAIN_TYPE, chain)
    return gate.process(given, context)


def test_the_gate_lets_pieces_of_sealed_parcels_in_and_leaves_all_else_behind(context):
    given = order(Order(tell=False, take=[piece(B, A), piece(B, C)]))
    given.set_header("task_name", TASK)
    given["weights"] = SECRET
    passed = through(FilterChainType.TASK_DATA_CHAIN, given, context)
    assert passed.get_header("task_name") == TASK and "weights" not in passed
    assert passed[CONTENT] == written(Order(tell=False, take=[piece(B, A)]))


def test_the_gate_lets_out_pieces_of_own_parcels_and_a_return_code(context):
    given = Shareable({CONTENT: written(Report(pieces=[piece(A, B), piece(C, B)]))})
    given.set_return_code(ReturnCode.EXECUTION_EXCEPTION)
    given.set_header("note", "a patient's name")
    given["weights"] = SECRET
    passed = through(FilterChainType.TASK_RESULT_CHAIN, given, context)
    assert passed[CONTENT] == written(Report(pieces=[piece(A, B)]))
    assert passed.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert passed.get_header("note") is None and "weights" not in passed


def test_the_gate_lets_nothing_of_another_job_pass(context):
    for chain in (FilterChainType.TASK_DATA_CHAIN, FilterChainType.TASK_RESULT_CHAIN):
        passed = through(chain, Shareable({"weights": SECRET, CONTENT: "weights"}), context)
        assert not [v for k, v in passed.items() if k != "__headers__"]


def test_a_job_holds_no_code_no_path_and_no_name_of_a_parcel(tmp_path):
    sweep_job([A, B], seconds=7, whole=70).export_job(str(tmp_path))
    files = [p for p in (tmp_path / NAME).rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= {".json", ""} and not list(tmp_path.rglob("custom"))
    text = "".join(p.read_text() for p in files)
    assert text.count(HERE) == 3 and '"seconds": 7' in text
    assert not waiting(tmp_path) and str(tmp_path) not in text
