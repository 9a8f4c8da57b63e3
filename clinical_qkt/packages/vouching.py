"""Who vouches for a package on its way in: this site itself, a key that it holds, or nobody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clinical_qkt.packages import signing
from clinical_qkt.packages.signing import SIGNATURE, AnotherKey, BadSignature
from clinical_qkt.packages.trust import Signed, Trust
from clinical_qkt.packages.writer import CARD

NOT_OURS = "was not written by this site, as far as its record tells"
SIGN_IT = "ask the sending site to sign it (`clinical-qkt package sign`)"
CALL = (
    "do not use it; call the sending site and compare the key's fingerprint (`clinical-qkt keys fingerprint`)"
)
UNSIGNED = (
    f"{SIGN_IT}; or, if you know by other means that it is theirs, say so in the site's YAML with "
    "'untrusted_packages: accept'"
)
UNKNOWN_KEY = (
    "get the sender's public key by another way than the package, compare the fingerprint, and name the file "
    "under 'trusted_keys' in the site's YAML"
)
ADOPT = (
    "if you know that this site wrote it, say so once with `clinical-qkt package adopt FOLDER --site "
    "SITE.yaml`; otherwise do not use it"
)
LOOKS_LIKE = (
    "do not use it unless you know this sender, too; if you do, get the public key by another way than the "
    "package and name the file under 'trusted_keys' in the site's YAML"
)


@dataclass(frozen=True)
class Doubt:
    """Why nobody vouches for a package.

    Attributes:
        file: of the package; empty for the whole.
        fix: None where there is none of its own.
    """

    file: str
    what: str
    fix: str | None


def vouched(
    folder: Path, site: str | None, card_sha256: str | None, files: set[str], trust: Trust, *, signed: bool
) -> tuple[Signed, Doubt | None]:
    """What is known of a package's sender, and why that is not enough.

    Args:
        site: as the card claims; None if there is no card that could be read.
        card_sha256: of the card's file as it is.
        files: what the signature has to be of; empty where the folder is refused already, and what else lies
            there may be endless.
        signed: whether there is a signature that may be opened.
    """
    if card_sha256 in trust.made_here:
        return Signed("made here"), None
    if not trust.others:
        return Signed("unsigned"), Doubt("", NOT_OURS, ADOPT)
    if site and (like := trust.looks_like(site)):
        what = f"says that it is of '{site}', which looks like '{like}' and is another name"
        return Signed("unsigned"), Doubt(CARD, what, LOOKS_LIKE)
    return _by_signature(folder, site, files, trust) if signed else _without(site, trust)


def _without(site: str | None, trust: Trust) -> tuple[Signed, Doubt | None]:
    unsigned, key = Signed("unsigned"), trust.keys.get(site or "")
    if trust.accept_untrusted and not key:
        return unsigned, None
    own = site is not None and site == trust.site
    return unsigned, Doubt("", "is not signed", ADOPT if own else SIGN_IT if key else UNSIGNED)


def _by_signature(
    folder: Path, site: str | None, files: set[str], trust: Trust
) -> tuple[Signed, Doubt | None]:
    key, said = trust.keys.get(site or ""), signing.read_fingerprint(folder)
    unknown = Signed("unknown key", said)
    if said is None:
        return unknown, Doubt(SIGNATURE, "is no signature", SIGN_IT)
    if key is None:
        if trust.accept_untrusted or not site:
            return unknown, None
        fix = ADOPT if site == trust.site else UNKNOWN_KEY
        return unknown, Doubt(SIGNATURE, f"this site holds no key of '{site}'", fix)
    if not files:
        return unknown, None
    try:
        signing.check(folder, key, files)
    except BadSignature as e:
        return unknown, Doubt(SIGNATURE, str(e), CALL if isinstance(e, AnotherKey) else None)
    return Signed("trusted", signing.fingerprint(key)), None
