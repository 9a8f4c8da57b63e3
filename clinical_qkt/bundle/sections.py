"""The sections ``settings`` and ``input`` of a config, each as the model that checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser
from pydantic import BaseModel, ValidationError

from clinical_qkt.bundle.origins import ANYWHERE, origin_of_config
from clinical_qkt.core.errors import InputError
from clinical_qkt.core.refusals import Origin, refused
from clinical_qkt.core.values import Strict
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.query.request import QuerySettings

SETTINGS: dict[str, type[BaseModel]] = {"transfer": TransferSettings, "query": QuerySettings}
"""What the section ``settings`` of a command may say."""


class _OwnInput(Strict, InputContract):
    """A site's own, which a person wrote."""


def check_settings(parser: ConfigParser, origin: Origin) -> None:
    """Check the section ``settings``, where the command has one.

    Raises:
        InputError: all that is wrong with it, each with its key.
    """
    model = SETTINGS.get(parser["command"])
    if model:
        read_settings(model, parsed(parser, "settings", origin), origin)


def read_settings(model: type[BaseModel], values: Any, origin: Origin | None = None) -> Any:
    """A section ``settings`` as the model that checks it.

    Raises:
        InputError: all that is wrong with it, each with its key.
    """
    try:
        return model.model_validate(_given(model, values, origin))
    except ValidationError as e:
        raise refused(
            e, model, origin or Origin(ANYWHERE), fix="the section 'settings'", inside=("settings",)
        ) from None


def _given(model: type[BaseModel], values: Any, origin: Origin | None) -> Any:
    """A section without the bundle's own value of a key that somebody gave under its old name."""
    names = getattr(model, "RENAMED", {})
    if not isinstance(values, Mapping):
        return values
    written = {new for new in names.values() if origin and origin.where(("settings", new)) != origin.default}
    hidden = {new for old, new in names.items() if old in values and new not in written}
    return {key: value for key, value in values.items() if key not in hidden}


def read_contract(values: Any) -> InputContract:
    """The section ``input``.

    Raises:
        InputError: all that is wrong with it, each with its key.
    """
    try:
        read = _OwnInput.model_validate(values)
    except ValidationError as e:
        raise refused(
            e,
            _OwnInput,
            origin_of_config(),
            fix="the section 'input', see docs/reference/input-contract.md",
            inside=("input",),
        ) from None
    return InputContract.model_validate(read.model_dump())


def parsed(parser: ConfigParser, key: str, origin: Origin) -> Any:
    """A value of the config, evaluated.

    Raises:
        InputError: it is an expression that cannot be.
    """
    try:
        return parser.get_parsed_content(key)
    except InputError:
        raise
    except Exception as e:  # whatever an expression raises
        raise InputError(
            f"{key}: cannot be evaluated ({type(e.__cause__ or e).__name__})",
            where=origin.where((key,)),
            fix="a text that begins with $, @ or % is an expression of MONAI's; write a plain value",
        ) from None
