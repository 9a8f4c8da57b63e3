from dataclasses import replace

import pytest
import torch

from clinical_qkt.core.errors import InputError, QueryError
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.networks.spec import preset
from clinical_qkt.packages.model import Model
from clinical_qkt.qkt.teachers import Teacher
from clinical_qkt.research.benchmark.compare import row_name
from clinical_qkt.research.benchmark.config import BenchmarkConfig
from clinical_qkt.research.methods import case as training_of_cases
from clinical_qkt.research.methods import fedavg
from clinical_qkt.research.methods.case import Member, TrainingSettings
from clinical_qkt.training.inference import labels_of

SHORT = fedavg.Settings(rounds=2, learning_rate=5e-3, batch_size=32)


def file_of(folder):
    return next(folder.glob("*.safetensors"))


def weights_in(folder):
    return fedavg._read(file_of(folder)).weights


def test_the_average_is_weighted_by_images_and_leaves_counters_alone():
    states = [
        {"w": torch.tensor([0.0, 4.0]), "steps": torch.tensor(7)},
        {"w": torch.tensor([4.0, 0.0]), "steps": torch.tensor(9)},
    ]
    mean = fedavg.average(states, [300, 100])
    assert mean["w"].tolist() == [1.0, 3.0] and mean["steps"].item() == 7


def test_the_union_has_each_class_once():
    spaces = [LabelSpace(["red", "Light Blue"]), LabelSpace(["light_blue", "green"])]
    assert fedavg.union(spaces).names == ["red", "Light Blue", "green"]


def test_the_queried_class_is_learnt_from_the_sites_that_have_it(case, held_out):
    outcome = fedavg.run(case, fedavg.Settings(rounds=4, learning_rate=5e-3, batch_size=32))
    logits, labels = outcome.predict(held_out), labels_of(held_out)
    right = logits.argmax(1) == labels
    assert logits.shape == (len(held_out), 4)
    assert right[labels == 3].float().mean() > 0.5 and right.float().mean() > 0.5
    size = sum(4 * v.numel() for v in weights_in(case.shared).values())
    assert (outcome.teachers_used, outcome.bytes_received) == (2, 4 * size)


def test_a_second_query_and_another_student_share_the_rounds(case, members, monkeypatch):
    first = fedavg.run(case, SHORT)
    monkeypatch.setattr(training_of_cases, "train", lambda *a, **k: pytest.fail("trained again"))
    other = replace(case, labels=LabelSpace(["red", "green", "blue", "violet"]))
    again = fedavg.run(replace(other, federation=lambda: members[::-1]), SHORT)
    assert first.seconds == 0 < again.seconds  # the first has spent them itself


@pytest.mark.slow
def test_a_run_that_was_cut_off_ends_with_the_same_weights(case, tmp_path, monkeypatch):
    fedavg.run(case, SHORT)
    cut, calls, train = replace(case, shared=tmp_path / "cut"), [], training_of_cases.train

    def killed(*args, **kwargs):
        calls.append(kwargs["what"])
        if len(calls) == 5:  # in the second round, at the second site
            raise KeyboardInterrupt
        return train(*args, **kwargs)

    monkeypatch.setattr(training_of_cases, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        fedavg.run(cut, SHORT)
    assert fedavg._read(file_of(cut.shared)).rounds == 1
    fedavg.run(cut, SHORT)
    assert calls[5:] == ["round 2, A", "round 2, B", "round 2, C"]
    whole, resumed = weights_in(case.shared), weights_in(cut.shared)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_a_damaged_file_is_made_anew(case):
    settings = SHORT.model_copy(update={"rounds": 1})
    fedavg.run(case, settings)
    path = file_of(case.shared)
    before = weights_in(case.shared)
    path.write_bytes(path.read_bytes()[:1000])
    fedavg.run(case, settings)
    assert all(torch.equal(v, before[k]) for k, v in weights_in(case.shared).items())


def test_fedprox_stays_nearer_to_the_global_weights(case):
    torch.manual_seed(case.seed)
    start = dict(case.own.card.network.build(5).named_parameters())
    ways = []
    for proximal in (0.0, 100.0):
        settings = SHORT.model_copy(update={"rounds": 1, "proximal": proximal})
        fedavg.run(replace(case, shared=case.shared / str(proximal)), settings)
        weights = weights_in(case.shared / str(proximal))
        ways.append(sum(float((weights[k] - v.detach()).square().sum()) for k, v in start.items()))
    assert ways[1] < 0.5 * ways[0]
    assert file_of(case.shared / "100.0").name.startswith("fedprox-")


def test_another_architecture_is_refused_by_the_sites_name(case):
    model = case.teachers[1].model
    other = Model(
        model.network,
        model.card.model_copy(update={"network": preset("resnet18", 3, [28, 28])}),
        model.folder,
        1,
    )
    with pytest.raises(InputError, match="method 'fedavg': weights of 'C'"):
        fedavg.run(replace(case, teachers=[case.teachers[0], Teacher(other, {}, torch.zeros(0), [])]), SHORT)


def test_a_class_that_no_site_has_is_refused_by_name(case):
    with pytest.raises(QueryError, match="no site of the federation has 'pink'"):
        fedavg.run(replace(case, labels=LabelSpace(["red", "green", "blue", "pink"])), SHORT)


def test_without_the_sites_images_there_is_no_averaging(case):
    with pytest.raises(InputError, match="every site's training images"):
        fedavg.run(replace(case, federation=lambda: list[Member]()), SHORT)


# FedBN and SiloBN


@pytest.fixture
def few(case, members):
    """Three sites with ten images a class, each in a look of its own."""
    looks = (lambda x: x, lambda x: 0.5 * x, lambda x: 0.7 * x - 0.3)
    trained = [
        Member(m.model, [{**i, "image": look(i["image"])} for i in m.training[::6]])
        for m, look in zip(members, looks, strict=True)
    ]
    return replace(case, federation=lambda: trained)


@pytest.mark.parametrize("keep", ["norms", pytest.param("norm_statistics", marks=pytest.mark.slow)])
def test_what_a_site_keeps_is_its_own_and_everything_else_is_the_average(keep, few, held_out):
    settings = SHORT.model_copy(update={"rounds": 1, "keep": keep})
    outcome = fedavg.run(few, settings)
    done = fedavg._read(file_of(few.shared))
    network = few.own.card.network.build(5)
    stay = fedavg.staying(network, keep)
    assert {name: set(state) for name, state in done.kept.items()} == dict.fromkeys("ABC", stay)
    assert not torch.equal(done.kept["A"]["bn1.running_var"], done.kept["B"]["bn1.running_var"])
    network.load_state_dict(done.weights | done.kept["A"])
    logits = outcome.predict(held_out)[:, :3]
    assert torch.allclose(logits, fedavg.logits_of(network, held_out, few.device)[:, :3])
    network.load_state_dict(done.weights | done.kept["B"])
    assert not torch.allclose(logits, fedavg.logits_of(network, held_out, few.device)[:, :3], atol=1e-3)
    assert outcome.bytes_received == sum(4 * v.numel() for k, v in done.weights.items() if k not in stay)


def test_weights_stay_or_go_with_the_means_and_variances():
    network = preset("resnet_small", 3, [28, 28]).build(2)
    statistics, norms = fedavg.staying(network, "norm_statistics"), fedavg.staying(network, "norms")
    assert "bn1.running_mean" in statistics and "bn1.weight" in norms - statistics
    assert statistics < norms < set(network.state_dict()) and "conv1.weight" not in norms
    assert fedavg.staying(network, "none") == set()


@pytest.mark.slow
def test_a_site_goes_on_with_what_it_kept(few, monkeypatch):
    settings = SHORT.model_copy(update={"keep": "norms", "batch_size": 10})
    seen, train = {}, training_of_cases.train

    def watched(network, *args, **kwargs):
        seen[kwargs["what"]] = network.bn1.weight.detach().clone()
        return train(network, *args, **kwargs)

    monkeypatch.setattr(training_of_cases, "train", watched)
    fedavg.run(few, settings.model_copy(update={"rounds": 1}))
    first = fedavg._read(file_of(few.shared)).kept
    fedavg.run(replace(few, shared=few.shared / "longer"), settings)
    assert all(torch.equal(seen[f"round 2, {s}"], first[s]["bn1.weight"]) for s in "ABC")
    assert not torch.equal(first["A"]["bn1.weight"], first["B"]["bn1.weight"])


def test_without_batch_norm_nothing_can_be_kept(few):
    spec = preset("densenet_private", 3, [28, 28])
    card = few.own.card.model_copy(update={"network": spec})
    other = replace(few, own=replace_model(few.own, card), teachers=[])
    with pytest.raises(InputError, match="method 'fedavg': keep: the network has no batch norm"):
        fedavg.run(other, SHORT.model_copy(update={"keep": "norms"}))
    with pytest.raises(ValueError, match="keep"):
        fedavg.Settings(keep="everything")


def replace_model(model, card):
    return Model(model.network, card, model.folder, model.bytes)


def test_rows_that_were_made_before_there_was_keep_go_by_their_names():
    content = {"name": "x", "scenarios": [{"name": "x"}], "methods": {"fedavg": {}}}
    assert list(fedavg.Settings().model_dump()) == [
        *TrainingSettings.model_fields,
        *("rounds", "local_epochs", "proximal"),
    ]
    other = content | {"methods": {"fedavg": {"keep": "norms"}}}
    names = [
        row_name(config, config.scenarios[0], 0, "fedavg")
        for config in map(BenchmarkConfig.model_validate, (content, other))
    ]
    assert names[0] != names[1]
