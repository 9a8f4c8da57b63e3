"""Teachers that see the student's images in their own looks; see conftest for the federation."""

from dataclasses import replace

import torch

from clinical_qkt.data.look_shared import looks_of, spread_of
from clinical_qkt.packages.looks import SentLooks
from clinical_qkt.query.looks import numbers_of
from clinical_qkt.research.methods import METHODS
from clinical_qkt.research.methods.seen_by_teachers import in_their_looks


def telling(teacher, member, darker=1.0):
    """A teacher whose card tells of its images as they are, or as darker ones would look."""
    card, given = teacher.model.card, teacher.model.card.input
    images = torch.stack([item["image"] for item in member.training])
    shown = [{"image": image} for image in given.values(darker * given.intensities(images))]
    names = [card.labels[int(item["label"])].name for item in member.training]
    numbers = numbers_of(shown, given)
    looks = SentLooks.of(looks_of(numbers, names), spread_of(numbers, names), card.label_space, given, 5)
    told = replace(teacher.model, card=card.model_copy(update={"looks": looks}))
    return replace(teacher, model=told)


def as_told(case, darker):
    others = {m.model.card.site: m for m in case.federation()}
    teachers = [telling(t, others[t.site], darker) for t in case.teachers]
    view = lambda images, given: [  # noqa: E731
        {**item, "image": given.values(case.own.card.input.intensities(item["image"][None]))[0]}
        for item in (images[i] for i in range(len(images)))
    ]
    return replace(case, teachers=teachers, kept={}, view=view)


def test_where_all_look_alike_or_tell_nothing_it_is_the_very_case_that_was_given(case):
    silent = replace(case, kept={})
    assert in_their_looks(silent) is silent
    alike = as_told(case, 1.0)
    assert in_their_looks(alike) is alike


def test_where_teachers_look_different_they_see_the_students_images_in_their_look_and_are_kept(case):
    dark = as_told(case, 0.5)
    found = in_their_looks(dark)
    assert in_their_looks(dark) is found and all(t.look.mapped for t in found.teachers)
    seen = found.view(found.training, found.teachers[0].model.card.input)
    assert (
        torch.stack([i["image"] for i in seen]).mean()
        < torch.stack([i["image"] for i in found.training]).mean() - 0.1
    )


def test_methods_ask_teachers_so_if_they_are_told_to(case):
    ensemble, dark = METHODS["ensemble"], as_told(case, 0.5)
    plain, seen = (
        ensemble.run(dark, ensemble.settings(harmonise=harmonise)).predict(dark.validation[:8])
        for harmonise in (False, True)
    )
    assert not torch.allclose(plain, seen)
    assert METHODS["qkt"].settings().harmonise and "harmonise" not in ensemble.settings().model_dump()
