"""What a model's card says of its training and its privacy: coarse numbers, and figures of an audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clinical_qkt.core.values import Sent

FEWEST = 20
"""Fewer images than that are not told apart on a card."""

Share = Annotated[float, Field(ge=0, le=1)]
Coarse = Annotated[int, Field(ge=0, le=10**9)] | None


def coarse(count: int) -> int | None:
    """A count as a card may tell it: one significant digit, rounded down; None for fewer than ``FEWEST``.

    None, and not 0: what is held back must not look like nothing.

    >>> [coarse(n) for n in (0, 7, 20, 99, 1234)]
    [None, None, 20, 90, 1000]
    """
    if count < FEWEST:
        return None
    unit = 10 ** (len(str(count)) - 1)
    return count // unit * unit


def tens(count: int) -> int | None:
    """A count as a response may tell it: rounded down to tens; None for few, which is not zero.

    >>> tens(7), tens(20), tens(118)
    (None, 20, 110)
    """
    return None if count < FEWEST else count // 10 * 10


class TrainingSummary(Sent):
    """How a model came about, in numbers too coarse to tell of one patient."""

    images: dict[Annotated[str, Field(max_length=200)], Coarse] = Field(max_length=1000)
    """Training images by class, to one significant digit, rounded down; null means fewer than 20, as 0 did
    in clinical-qkt/model/1."""
    epochs: int = Field(ge=0, le=100_000)
    """How often the training went through them."""
    batch_size: int | None = Field(default=None, ge=1, le=10**6)
    """Images a step; with differential privacy on average."""
    learning_rate: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    """The highest of the schedule."""
    head_penalty: float | None = Field(
        default=None, gt=0, le=1e9, allow_inf_nan=False, exclude_if=lambda told: told is None
    )
    """With which the head was fitted at once, so that batch and rate do not matter; left out: by epochs."""


class DifferentialPrivacy(Sent):
    """The guarantee of a training with differential privacy (DP-SGD; Abadi et al., CCS 2016)."""

    epsilon: float = Field(gt=0, le=1000, allow_inf_nan=False)
    """Of (epsilon, delta)-differential privacy: smaller protects more."""
    delta: float = Field(gt=0, lt=1)
    """Of the same."""
    unit: Literal["patient", "image"]
    """Whom it protects: all images of one patient, or each image alone."""
    noise_multiplier: float = Field(gt=0, le=1e6)
    """Standard deviation of the noise over the clipping norm."""
    max_grad_norm: float = Field(gt=0, le=1e6)
    """The norm to which each unit's gradient was clipped."""


class MembershipFigures(Sent):
    """How well one attack tells images that a model was trained on from others.

    The rates follow Carlini et al., Membership inference attacks from first principles (S&P 2022): what
    counts is how many members are found while hardly anybody else is accused.
    """

    attack: Literal["likelihood_ratio", "pairwise_ratio", "loss_threshold"]
    """LiRA or RMIA (Zarifzadeh et al., ICML 2024) with shadow models, or a threshold on the loss (Yeom et
    al., CSF 2018)."""
    of: Literal["all_classes", "rarest_class"]
    """All images, or those of the class with the fewest training images."""
    auc: Share
    """Area under the attack's ROC curve; 0.5 is guessing."""
    tpr_at_1_percent: Share | None
    """Share of members found while 1 % of the others are accused; null with fewer than 100 others."""
    tpr_at_01_percent: Share | None
    """The same at 0.1 %; null with fewer than 1,000 others."""
    members: Coarse
    """Images of each kind that were attacked, to one significant digit; null means fewer than 20."""
    others: Coarse
    """The same of images that the model was not trained on."""


class PrivacyAudit(Sent):
    """What a membership-inference audit found before the model was shared."""

    shadow_models: int = Field(ge=0, le=1000)
    """Models that the likelihood and pairwise ratios were calibrated with: more find more."""
    figures: list[MembershipFigures] = Field(min_length=1, max_length=8)
    """One entry for each attack and each set of images."""


class PrivacyStatement(Sent):
    """What is known of how much a model tells about the patients whose images it was trained on."""

    training: DifferentialPrivacy | None = None
    """The guarantee, where the model was trained with differential privacy; null: none is given."""
    audit: PrivacyAudit | None = None
    """Figures of an audit; null: the sender made none."""
