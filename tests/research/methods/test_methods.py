"""What holds for every method; those with steps of their own have a test file of their own."""

from dataclasses import replace

import pytest
import torch

from clinical_qkt.core.errors import PackageError, QueryError
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.research.methods import METHODS
from clinical_qkt.training.inference import labels_of

QUICK = {"max_epochs": 3, "batch_size": 32}
CASES = {
    "local": ("local", {}),
    "ensemble": ("ensemble", {}),
    "masked_ensemble": ("ensemble", {"masked": True}),
    "fine_tune": ("fine_tune", QUICK),
    "distill_all": ("distill", QUICK),
    "distill_relevant": ("distill", {**QUICK, "relevant_only": True}),
    "distil": ("qkt", {"start_from": "teacher", "heads": "each"}),
    "own_body": ("qkt", {"start_from": "own", "heads": "each"}),
    "evidence": (
        "qkt",
        {**QUICK, "participants": "relevant", "soft_targets": "each", "start_from": "teacher"},
    ),
    "joint_answers": ("qkt", {**QUICK, "start_from": "teacher", "divergence": "kl", "label_weight": 0}),
    "committee": ("qkt", {}),
    "pooled": ("pooled", QUICK),
}


def outcome(name, case):
    module, settings = CASES[name]
    return METHODS[module].run(case, METHODS[module].settings(**settings))


@pytest.fixture(scope="module")
def kept():
    """Outcomes of the case that all tests share, by name."""
    return {}


@pytest.fixture
def of_all(kept, case):
    """A method's outcome, which is computed once."""

    def found(name):
        if name not in kept:
            kept[name] = outcome(name, case)
        return kept[name]

    return found


@pytest.mark.parametrize("name", CASES)
def test_a_method_gives_a_column_a_class_and_keeps_what_the_student_knew(name, of_all, held_out):
    found = of_all(name)
    logits = found.predict(held_out)
    assert logits.shape == (len(held_out), 4) and torch.isfinite(logits).all()
    truth = labels_of(held_out)
    retained = truth != 3
    assert (logits.argmax(1) == truth)[retained].float().mean() > 0.5
    assert (found.bytes_received > 0) == (name not in ("local", "pooled"))


@pytest.mark.parametrize(
    "name", ["masked_ensemble", "distil", "own_body", "evidence", "joint_answers", "committee", "pooled"]
)
def test_the_evidence_for_the_queried_class_is_higher_on_its_images(name, of_all, held_out):
    logits, truth = of_all(name).predict(held_out), labels_of(held_out)
    evidence = logits[:, 3] - logits[:, :3].amax(1)
    assert evidence[truth == 3].median() > evidence[truth != 3].median()


def test_the_own_model_alone_never_names_the_queried_class(of_all, held_out):
    assert (of_all("local").predict(held_out).argmax(1) != 3).all()


def test_light_receives_one_package_in_half_precision(case):
    method = METHODS["qkt"]
    light = method.run(
        case,
        method.settings(participants="relevant", teachers_per_class=1, half_precision=True),
    )
    full = sum(t.model.bytes for t in case.teachers)
    assert light.teachers_used == 1 and light.bytes_received <= full / 4 + 1


def test_a_class_that_no_teacher_knows_is_refused_by_name(case):
    lost = replace(
        case,
        labels=LabelSpace(["red", "green", "blue", "pink"]),
        teachers=[replace(t, columns={k: v for k, v in t.columns.items() if v != 3}) for t in case.teachers],
    )
    with pytest.raises(QueryError, match="'pink'"):
        outcome("distil", lost)


class Nothing(torch.nn.Module):
    """A network of three classes that answers NaN."""

    def forward(self, image):
        return torch.full((len(image), 3), torch.nan)


@pytest.mark.parametrize("name", ["distil", "evidence"])
def test_a_teacher_that_answers_nan_is_refused_by_name(name, case):
    first, *others = case.teachers
    broken = replace(first, model=replace(first.model, network=Nothing()))
    with pytest.raises(PackageError, match=f"package of {first.site}: .*NaN"):
        outcome(name, replace(case, teachers=[broken, *others]))
