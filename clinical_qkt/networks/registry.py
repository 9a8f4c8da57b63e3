"""The closed list of networks that a card may name: what a short name stands for, and what is not allowed.

The entries are in ``listed``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from clinical_qkt.networks.allowed import Args as Args
from clinical_qkt.networks.allowed import Literal as Literal
from clinical_qkt.networks.listed import ALLOWED as ALLOWED

_BLOCK = re.compile(r"r[1-9]_k[357]_s[12]{2}_e[1-8]_i\d{1,3}_o\d{1,3}_se0\.\d{1,2}")
"""One stage of an EfficientNet, in the notation of MONAI's ``blocks_args_str``."""
MOST_BLOCKS = 112
"""Of one network, see ``blocks``: what a card asks for is built on the "meta" device before it is refused."""

PRESETS: dict[str, str] = {short: name for name, allowed in ALLOWED.items() for short in allowed.presets}
"""Short names of networks, each with the network that it stands for."""

FOR_SMALL: frozenset[str] = frozenset().union(*(allowed.small for allowed in ALLOWED.values()))
"""Short names of networks for small pictures."""
LARGE = 96
"""Pixels above which a picture is not small."""


def preset_args(name: str, spatial_size: Sequence[int]) -> tuple[str, dict[str, Literal]]:
    """A preset's network and arguments; a transformer's depend on the images' size."""
    allowed = ALLOWED[PRESETS[name]]
    return PRESETS[name], {**allowed.presets[name], **allowed.of_size(spatial_size, allowed.presets[name])}


def why_not(name: str, args: Args) -> str | None:
    """What is wrong with the arguments that a card gives a network of the list; None if nothing."""
    strange = sorted(set(args) - ALLOWED[name].others)
    if strange:
        return f"{name} takes no argument '{strange[0]}' here"
    for key, value in args.items():
        parts = value if isinstance(value, list) else [value]
        if len(parts) > 8 or any(isinstance(v, int | float) and not 0 <= v <= 4096 for v in parts):
            return f"argument '{key}' of {name} is out of range"
        if key == "blocks_args_str" and not (
            isinstance(value, list) and all(isinstance(v, str) and _BLOCK.fullmatch(v) for v in value)
        ):
            return f"argument '{key}' of {name} is no list of stages such as r1_k3_s11_e1_i32_o16_se0.25"
    if ALLOWED[name].blocks(args) > MOST_BLOCKS:
        return f"{name} is deeper than {MOST_BLOCKS} blocks"
    return ALLOWED[name].refused(args)
