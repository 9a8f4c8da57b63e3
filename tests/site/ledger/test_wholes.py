"""What the ledger counts where several classes are answered for as one."""

# ruff: noqa: F811

import pytest

from clinical_qkt.privacy.composition import Spent, composed_epsilon, counted_for
from clinical_qkt.privacy.mechanisms import Guarantee
from clinical_qkt.site.ledger.exact_floor import Shown
from clinical_qkt.site.ledger.ledger import Exact, NoFurtherResponse
from clinical_qkt.site.ledger.lines import together
from tests.site.ledger.test_ledger import ONE, asked, exact, ledger, shown  # noqa: F401

RED, GREEN, BLUE = shown(range(40)), shown(range(100, 140)), shown(range(200, 203))
WHOLE = {"label": "coloured", "own_class": together(["Red", "Green", "Blue"])}
MANY = 9


def whole(ledger, n=0, limit=MANY, **changes):
    return exact(ledger, n, Shown.together([RED, GREEN, BLUE]), limit, **WHOLE | changes)


def test_of_parts_that_were_told_the_whole_would_leave_the_third(ledger):
    exact(ledger, 0, RED, MANY, label="red", own_class="red")
    exact(ledger, 1, GREEN, MANY, label="green", own_class="green")
    with pytest.raises(NoFurtherResponse):
        whole(ledger, 2)


def test_after_the_whole_no_part_is_told_and_other_classes_are(ledger):
    whole(ledger)
    with pytest.raises(NoFurtherResponse):
        exact(ledger, 1, GREEN, MANY, label="green", own_class="green")
    exact(ledger, 2, shown(range(300, 340)), MANY, label="yellow", own_class="yellow")
    assert not ledger.may_compare("green", GREEN, 20) and ledger.may_compare("yellow", GREEN, 2)


def test_a_part_that_was_only_compared_counts_too(ledger):
    yellow, compared = shown(range(300, 340)), {"Red": RED}
    asks = asked(0, kind="mean", label="yellow", own_class="yellow")
    ledger.exact(asks, yellow, 1, 20, lambda: Exact(40, b"1"), compared)
    with pytest.raises(NoFurtherResponse):
        whole(ledger, 1)


def test_a_whole_is_told_as_often_as_a_class(ledger):
    whole(ledger, limit=1)
    with pytest.raises(NoFurtherResponse):
        exact(ledger, 1, shown(range(500, 540)), 1, **WHOLE)
    assert exact(ledger, 1, shown(range(500, 540)), 2, **WHOLE).content == b"1"


def test_what_hid_an_image_counts_for_a_patient_with_images_of_every_part(ledger):
    ledger.release(asked(unit="image", **WHOLE), ONE, Guarantee(9, 1e-5), lambda: {"total": [1]})
    spent = [Spent(ONE.noise_multiplier, "image", classes=3)]
    wanted = composed_epsilon(counted_for(spent, "patient", 2), 1e-5)
    assert ledger.spent(1e-5, "patient", images_per_patient=2) == pytest.approx(wanted)
