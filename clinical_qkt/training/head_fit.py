"""A head that is trained alone, fitted instead of trained by epochs: logistic regression with a penalty.

On features that stay as they are the problem is convex, so it has one solution, which scikit-learn finds. The
penalty keeps the weights small: a head without it is sure of itself about images of classes that it never
saw, and so misleads whoever asks it about these. It is on the weights of standardised features, as where
linear probes are measured (Kornblith et al., CVPR 2019); the standardisation is then part of the head.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from ignite.engine import Engine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError

STEPS = 1000
"""Of the solver, at most; a few dozen are usual."""
UNSEEN = 10.0
"""By how much a class without images is below all others in the bias: it cannot be told from them."""
LEAST_SPREAD = 0.01
"""Of the features' median spread: one that varies less is stretched no further, lest rounding be enlarged."""


def fit_head(
    head: nn.Linear, features: Tensor, labels: Tensor, penalty: float, class_weights: Tensor | None = None
) -> None:
    """The weights of the least mean cross-entropy plus ``penalty / 2`` times their squares' sum; in place.

    Args:
        head: of as many rows as there are classes.
        features: ``(N, D)``, what arrives at it.
        labels: ``(N,)`` rows of the head.
        penalty: above zero.
        class_weights: ``(C,)`` of an image in the loss; None: all count alike.

    Raises:
        InputError: there are not two classes, or no weights were found.
    """
    rows, classes = features.cpu().to(torch.float64, copy=True), labels.cpu()
    mean, spread = rows.mean(0), rows.std(0, correction=0)
    spread = spread.clamp_min(LEAST_SPREAD * float(spread.median()) + 1e-12)
    there = sorted(set(classes.tolist()))
    if len(there) < 2:
        raise InputError(
            "of one class there is nothing to be told apart",
            where="head_penalty",
            fix="train on two classes and more, or leave 'head_penalty' out",
        )
    weigh = None if class_weights is None else class_weights.double().cpu()[classes].numpy()
    total = len(rows) if weigh is None else float(weigh.sum())
    # Of two classes scikit-learn fits the difference alone, whose square is twice that of both rows together.
    twice = 2 if len(there) == 2 else 1
    found = LogisticRegression(C=twice / (penalty * total), max_iter=STEPS, tol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            found.fit(rows.sub_(mean).div_(spread).numpy(), classes.numpy(), sample_weight=weigh)
        except (ConvergenceWarning, ValueError) as e:
            raise InputError(
                f"no weights of the head were found ({e})",
                where="head_penalty",
                fix="give a larger one, or leave it out to train the head by epochs",
            ) from None
    slopes, offsets = torch.tensor(found.coef_), torch.tensor(found.intercept_)
    if len(there) == 2:
        slopes, offsets = torch.cat([-slopes, slopes]) / 2, torch.cat([-offsets, offsets]) / 2
    slopes = slopes / spread
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(float(offsets.min()) - UNSEEN)
        head.weight[there] = slopes.to(head.weight)
        head.bias[there] = (offsets - slopes @ mean).to(head.bias)


class HeadFit:
    """What MONAI's trainer calls for its one step, of all images at once.

    Args:
        penalty, class_weights: see ``fit_head``.
    """

    def __init__(self, penalty: float, class_weights: Tensor | None = None) -> None:
        self.penalty, self.class_weights = penalty, class_weights

    def __call__(self, engine: Engine, batch: Any) -> dict[str, Any]:
        """The loss that was reached, logits and labels, as MONAI's own step gives them."""
        trainer: Any = engine
        features, labels = trainer.prepare_batch(batch, trainer.state.device, trainer.non_blocking)
        head: nn.Linear = trainer.network
        fit_head(head, features, labels, self.penalty, self.class_weights)
        trainer.optimizer.step()  # without gradients it moves nothing; schedules count it
        with torch.no_grad():
            logits = head(features)
            loss = trainer.loss_function(logits, labels)
        return {"image": features, "label": labels, "pred": logits, "loss": loss.item()}
