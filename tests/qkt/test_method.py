from contextlib import nullcontext
from dataclasses import replace

import torch

from clinical_qkt.bundle.stage import Stage
from clinical_qkt.packages.model import load_model
from clinical_qkt.qkt import method
from clinical_qkt.qkt.images import OwnImages
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.teachers import read_teachers
from clinical_qkt.research.methods import qkt
from clinical_qkt.research.methods.case import Case, CaseImages
from clinical_qkt.site.launch import plan
from clinical_qkt.training.inference import logits_of
from tests.qkt.test_transfer import student_of

CPU = torch.device("cpu")


def test_what_is_benchmarked_is_what_a_site_runs(demo, tmp_path):
    """A finished transfer of the command line, and the benchmark's method on the same files."""
    stage = Stage(plan("transfer", student_of(demo)[0], (), bundle="blood_cell_classification"))
    site, data, settings = stage.site, stage.value("labelled"), stage.value("settings")
    own = load_model(stage.value("model"), site.trust)
    images = OwnImages(data, stage.value("read"), own, CPU, lambda _: nullcontext())
    sections = [images.prepared(section, own.card.input) for section in ("training", "validation")]
    training, validation = ([items[i] for i in range(len(items))] for items in sections)
    chosen = TransferSettings.model_validate(settings)
    teachers = [
        probe(model, seed=site.seed, device=CPU, count=chosen.probes)
        for model in read_teachers(site.teachers, data.labels, site.trust)
    ]
    case = Case(
        own=own,
        labels=data.labels,
        query=list(range(len(site.classes), len(data.labels))),
        training=training,
        validation=validation,
        teachers=teachers,
        augment=stage.value("augment"),
        seed=site.seed,
        device=CPU,
        shared=tmp_path,
    )
    benchmarked = qkt.run(case, qkt.Settings.model_validate(settings)).predict(validation)
    transferred = logits_of(load_model(site.transfer_dir / "model").network, validation, CPU)
    apart = transferred - benchmarked
    assert torch.allclose(apart[:, case.local], torch.zeros(1), atol=1e-5)
    # what is left is the forgetting budget, which a benchmark spends for all methods alike
    assert torch.allclose(apart[:, case.query], apart[:1, case.query], atol=1e-5)


def test_every_step_that_takes_long_is_told_to_its_surroundings(case):
    class Told(method.Surroundings):
        steps: list[str]

        def __init__(self):
            self.steps, self.starts, self.names = [], [], []

        def step(self, name):
            self.steps.append(name)
            return nullcontext(())

        def started(self, network, start):
            self.starts.append(start.card.site)

        def kept(self, name, make):
            self.names.append(name)
            return make()

    for changes, steps, names in (
        ({}, [], []),
        ({"heads": "each", "start_from": "own"}, [method.TARGETS, method.HEADS], ["logits"]),
        ({"max_epochs": 1, "start_from": "own"}, [method.TARGETS, method.DISTILLATION], ["targets"]),
    ):
        told, settings = Told(), TransferSettings(**changes)
        base = method.Base(case.own, case.own_held_out)
        learnt = method.learn(case, CaseImages(case), base, case.teachers, settings, told)
        assert (told.steps, told.names, told.starts) == (steps, names, [learnt.start.card.site])
        assert (learnt.images is not None) == settings.trains


def test_a_committee_by_fold_is_a_committee_with_what_own_networks_without_the_image_said(case):
    """With the own model's logits in their place it says of training images what the committee does."""
    held_out = replace(case, own_held_out=case.own_logits)
    base = method.Base(held_out.own, held_out.own_held_out)
    learnt = method.learn(held_out, CaseImages(held_out), base, case.teachers, TransferSettings())
    whole = logits_of(learnt.network, case.training, CPU)
    assert torch.allclose(learnt.cross_fitted, whole, atol=1e-3)
    found = method.held_out(held_out, CaseImages(held_out), learnt.network, learnt)
    assert found.cross_fitted == len(case.training) and len(found) == found.cross_fitted + len(
        case.validation
    )


def test_what_is_trained_on_the_images_is_measured_on_validation_images_alone(case):
    held_out = replace(case, own_held_out=case.own_logits)
    base = method.Base(held_out.own, held_out.own_held_out)
    settings = TransferSettings(max_epochs=1, start_from="own")
    learnt = method.learn(held_out, CaseImages(held_out), base, case.teachers, settings)
    found = method.held_out(held_out, CaseImages(held_out), learnt.network, learnt)
    assert learnt.cross_fitted is None and found.cross_fitted == 0 and len(found) == len(case.validation)
