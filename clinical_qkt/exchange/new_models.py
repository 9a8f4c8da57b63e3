"""A new model on its way to those who measure it: to nobody who may not have it, and with a ledger's line.

It loads torch, as the cards of models do; what leaves is worth the seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clinical_qkt.core.files import sha256
from clinical_qkt.exchange.at_desk import AtDesk
from clinical_qkt.packages.made_of import require_may_travel
from clinical_qkt.packages.model import load_model
from clinical_qkt.packages.signing import read_fingerprint
from clinical_qkt.packages.writer import CARD, package_bytes
from clinical_qkt.site.ledger.ledger import Departure, Ledger
from clinical_qkt.site.places import trust_of


def leave_for(desk: AtDesk, package: Path, sites: Sequence[str]) -> None:
    """Refuse to ask anybody if one of them may not have the model; else a line in the ledger for each.

    Raises:
        PackageError: the package is not this site's, or not whole.
        InputError: it holds exact numbers of a site that keeps them from another one.
        OutputError: the ledger cannot be used.
    """
    card = load_model(package, trust_of(desk.yaml).own_alone).card
    for site in sites:
        require_may_travel(card, site)
    ledger, told = Ledger(desk.ledger), (sha256(package / CARD), card.weights_sha256)
    for site in sites:
        ledger.departed(Departure("model", *told, package_bytes(package), site, read_fingerprint(package)))
