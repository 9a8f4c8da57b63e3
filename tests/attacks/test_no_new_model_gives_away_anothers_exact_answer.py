"""A new model holds the exact responses that it was made of: it does not leave for those who could read them.

Three hospitals respond exactly. The Gaussian of the new model has their pooled mean; whoever sent one
response and knows another one subtracts both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clinical_qkt.core.errors import InputError
from clinical_qkt.data.inputs import InputContract
from clinical_qkt.networks.extractor import Extractor, describe
from clinical_qkt.networks.spec import find_head, preset
from clinical_qkt.packages.card import Card
from clinical_qkt.packages.derived import derived
from clinical_qkt.packages.made_of import obstacle, require_may_travel
from clinical_qkt.packages.model import CardedNetwork, save_model
from clinical_qkt.packages.response import ClassResponse, ResponseCard
from clinical_qkt.query.aggregate import fitted
from clinical_qkt.statistics.class_statistics import ClassStatistics, class_statistics, pooled
from tests.attacks.hospital import Hospital
from tests.conftest import run

SITES = ("hospital_b", "hospital_c", "hospital_d")
SPEC, EXPECTS = preset("resnet_small", 3, [12, 12]), InputContract(channels=3, spatial_size=[12, 12])


def responses(width: int) -> dict[str, ClassStatistics]:
    """What three hospitals tell exactly, their counts rounded down to tens."""
    torch.manual_seed(3)
    found = {}
    for site, count in zip(SITES, (40, 70, 50), strict=True):
        seen = class_statistics(torch.randn(count + 7, width, dtype=torch.float64) + torch.randn(width) / 3)
        found[site] = ClassStatistics(count, seen.mean.float().double(), seen.covariance)
    return found


def response_card(site: str, kind: str = "covariance", **about: Any) -> ResponseCard:
    private = {"noised_count": 9000, "epsilon": 1.0, "delta": 1e-5, "unit": "patient"}
    told = ClassResponse(label={"name": "blue"}, kind=kind, **(private if kind == "private_mean" else {}))
    return ResponseCard(site=site, task="t", query_sha256="0" * 64, answers=[told], **about)


def new_model(folder: Path, cards: list[ResponseCard], site: str = "hospital_a") -> tuple[Path, Card, Any]:
    """The student's new model, made of these responses as a transfer makes it."""
    torch.manual_seed(0)
    network = SPEC.build(2).eval()
    extractor = Extractor(describe(network, SPEC, ["bn1"], EXPECTS), network)
    card = Card(
        site=site, task="blood_cell_classification", label_space=["red", "green"], network=SPEC,
        head=find_head(network), input=EXPECTS,
    )  # fmt: skip
    own = CardedNetwork(network, card)
    told = responses(extractor.spec.features)
    seen = torch.randn(80, extractor.spec.features).double(), torch.arange(80) % 2
    classifier, _ = fitted(own, extractor, [pooled([*told.values()])], seen, seen, "quadratic", 0.1, 0)  # type: ignore[arg-type]
    about = {"network": classifier.spec, "label_space": [*card.label_space, {"name": "blue"}]}
    made = derived(card, classifier, [card, *cards], **about)
    saved = made.card.model_copy(update={"gained": ["blue"]})
    saved = Card.model_validate(saved.model_dump())
    return folder, save_model(folder, made.network, saved), told


def test_two_of_three_responders_read_the_third_ones_exact_mean_from_the_new_model(tmp_path):
    folder, _, told = new_model(tmp_path / "m", [response_card(site) for site in SITES])
    mine, friend, victim = (told[site] for site in SITES)
    held = load_file(folder / "model.safetensors")["mean"][2].double()
    closest = []
    for count in range(20, 200, 10):  # all that is not known is which multiple of ten the third one told
        total = held * (mine.count + friend.count + count)
        guess = (total - mine.count * mine.mean - friend.count * friend.mean) / count
        closest.append((float((guess - victim.mean).abs().max()), count))
    assert min(closest)[0] < 1e-5 and min(closest)[1] == victim.count
    blind = (mine.count * mine.mean + friend.count * friend.mean) / (mine.count + friend.count)
    assert float((blind - victim.mean).abs().max()) > 0.3  # without the model nothing like it is known


def kept(cards: list[ResponseCard], to: str) -> str | None:
    card = Card(
        site="hospital_a", task="t", label_space=["red", "blue"], network=SPEC, head="fc", input=EXPECTS
    )
    return obstacle(derived(card, SPEC.build(2), [card, *cards]).card, to)


def test_it_goes_only_where_nobody_learns_an_exact_response_of_another_site():
    exact = [response_card(site) for site in SITES]
    private = [response_card(site, "private_mean") for site in SITES]
    open_ = [response_card(site, onward="assessment") for site in SITES]
    for to in ("", "hospital_x", *SITES):
        assert "allows it to nobody but the asker" in (kept(exact, to) or "")
        assert kept(private, to) is None and kept(open_, to) is None
    assert "'hospital_c'" in (kept([open_[0], exact[1], private[2]], "hospital_b") or "")
    assert kept([open_[0], exact[1], private[2]], "hospital_c") is None  # it is the only one who keeps it
    assert kept(exact[:1], "hospital_b") is None and kept(exact[:1], "") is not None
    declined = ClassResponse(label={"name": "blue"}, declined="no such class")
    none = exact[0].model_copy(update={"answers": [declined]})
    assert kept([none], "hospital_x") is None


def test_a_model_that_was_made_of_such_a_model_is_kept_as_well():
    card = Card(site="a", task="t", label_space=["red", "blue"], network=SPEC, head="fc", input=EXPECTS)
    first = derived(card, SPEC.build(2), [card, response_card("hospital_b")]).card
    second = derived(card.model_copy(update={"site": "z"}), SPEC.build(2), [card, first]).card
    assert [one.site for one in second.made_of] == ["hospital_b"] and obstacle(second, "hospital_x")


def test_a_gaussian_model_of_an_earlier_version_does_not_say_of_whose_it_was_made_and_stays(tmp_path):
    _, card, _ = new_model(tmp_path / "m", [response_card(site) for site in SITES])
    silent = card.model_copy(update={"made_of": []})
    with pytest.raises(InputError, match="its card does not say of whose") as e:
        require_may_travel(silent, "hospital_b")
    assert "run `transfer` again" in e.value.fix


@pytest.mark.parametrize(("onward", "code"), [("student_only", 2), ("assessment", 0)])
def test_the_command_line_does_not_hand_it_out(tmp_path, capsys, monkeypatch, onward, code):
    monkeypatch.setenv("COLUMNS", "200")
    cards = [response_card(site, onward=onward) for site in SITES]
    folder, card, _ = new_model(tmp_path / "m", cards)
    site = Hospital(tmp_path).prepare().write()
    listed = tmp_path / "datalist.json"
    listed.write_text(
        json.dumps({"training": [], "validation": [], "test": json.loads(listed.read_text())["training"]})
    )
    words = ("--model", str(folder), "--to", "hospital_b", "--yes", "true")
    assert run("run", "share", str(site), *words) == code
    told = " ".join(capsys.readouterr().err.split())
    package = tmp_path / "results" / "package"
    assert package.exists() == (code == 0)
    assert ("'hospital_c' and 'hospital_d'" in told) == (code == 2)
    if code == 0:
        assert "exact means and spreads of own classes" in told
        assert Card.model_validate_json((package / "card.json").read_text()).made_of == card.made_of
