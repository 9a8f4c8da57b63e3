"""A rare class in volumes: private responses from three sites with twenty patients each."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clinical_qkt.data.inputs import InputContract
from clinical_qkt.data.transforms import symmetries
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import Model, load_model, save_model
from clinical_qkt.privacy.mechanisms import STEPS, Guarantee, private_release, rounded_noise, whole
from clinical_qkt.qkt.forgetting_budget import Promise, fit_to_budget
from clinical_qkt.qkt.held_out import HeldOut
from clinical_qkt.query.aggregate import fitted, own_statistics
from clinical_qkt.query.request import QuerySettings, own_question
from clinical_qkt.query.shrinkage import told
from clinical_qkt.statistics.class_statistics import PrivateSum
from clinical_qkt.training.inference import features_of, labels_of, outputs_of
from clinical_qkt.training.loop import train

SIDE = 16
CPU = torch.device("cpu")
OWN = ("ball", "cube", "rod")
PROMISED = Guarantee(1.0, 1e-5)


def volume(kind: str, seed: int) -> torch.Tensor:
    """``(1, 16, 16, 16)``: something bright in a noisy dark, of varying size, place and brightness."""
    generator = torch.Generator().manual_seed(seed)

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    grid = torch.stack(torch.meshgrid(*[torch.arange(SIDE).float()] * 3, indexing="ij"))
    place = grid - torch.tensor([between(6, 9) for _ in range(3)]).view(3, 1, 1, 1)
    size = between(3.5, 5)
    inside = {
        "ball": place.norm(dim=0) < size,
        "cube": place.abs().amax(0) < 0.8 * size,
        "rod": place[:2].norm(dim=0) < 0.5 * size,
        "shell": (place.norm(dim=0) - size).abs() < 1,
    }[kind]
    noise = 0.25 * torch.randn(SIDE, SIDE, SIDE, generator=generator)
    return (inside * between(0.7, 1.3) - 0.6 + noise).clamp(-1, 1)[None]


def volumes(kind: str, label: int, start: int, count: int) -> list[dict]:
    return [{"image": volume(kind, 1000 * start + i), "label": label} for i in range(count)]


def trained(folder) -> Model:
    contract = InputContract(channels=1, spatial_size=[SIDE] * 3)
    spec = preset("resnet_small", 1, contract.spatial_size)
    torch.manual_seed(0)
    network = train(
        spec.build(len(OWN)), [v for c, k in enumerate(OWN) for v in volumes(k, c, c, 40)],
        symmetries(contract.spatial_size), lambda z, t: F.cross_entropy(z, t["label"]), max_epochs=6,
        learning_rate=3e-3, batch_size=16, seed=0, device=CPU, what="train",
    )  # fmt: skip
    card = Card(
        site="student", task="volumes", label_space=list(OWN), network=spec, head=find_head(network),
        input=contract, generated_data=True,
    )  # fmt: skip
    save_model(folder, network, card)
    return load_model(folder)


@pytest.mark.slow
def test_a_class_in_volumes_is_gained_from_three_sites_with_twenty_patients_each(tmp_path):
    own = trained(tmp_path / "m")
    images = [v for c, k in enumerate(OWN) for v in volumes(k, c, c, 40)]
    held = [v for c, k in enumerate(OWN) for v in volumes(k, c, 10 + c, 30)]
    question = own_question(own, QuerySettings(mirror_axes=[0, 1, 2]), images, CPU)
    training = features_of(question.extractor, images, CPU), labels_of(images)
    logits, seen = outputs_of(question.extractor, held, CPU)
    generator = torch.Generator().manual_seed(0)
    noise = rounded_noise(lambda n: torch.randn(n, generator=generator, dtype=torch.float64))

    def answered(site: int) -> PrivateSum:
        features = features_of(question.extractor, volumes("shell", 3, 20 + site, 20), CPU)
        rows = whole(features[:, : question.private_axes], question.radius, STEPS)
        return private_release(rows, PROMISED, noise).read(question.radius, PROMISED)

    queried = told([answered(site) for site in range(3)], own_statistics(*training, 3))
    found = training, (seen.double(), labels_of(held))
    network = fitted(own, question.extractor, [queried], *found, "auto", None, 0)[0].eval()
    with torch.no_grad():
        new = network(torch.stack([v["image"] for v in volumes("shell", 3, 40, 60)]))
        old = network(torch.stack([v["image"] for v in held]))
    fit = fit_to_budget(HeldOut.of(old, logits, labels_of(held), range(3)), [3], Promise(2, 5, 0.75))
    new[:, 3] += fit.bias[0]
    recall = float((new.argmax(1) == 3).float().mean())
    print(f"query recall at the budget {100 * recall:.0f} %, kept: {fit.kept}")
    assert fit.kept and recall > 0.7
