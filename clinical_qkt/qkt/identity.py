"""Which report it is, of which model, data and rule: what a signature under it stands for."""

from __future__ import annotations

import datetime

from clinical_qkt.core.files import sha256
from clinical_qkt.review.report_id import report_id
from clinical_qkt.review.summary_schema import Identity
from clinical_qkt.review.tracking.provenance import git_version
from clinical_qkt.site.config import Site
from clinical_qkt.site.ledger.judged import Judged
from clinical_qkt.site.ledger.ledger import Ledger


def identity(
    site: Site, test_sha256: str, weights_sha256: str, run_id: str, model_version: str | None
) -> Identity:
    """The part ``identity`` of the summary.

    Args:
        site: whose data and rule it is.
        test_sha256: of the test images with their labels.
        weights_sha256: of the new model's weights.
        run_id, model_version: of MLflow.

    Returns:
        The digests, and ``report_id``: twelve digits that are the same wherever the same model was judged by
        the same rule on the same test images.
    """
    return Identity(
        report_id=report_id(weights_sha256, test_sha256, site.rule_sha256),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        run_id=run_id,
        model_version=model_version,
        weights_sha256=weights_sha256,
        data_sha256=sha256(site.data),
        test_sha256=test_sha256,
        rule_sha256=site.rule_sha256,
        commit=git_version(),
    )


def judged(site: Site, test_sha256: str, weights_sha256: str) -> Judged:
    """What else was judged on the same test images before, as the site's ledger knows.

    From now on it knows of this, too; see ``Ledger.judged``.
    """
    return Ledger(site.ledger).judged(test_sha256, site.rule_sha256, weights_sha256)
