"""Ways to gain a class from other sites' models: QKT and its rivals, one file each, behind one interface.

A method is a module with ``Settings`` and ``run(case, settings)``; see ``case`` for what goes in and comes
out.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_NAMES = (
    "amalgamation",
    "distill",
    "ensemble",
    "fedavg",
    "fedpft",
    "fedsa",
    "fine_tune",
    "gaussian_head",
    "knfu",
    "local",
    "pooled",
    "prototypes",
    "public_prototypes",
    "qkt",
    "statistics",
)

METHODS: dict[str, ModuleType] = {name: import_module(f"{__name__}.{name}") for name in _NAMES}
