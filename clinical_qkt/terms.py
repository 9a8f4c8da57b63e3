"""Words that sites and packages have in common, and nothing that takes long to import."""

from __future__ import annotations

from typing import Literal

Kind = Literal["covariance", "diagonal", "mean", "private_mean"]
"""Kinds of answers by statistics."""
KINDS: tuple[Kind, ...] = ("covariance", "diagonal", "mean", "private_mean")
"""The same, the one that tells most first."""
Unit = Literal["patient", "image"]
"""Whom a private answer protects."""
Verdict = Literal["accepted", "not accepted", "cannot be decided"]
ACCEPTED, REFUSED, UNDECIDED = "accepted", "not accepted", "cannot be decided"
"""Of a new model, by the site's rule."""
Precision = Literal["float32", "float16"]
"""Of the weights of a package."""
