"""Inclusion in an answer: is this image among those that a site's class statistics were made of?

What an asker can tell who holds the answer and an image: no model is attacked, nothing is trained. Two
askers. *Inclusion ratio*: who knows no other patient of the site weighs how likely the answer is with the
image against how likely without it, a class being a Gaussian. For means that is the attack of Homer et al.
(PLoS Genetics 2008) in the form of Sankararaman et al. (Nature Genetics 2009); for covariances the ratio of
the exact densities, ours. *Others known*: who knows everybody else has but to subtract. Only noise stands
against that, and of this one the promise of a private response speaks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from clinical_qkt.audit.membership import Bools, Floats
from clinical_qkt.privacy.mechanisms import COUNT_STEPS, STEPS, Guarantee, Release
from clinical_qkt.statistics.class_statistics import FEWEST_PATIENTS, ClassStatistics

RANK = 1e-6
"""Share of the largest variance below which an axis has none: an answer's numbers are in single precision."""
ROUNDED = 5
"""By so much the count of an exact response may be off."""


def inclusion_ratios(answer: ClassStatistics, candidates: Tensor) -> Floats:
    """Log-likelihood ratio of "in" to "not in" for each image, up to a constant: the higher, the likelier in.

    Args:
        answer: of any kind. The exact ones are taken in single precision, as they leave.
        candidates: ``(N, D)`` features; of a mean, what the class is like is taken from all of them.

    Returns:
        ``(N,)``.
    """
    mean, spread = answer.mean.float().double(), answer.covariance
    gap = candidates.double() - mean
    if spread is None:
        return of_mean(gap, answer.count, answer.noise)
    if spread.ndim == 2:
        return of_covariance(gap, spread.float().double(), answer.count)
    return of_variances(gap, spread.float().double(), answer.count)


def of_mean(gap: Tensor, count: float, noise: float = 0.0) -> Floats:
    """The ratio for a mean: with the image it lies by a share of ``1 / count`` nearer to it.

    Args:
        gap: ``(N, D)``: the images less the mean that was answered. Their average and their variances stand
            for the class's.
        count: images of the answer.
        noise: standard deviation of what was added to the mean on purpose.
    """
    usual, variance = gap.mean(0), gap.var(0) + 1e-12
    image = gap - usual
    with_it = (usual + image / count).square() / (variance * (count - 1) / count**2 + noise**2)
    without = usual.square() / (variance / count + noise**2)
    return _numbers((without - with_it).sum(1) / 2)


def of_variances(gap: Tensor, variances: Tensor, count: int) -> Floats:
    """The ratio for a mean and variances, axis by axis, as if these were independent.

    Args:
        gap: ``(N, D)``: the images less the mean. Their average and variances stand for the class's.
        variances: ``(D,)``.
    """
    there = variances > RANK * variances.max()
    gap, variances = gap[:, there], variances[there]
    usual = (gap - gap.mean(0)).square() / (gap.var(0) + 1e-12)
    within = _log_density(gap.square() / variances / (count - 1), count, 1)
    return _numbers((within + usual / 2).sum(1))


def of_covariance(gap: Tensor, covariance: Tensor, count: int) -> Floats:
    """The ratio for a mean and a covariance: an image that is in one has bent it towards itself.

    Where there are no more images than features, the covariance is zero along all axes that no image of the
    answer leaves the mean by: an image that does so was not in it, and one that was lies as far from the mean
    as each of them does. Then the ratio is all or nothing, and minus the distance from that is returned.

    Args:
        gap: ``(N, D)``: the images less the mean.
        covariance: ``(D, D)``, with count - 1.
    """
    values, axes = torch.linalg.eigh(covariance)
    there, along = values > RANK * values[-1], gap @ axes
    rank = int(there.sum())
    share = (along[:, there].square() / values[there]).sum(1)
    if rank == len(values) or rank + 1 < count - ROUNDED:
        count = max(count, rank + 4)
        return _numbers(_log_ratio(share / (count - 1), count, rank))
    outside = along[:, ~there].square().sum(1) / values[there].mean()
    return _numbers(-(outside + (share / rank - rank / (rank + 1)).abs()))


def of_release(release: Release, rows: Tensor, guarantee: Guarantee) -> Floats:
    """The ratio for a private response, by what it tells of the mean.

    Args:
        rows: ``(N, k)`` contributions of the images, in whole steps.
    """
    count = max(release.count / COUNT_STEPS, FEWEST_PATIENTS)
    mean = torch.tensor(release.total, dtype=torch.float64) / count
    return of_mean(rows.double() - mean, count, guarantee.sigma / count)


def others_known(releases: Sequence[Release], rows: Tensor, members: Bools, guarantee: Guarantee) -> Floats:
    """The ratio for private responses, by somebody who knows everybody in them, but of one image not whether.

    The likelihood ratio of two Gaussians of one spread, which no test of these two surpasses (Neyman and
    Pearson).

    Args:
        releases: one for each image, of the same members: two images that are tried against the same noise
            would be told apart by more than an attacker has.
        rows: ``(N, k)`` contributions in whole steps.
        members: ``(N,)``: whose sum was answered; all but the image itself are known to the attacker.
    """
    told = torch.tensor([[*r.total, r.count] for r in releases], dtype=torch.float64)
    added = torch.cat([rows.double(), torch.full((len(rows), 1), float(COUNT_STEPS))], 1)
    mine = torch.from_numpy(members)
    left = told - added[mine].sum(0) + added * mine[:, None]  # without all the others' part
    scores = ((left * added).sum(1) - added.square().sum(1) / 2) / guarantee.sigma**2
    return _numbers(scores)


def subtracted(mean: Tensor, candidates: Tensor, members: Bools) -> Floats:
    """The same for an exact mean: how much nearer it is with the image than without it.

    Args:
        mean: ``(D,)`` of the members, in single precision as it leaves.
        candidates: ``(N, D)`` features.
    """
    mine, seen, told = torch.from_numpy(members), candidates.double(), mean.float().double()
    known = seen[mine].sum(0) - seen * mine[:, None]
    count = (int(members.sum()) - mine.double())[:, None]
    apart = (told - known / count).norm(dim=1) - (told - (known + seen) / (count + 1)).norm(dim=1)
    return _numbers(apart)


def at_most(guarantee: Guarantee, alarms: float) -> float:
    """The share of members that can be found at a false-alarm rate, by anybody, from one private response.

    Of the Gaussian mechanism's own trade-off (Dong, Roth and Su, JRSS B 2022), which is stricter than what
    epsilon and delta say of all mechanisms.
    """
    return float(norm.cdf(norm.ppf(alarms) + sensitivity(guarantee)))


def auc_at_most(guarantee: Guarantee) -> float:
    """The same for the area under the curve."""
    return float(norm.cdf(sensitivity(guarantee) / np.sqrt(2)))


def sensitivity(guarantee: Guarantee) -> float:
    """By how many standard deviations of the noise one patient can move an answer."""
    return float(np.hypot(STEPS, COUNT_STEPS) / guarantee.sigma)


def _log_ratio(share: Tensor, count: int, features: int) -> Tensor:
    """Log density of an image in a sample over that of another, both given the sample's mean and scatter.

    The latter is the predictive t distribution. Arguments as of ``_log_density``.
    """
    return _log_density(share, count, features) + count / 2 * (share * count / (count + 1)).log1p()


def _log_density(share: Tensor, count: int, features: int) -> Tensor:
    """Of an image in a sample of Gaussians, given the sample's mean and scatter, whatever the class is like.

    An image's leverage has a beta distribution. More than all of the scatter no image of it can have: such
    ones come far below, the farther the more.

    Args:
        share: ``(x - mean)' scatter^-1 (x - mean)``, the scatter being count - 1 covariances.
    """
    leverage = share * count / (count - 1)
    beyond = (leverage - 1 - ROUNDED / count).clamp_min(0)
    return (count - features - 3) / 2 * (1 - leverage).clamp_min(0.01).log() - 1e4 * beyond


def _numbers(scores: Tensor) -> Floats:
    found: Floats = scores.numpy()
    return found
