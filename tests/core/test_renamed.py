import pytest

from clinical_qkt.core import renamed
from clinical_qkt.core.errors import InputError
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.site.launch import plan
from clinical_qkt.site.policy import Policy
from tests.conftest import site_file

CELLS = "blood_cell_classification"


@pytest.fixture(autouse=True)
def told_anew():
    renamed.warn.cache_clear()


@pytest.mark.parametrize(
    ("model", "old", "new", "value"),
    [
        (TransferSettings, "ask", "participants", "relevant"),
        (TransferSettings, "answers", "soft_targets", "each"),
        (TransferSettings, "answer_noise", "soft_target_noise", 0.0),
        (Policy, "exact_answers_per_class", "exact_responses_per_class", 3),
    ],
)
def test_an_old_name_is_taken_with_a_warning_and_both_are_refused(model, old, new, value, capsys):
    assert getattr(model.model_validate({old: value}), new) == value
    assert f"warning: '{old}' is called '{new}' now" in capsys.readouterr().err
    with pytest.raises(ValueError, match=f"{old}: is called '{new}' now, which is given, too"):
        model.model_validate({old: value, new: value})


def test_the_warning_comes_once(capsys):
    for _ in range(3):
        Policy.model_validate({"exact_answers_per_class": 2})
    assert capsys.readouterr().err.count("warning") == 1


def test_a_command_line_may_use_old_names_where_the_stage_has_the_new_one(tmp_path, capsys):
    site = site_file(tmp_path, bundle=CELLS)
    launch = plan("answer", site, ["--asked", "runs/asked", "--answer_dir", "out"])
    assert launch.words == {"request": "runs/asked", "response_dir": "out"}
    assert "'asked' is called 'request' now" in capsys.readouterr().err
    with pytest.raises(InputError, match="is given twice"):
        plan("answer", site, ["--asked", "a", "--request", "b"])
    with pytest.raises(InputError, match="asked"):
        plan("train", site, ["--asked", "a"])
