"""Which report it is, of which model, data and rule: what a signature under it stands for."""

from __future__ import annotations

import datetime
from typing import Any

from clinical_qkt.files import digest_of
from clinical_qkt.provenance import git_version


def identity(
    *, weights: str, data: str, test: str, rule: str, run_id: str, model_version: str | None
) -> dict[str, Any]:
    """The part ``identity`` of the summary.

    Args:
        weights, data, test, rule: SHA-256 of the new model's weights, of the datalist, of the test images
            with their labels, and of the rule.
        run_id, model_version: of MLflow.

    Returns:
        The digests, and ``report_id``: twelve digits that are the same wherever the same model was judged by
        the same rule on the same test images.
    """
    short = digest_of("\n".join((weights, test, rule)))[:12].upper()
    return {
        "report_id": "-".join(short[i : i + 4] for i in (0, 4, 8)),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "run_id": run_id,
        "model_version": model_version,
        "weights_sha256": weights,
        "data_sha256": data,
        "test_sha256": test,
        "rule_sha256": rule,
        "commit": git_version(),
    }
