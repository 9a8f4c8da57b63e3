"""Stages in processes of their own: what may crash, and needs torch's memory, does so apart from the desk.

Their words go into a file at the desk that its owner alone can read, never to a carrier.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import drop_unfinished, private_file, write_json
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.exchange.receiving import package_of
from clinical_qkt.exchange.store import Row
from clinical_qkt.site.decision import Decision

ANSWERED = {"statistics": "answer", "assessment": "assess"}
"""The stage that answers each kind of ask."""
_RESULT = {"answer": "response_dir", "assess": "assessment_dir"}


def examine(
    desk: AtDesk, jobs: Sequence[Mapping[str, Any]], lock: IO[Any]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What ``examine`` found, by letter; and the letters at which its process ended.

    Args:
        lock: held by the process, too, so that no other sweep begins while it lives.

    Raises:
        InputError: it cannot begin, for what is wrong with this site's own YAML.
    """
    place = desk.place("work")
    todo, found = [*jobs], place / "found.json"
    told: dict[str, dict[str, Any]] = {}
    ended: list[str] = []
    while todo:
        write_json(place / "jobs.json", todo, private=True)
        found.unlink(missing_ok=True)
        module = [sys.executable, "-m", "clinical_qkt.exchange.examine"]
        code = _run(desk, [*module, str(desk.yaml), str(place / "jobs.json"), str(found)], "examine", lock)
        if code == 2:
            raise InputError(
                "letters cannot be looked at with this site's YAML",
                where=str(desk.yaml),
                fix=f"see what `clinical-qkt check {desk.yaml} train` says, and {log_of(desk)}",
            )
        told |= json.loads(found.read_text(encoding="utf-8")) if found.exists() else {}
        left = [job for job in todo if job["id"] not in told]
        ended += [left[0]["id"]] if left else []
        todo = left[1:]
    return told, ended


def answer(
    desk: AtDesk, row: Row, decision: Decision, lock: IO[Any], *, new_ledger: bool = False
) -> tuple[Path, int]:
    """Run the stage that answers a request, by a decision; its package's folder, and its exit code.

    A package that lies there already, of a process that ended afterwards, is taken as it is.
    """
    place, stage = desk.place("work", row.id), ANSWERED[row.ask.wants]
    result = place / "package"
    if (result / "card.json").is_file():
        return result, 0
    write_json(place / "decision.json", decision.model_dump(mode="json"), private=True)
    command = [sys.executable, "-m", "clinical_qkt", "run", stage, str(desk.yaml)]
    command += ["--request", str(package_of(desk, row)), f"--{_RESULT[stage]}", str(result)]
    command += ["--decision", str(place / "decision.json")]
    command += ["--new_ledger", "true"] if new_ledger else []
    return result, _run(desk, command, stage, lock)


def done(desk: AtDesk, row: Row) -> None:
    """Drop what a finished request leaves in the working folder."""
    drop_unfinished(desk.folder / "work" / row.id)


def log_of(desk: AtDesk) -> Path:
    """Where the processes' words are."""
    return desk.folder / "log" / "work.log"


def _run(desk: AtDesk, command: Sequence[str], what: str, lock: IO[Any]) -> int:
    desk.place("log")
    with private_file(log_of(desk)).open("ab") as log:
        log.write(f"--- {what}\n".encode())
        log.flush()
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[lock.fileno()], check=False
        )
    return ended.returncode
