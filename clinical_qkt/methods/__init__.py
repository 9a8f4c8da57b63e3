"""Ways to gain a class from other sites' models: QKT and its rivals, one file each, behind one interface.

A method is a module with ``Settings`` and ``run(case, settings)``; see ``case`` for what goes in and comes
out.
"""

from __future__ import annotations

from types import ModuleType

from clinical_qkt.methods import distill, ensemble, fine_tune, local, pooled, qkt

METHODS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (distill, ensemble, fine_tune, local, pooled, qkt)
}
