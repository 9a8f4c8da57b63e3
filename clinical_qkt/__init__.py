"""Clinical QKT: a hospital gains the classes it lacks from other hospitals' models.

The method is Query-based Knowledge Transfer (QKT; Alballa et al., ICLR 2025, arXiv 2504.09205).

``__all__`` is what a program may rely on; docs/reference/python.md tells what each name is for. A name is
imported when it is first asked for, so that whoever wants one does not wait for all.
"""

from __future__ import annotations

from clinical_qkt.core import quiet
from clinical_qkt.core.version import __version__ as __version__

TYPE_CHECKING = False  # type checkers take it for typing's, which takes longer to import than all of this
if TYPE_CHECKING:
    from clinical_qkt.bundle.running import run as run
    from clinical_qkt.core.errors import InputError as InputError
    from clinical_qkt.core.errors import OutputError as OutputError
    from clinical_qkt.core.errors import PackageError as PackageError
    from clinical_qkt.core.errors import QKTError as QKTError
    from clinical_qkt.core.errors import QueryError as QueryError
    from clinical_qkt.data.inputs import InputContract as InputContract
    from clinical_qkt.data.label_space import LabelSpace as LabelSpace
    from clinical_qkt.packages.card import Card as Card
    from clinical_qkt.packages.model import Model as Model
    from clinical_qkt.packages.model import load_model as load_model
    from clinical_qkt.packages.model import save_model as save_model
    from clinical_qkt.packages.trust import Trust as Trust
    from clinical_qkt.packages.verify import verify as verify
    from clinical_qkt.qkt.settings import TransferSettings as TransferSettings
    from clinical_qkt.qkt.student import Student as Student
    from clinical_qkt.qkt.teachers import Teacher as Teacher
    from clinical_qkt.qkt.transfer import Transfer as Transfer
    from clinical_qkt.review.summary_schema import TransferSummary as TransferSummary
    from clinical_qkt.site.config import Site as Site
    from clinical_qkt.site.launch import plan as plan

_MODULES = {
    "bundle.running": ("run",),
    "core.errors": ("InputError", "OutputError", "PackageError", "QKTError", "QueryError"),
    "data.inputs": ("InputContract",),
    "data.label_space": ("LabelSpace",),
    "packages.card": ("Card",),
    "packages.model": ("Model", "load_model", "save_model"),
    "packages.trust": ("Trust",),
    "packages.verify": ("verify",),
    "qkt.settings": ("TransferSettings",),
    "qkt.student": ("Student",),
    "qkt.teachers": ("Teacher",),
    "qkt.transfer": ("Transfer",),
    "review.summary_schema": ("TransferSummary",),
    "site.config": ("Site",),
    "site.launch": ("plan",),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
__all__ = ["__version__", *_HOME]

quiet.no_telemetry()  # before anything of ours, or of whoever uses it, imports MLflow


if not TYPE_CHECKING:  # to a type checker a name that is not above is a mistake

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        from importlib import import_module

        found = globals()[name] = getattr(import_module(_HOME[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
