"""An asker tells looks, and a map is made of patients and then applied to everybody's images.

Were it made of the patients themselves, one of them would move all features, and no clipping would bound what
that one changes. So it is made of what was released, and each release is bounded by itself, whatever
extractor, looks and means the asker sends.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from clinical_qkt.packages.looks import SentLooks
from clinical_qkt.packages.response import ClassResponse
from clinical_qkt.privacy.composition import composed_epsilon
from clinical_qkt.privacy.mechanisms import COUNT_STEPS, STEPS, Guarantee, Release
from clinical_qkt.query import private_look, told, what_leaves
from clinical_qkt.query.private_look import RADII, SHARES, shares_of
from tests.query.looking import GIVEN, PRIVATE, pictures, query, seen, shown
from tests.query.test_response import site

PATIENTS = {**PRIVATE, "unit": "patient"}
LEFT_OUT = (("green", 1001), ("red", 1001))
"""The images of one patient, who has one of each class."""


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    folder = pictures(tmp_path_factory.mktemp("other"), count=10)
    return pictures(folder, count=10, name="without.json", skip=LEFT_OUT)


def absurd(value: float, spread: float) -> SentLooks:
    return SentLooks(
        scale="optical density",
        classes=[{"label": "green", "count": None, "numbers": [value, -value, value] * 5}],
        spread=[spread] * 15,
    )


def blown_up(extractor) -> None:
    extractor.projection.copy_(1e12 * torch.randn_like(extractor.projection))


def screaming(extractor) -> None:
    extractor.network.conv1.weight.fill_(1e18)
    extractor.projection.mul_(1e6)


HOSTILE = {
    "none": {},
    "features that are blown up": {"edit": blown_up},
    "features that are not finite": {"edit": screaming},
    "spreads that are next to nothing": {"looks": absurd(0.3, 1e-6)},
    "looks that no image has": {"looks": absurd(100.0, 1e-3)},
    "means far away": {"means": torch.full((32,), 1e30)},
}


def contributions(asked, who, monkeypatch) -> dict[str, torch.Tensor]:
    """What patients add to each release; what is released of looks is the same whoever is there."""
    rows = []

    def release(given, *_):
        rows.append(given)
        return Release([2500] * given.shape[1], 10 * COUNT_STEPS)

    monkeypatch.setattr(private_look, "private_release", release)
    found = seen(asked, who, "private_mean")
    assert found.look.mapped
    sums = {"residual": found.look.sums, "mean": found.sums}
    return dict(zip(RADII, rows, strict=True)) | {k: s.contributions() for k, s in sums.items()}


QUICK = "spreads that are next to nothing"


@pytest.mark.parametrize(
    "how", [how if how == QUICK else pytest.param(how, marks=pytest.mark.slow) for how in HOSTILE]
)
def test_one_patient_changes_each_release_by_no_more_than_its_noise_is_made_for(
    other, tmp_path, monkeypatch, how
):
    asked = query(tmp_path / "q", **HOSTILE[how])
    with_all = contributions(asked, site(other, tmp_path, **PATIENTS), monkeypatch)
    without = contributions(asked, site(other, tmp_path, data="without.json", **PATIENTS), monkeypatch)
    for name, rows in with_all.items():
        assert not rows.is_floating_point() and int(rows.square().sum(1).max()) <= STEPS**2
        left = Counter(map(tuple, rows.tolist()))
        left.subtract(Counter(map(tuple, without[name].tolist())))
        assert sorted(left.elements()) == [*left.elements()][:1] and min(left.values()) >= 0, name
        assert len(rows) == len(without[name]) + 1


@pytest.mark.slow
def test_nothing_but_what_leaves_decides_how_images_are_mapped(other, tmp_path):
    """The asker computes the very same map from the whole numbers of the response."""
    asked, who = query(tmp_path / "q"), site(other, tmp_path, **PATIENTS)
    found = seen(asked, who, "private_mean")
    kept = what_leaves.drawn(found, who.policy.guarantee)
    release, look, numbers = what_leaves.read(kept, asked.card)
    about = {"epsilon": who.policy.epsilon, "delta": who.policy.delta, "unit": "patient"}
    answer = ClassResponse(label="red", kind="private_mean", noised_count=release.count, look=look, **about)
    response = type("R", (), {"card": type("C", (), {"answers": [answer]}), "looks": {0: numbers}})
    read = told.told_looks(response, asked, {"green": 60})[0].compared
    assert found.look.mapped and torch.equal(read.seen, found.look.compared.seen)
    assert read.distance == found.look.compared.distance
    assert all(isinstance(n, int) for part in (kept, *kept["look"].values()) if isinstance(part, dict)
               for n in part.get("total", []))  # fmt: skip


@pytest.mark.parametrize(
    ("told", "shared", "mapped"),
    [(True, True, True), (True, True, False), (True, False, True), (False, False, False)],
)
def test_all_releases_of_a_response_together_keep_its_guarantee(told, shared, mapped):
    guarantee = Guarantee(1.0, 1e-5)
    before = [SHARES[name] for name in RADII] if told else []
    parts = [*before, *shares_of(told, shared, mapped).values()]
    assert sum(parts) == pytest.approx(1)
    multipliers = [guarantee.part(share).noise_multiplier for share in parts]
    assert composed_epsilon(multipliers, 1e-5) == pytest.approx(1.0, abs=0.01)
    assert composed_epsilon([0.9 * m for m in multipliers], 1e-5) > 1.05


@pytest.mark.slow
def test_there_is_an_answer_though_nobody_has_a_shared_class(other, tmp_path):
    gone = tuple(("green", i) for i in range(1001, 1010))
    pictures(other, count=10, name="few.json", skip=gone)
    found = seen(query(tmp_path / "q"), site(other, tmp_path, data="few.json", **PATIENTS), "private_mean")
    assert set(what_leaves.drawn(found, Guarantee(1.0, 1e-5))["look"]) >= {*RADII, "shares"}


@pytest.mark.slow
@pytest.mark.parametrize("looks", [absurd(100.0, 1e-6), absurd(0.0, 100.0), absurd(-100.0, 1e-6)])
def test_no_query_makes_one_colour_or_noise_of_images(other, tmp_path, looks):
    asked, who = query(tmp_path / "q", looks=looks), site(other, tmp_path, **PATIENTS)
    given = seen(asked, who, "private_mean").look.contract(GIVEN)
    raw = GIVEN.intensities(shown("red", 1000, 4))
    mapped = given.values(raw)
    assert torch.isfinite(mapped).all() and float(mapped.min()) >= -1 and float(mapped.max()) <= 1
    exact = seen(asked, who, "mean")
    assert exact.finite and (exact.look.compared is None or exact.look.contract(GIVEN))


def grey(picture: np.ndarray) -> np.ndarray:
    """One value, but for one place: a file that shows nothing at all is left out before."""
    flat = np.full_like(picture, 90)
    flat[divmod(int(picture.sum()) % 144, 12)] = 91
    return flat


@pytest.mark.slow
def test_a_site_whose_images_have_one_grey_value_answers(tmp_path):
    flat = pictures(tmp_path / "grey", look=grey, count=48)
    found = seen(query(tmp_path / "q"), site(flat, tmp_path, **PATIENTS), "mean")
    assert found.look.compared.shared == ("green",) and found.look.compared.distance > 1
    assert torch.isfinite(found.moments.mean).all() and torch.isfinite(found.look.left().shift).all()
