"""Whom a site trusts, what is known of a package's sender, and names that only look like a trusted one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

State = Literal["trusted", "unsigned", "unknown key", "made here", "not checked"]
_SEPARATORS = re.compile(r"[_.\-]+")
_TWO = (("rn", "m"), ("vv", "w"))
"""Pairs of letters that are read as one."""
_ALIKE = str.maketrans("1i0", "llo")
"""Digits that are read as letters, and an i as an l: a capital one is (Unicode's UTS #39, for ASCII)."""


@dataclass(frozen=True)
class Signed:
    """What is known of a package's sender.

    Attributes:
        state: ``trusted``: signed with the key that this site holds of the sender. ``made here``: this site
            wrote it itself, as its record tells. ``unsigned``, ``unknown key``: nobody vouches for it; such a
            package is used only where the site says so. ``not checked``: nobody asked.
        fingerprint: SHA-256 of the public key; None without one.
    """

    state: State = "not checked"
    fingerprint: str | None = None

    @property
    def vouched(self) -> bool:
        return self.state in ("trusted", "made here", "not checked")


@dataclass(frozen=True)
class Trust:
    """Whom a site trusts.

    Attributes:
        keys: files with the public keys of other sites, by their pseudonyms.
        accept_untrusted: take packages for which nobody vouches. A wrong signature is refused all the same.
        site: this site's own pseudonym, where it is known.
        made_here: SHA-256 of the cards that this site wrote itself, as its record tells.
        others: whether what others made counts at all.
    """

    keys: Mapping[str, Path] = field(default_factory=dict)
    accept_untrusted: bool = False
    site: str = ""
    made_here: frozenset[str] = frozenset()
    others: bool = True

    @property
    def own_alone(self) -> Trust:
        """The same site's trust in what it made itself, and in nothing else."""
        return replace(self, others=False)

    def looks_like(self, name: str) -> str | None:
        """The name of a site whose key is held, or the own one, that another name could be taken for."""
        known = (*self.keys, *([self.site] if self.site else []))
        if name in known:
            return None
        return next((k for k in known if skeleton(k) == skeleton(name)), None)


def skeleton(name: str) -> str:
    """What is left of a pseudonym without what the eye passes over; two alike look alike.

    Case, what stands between words, and letters and digits of one shape. Letters of other alphabets and
    characters without a width cannot stand in a pseudonym.

    >>> skeleton("Hospital-l") == skeleton("hospital_1") != skeleton("hospital_2")
    True
    """
    bare = _SEPARATORS.sub("", name.casefold())
    for two, one in _TWO:
        bare = bare.replace(two, one)
    return bare.translate(_ALIKE)
