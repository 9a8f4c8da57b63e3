"""A decision from the desk: agreement to one answer, by who was shown what would leave; see `exchange`.

It is the third form of agreement, beside the question at a terminal and `--yes`. It is worth no more than
what was shown: to one query, of the kinds of response that were on the screen, until the deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.values import Written

FIX = "approve the request at the desk: `clinical-qkt inbox SITE.yaml`"


class Decision(Written):
    """What was agreed to."""

    format: Literal["clinical-qkt/decision/1"] = "clinical-qkt/decision/1"
    stage: Literal["answer", "assess"]
    """The stage that may go on."""
    about: str
    """The digest of the card that came: of the query, or of the model."""
    kinds: Mapping[str, str]
    """Of each class that may be answered for the kind of response; others may only be declined."""
    by: str
    """Who agreed; stays at the site."""
    at: AwareDatetime
    """When."""

    def require(self, stage: str, about: str, kinds: Mapping[str, str], where: Path) -> None:
        """Refuse what was not shown to whoever agreed, see ``agreed_to``."""
        if (self.stage, self.about) != (stage, about):
            raise InputError("is of another request", where=f"decision: {where}", fix=FIX)
        other = next((name for name, kind in kinds.items() if self.kinds.get(name) != kind), None)
        if other is not None:
            raise InputError(
                f"what would leave for '{other}' is not what was agreed to: policy or classes have changed",
                where=f"decision: {where}",
                fix=FIX,
            )


def agreed_to(path: Path | None, stage: str, about: str, kinds: Mapping[str, str]) -> bool:
    """Whether somebody at the desk agreed to just this; False without a decision's file.

    Args:
        about: the digest of the card that came.
        kinds: of all that would leave, the kind of response by class.

    Raises:
        InputError: it is of another stage or package, or a class would be answered otherwise.
    """
    if path is None:
        return False
    read_decision(path).require(stage, about, kinds, path)
    return True


def read_decision(path: Path) -> Decision:
    """
    Raises:
        InputError: it is not there, or is none.
    """
    try:
        return Decision.model_validate_json(path.read_bytes())
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", where=f"decision: {path}", fix=FIX) from None
    except ValidationError:
        raise InputError("is no decision", where=f"decision: {path}", fix=FIX) from None
