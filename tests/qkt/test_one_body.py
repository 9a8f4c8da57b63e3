"""Hospitals that froze one pretrained network: their models differ in their heads alone."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from monai.data import Dataset
from torch import nn

from clinical_qkt.networks.committee import Committee
from clinical_qkt.networks.multihead import MultiHead
from clinical_qkt.networks.spec import linear_head, reshape_head
from clinical_qkt.qkt import method
from clinical_qkt.qkt.images import OwnImages
from clinical_qkt.qkt.one_body import body_of, one_body
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.student import OWN
from clinical_qkt.qkt.teachers import AlignedModel, committee
from clinical_qkt.research.methods.case import CaseImages
from clinical_qkt.training.inference import logits_of

CPU = torch.device("cpu")


@pytest.fixture
def frozen(case):
    """The case, of hospitals whose heads alone were trained."""
    torch.manual_seed(1)

    def beheaded(teacher):
        network = reshape_head(case.own.network, {}, len(teacher.model.card.label_space)).eval()
        nn.init.normal_(linear_head(network).weight)
        return replace(teacher, model=replace(teacher.model, network=network))

    return replace(case, teachers=[beheaded(t) for t in case.teachers])


@pytest.fixture
def passes(frozen, monkeypatch) -> list[int]:
    """How many images a body has seen."""
    seen: list[int] = []
    true = type(frozen.own.network).forward

    def counted(self, image):
        seen.append(len(image))
        return true(self, image)

    monkeypatch.setattr(type(frozen.own.network), "forward", counted)
    return seen


def test_models_with_one_body_are_told_from_others(case, frozen):
    assert one_body([frozen.own, *(t.model for t in frozen.teachers)])
    assert not one_body([case.own, *(t.model for t in case.teachers)])
    assert not one_body([case.own])
    assert body_of(frozen.own) == body_of(frozen.teachers[0].model) != body_of(case.teachers[0].model)
    contract = case.own.card.input.model_copy(update={"value_range": (0.0, 1.0)})
    other = replace(frozen.own, card=frozen.own.card.model_copy(update={"input": contract}))
    assert not one_body([frozen.own, other]) and body_of(other) != body_of(frozen.own)


def test_their_committee_has_the_body_once_and_says_what_each_would(case, frozen, passes):
    joined = committee(frozen.own, frozen.teachers, frozen.labels)
    assert joined.card.network.one_body and isinstance(joined.network, Committee)
    assert not committee(case.own, case.teachers, case.labels).card.network.one_body
    images = torch.stack([item["image"] for item in frozen.validation[:8]])
    passes.clear()
    with torch.no_grad():
        found = joined.network(images)
        assert passes == [8]
        rows = [list(t.known_rows(case.labels.extended(["violet"]))) for t in frozen.teachers]
        each = [frozen.own.network(images)]
        each += [t.model.network(images)[:, r] for t, r in zip(frozen.teachers, rows, strict=True)]
        assert torch.allclose(joined.network.joined(each), found, atol=1e-4)


def test_own_images_are_shown_to_the_body_once_and_so_are_probes(frozen, passes, tmp_path):
    shown = Dataset(frozen.training)
    apart = {t.site: logits_of(t.model.network, shown, CPU) for t in frozen.teachers}
    apart[OWN] = logits_of(frozen.own.network, shown, CPU)
    images = OwnImagesOf(shown, frozen.own)
    passes.clear()
    together = images.logits(frozen.teachers)
    assert sum(passes) == len(shown)
    assert all(torch.allclose(together[name], said, atol=1e-4) for name, said in apart.items())
    aligned = [AlignedModel(t.model, t.columns) for t in frozen.teachers]
    how = {"seed": 0, "device": CPU, "count": 64}
    each = [probe(model, **how) for model in aligned]
    passes.clear()
    seen: dict[str, torch.Tensor] = {}
    found = [probe(model, **how, at_heads=seen) for model in aligned]
    assert sum(passes) == 64 and len(seen) == 1
    for one, other in zip(each, found, strict=True):
        assert torch.allclose(one.scores, other.scores, atol=1e-5) and one.known == other.known


class OwnImagesOf(OwnImages):
    """Of images that are there already; what arrives at a head is remembered as on disk."""

    def __init__(self, shown, own):
        super().__init__(None, [], own, CPU, lambda _: nullcontext())
        self.shown, self.known = shown, {}

    def prepared(self, section, given):
        return self.shown

    def _kept(self, model, shown, what, ask):
        key = what, body_of(model)
        if key not in self.known:
            self.known[key] = ask(model.network)
        return self.known[key]


def test_heads_that_fit_are_taken_as_they_are_and_not_imitated(case, frozen):
    settings = TransferSettings(heads="each", start_from="teacher")
    base = method.Base(frozen.own, frozen.own_held_out)
    learnt = method.learn(frozen, CaseImages(frozen), base, frozen.teachers, settings)
    assert learnt.start.card.network.one_body
    # others are imitated, and so are these where the new model shall hold no teacher's weights
    for those, how in ((case, settings), (frozen, TransferSettings(heads="each", start_from="own"))):
        learnt = method.learn(those, CaseImages(those), base, those.teachers, how)
        assert isinstance(learnt.network, MultiHead)
