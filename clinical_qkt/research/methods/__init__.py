"""Ways to gain a class from other sites' models: QKT and its rivals, one file each, behind one interface.

All files of this folder are imported, so that a new method is one new file: see ``registry``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from clinical_qkt.research.methods.registry import METHODS as METHODS

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
