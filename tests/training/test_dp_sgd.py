import copy
import json
import re
import shlex

import numpy as np
import pytest
import torch
import yaml
from monai.data import Dataset
from monai.engines import SupervisedTrainer
from monai.transforms import RandFlipd
from opacus.grad_sample import GradSampleHooks
from PIL import Image
from torch import nn
from torch.nn import functional as F

from clinical_qkt import bundle
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.networks.mix_style import mix_styles
from clinical_qkt.networks.registry import ALLOWED
from clinical_qkt.networks.spec import NetworkSpec, preset
from clinical_qkt.packages.model import load_model
from clinical_qkt.privacy import noised_gradients
from clinical_qkt.privacy.mechanisms import FINE
from clinical_qkt.training import dp_sgd
from clinical_qkt.training.dp_sgd import (
    PrivateOptimizer,
    PrivateTraining,
    RandomPatients,
    require_separate_images,
)
from clinical_qkt.training.dp_training import of_site, train_privately
from clinical_qkt.training.loop import prepare_batch
from tests.conftest import COLOURS, CONFIGS, ROOT, square

CPU = torch.device("cpu")
FEW = {"epsilon": 8.0, "delta": 1e-5, "max_grad_norm": 1.0, "max_epochs": 2, "batch_size": 4}
FLIP = [RandFlipd("image", prob=0.5)]


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """More noise than any plan here needs: finding the least takes a second."""
    monkeypatch.setattr(dp_sgd, "noise_multiplier", lambda *asked: 4.0)


def items(count: int) -> list[dict]:
    """Red and green squares."""
    made = []
    for i in range(count):
        pixels = np.moveaxis(square(list(COLOURS)[i % 2], i, size=28), -1, 0)
        image = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1)
        made.append({"image": image, "label": torch.tensor(i % 2)})
    return made


def network(name: str = "densenet_private") -> nn.Module:
    torch.manual_seed(0)
    return preset(name, 3, [28, 28]).build(2)


def tiny() -> nn.Module:
    torch.manual_seed(0)
    first = [nn.Conv2d(3, 4, 4, stride=4), nn.GroupNorm(2, 4), nn.ReLU()]
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(196, 2))


def loss(logits: torch.Tensor, targets: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.cross_entropy(logits, targets["label"])


def trained(made: list[dict], patients=None, **changes):
    settings = {**FEW, "learning_rate": 1e-2, **changes}
    return train_privately(tiny(), made, FLIP, loss, device=CPU, what="t", patients=patients, **settings)


def test_the_guarantee_is_what_was_asked_for_and_the_steps_made_stay_within_it():
    plan = PrivateTraining(100, **FEW)
    optimizer = plan.optimizer(torch.optim.SGD([p := nn.Parameter(torch.zeros(3))], 1.0))
    for _ in range(plan.planned):
        p.grad_sample = torch.zeros(0, 3)
        optimizer.step()
        optimizer.zero_grad()
    assert plan.planned == 50 and 0.8 * 8 < plan.spent <= 8
    assert plan.guarantee.epsilon == 8 and plan.guarantee.unit == "image"
    p.grad_sample = torch.zeros(0, 3)
    for _ in range(50):
        plan.accountant.step(noise_multiplier=plan.noise_multiplier, sample_rate=plan.sample_rate)
    with pytest.raises(RuntimeError, match="more than 8"):
        _ = plan.guarantee


def test_a_smaller_epsilon_needs_more_noise_and_its_digits_tell_little():
    noise = [PrivateTraining(500, **{**FEW, "epsilon": e}).noise_multiplier for e in (0.5, 8.0)]
    assert noise == sorted(noise, reverse=True)
    assert all(len(f"{n:g}".replace(".", "").strip("0")) <= 2 for n in noise)


@pytest.mark.parametrize(
    ("key", "value"), [("epsilon", 0.0), ("epsilon", -1.0), ("delta", 0.02), ("max_grad_norm", 0.0)]
)
def test_numbers_that_promise_nothing_are_refused_by_name(key, value):
    with pytest.raises(InputError) as e:
        PrivateTraining(100, **{**FEW, key: value})
    assert e.value.where == key


def test_every_patient_is_drawn_alone_and_with_one_image(plenty):
    owner = [f"p{i // 5}" for i in range(100)]  # 20 patients with five images
    plan = PrivateTraining(100, owner, **{**FEW, "batch_size": 5})
    assert plan.unit == "patient" and plan.sample_rate == 0.25 and len(RandomPatients(plan)) == 4
    drawn = [step for _ in range(150) for step in RandomPatients(plan)]
    assert all(len({owner[i] for i in step}) == len(step) for step in drawn)
    assert {i for step in drawn for i in step} == set(range(100))
    sizes = np.array([len(step) for step in drawn])  # binomial: mean 5, variance 3.75
    assert abs(sizes.mean() - 5) < 0.5 and 2.5 < sizes.var() < 5.5


def clipped_sum(samples: list[torch.Tensor], norm: float) -> torch.Tensor:
    """What is noised: the sum over a batch, of two weights' gradients."""
    parts = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1, 2))]
    optimizer = PrivateOptimizer(
        torch.optim.SGD(parts, 1.0), noise_multiplier=1.0, max_grad_norm=norm, expected_batch_size=1
    )
    both = torch.stack(samples)
    parts[0].grad_sample, parts[1].grad_sample = both[:, :2].clone(), both[:, None, 2:].clone()
    optimizer.clip_and_accumulate()
    return torch.cat([p.summed_grad.flatten() for p in parts])


@pytest.mark.parametrize(
    "outlier", [[1e3, 0, 0, -1e3], [torch.inf, 0, 0, 0], [0, torch.nan, 0, 1], [1e30] * 4]
)
def test_whatever_one_image_does_moves_the_sum_by_the_norm_at_most(outlier):
    others = [torch.randn(4) for _ in range(6)]
    without = clipped_sum(others, 0.5)
    moved = clipped_sum([*others, torch.tensor(outlier)], 0.5) - without
    assert torch.equal(without, without.round())  # whole steps
    assert torch.isfinite(without).all() and int(moved.long().square().sum()) <= FINE**2


def test_short_gradients_stay_as_they_are_and_what_is_applied_is_a_whole_number_of_steps():
    short = torch.tensor([0.1, -0.2, 0.05, 0.0])
    assert torch.allclose(clipped_sum([short], 0.5) * 0.5 / FINE, short.double(), atol=1e-6)
    weight = nn.Parameter(torch.zeros(50))
    optimizer = PrivateOptimizer(
        torch.optim.SGD([weight], 1.0), noise_multiplier=1e-3, max_grad_norm=1.0, expected_batch_size=1
    )
    weight.grad_sample = torch.randn(3, 50)
    optimizer.step()
    steps = weight.detach().double() * FINE
    assert torch.equal(steps, steps.round()) and bool(steps.any())


def test_the_noise_is_as_strong_as_planned():
    weight = nn.Parameter(torch.zeros(20_000))
    optimizer = PrivateOptimizer(
        torch.optim.SGD([weight], 1.0), noise_multiplier=3.0, max_grad_norm=0.2, expected_batch_size=10
    )
    weight.grad_sample = torch.zeros(0, 20_000)  # a step that drew nobody
    optimizer.step()
    assert float(weight.detach().std()) == pytest.approx(3.0 * 0.2 / 10, rel=0.05)


def test_the_gradient_of_each_image_is_its_own(plenty):
    made, plain = items(6), network().train()
    hooked = copy.deepcopy(plain)
    steps = PrivateTraining(6, **{**FEW, "delta": 0.1}).steps(hooked, Dataset(made))
    steps.start(None)
    images, labels = torch.stack([i["image"] for i in made]), torch.stack([i["label"] for i in made])
    F.cross_entropy(hooked(images), labels).backward()
    for i in (0, 4):
        plain.zero_grad()
        F.cross_entropy(plain(images[i : i + 1]), labels[i : i + 1]).backward()
        for p, q in zip(plain.parameters(), hooked.parameters(), strict=True):
            assert torch.allclose(p.grad, q.grad_sample[i], atol=1e-4)


def test_a_step_is_the_same_in_as_many_parts_as_memory_needs_with_noise_once(plenty, monkeypatch):
    made, drawn = items(5), []
    monkeypatch.setattr(
        noised_gradients, "system_noise", lambda n: drawn.append(n) or torch.zeros(n).double()
    )
    batch = {k: torch.stack([item[k] for item in made]) for k in ("image", "label")}
    after = []
    for at_once in (2, 256):
        plan, learner = PrivateTraining(5, **{**FEW, "delta": 0.1, "max_grad_norm": 0.01}), tiny()
        trainer = SupervisedTrainer(
            device=CPU, max_epochs=1, train_data_loader=[batch], network=learner, prepare_batch=prepare_batch,
            optimizer=plan.optimizer(torch.optim.SGD(learner.parameters(), 1.0)), loss_function=loss,
            iteration_update=plan.update, decollate=False,
            train_handlers=[plan.steps(learner, Dataset(made))],
        )  # fmt: skip
        assert plan.at_once == 256  # small images
        plan.at_once = at_once
        trainer.run()
        assert len(plan.accountant.history) == 1 and plan.accountant.history[0][2] == 1
        after.append((torch.cat([p.detach().flatten() for p in learner.parameters()]), trainer.state.output))
    assert len(drawn) == 2 and torch.allclose(after[0][0], after[1][0], atol=1e-5)
    assert not torch.allclose(after[0][0], torch.cat([p.flatten() for p in tiny().parameters()]), atol=1e-4)
    assert float(after[0][1]["loss"]) == pytest.approx(float(after[1][1]["loss"]), rel=1e-5)


def test_what_comes_back_is_a_plain_network_and_two_runs_differ(plenty):
    made = items(24)
    (first, told), (second, _) = (trained(made, [f"p{i % 8}" for i in range(24)]) for _ in range(2))
    assert told.unit == "patient" and told.epsilon == 8.0
    assert list(first.state_dict()) == list(tiny().state_dict()) and not first.training
    assert not any(vars(p) for p in first.parameters()) and not hasattr(first, "autograd_grad_sample_hooks")
    assert type(first) is nn.Sequential and not any(m._forward_hooks for m in first.modules())
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)]
    assert not any(same)


def test_steps_that_draw_nobody_are_survived(plenty):
    trained(items(4), batch_size=1, max_epochs=3, delta=0.1)  # a third of the steps


def test_it_learns():
    made = items(160)
    net, _ = trained(made, epsilon=50.0, max_epochs=12, batch_size=40)
    with torch.no_grad():
        said = net(torch.stack([i["image"] for i in made])).argmax(1)
    assert float((said == torch.tensor([int(i["label"]) for i in made])).float().mean()) > 0.9


@pytest.mark.parametrize("name", ["resnet_small", "densenet_small", "efficientnet_small", "seresnet_small"])
def test_a_network_that_mixes_images_is_refused_with_one_that_does_not(name):
    with pytest.raises(InputError, match="in place.*BatchNorm") as e:
        require_separate_images(network(name))
    assert "densenet_private" in str(e.value)
    require_separate_images(network("vit_small"))


def test_a_network_that_mixes_styles_is_refused():
    mixing = mix_styles(network(), preset("densenet_private", 3, [28, 28]))
    with pytest.raises(InputError, match="mix_style mixes the images of a batch"):
        require_separate_images(mixing)


@pytest.mark.parametrize("name", ["GroupNormResNet", "InstanceNormResNet"])
def test_of_a_residual_network_without_batch_norm_each_image_has_its_own_gradient(name):
    args = {**ALLOWED["ResNet"].presets["resnet_small"], "block_inplanes": [8] * 4}
    net = NetworkSpec(name=name, spatial_dims=2, in_channels=1, args=args).build(2)
    images = torch.randn(2, 1, 16, 16, requires_grad=True)
    require_separate_images(net)
    net(images)[0].sum().backward()
    expected = [p.grad.clone() for p in net.parameters()]
    hooks = GradSampleHooks(net, loss_reduction="sum")
    net(images).sum().backward()
    for p, mine in zip(net.parameters(), expected, strict=True):
        assert torch.allclose(p.grad_sample[0], mine, atol=1e-4)
    hooks.cleanup()


def site_data(patients: dict[str, str]) -> CheckedData:
    training = [{"image": f"{i}.png", "label": i % 2} for i in range(100)]
    return CheckedData("d", True, LabelSpace(["a", "b"]), {"training": training}, patients=patients)


def test_the_datalist_decides_on_the_unit_and_may_not_leave_it_half_open(plenty):
    settings = {**FEW}
    everybody = {f"{i}.png": f"p{i // 4}" for i in range(100)}
    assert of_site(site_data(everybody), network(), settings).unit == "patient"
    assert of_site(site_data({}), network(), settings).unit == "image"
    del everybody["7.png"]
    with pytest.raises(InputError, match="1 of 100 training images name no patient"):
        of_site(site_data(everybody), network(), settings)


@pytest.fixture
def site(tmp_path):
    """A site of three colours, 12 patients with two training images each."""
    kinds, entries = list(COLOURS)[:3], {"training": [], "validation": [], "test": []}
    for k, kind in enumerate(kinds):
        for i in range(14):
            section = "training" if i < 8 else "validation" if i < 12 else "test"
            Image.fromarray(square(kind, i, size=28)).save(tmp_path / f"{k}_{i}.png")
            entry = {"image": f"{k}_{i}.png", "label": kind, "patient": f"p{k}_{i // 2}"}
            entries[section].append(entry)
    (tmp_path / "datalist.json").write_text(json.dumps({"classes": kinds, **entries}))
    values = {
        "site": "us",
        "data": str(tmp_path / "datalist.json"),
        "classes": kinds,
        "output_dir": str(tmp_path / "out"),
    }
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "site.yaml"


def commands_of_the_how_to(site):
    """Config files and overrides of each command on the page, for a site's YAML."""
    text = (ROOT / "docs/how-to/train-with-differential-privacy.md").read_text()
    for line in re.findall(r"^    python -m monai.bundle run --config_file (.+)$", text, re.M):
        files, *rest = shlex.split(line.replace("$C", str(CONFIGS)).replace("$SITE", str(site)))
        keys = [k.removeprefix("--") for k in rest[::2]]
        yield yaml.safe_load(files), dict(zip(keys, map(yaml.safe_load, rest[1::2]), strict=True))


def test_the_overlay_trains_a_model_that_is_like_any_other_as_the_how_to_says(site, tmp_path):
    (files, asked), (then, measured) = commands_of_the_how_to(site)
    assert asked.pop("output_dir") == measured["output_dir"] == "runs/private"
    few = {**asked, "max_epochs": 1, "batch_size": 4}
    workflow = bundle.run(files, **few)
    model = load_model(tmp_path / "out" / "model")
    told = model.card.privacy.training
    assert (told.unit, told.epsilon, told.delta, told.max_grad_norm) == ("patient", 8.0, 1e-5, 1.0)
    assert model.card.network.name == "GroupNormDenseNet"
    plan = workflow.parser.get_parsed_content("guarded")
    made = [steps for _, _, steps in plan.accountant.history]
    assert len(plan.images_of) == 12 and sum(made) == plan.planned == 3
    assert not list((tmp_path / "out").rglob("*.pt"))
    first = model.card.weights_sha256
    bundle.run(files, **few, overwrite=True)
    assert load_model(tmp_path / "out" / "model").card.weights_sha256 != first
    with pytest.raises(InputError, match="cannot be trained with differential privacy"):
        bundle.run(files, **few, overwrite=True, architecture="resnet_small")
    bundle.run(then)
    assert (tmp_path / "out" / "evaluation.json").is_file()

    share = [CONFIGS / "train.yaml", CONFIGS / "share.yaml", site]
    bundle.run(share, yes=True, publish_mask=True, mask_epsilon=1.0, new_ledger=True)
    card = load_model(tmp_path / "out" / "package").card
    assert card.privacy.training == told
    assert card.knowledge_mask.epsilon == 1.0 and set(card.knowledge_mask.scores.values()) <= {0.0, 1.0}
    assert card.recall == {} and card.training is None  # they would tell the classes after all


def test_every_setting_of_the_overlay_is_on_the_page():
    text = (ROOT / "docs/how-to/train-with-differential-privacy.md").read_text()
    table = text.split("## What can be set?")[1].split("## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    cells = [[re.findall(r"`([^`]+)`", row[i]) for i in (0, 2)] for row in rows]
    said = {key: value for keys, values in cells for key, value in zip(keys, values, strict=True)}
    overlay = yaml.safe_load((CONFIGS / "train_private.yaml").read_text())
    assert {k: yaml.safe_load(v) for k, v in said.items()} == {k: overlay[k] for k in said} and len(said) == 7
