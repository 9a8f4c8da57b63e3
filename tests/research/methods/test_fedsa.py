from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from clinical_qkt.networks.registry import PRESETS
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.research.methods import case as training_of_cases
from clinical_qkt.research.methods import fedsa
from clinical_qkt.training.inference import labels_of

CPU = torch.device("cpu")


def teacher(site, known):
    return SimpleNamespace(site=site, known_columns=set(known))


@pytest.mark.slow
def test_a_network_looks_where_it_looks_itself_and_elsewhere_for_another_class(case):
    twin = Teacher(case.own, {0: 0, 1: 1, 2: 2}, torch.ones(3), [True] * 3)
    assert fedsa.similarity(case, twin, 16) == pytest.approx(1, abs=1e-5)
    swapped = replace(twin, columns={0: 1, 1: 2, 2: 0})
    assert fedsa.similarity(case, swapped, 16) < 0.95


def test_a_teacher_that_shares_no_class_has_no_similarity(case):
    stranger = replace(case.teachers[0], known=[False] * len(case.teachers[0].known))
    assert fedsa.similarity(case, stranger, 16) == 0


@pytest.mark.parametrize("name", [n for n in PRESETS if n not in ("resnet18", "vit_small", "vit_s16")])
def test_saliency_leaves_a_network_as_it_was(name):
    network = preset(name, 3, [32, 32]).build(3).eval()
    images = torch.rand(4, 3, 32, 32)
    before = network(images).detach()
    maps = fedsa.saliency(network, images, torch.tensor([0, 1, 0, 2]), CPU)
    assert maps.shape[:2] == (4, 1) and maps.ndim == 4 and (maps >= 0).all()
    assert torch.equal(network(images).detach(), before)
    assert not any(m._backward_hooks or m._forward_hooks for m in network.modules())
    assert all(p.grad is None for p in network.parameters())
    # each image's map is for its own class, whatever stands beside it
    alone = fedsa.saliency(network, images[1:2], torch.tensor([1]), CPU)
    assert torch.allclose(alone[0], maps[1], atol=1e-5)


def test_three_dimensions_are_no_obstacle():
    network = preset("resnet_small", 1, [16, 16, 16]).build(2).eval()
    maps = fedsa.saliency(network, torch.rand(2, 1, 16, 16, 16), torch.tensor([0, 1]), CPU)
    assert maps.ndim == 5 and fedsa.last_stage(network) == "layer4"


def test_maps_of_another_size_are_resized_and_empty_ones_do_not_count():
    ours = torch.zeros(2, 1, 4, 4)
    ours[0, :, :2] = 1
    theirs = torch.zeros(2, 1, 8, 8)
    theirs[:, :, :4] = 3.0
    assert fedsa.cosine(ours, theirs) > 0.95
    assert fedsa.cosine(ours, theirs.flip(2)) < 0.2
    assert fedsa.cosine(torch.zeros(2, 1, 4, 4), theirs) == 0


def test_the_most_similar_are_kept_and_each_queried_class_keeps_a_teacher():
    sites = [teacher("a", [3]), teacher("b", [3]), teacher("c", [4]), teacher("d", [4])]
    alike = {"a": 0.9, "b": 0.8, "c": 0.1, "d": 0.2}

    def names(query, keep):
        return [t.site for t in fedsa.choose(sites, alike, query, keep)]

    assert names([3], 1) == ["a"]
    assert names([3], 2) == ["a", "b"]
    assert names([3, 4], 2) == ["a", "b", "d"]


def test_the_next_student_is_the_mean_of_the_copies(case, monkeypatch):
    trained = []

    def add_one_more_each_time(network, *_, **__):
        with torch.no_grad():
            for p in network.network.parameters():
                p += len(trained) + 1.0
        trained.append(network)

    monkeypatch.setattr(training_of_cases, "train", add_one_more_each_time)
    results = []
    monkeypatch.setattr(fedsa, "of_network", lambda case, network, used: results.append((network, used)))
    fedsa.run(case, fedsa.Settings(rounds=1, keep=2, probe_images=4))
    network, used = results[0]
    assert len(trained) == len(used) == 2
    head = network.get_submodule(find_head(network))
    assert torch.allclose(head.weight[3], torch.full_like(head.weight[3], 1.5))  # from zero, by 1 and by 2


@pytest.mark.slow
def test_the_queried_class_is_recognised_once_its_bias_is_raised_and_the_others_are_kept(case, held_out):
    outcome = fedsa.run(case, fedsa.Settings(max_epochs=3, probe_images=16))
    logits, labels = outcome.predict(held_out), labels_of(held_out)
    assert (logits[:, :3].argmax(1) == labels)[labels < 3].float().mean() > 0.8
    # Teachers say of every own image that it is not yellow: only what the budget adds brings it to the top.
    margin = logits[:, 3] - logits[:, :3].amax(1)
    raised = margin - margin[labels < 3].quantile(0.95)
    assert (raised[labels == 3] > 0).float().mean() > 0.5
    assert outcome.teachers_used == 2
    assert outcome.bytes_received == sum(t.model.bytes for t in case.teachers)
