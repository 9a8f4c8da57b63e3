from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_qkt.audit import shadows
from clinical_qkt.audit.shadows import Recipe, halves, shadow_networks, supervised
from clinical_qkt.audit.site import audit_model
from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.spec import NetworkSpec
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.model import Model

CPU = torch.device("cpu")
TINY = NetworkSpec(
    name="ResNet",
    spatial_dims=2,
    in_channels=1,
    args={
        "block": "basic",
        "layers": [1, 1, 1, 1],
        "block_inplanes": [16, 16, 16, 16],
        "conv1_t_size": 3,
        "conv1_t_stride": 1,
        "no_max_pool": True,
    },
)
RECIPE = Recipe(TINY, max_epochs=15, batch_size=16, learning_rate=0.01)


def noise(count, seed):
    """Images of nothing with labels at random: whatever is known of them is learnt by heart."""
    source = torch.Generator().manual_seed(seed)
    return [{"image": torch.randn(1, 8, 8, generator=source), "label": i % 2} for i in range(count)]


def model_of(items):
    torch.manual_seed(5)
    network = TINY.build(2)
    if items:
        supervised(RECIPE, network, items, seed=5, device=CPU, what="target", work=None)
    card = Card(
        site="us",
        task="audit",
        label_space=["a", "b"],
        network=TINY,
        head="fc",
        input=InputContract(channels=1, spatial_size=[8, 8]),
    )
    return Model(network.eval(), card, folder=None, bytes=0)


@pytest.fixture(scope="module")
def images():
    return noise(60, 1), noise(60, 2)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Shadow models that several tests attack with."""
    return tmp_path_factory.mktemp("audit")


def audit(model, images, work, **changes):
    chosen = {"shadow_models": 4, "seed": 3, "device": CPU, "work": work} | changes
    return audit_model(model, *images, RECIPE, **chosen)


def test_a_model_that_knows_its_images_by_heart_is_found_out(images, work):
    found = audit(model_of(images[0]), images, work)
    assert [(f.attack, f.of) for f in found.figures] == [
        ("likelihood_ratio", "all_classes"),
        ("likelihood_ratio", "rarest_class"),
        ("pairwise_ratio", "all_classes"),
        ("pairwise_ratio", "rarest_class"),
        ("loss_threshold", "all_classes"),
        ("loss_threshold", "rarest_class"),
    ]
    assert found.shadow_models == 4
    assert all(f.auc > 0.7 for f in found.figures)  # guessing: 0.5, with a standard error of 0.07
    assert found.figures[0].members == 60 and found.figures[1].members == 30


def test_a_model_that_never_saw_the_members_is_acquitted(images, work):
    found = audit(model_of(noise(60, 9)), images, work)
    assert all(abs(f.auc - 0.5) < 0.16 for f in found.figures)  # 0.16: three standard errors of 60 and 60


def test_without_shadow_models_the_loss_threshold_is_left(images, work):
    found = audit(model_of([]), images, work, shadow_models=0)
    assert {f.attack for f in found.figures} == {"loss_threshold"}


def test_a_killed_audit_goes_on_where_it_was(images, tmp_path):
    trained = []

    def until_killed(*args, **chosen):
        if len(trained) == 2:
            trained.append("killed")
            raise KeyboardInterrupt
        trained.append(chosen["what"])
        return supervised(*args, **chosen)

    recipe = replace(RECIPE, max_epochs=2, train=until_killed)
    model, chosen = model_of([]), {"shadow_models": 4, "seed": 3, "device": CPU, "work": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        audit_model(model, *images, recipe, **chosen)
    after = audit_model(model, *images, recipe, **chosen)
    assert len([t for t in trained if t != "killed"]) == 4  # none twice
    assert after == audit_model(model, *images, replace(recipe, train=None), **chosen)  # all read
    assert len(list(tmp_path.iterdir())) == 4


def test_shadow_models_of_another_training_or_other_images_are_not_taken_over(images, tmp_path):
    included, made = halves(np.arange(60) % 2, 2, 0), []

    def counted(recipe, network, *args, **chosen):
        made.append(recipe.kind)
        return network

    recipe = replace(RECIPE, train=counted)
    for items, chosen in [
        (images[0], recipe),
        (images[0], recipe),
        (images[0], replace(recipe, kind="private")),
        (images[0], replace(recipe, max_epochs=3)),
        (images[1], recipe),
    ]:
        list(shadow_networks(items, included, 2, chosen, seed=0, device=CPU, work=tmp_path))
    assert len(made) == 8


def test_each_image_is_in_half_of_the_models_and_each_model_has_half_of_each_class():
    labels = np.repeat([0, 1, 2], [40, 30, 7])
    included = halves(labels, 8, 1)
    assert (included.sum(0) == 4).all()
    assert np.array_equal(included[0], ~included[1])
    for c, size in ((0, 20), (1, 15)):
        assert (included[:, labels == c].sum(1) == size).all()
    assert not np.array_equal(included, halves(labels, 8, 2))


def test_all_images_of_a_patient_go_the_same_way():
    labels = np.arange(60) % 3
    patients = [f"p{i // 4}" for i in range(60)]
    included = halves(labels, 6, 0, patients)
    for name in set(patients):
        mine = [i for i, p in enumerate(patients) if p == name]
        assert (included[:, mine] == included[:, mine[:1]]).all()
    assert (included.sum(0) == 3).all()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_too_few_or_an_odd_number_of_shadow_models_are_refused(images, work, count):
    with pytest.raises(InputError, match="even number"):
        audit(model_of([]), images, work, shadow_models=count)


def test_too_few_images_are_refused(images, work):
    with pytest.raises(InputError, match="never saw"):
        audit(model_of([]), (images[0], images[1][:19]), work)


def test_the_digest_sees_pixels_and_labels(images):
    one = images[0][:2]
    assert shadows.digest(one) != shadows.digest([one[0], {**one[1], "label": 0}])
    assert shadows.digest(one) != shadows.digest([one[0], {**one[1], "image": one[1]["image"] + 1}])
