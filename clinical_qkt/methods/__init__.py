"""Ways to gain a class from other sites' models: QKT and its rivals, one file each, behind one interface.

A method is a module with ``Settings`` and ``run(case, settings)``; see ``case`` for what goes in and comes
out.
"""

from __future__ import annotations

from types import ModuleType

from clinical_qkt.methods import (
    amalgamation,
    distill,
    ensemble,
    fedavg,
    fedpft,
    fedsa,
    fine_tune,
    gaussian_head,
    knfu,
    local,
    pooled,
    prototypes,
    qkt,
    statistics,
)

_MODULES = (
    amalgamation,
    distill,
    ensemble,
    fedavg,
    fedpft,
    fedsa,
    fine_tune,
    gaussian_head,
    knfu,
    local,
    pooled,
    prototypes,
    qkt,
    statistics,
)

METHODS: dict[str, ModuleType] = {m.__name__.rpartition(".")[2]: m for m in _MODULES}
