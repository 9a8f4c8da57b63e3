"""Membership inference: was this image in the model's training data? From a model's confidences to figures.

Three attacks. *Loss threshold* (Yeom et al., CSF 2018): who has a low loss was in. *Likelihood ratio* (LiRA,
online; Carlini et al., S&P 2022, arXiv 2112.03570): some images are easy for any model, so each image's
confidence is held against that of shadow models which were trained with it, and without. *Pairwise ratio*
(RMIA; Zarifzadeh, Liu and Shokri, ICML 2024, arXiv 2312.03262): by how much the model is surer of an image
than shadow models are, against the same of other images; it takes few shadow models. Rates at a low false
alarm count: a few patients found for certain are worse than a vague hint about all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm
from sklearn.metrics import roc_auc_score, roc_curve

from clinical_qkt.privacy.statement import FEWEST, MembershipFigures, coarse

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Attack = Literal["likelihood_ratio", "pairwise_ratio", "loss_threshold"]

OWN_SPREAD_FROM = 64
"""From so many shadow models on each image's spread is its own. With fewer the spread is shared over images,
as Carlini et al. advise (section VI-A): a variance of four numbers is off by a factor of two or more, and
each such error shouts down the evidence."""

OFFLINE_FACTOR = 0.3
"""``a`` of the pairwise ratio's offline form: the authors' for small colour images."""


def confidences(logits: Any, labels: Any) -> Floats:
    """Logit-scaled confidence in the true class, ``log(p / (1 - p))``: nearly Gaussian over trainings.

    Args:
        logits: ``(N, C)`` with C of at least two.
        labels: ``(N,)`` columns of the true classes.

    Returns:
        ``(N,)``; finite also where ``p`` rounds to 0 or 1.

    >>> confidences([[2.0, 0.0], [0.0, 3.0]], [0, 0]).tolist()
    [2.0, -3.0]
    """
    z = np.array(logits, dtype=np.float64)
    rows, columns = np.arange(len(z)), np.asarray(labels)
    true = z[rows, columns]
    z[rows, columns] = -np.inf
    return true - np.logaddexp.reduce(z, axis=1)


def loss_scores(target: Floats) -> Floats:
    """Minus the cross-entropy of each image: the higher, the likelier a member.

    Args:
        target: ``(N,)`` confidences of the attacked model.
    """
    return -np.logaddexp(0, -target)


def likelihood_ratios(target: Floats, shadows: Floats, included: Bools) -> Floats:
    """Log-likelihood ratio of "in" to "out" for each image: the higher, the likelier a member.

    Confidences of models trained with the image are one Gaussian, of those without it another, each with the
    image's own mean; see ``OWN_SPREAD_FROM`` for their spread. What being in adds to the mean is known from a
    few models alone, so it is drawn towards its average over images by as much as it is noise (empirical
    Bayes; ours): with many shadow models nothing is left of that, with few the attack is stronger for it.

    Args:
        target: ``(N,)`` confidences of the attacked model.
        shadows: ``(S, N)`` of the shadow models.
        included: ``(S, N)``: whether a shadow model was trained with an image; at least two with and two
            without each.
    """
    count_in, count_out = included.sum(0), (~included).sum(0)
    own = len(shadows) >= OWN_SPREAD_FROM
    mean_in, sd_in = _moments(shadows, included, own)
    mean_out, sd_out = _moments(shadows, ~included, own)
    gain = mean_in - mean_out
    noise = sd_in**2 / count_in + sd_out**2 / count_out
    real = max(0.0, float(np.var(gain) - noise.mean()))
    drawn = (gain - gain.mean()) * (real / (real + noise) - 1)  # what is added to the gain
    share_in = count_in / len(shadows)
    high, low = mean_in + drawn * (1 - share_in), mean_out - drawn * share_in
    found: Floats = norm.logpdf(target, high, sd_in) - norm.logpdf(target, low, sd_out)
    return found


def pairwise_ratios(
    target: Floats,
    shadows: Floats,
    included: Bools,
    population: Bools | None = None,
    gamma: float = 1.0,
    offline_factor: float = OFFLINE_FACTOR,
) -> Floats:
    """RMIA: the share of other images z that an image x beats: the higher, the likelier x is a member.

    x beats z if ``Pr(x | model) / Pr(x)`` is at least gamma times ``Pr(z | model) / Pr(z)``. In that
    ``Pr(x | model)`` is the model's probability of the true class, and ``Pr(x)`` its average over shadow
    models: half over those that were trained with x, half over those that were not. Where none was trained
    with x (offline), ``((1 + a) out + 1 - a) / 2`` stands in, a being the offline factor.

    Since every x meets the same z, the score is a rank: a gamma of 1 keeps the whole order, a larger one
    ties those that beat nobody by so much.

    Args:
        target: ``(N,)`` confidences of the attacked model.
        shadows: ``(S, N)`` of the shadow models.
        included: ``(S, N)``: whether a shadow model was trained with an image; at least one without each.
        population: ``(N,)``: which images are z; all if None, since an attacker does not know the members.
        gamma: from 1; the authors take 1 to 2.
        offline_factor: 0 to 1.

    Returns:
        ``(N,)`` from 0 to 1; x is not compared with itself.
    """
    if gamma < 1 or not 0 <= offline_factor <= 1:
        raise ValueError("gamma is at least 1, and the offline factor between 0 and 1")
    ratio = _log_probability(target) - _log_prior(_log_probability(shadows), included, offline_factor)
    z = np.ones(len(ratio), dtype=bool) if population is None else population
    beaten = np.searchsorted(np.sort(ratio[z]), ratio - np.log(gamma), side="right")
    return (beaten - z * (gamma == 1)) / np.maximum(1, z.sum() - z)


def ratios(target: Floats, shadows: Floats, included: Bools) -> dict[Attack, Floats]:
    """Both attacks that shadow models calibrate, online; arguments as of ``likelihood_ratios``."""
    return {
        "likelihood_ratio": likelihood_ratios(target, shadows, included),
        "pairwise_ratio": pairwise_ratios(target, shadows, included),
    }


def auc(scores: Floats, members: Bools) -> float:
    """Area under the ROC curve: how often a member's score is above another's."""
    return float(roc_auc_score(members, scores))


def hits_at(scores: Floats, members: Bools, alarms: float) -> int:
    """Members found by the best threshold that accuses at most this share of the others."""
    false, true, _ = roc_curve(members, scores, drop_intermediate=False)
    return round(float(true[false <= alarms].max()) * int(members.sum()))


def tpr_at(scores: Floats, members: Bools, alarms: float) -> float | None:
    """Share of members found at a false-positive rate; None where the others are too few for that rate.

    Args:
        scores: ``(N,)``.
        members: ``(N,)``.
        alarms: e.g. 0.01, which takes at least 100 others.
    """
    if (~members).sum() < round(1 / alarms):
        return None
    return hits_at(scores, members, alarms) / int(members.sum())


def tpr_interval(scores: Floats, members: Bools, alarms: float) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of that share, for the threshold as it came out."""
    hits, count = hits_at(scores, members, alarms), int(members.sum())
    low = float(beta.ppf(0.025, hits, count - hits + 1)) if hits else 0.0
    return low, float(beta.ppf(0.975, hits + 1, count - hits)) if hits < count else 1.0


def auc_interval(attacked: Sequence[tuple[Floats, Bools]], resamples: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean area of some models, members and others of each drawn apart.

    Args:
        attacked: ``(scores, members)`` of each model.
    """
    rng = np.random.default_rng(0)
    drawn = np.zeros(resamples)
    for scores, members in attacked:
        yes, no = np.sort(scores[members]), np.sort(scores[~members])
        for i in range(resamples):
            some = np.sort(rng.choice(no, len(no)))
            mine = rng.choice(yes, len(yes))
            below = np.searchsorted(some, mine) + np.searchsorted(some, mine, side="right")
            drawn[i] += below.mean() / 2 / len(no) / len(attacked)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def figures(
    attack: Attack, of: Literal["all_classes", "rarest_class"], scores: Floats, members: Bools
) -> MembershipFigures:
    """An attack's figures as a card tells them: rates to three digits, counts coarse."""
    rates = [tpr_at(scores, members, alarms) for alarms in (0.01, 0.001)]
    rounded = [None if rate is None else round(rate, 3) for rate in rates]
    return MembershipFigures(
        attack=attack,
        of=of,
        auc=round(auc(scores, members), 3),
        tpr_at_1_percent=rounded[0],
        tpr_at_01_percent=rounded[1],
        members=coarse(int(members.sum())),
        others=coarse(int((~members).sum())),
    )


def rarest_class(labels: NDArray[Any], members: Bools) -> int | None:
    """The class with the fewest training images among those that can be attacked.

    Of fewer than ``FEWEST`` members or others a rate would say nothing of the model and much of the few.

    Args:
        labels: ``(N,)`` of members and others.
    """
    counts = {c: int((labels[members] == c).sum()) for c in np.unique(labels).tolist()}
    enough = [c for c, n in counts.items() if n >= FEWEST and (labels[~members] == c).sum() >= FEWEST]
    return min(enough, key=lambda c: (counts[c], c), default=None)


def _log_probability(confidence: Floats) -> Floats:
    """Of the true class, from its logit."""
    found: Floats = -np.logaddexp(0, -confidence)
    return found


def _log_prior(shadows: Floats, included: Bools, offline_factor: float) -> Floats:
    """``(N,)`` logarithms of an image's probability over models: see ``pairwise_ratios``."""
    if included.all(0).any():
        raise ValueError("each image needs a shadow model that was trained without it")
    high, low = _log_average(shadows, included), _log_average(shadows, ~included)
    online = np.logaddexp(high, low)
    with np.errstate(divide="ignore"):  # a factor of 1 adds nothing
        offline = np.logaddexp(low + np.log1p(offline_factor), np.log(1 - offline_factor))
    found: Floats = np.where(included.any(0), online, offline) - np.log(2)
    return found


def _log_average(logs: Floats, mine: Bools) -> Floats:
    """Of ``(S, N)`` numbers given by their logarithms, over those of ``mine``; minus infinity if none is."""
    total = np.logaddexp.reduce(logs, axis=0, where=mine, initial=-np.inf)
    found: Floats = total - np.log(np.maximum(1, mine.sum(0)))
    return found


def _moments(shadows: Floats, mine: Bools, own: bool) -> tuple[Floats, Floats]:
    """Each image's mean over the shadow models of one kind, and the standard deviation around it."""
    count = mine.sum(0)
    if count.min() < 2:
        raise ValueError("each image needs two shadow models that were trained with it and two without")
    mean = np.where(mine, shadows, 0).sum(0) / count
    squares = np.where(mine, shadows - mean, 0) ** 2
    variance = squares.sum(0) / (count - 1) if own else np.full(len(mean), squares.sum() / (count - 1).sum())
    return mean, np.sqrt(np.maximum(variance, 1e-12))
