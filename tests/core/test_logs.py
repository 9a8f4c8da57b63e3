"""What other libraries say: kept from the screen, kept in a log, and without what could name a patient."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest

from clinical_qkt.core import logs

NAME = "Mueller_Hans"


@pytest.fixture
def log(tmp_path):
    """The text of a log into which something was said."""

    def said(speak) -> str:
        with logs.kept_from_the_screen():
            logs.open_log(tmp_path, "train")
            speak()
        return (tmp_path / "log" / "train.log").read_text()

    return said


def warn(name: str, text: str) -> None:
    """A warning as if a library's module gave it."""
    place = f"/venv/lib/python3.11/site-packages/{name.replace('.', '/')}.py"
    warnings.warn_explicit(text, UserWarning, place, 7, module=name)


def test_a_library_that_speaks_of_itself_is_quoted(log, capfd):
    text = log(lambda: warn("torch.optim", "the order of two calls is odd"))
    assert "WARNING torch.optim: UserWarning: the order of two calls is odd" in text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "name", ["pydicom.valuerep", "nibabel.nifti1", "PIL.TiffImagePlugin", "monai.data.reader"]
)
def test_of_a_library_that_reads_images_the_place_is_told_and_no_word(name, log):
    text = log(lambda: warn(name, f"Invalid value for VR PN: {NAME}"))
    assert f"WARNING {name}: (line 7 of" in text and NAME not in text


@pytest.mark.parametrize(
    "words",
    [
        f"cannot read /data/{NAME}.png",
        f"cannot read '{NAME}'",
        f'cannot read "{NAME}"',
        f"cannot read {NAME}.dcm",
        f"cannot read C:\\data\\{NAME}",
        f"cannot read {NAME}.nii.gz, {NAME}.JPG",
    ],
)
def test_no_path_and_no_quotation_is_kept_of_anybody(words, log):
    assert NAME not in log(lambda: warn("torch.optim", words))
    assert NAME not in log(lambda: logging.getLogger("ignite.engine").warning(words))


def test_the_words_of_an_error_are_left_out(log):
    def fail() -> None:
        logging.getLogger("ignite.engine").error("terminating due to exception: no image %s", NAME)
        try:
            raise RuntimeError(NAME)
        except RuntimeError as e:
            logging.getLogger("ignite.engine").warning("odd", exc_info=True)
            logs.log_error(e)

    text = log(fail)
    assert NAME not in text and "RuntimeError, words left out" in text and "in fail" in text


def test_what_was_said_before_the_site_was_known_comes_first_and_later_runs_are_appended(tmp_path):
    for _ in range(2):
        with logs.kept_from_the_screen():
            warn("torch.early", "before")
            logs.open_log(tmp_path, "share")
            warn("torch.late", "after")
    lines = (tmp_path / "log" / "share.log").read_text().splitlines()
    assert [x.split(" ", 2)[2].split(":")[0] for x in lines] == 2 * [
        "INFO clinical_qkt", "WARNING torch.early", "WARNING torch.late"
    ]  # fmt: skip


def test_a_logger_that_writes_to_the_screen_is_turned_to_the_log_and_back(log, capfd):
    logger = logging.getLogger("mlflow.odd")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        assert "WARNING mlflow.odd: hello" in log(lambda: logger.warning("hello"))
        assert capfd.readouterr().err == ""
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / "log").write_text("a file")
    with logs.kept_from_the_screen():
        logs.open_log(tmp_path, "train")
        warn("torch.optim", "hello")
    assert (tmp_path / "log").read_text() == "a file"


def test_afterwards_warnings_are_as_before(log):
    log(lambda: None)
    with pytest.warns(UserWarning, match="seen"):
        warnings.warn("seen", UserWarning, stacklevel=1)
