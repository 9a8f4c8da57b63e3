"""AdaBN: adaptive batch normalisation (Li et al., 2016, arXiv 1603.04779), at the sites that answer.

A site that answers first re-estimates the means and variances of the batch norms in the student's extractor,
on all of its own training images; then it computes its statistics as ever. At home the student keeps its own.
The head is that of ``statistics``.

Ours: the student's means and variances are averages over its training and not quite those of its images, and
so small a difference is some tenths of a class's spread in the mapped features. So a site's are changed by as
much as re-estimated ones differ between site and student: where both have the same images, nothing changes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from clinical_qkt.core.errors import InputError
from clinical_qkt.networks.extractor import Extractor
from clinical_qkt.research.methods import carried
from clinical_qkt.research.methods.carried import answers_of, of_carried, seen_by
from clinical_qkt.research.methods.case import Case, Member, Outcome
from clinical_qkt.research.methods.registry import method
from clinical_qkt.research.methods.requested import requested
from clinical_qkt.training.inference import Images

BATCH = 128
"""Images over which means and variances are taken, as drawn at random; those of all batches are averaged."""


SILENT = 1e-5
"""A channel's variance is taken to be so much at least, as batch norm does."""


class Settings(carried.Settings):
    """As of all methods that carry features; here the network moves, and features are not touched."""


@method("adabn", family="statistics")
def run(case: Case, settings: Settings) -> Outcome:
    """Answers of extractors that have seen the site's images; the head of ``statistics``.

    Raises:
        InputError: the student's network has no batch norm.
    """
    question = requested(case, settings.depths, settings.views, settings.reference)
    home = adapted(case.own.network, case.training, case, "adabn")

    def there(member: Member) -> Extractor:
        view = case.view(member.training, case.own.card.input)
        away = adapted(case.own.network, view, case, "adabn")
        return with_network(question.extractor, changed(case.own.network, home, away))

    sites = {m.model.card.site: seen_by(case, m, there(m)) for m in case.federation()[1:]}
    answers = answers_of(case, sites, settings)
    return of_carried(case, question, lambda *_: answers, settings)


def with_network(extractor: Extractor, network: nn.Module) -> Extractor:
    """The same depths and map on another network of the kind."""
    other = Extractor(extractor.spec, network).eval()
    other.center, other.projection = extractor.center, extractor.projection
    return other


def adapted(network: nn.Module, images: Images, case: Case, method: str) -> nn.Module:
    """A copy of a network whose batch norms have the means and variances of these images.

    Args:
        images: as the network takes them.
        method: named in the error.

    Raises:
        InputError: there is no batch norm that keeps means and variances.
    """
    require_batch_norm(network, f"method '{method}'")
    moved = copy.deepcopy(network).to(case.device)
    update_bn(_batches(images, case.seed), moved, device=case.device)
    return moved.to("cpu").eval()


def changed(network: nn.Module, home: nn.Module, away: nn.Module) -> nn.Module:
    """A copy of a network, its batch norms changed by as much as those of two others of the kind differ."""
    found, state = copy.deepcopy(network), dict(network.state_dict())
    here, there = home.state_dict(), away.state_dict()
    for name, own in state.items():
        if name.endswith("running_mean"):
            state[name] = own + (there[name] - here[name])
        elif name.endswith("running_var"):
            state[name] = own * (there[name].clamp_min(SILENT) / here[name].clamp_min(SILENT))
    found.load_state_dict(state)
    return found


def require_batch_norm(network: nn.Module, where: str) -> None:
    """
    Raises:
        InputError: there is no batch norm that keeps means and variances.
    """
    if not any(isinstance(m, _BatchNorm) and m.track_running_stats for m in network.modules()):
        raise InputError(
            "the network has no batch norm, of which something could be a site's own",
            where=where,
            fix="leave the method out, or take an architecture with batch norm, such as resnet_small",
        )


def _batches(images: Images, seed: int) -> Iterator[Tensor]:
    """In random order, since images lie class by class; of nearly one size, so that all count alike."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    for rows in order.chunk(-(-len(images) // BATCH)):
        yield torch.stack([torch.as_tensor(images[int(i)]["image"]) for i in rows])
