"""Shadow models: trained as the attacked model was, on random halves of known images.

What a likelihood-ratio attack is calibrated with; see ``membership``. Their weights tell as much about
patients as the model's own do: they stay in the site's folder for unfinished work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Subset
from tqdm import tqdm

from clinical_qkt.audit.membership import Bools, Floats, confidences
from clinical_qkt.core.files import drop_unfinished, fingerprint, write_whole
from clinical_qkt.networks.frozen import train_only
from clinical_qkt.networks.mix_style import mix_styles
from clinical_qkt.networks.spec import NetworkSpec
from clinical_qkt.packages.weights_file import WeightsFile
from clinical_qkt.tasks.single_label import SINGLE_LABEL
from clinical_qkt.training.inference import Each, Images, labels_of, logits_of
from clinical_qkt.training.loop import train

Trainer = Callable[..., nn.Module]
"""``(recipe, network, items, *, seed, device, what, work) -> network``, as ``supervised``."""


def supervised(
    recipe: Recipe,
    network: nn.Module,
    items: Sequence[dict[str, Any]],
    *,
    seed: int,
    device: torch.device,
    what: str,
    work: Path | None,
) -> nn.Module:
    """A site's plain training: cross-entropy, AdamW, one cycle; see ``loop.train``."""
    return train(
        network,
        items,
        recipe.augment,
        SINGLE_LABEL.loss,
        max_epochs=recipe.max_epochs,
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        seed=seed,
        device=device,
        what=what,
        work=work,
    )


@dataclass(frozen=True)
class Recipe:
    """How the attacked model was trained, so that shadow models can be trained alike.

    Attributes:
        augment: MONAI transforms of the image.
        learning_rate: the highest of the schedule.
        train: does it; another one for another kind of training, such as one with differential privacy.
        mix_style: whether the network mixes styles in training, see ``networks.mix_style``.
        kind: names ``train`` and whatever it was set to, so that a shadow model that was trained otherwise
            is not taken for one of these.
        weights: from which the attacked model's training started; None: from random ones.
    """

    network: NetworkSpec
    max_epochs: int
    batch_size: int
    learning_rate: float
    augment: Sequence[Any] = field(default=())
    train: Trainer = supervised
    kind: str = "supervised"
    mix_style: bool = False
    weights: WeightsFile | None = None

    def begun(self, classes: int) -> nn.Module:
        """A network as the training finds it: with random weights, or with those that it started from."""
        network = self.network.build(classes)
        if self.weights is None:
            return network
        return train_only(self.weights.into(network), self.network, self.weights.about.trained_layers)

    def facts(self) -> dict[str, Any]:
        """Whatever decides a training, as plain data."""
        return {
            "network": self.network.model_dump(),
            "max_epochs": self.max_epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "augment": [getattr(t, "name", type(t).__name__) for t in self.augment],
            "kind": self.kind,
            **({"mix_style": True} if self.mix_style else {}),
            **({"weights": self.weights.about.model_dump()} if self.weights else {}),
        }


def halves(labels: NDArray[Any], count: int, seed: int, patients: Sequence[Hashable] | None = None) -> Bools:
    """Which image is in which shadow model's training data.

    Shadow models come in pairs that share all images out between them, class by class, so that each image is
    in exactly half of the models and each model has half of the images.

    Args:
        labels: ``(N,)``.
        count: of shadow models; even.
        patients: ``(N,)`` names; all images of a patient go the same way. Without them each goes its own.

    Returns:
        ``(count, N)``.
    """
    if count % 2:
        raise ValueError("shadow models come in pairs: give an even number")
    names = list(range(len(labels))) if patients is None else list(patients)
    first: dict[Hashable, int] = {}
    for i, name in enumerate(names):
        first.setdefault(name, i)
    unit = {name: u for u, name in enumerate(first)}
    of_image = np.array([unit[name] for name in names], dtype=np.int64)
    of_unit = np.asarray(labels)[list(first.values())]
    rng = np.random.default_rng([seed, 11])
    rows = []
    for _ in range(count // 2):
        chosen = np.zeros(len(first), dtype=bool)
        for c in np.unique(of_unit):
            mine = rng.permutation(np.flatnonzero(of_unit == c))
            chosen[mine[int(rng.integers(2)) :: 2]] = True
        rows += [chosen[of_image], ~chosen[of_image]]
    return np.array(rows, dtype=bool).reshape(count, len(names))


def shadow_networks(
    images: Images,
    included: Bools,
    classes: int,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    work: Path,
    what: str = "shadow models",
) -> Iterator[nn.Module]:
    """Train the shadow models one after the other; those that are there already are read.

    Args:
        images: prepared for the network, ``{"image", "label"}``.
        included: ``(S, N)`` as from ``halves``.
        classes: rows of the head.
        work: folder for the models, and for the checkpoints of the one in training.
        what: named in the progress bar.
    """
    items = Each(images, lambda _, item: item)  # none is held that the list itself does not hold
    known = digest(items)
    for k, mine in enumerate(tqdm(included, what, leave=False, disable=None)):
        mark = fingerprint(recipe.facts(), classes, seed, k, known, np.flatnonzero(mine).tolist())
        file = work / f"shadow_{k:03d}-{mark}.safetensors"
        torch.manual_seed(seed * 1009 + k)
        network = recipe.begun(classes)
        if file.is_file():
            network.load_state_dict(load_file(file))
            yield network.eval()
            continue
        if recipe.mix_style:
            mix_styles(network, recipe.network)
        network = recipe.train(
            recipe,
            network,
            Subset(items, np.flatnonzero(mine).tolist()),  # type: ignore[arg-type]
            seed=seed * 1009 + k,
            device=device,
            what=f"shadow model {k + 1} of {len(included)}",
            work=work / mark,
        ).cpu()
        state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        write_whole(file, lambda part, state=state: save_file(state, part), private=True)  # type: ignore[misc]
        drop_unfinished(work / mark)
        yield network.eval()


def confidences_of(network: nn.Module, images: Images, device: torch.device) -> Floats:
    """``(N,)`` logit-scaled confidences of a network in the images' classes."""
    return confidences(logits_of(network, images, device).numpy(), labels_of(images).numpy())


def digest(items: Sequence[dict[str, Any]]) -> str:
    """Changes with any prepared image or label."""
    found = hashlib.blake2b(digest_size=16)
    for item in items:
        found.update(torch.as_tensor(item["image"]).contiguous().numpy().tobytes())
        found.update(str(int(item["label"])).encode())
    return found.hexdigest()
