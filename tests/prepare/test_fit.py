"""What a site's YAML says follows from its images."""

import re
from pathlib import Path

import pytest

from clinical_qkt.networks.registry import FOR_SMALL, LARGE
from clinical_qkt.networks.spec import preset
from clinical_qkt.prepare import fit
from clinical_qkt.prepare.findings import Found
from clinical_qkt.research.simulated_sites import OF_STAGES, PENALTY


def images(*shapes: tuple[int, ...], **facts: object) -> list[Found]:
    return [Found(f"{k}", Path("x"), "picture", shape=s, **facts) for k, s in enumerate(shapes)]


def told(images: list[Found]) -> dict[str, object]:
    return {c.key: (c.value, c.note) for c in fit.sizes(images)}


def test_images_keep_their_size_where_a_small_network_can_use_it():
    assert told(images((3, 96, 96), (3, 96, 96))) == {"spatial_size": ([96, 96], "")}
    assert told(images((3, 224, 100))) == {"spatial_size": ([224, 100], "")}


def test_larger_images_are_shrunk_in_proportion_and_it_is_said_by_how_much():
    size, note = told(images((3, 512, 256)))["spatial_size"]
    assert size == [224, 112] and "512x256 to 224x112 pixels, by 2.3" in note


def test_tiny_images_are_enlarged_and_it_is_said():
    size, note = told(images((1, 4, 30)))["spatial_size"]
    assert size == [8, 30] and "enlarged" in note


def test_of_several_sizes_the_usual_one_or_the_middle_is_taken():
    size, note = told(images((3, 40, 40), (3, 40, 40), (3, 90, 30)))["spatial_size"]
    assert size == [40, 40] and "resized" in note
    assert told(images((3, 40, 40), (3, 60, 44), (3, 90, 30)))["spatial_size"][0] == [60, 40]


def test_volumes_get_a_grid_that_covers_them_at_their_own_spacing():
    found = told(images((1, 35, 50, 35), (1, 35, 50, 35), spacing=(1.0, 1.0, 2.0)))
    assert found["spatial_size"] == ([35, 50, 35], "")
    assert found["input::spacing"][0] == [1.0, 1.0, 2.0]


def test_volumes_that_are_too_large_are_shrunk_and_nothing_of_them_is_cut_off():
    found = told(images((1, 128, 128, 60), spacing=(1.0, 1.0, 2.0)))
    (size, note), (spacing, _) = found["spatial_size"], found["input::spacing"]
    assert size == [64, 64, 30] and spacing == [2.0, 2.0, 4.0] and "by 2" in note
    assert all(n * s >= m * o for n, s, m, o in zip(size, spacing, (128, 128, 60), (1, 1, 2), strict=True))


@pytest.mark.parametrize("count", [12, 500, 5000])
@pytest.mark.parametrize(
    "size", [[8, 8], [28, 28], [96, 30], [96, 96], [224, 224], [24, 24, 24], [64, 64, 64]]
)
def test_the_network_that_is_chosen_takes_images_of_that_size(size, count):
    many = count == 5000 and len(size) == 2 and min(size) >= 96
    for gpu, large in ((False, "efficientnet_lite0"), (True, "resnet18_standard")):
        name = fit.network(size, count, gpu).value
        assert preset(name, 1, size).build(3) is not None
        assert (name == "densenet121") == (many and max(size) == 96)
        assert (name == large) == (many and max(size) > 96)


@pytest.mark.parametrize("count", [12, 500, 5000])
@pytest.mark.parametrize("size", [[97, 97], [224, 149], [512, 512]])
def test_large_pictures_never_get_a_network_for_small_ones_and_it_is_said_why(size, count):
    for gpu in (False, True):
        chosen = fit.network(size, count, gpu)
        assert chosen.value not in FOR_SMALL
        assert ("can start from pretrained weights" in chosen.note) == (count < fit.MANY or not gpu)
        assert count < fit.MANY or "not resnet_small or resnet18" in chosen.why
    assert fit.LARGE == LARGE


def test_what_is_recommended_instead_can_be_written_so():
    keys = re.findall(r"'(\w+): (\S+)'", fit.START)
    assert dict(keys) == {
        "pretrained": "FILE",
        "architecture": OF_STAGES,
        "trained_layers": "head",
        "head_penalty": str(PENALTY),
        "held_out_folds": "10",
    }


@pytest.mark.parametrize("count", [*range(2, 70), 129, 1025, 4801])
def test_no_step_of_a_training_has_a_single_image(count):
    for size in ([28, 28], [224, 224]):
        steps = fit.batch(size, count).value
        assert 2 <= steps <= 64 and (count % steps != 1)


def test_few_images_are_seen_more_often():
    assert [fit.epochs_for(n) for n in (10, 600, 100_000)] == [25, 15, 8]


def test_a_window_is_that_of_most_headers_or_all_that_there_is():
    named = images((1, 9, 9), (1, 9, 9), (1, 9, 9), low=-1024.0, high=3000.0)
    named[0].window = named[1].window = (-160.0, 240.0)
    assert fit.window(named).value == [-160.0, 240.0]
    named[0].window = named[1].window = None
    assert fit.window(named).value == [-1024, 3000]


@pytest.mark.parametrize("room, steps", [(16, 16), (15.9, 8), (7, 4), (3, 2), (0.1, 2)])
def test_a_step_takes_no_more_memory_than_there_is_for_it_and_it_is_said_what_it_would(room, steps):
    gigabytes = room * 1e9
    chosen = fit.batch([224, 224], 1000, lambda images: images * 1e9, gigabytes)
    assert chosen.value == steps
    assert ("16 would take 16.0 GB" in chosen.why) == (steps < 16)


@pytest.mark.parametrize("count", range(2, 70))
def test_where_memory_is_short_no_step_has_a_single_image_either(count):
    steps = fit.batch([224, 224], count, lambda images: images, 4).value
    assert count % steps != 1
    assert 2 <= steps <= 4 or all(count % fewer == 1 for fewer in (2, 3, 4))


def test_images_keep_as_much_as_a_person_wants():
    size, note = {c.key: (c.value, c.note) for c in fit.sizes(images((3, 512, 256)), 512)}["spatial_size"]
    assert (size, note) == ([512, 256], "")
    small = fit.sizes(images((3, 512, 256)), 128)[0]
    assert small.value == [128, 64] and "by 4" in small.note and "--longest-side" in small.why
    grid, spacing = fit.sizes(images((1, 128, 128, 64), spacing=(1.0, 1.0, 2.0)), 96)
    assert grid.value == [96, 96, 48] and spacing.value == [1.333, 1.333, 2.667]
    assert fit.sizes(images((3, 40, 40)), 512)[0].value == [40, 40]  # nothing is enlarged by it
