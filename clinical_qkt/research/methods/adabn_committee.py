"""AdaBN (Li et al., 2016, arXiv 1603.04779) of the teachers in a committee, see ``qkt``.

The means and variances of each teacher's batch norms are re-estimated on the student's training images before
the teacher says anything of them. Its knowledge mask is that of the network as it came. Of an image it would
say too much that had a part in these means and variances: for the forgetting budget they are re-estimated
once more without each fold of the images.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from clinical_qkt.data.folds import folds_of
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.research.methods import qkt
from clinical_qkt.research.methods.adabn import adapted
from clinical_qkt.research.methods.case import Case, Outcome
from clinical_qkt.research.methods.registry import method
from clinical_qkt.training.inference import Images, labels_of


class Settings(qkt.Settings):
    """As of ``qkt``: a committee by default, whose teachers see the images as they are."""

    harmonise: bool = False


@method("adabn_committee", family="ensemble")
def run(case: Case, settings: Settings) -> Outcome:
    """What ``qkt`` makes of teachers that have seen the student's images.

    Raises:
        InputError: a teacher's network has no batch norm.
    """
    outcome = qkt.run(at_home(case, case.training), settings)
    if outcome.cross_fitted is None:
        return outcome
    return replace(outcome, cross_fitted=_by_fold(case, settings))


def at_home(case: Case, images: Images) -> Case:
    """The case with every teacher's batch norms re-estimated on some of the student's images."""

    def moved(teacher: Teacher) -> Teacher:
        model = teacher.model
        network = adapted(model.network, case.view(images, model.card.input), case, "adabn_committee")
        return replace(teacher, model=Model(network, model.card, model.folder, model.bytes))

    # What others keep of a case is of teachers as they came.
    return replace(case, teachers=[moved(t) for t in case.teachers], kept={})


def _by_fold(case: Case, settings: Settings) -> Tensor | None:
    """``(N, C)`` logits of the training images, each by teachers that were re-estimated without its fold."""
    folds = folds_of(labels_of(case.training), seed=case.seed)
    found = torch.zeros(len(folds), len(case.labels))
    for fold in np.unique(folds):
        others = [case.training[i] for i in np.flatnonzero(folds != fold)]
        said = qkt.run(at_home(case, others), settings).cross_fitted if others else None
        if said is None:
            return None
        mine = torch.from_numpy(folds == fold)
        found[mine] = said[mine]
    return found
