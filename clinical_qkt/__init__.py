"""Clinical QKT: a hospital gains the classes it lacks from other hospitals' models.

The method is Query-based Knowledge Transfer (QKT; Alballa et al., ICLR 2025, arXiv 2504.09205).
"""

from clinical_qkt.core import quiet
from clinical_qkt.core.version import __version__ as __version__

quiet.no_telemetry()  # before anything of ours, or of whoever uses it, imports MLflow
