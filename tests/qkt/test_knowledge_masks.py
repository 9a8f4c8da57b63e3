import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from clinical_qkt.bundle.published_mask import published
from clinical_qkt.core.errors import InputError
from clinical_qkt.networks.spec import preset
from clinical_qkt.qkt.knowledge_masks import knowledge_mask, knowledge_scores, randomised
from clinical_qkt.site.ledger.ledger import Ledger
from tests.conftest import COLOURS, square
from tests.little_memory import narrow


class Knows(nn.Module):
    """Puts everything on the classes that it knows, whatever it sees."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits + 0.1 * x.mean((1, 2, 3))[:, None]


def test_scores_are_the_mean_or_the_peak_of_the_softmax():
    network = Knows([4.0, 3.0, -9.0])
    mean = knowledge_scores(network, 3, (8, 8), -1, 1, count=40, statistic="mean")
    assert mean.sum() == pytest.approx(1)
    assert torch.allclose(mean, torch.tensor([4.0, 3.0, -9.0]).softmax(0), atol=1e-5)
    assert torch.allclose(knowledge_scores(network, 3, (8, 8), -1, 1, count=40), mean, atol=1e-5)
    assert knowledge_mask(mean, 0.2).tolist() == [True, True, False]
    assert knowledge_mask(mean, 0.5).tolist() == [True, False, False]


@pytest.mark.parametrize("statistic", ["peak", "mean"])
def test_scores_do_not_depend_on_how_many_probes_come_at_once(statistic):
    torch.manual_seed(0)
    network = preset("resnet_small", 3, [12, 12]).build(4)
    one, many = (
        knowledge_scores(network, 3, (12, 12), -1, 1, count=50, statistic=statistic, batch_size=n)
        for n in (1, 25)
    )
    assert torch.allclose(one, many, atol=1e-6)


def test_a_device_that_runs_out_of_memory_is_shown_the_same_probes_fewer_at_once(capfd):
    torch.manual_seed(0)
    network = preset("resnet_small", 3, [12, 12]).build(4)
    how = {"count": 20, "statistic": "peak", "batch_size": 8, "where": "hospital_b"}
    expected = knowledge_scores(network, 3, (12, 12), -1, 1, **how)
    found = knowledge_scores(narrow(network), 3, (12, 12), -1, 1, **how)
    assert torch.allclose(found, expected, atol=1e-6)
    assert "warning: probes of hospital_b: the memory does not suffice for 8" in capfd.readouterr().err


class Seldom(nn.Module):
    """Names its second class only for images that are dark all over."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dark = (x.amax((1, 2, 3)) < 0).float()
        return torch.stack([4 - 9 * dark, 9 * dark - 4, torch.full_like(dark, -9)], 1)


def test_the_peak_finds_a_class_that_the_mean_overlooks():
    found = {s: knowledge_scores(Seldom(), 1, (16, 16), -1, 1, statistic=s) for s in ("mean", "peak")}
    assert found["mean"][1] < 0.2 < 0.9 < found["peak"][1] and found["peak"][2] < 0.01


def test_a_trained_network_knows_what_it_was_trained_on_and_not_its_empty_rows():
    torch.manual_seed(0)
    known, network = [0, 2, 3], preset("resnet_small", 3, [28, 28]).build(5)
    pictures = np.stack([square(list(COLOURS)[c], i, size=28) for i in range(40) for c in known])
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    y = torch.tensor(known * 40)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(12):
        for batch in torch.randperm(len(x)).split(30):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    scores = knowledge_scores(network, 3, (28, 28), -1, 1)
    assert knowledge_mask(scores).tolist() == [c in known for c in range(5)], scores


def test_a_randomised_mask_tells_the_truth_as_often_as_epsilon_says():
    below = [math.nextafter(math.e / (1 + math.e), 0), math.e / (1 + math.e)]
    assert randomised([True, False], 1.0, lambda: below[0]) == [True, False]
    assert randomised([True, False], 1.0, lambda: below[1]) == [False, True]
    known = [True, False] * 2000
    for epsilon in (0.1, 1.0, 3.0):
        told = randomised(known, epsilon)
        right = np.mean([a == b for a, b in zip(known, told, strict=True)])
        assert right == pytest.approx(1 / (1 + math.exp(-epsilon)), abs=0.04)


def test_a_published_mask_is_as_found_or_nothing_but_ones_and_zeros():
    scores = {"a": 0.93, "b": 0.1, "c": 0.0999}
    assert published(scores).scores == scores and published(scores).epsilon is None
    told = published(scores, 100.0)  # as good as never a lie
    assert told.scores == {"a": 1.0, "b": 1.0, "c": 0.0} and (told.threshold, told.epsilon) == (0.5, 100.0)
    assert len({tuple(published(scores, 0.1).scores.values()) for _ in range(60)}) > 2


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    found = Ledger(tmp_path / "ledger.db")
    found.begin()
    return found


def test_what_was_told_of_a_class_is_told_again_at_each_epsilon_and_after_each_change(ledger):
    scores = {f"class {i}": float(i % 2) for i in range(8)}
    first = {epsilon: published(scores, epsilon, ledger, "us") for epsilon in (0.3, 1.0, 0.05)}
    changed = {**scores, "class 0": 1.0, "one more": 1.0}
    then = published(changed, 1.0, ledger, "us")
    for epsilon, mask in first.items():
        assert published(scores, epsilon, ledger, "us") == mask
    assert published(changed, 1.0, ledger, "us") == then
    unchanged = list(scores)[1:]
    assert {n: then.scores[n] for n in unchanged} == {n: first[1.0].scores[n] for n in unchanged}


def test_a_class_that_comes_to_be_known_is_drawn_for_itself_once(ledger):
    assert published({"a": 1.0}, 100.0, ledger, "us").scores == {"a": 1.0}
    assert published({"a": 0.0}, 100.0, ledger, "us").scores == {"a": 0.0}
    assert len(ledger.lines()) == 2
    assert published({"a": 1.0}, 100.0, ledger, "us").scores == {"a": 1.0} and len(ledger.lines()) == 2


def test_two_sites_with_one_ledger_are_drawn_for_themselves(ledger):
    scores = {f"class {i}": 1.0 for i in range(60)}
    assert published(scores, 0.1, ledger, "us") != published(scores, 0.1, ledger, "them")


def test_no_mask_is_drawn_without_a_ledger_that_was_begun(tmp_path):
    with pytest.raises(InputError, match="is no ledger that was begun"):
        published({"a": 1.0}, 1.0, Ledger(tmp_path / "l.db"), "us")


def test_what_an_earlier_version_told_is_taken_over(ledger, tmp_path):
    known = {f"class {i}": True for i in range(60)}
    told = {name: i % 2 == 0 for i, name in enumerate(known)}
    earlier = tmp_path / "mask.json"
    earlier.write_text(json.dumps({"epsilon": 0.1, "known": known, "told": told}))
    scores = dict.fromkeys(known, 1.0)
    found = published(scores, 0.1, ledger, "us", earlier)
    assert found.scores == {name: float(t) for name, t in told.items()}
    assert published(scores, 0.1, ledger, "us", earlier) == found and len(ledger.lines()) == 60


def test_a_damaged_file_of_an_earlier_version_is_refused_and_kept(ledger, tmp_path):
    earlier = tmp_path / "mask.json"
    earlier.write_text('{"epsilon": 1')
    with pytest.raises(InputError, match="mask.json: cannot be read"):
        published({"a": 1.0}, 1.0, ledger, "us", earlier)
    assert earlier.read_text() == '{"epsilon": 1' and ledger.lines() == []
