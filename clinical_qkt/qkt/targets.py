"""The teachers' soft targets on the student's images: computed once, then carried in the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from monai.data import Dataset
from torch import Tensor

from clinical_qkt.core.batches import at_once
from clinical_qkt.core.errors import PackageError
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.networks.joint_opinion import joint_opinion, merged, opinion_bytes
from clinical_qkt.privacy.mechanisms import Draw, system_noise
from clinical_qkt.qkt.teachers import Teacher, all_classes
from clinical_qkt.training.inference import Each, Images, labels_of

Combination = Literal["joint", "each"]


def aligned(logits: Tensor, columns: dict[int, int], known: Sequence[bool], width: int) -> Tensor:
    """A teacher's logits in the student's columns; NaN where it has no such class or does not know it.

    Args:
        logits: ``(N, teacher's classes)``.
        columns: ``{teacher's column: student's column}`` as from ``label_space.align``.
        known: the knowledge mask over the teacher's classes; of a merged class the known parts count.
        width: the student's classes.

    Returns:
        ``(N, width)``.
    """
    out = torch.full((len(logits), width), torch.nan)
    sources = [source for source in columns if known[source]]
    said, places = merged(logits[:, sources], [columns[source] for source in sources])
    out[:, places] = said
    return out


def veiled(logits: Tensor, temperature: float, noise: float, draw: Draw = system_noise) -> Tensor:
    """A teacher's soft targets, softened where it is unusually certain, and noised.

    After Swing Distillation (Li et al., arXiv 2212.08349), where the temperature follows how likely a token
    is private and soft targets get noise. What is private about an image, we read off the teacher: a model is
    surer of images that it was trained on, or of others of the same patient, than of their like. Among the
    images that it puts into one class, those below the median certainty stay; above, the temperature rises
    with the rank, to ``temperature`` for the surest. Certainty is the log-odds of the class that it names.
    This is a heuristic and no guarantee.

    Args:
        logits: ``(N, classes)``.
        temperature: 1 leaves them as they are.
        noise: standard deviation of what is added to each logit; 0 for none.
        draw: the source of noise; the operating system's by default, since a seed would take it off again.
    """
    if temperature > 1 and logits.shape[1] > 1:
        best, named = logits.max(1)
        others = logits.scatter(1, named[:, None], -torch.inf).logsumexp(1)
        rise = torch.zeros(len(logits))
        for c in named.unique():
            mine = (named == c).nonzero().flatten()
            order = (best - others)[mine].argsort().argsort().float()
            rise[mine] = (2 * order / max(1, len(mine) - 1) - 1).clamp_min(0)
        logits = logits / (1 + (temperature - 1) * rise)[:, None]
    if noise > 0:
        logits = logits + noise * draw(logits.numel()).view_as(logits).to(logits.dtype)
    return logits


def soft_targets(
    teachers: Sequence[Teacher],
    logits: Mapping[str, Tensor],
    own: Tensor,
    labels: LabelSpace,
    how: Combination,
    temperature: float = 1.0,
    noise: float = 0.0,
    *,
    own_columns: Sequence[int] | None = None,
) -> Tensor:
    """What the teachers say of the student's images.

    Args:
        logits: each teacher's by site, ``(N, its classes)``.
        own: the student's, ``(N, local)``.
        own_columns: where its classes stand among ``labels``; they come first if None.
        labels: its classes, then the queried ones.
        how: ``each``: one a teacher, over the classes that it knows; ``joint``: one for all of them
            and the student's own model, see ``joint_opinion``.
        temperature, noise: see ``veiled``.

    Returns:
        ``(N, T, C)``, with T = 1 if joint; NaN where a teacher does not know the class.

    Raises:
        PackageError: a teacher's soft targets hold NaN or infinity.
    """
    for teacher in teachers:
        require_finite(logits[teacher.site], teacher.site)
    logits = {t.site: veiled(logits[t.site], temperature, noise) for t in teachers}
    if how == "each":
        return torch.stack([aligned(logits[t.site], t.columns, t.known, len(labels)) for t in teachers], 1)
    everyone = all_classes(labels, teachers)
    rows = {t.site: r for t in teachers if (r := t.known_rows(everyone))}
    parts = [merged(logits[site][:, list(r)], list(r.values())) for site, r in rows.items()]
    mine = list(range(own.shape[1]) if own_columns is None else own_columns)
    said, columns = [own, *(s for s, _ in parts)], [mine, *(c for _, c in parts)]
    size = at_once(lambda n: opinion_bytes(n, len(everyone)), most=4096, what="an opinion")
    chunks = zip(*(s.split(size) for s in said), strict=True)
    opinions = torch.cat([joint_opinion(chunk, columns, len(everyone)) for chunk in chunks])
    return opinions[:, None, : len(labels)]


def require_finite(logits: Tensor, site: str) -> None:
    """Refuse a teacher whose soft targets hold NaN or infinity.

    Raises:
        PackageError: names the site.
    """
    if not torch.isfinite(logits).all():
        raise PackageError(
            "the model gives NaN or infinity on this site's images",
            where=f"package of {site}",
            fix="take the package out of 'teachers' and tell the sending site",
        )


def with_targets(items: Images, soft_targets: Tensor, own: Tensor, **more: Tensor) -> Dataset:
    """The student's images with what everybody said about them.

    Args:
        items: ``{"image", "label"}``.
        soft_targets: ``(N, T, C)`` of the relevant teachers, aligned.
        own: ``(N, local)``, the student's own earlier logits.
        more: further targets, a row an image.
    """
    rows = {"label": labels_of(items), "soft_targets": soft_targets, "own": own, **more}

    def said(i: int, item: dict[str, Any]) -> dict[str, Any]:
        return {"image": item["image"], **{name: row[i] for name, row in rows.items()}}

    return Dataset(Each(items, said))
