"""The transfer: a student gains queried classes from teachers' models or statistics and its own images.

QKT (Alballa et al., ICLR 2025, arXiv 2504.09205) with our additions; docs/explanation/method.md keeps the two
apart. ``Transfer.run`` reads like a method section, with files, times and MLflow around it; what is learnt is
in ``method``, whose very steps benchmarks run, too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mlflow.entities import Run
from torch import Tensor, nn

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.files import drop_unfinished, fingerprint, sha256, write_json
from clinical_qkt.core.state_folder import state_folder
from clinical_qkt.data.datalist import CheckedData
from clinical_qkt.packages.model import CardedNetwork, Model
from clinical_qkt.qkt import method, mlflow_log, own_held_out
from clinical_qkt.qkt.at_site import AtSite
from clinical_qkt.qkt.committee_limits import require_room
from clinical_qkt.qkt.evaluation import Evaluating
from clinical_qkt.qkt.forgetting_budget import BudgetFit, Promise, spend_budget
from clinical_qkt.qkt.identity import identity, judged
from clinical_qkt.qkt.images import OwnImages
from clinical_qkt.qkt.kept_scores import PROBES
from clinical_qkt.qkt.new_model import finish_transfer, require_card
from clinical_qkt.qkt.probing import probe
from clinical_qkt.qkt.settings import TransferSettings
from clinical_qkt.qkt.student import OWN, Student
from clinical_qkt.qkt.summary import Made, fit_facts, summarise
from clinical_qkt.qkt.teacher_looks import OwnLooks, in_own_looks
from clinical_qkt.qkt.teachers import Teacher, read_teachers, seated
from clinical_qkt.qkt.test_set import TestSet
from clinical_qkt.query.aggregate import Responses, TakenIn, read_responses, with_responses
from clinical_qkt.query.published import in_own_map, read_published
from clinical_qkt.review import report
from clinical_qkt.review.summary_schema import TransferSummary
from clinical_qkt.review.tracking.figure_names import held_out_figures
from clinical_qkt.review.tracking.tracker import Tracker
from clinical_qkt.site.config import Site
from clinical_qkt.training.kept_outputs import FOLDER, KeptOutputs


class Transfer:
    """One transfer at a student site.

    Args:
        site: the student.
        settings: the method's choices.
        task: the bundle's; names the MLflow experiment.
        own: the site's own model, as ``train`` left it.
        data: its images; ``data.labels`` is its classes, then the queried ones.
        read: MONAI transforms from a file to a raw channel-first image.
        augment: MONAI transforms that change a prepared image at random.
        device: where networks run.
        config: what is logged of the bundle's config and the site's YAML, see ``provenance.without_paths``.
    """

    def __init__(
        self,
        site: Site,
        settings: TransferSettings,
        task: str,
        own: Model,
        data: CheckedData,
        read: list[Any],
        augment: list[Any],
        device: torch.device,
        config: Any = None,
    ) -> None:
        self.site, self.settings, self.own, self.data = site, settings, own, data
        self.device, self.config = device, config or {}
        self.labels = data.labels
        self.local = list(range(len(site.classes)))
        self.query = list(range(len(site.classes), len(self.labels)))
        site.require_classes(own.card.labels)
        self.task, self.tracker = task, Tracker.of(site, task)
        self.variant = " and ".join(
            [settings.variant] * bool(site.teachers) + ["statistics"] * bool(site.numbers)
        )
        self.tags = {
            "site": site.site,
            "query": ", ".join(site.queried.names),
            "method": f"qkt {self.variant}",
        }
        self.seconds: dict[str, float] = {}
        self.outputs = KeptOutputs(site.output_dir / FOLDER)
        self.images = OwnImages(data, read, own, device, self.timed, self.outputs)
        self.student = Student(
            own=own,
            labels=self.labels,
            query=self.query,
            augment=augment,
            seed=site.seed,
            device=device,
            forgetting_budget=site.forgetting_budget,
            own_held_out=own_held_out.read(site, own, data, lambda: self.images.logits([])[OWN]),
        )

    def run(self) -> TransferSummary:
        """From packages to report.

        Returns:
            The summary. It is also written to ``summary.json`` in the site's ``transfer_dir``, last of all,
            beside ``report.html``, ``figures/`` and ``model/``.

        Raises:
            PackageError: a package is refused.
            QueryError: nobody knows a queried class.
        """
        name, place = f"transfer to {self.site.site}", self.site.transfer_dir / "summary.json"
        work = mlflow_log.decided_by(self.site, self.settings, self.own)
        with self.tracker.run(name, self.tags, place=place, work=work) as run:
            mlflow_log.origin(self.tracker, run, self.site, self.settings, self.own, self.device, self.config)
            teachers, responses = self.verified_teachers(), self.verified_responses()
            participants = self.participants(teachers, responses)
            tested = TestSet.of(self.data, self.query, self.site.prevalence)
            test = Evaluating(
                self.site, self.images, tested, self.tracker, self.tags, self.device, self.timed
            )
            before = test.before(run)
            base, found = self.with_statistics(responses)
            learnt = method.learn(
                self.student, self.images, base, participants, self.settings, self.around(participants, run)
            )
            network, start, given = learnt.network, learnt.start, learnt.start.card.input
            fit = self.within_budget(learnt, run)
            after = test.after(network, given, run)
            measured, gate = test.evidence(before, after), test.gate(network, start, after)
            agreed = test.agreements(after, participants)
            made = finish_transfer(self.site, self.labels, self.data, network, start, self.task, gate)
            named = self.site, tested.sha256, made.weights_sha256
            test.write_failures(before, after)
            version = mlflow_log.registered(self.tracker, run, self.site, self.task)
            summary = summarise(
                self.site,
                self.settings,
                self.data,
                self.own.card.input,
                self.device,
                teachers,
                participants,
                responses,
                Made(self.variant, start.card.site, made.licence, found, fit, made.pretrained),
                measured,
                gate[1] if gate else None,
                test.in_use(after, self.task, made.weights_sha256),
                agreed,
                identity(*named, run.info.run_id, version),
                judged(*named),
                self.seconds,
            )
            self.report(summary, run)
        write_json(place, summary.as_json())
        drop_unfinished(self.unfinished(participants))
        self.tracker.deliver()
        return summary

    def verified_teachers(self) -> list[Teacher]:
        """Packages checked, label spaces aligned, knowledge probed with noise, looks compared."""
        with self.timed("packages"):
            aligned = read_teachers(self.site.teachers, self.labels, self.site.trust)
            if aligned and self.settings.seats_all:
                models, known = [m.model for m in aligned], len(self.own.card.labels)
                require_room(self.own, models, known + len(models), len(self.labels))
        with self.timed("masks"):
            at_heads: dict[str, Tensor] = {}
            probed = [
                probe(
                    model,
                    seed=self.site.seed,
                    device=self.device,
                    threshold=self.settings.mask_threshold,
                    statistic=self.settings.mask_statistic,
                    count=self.settings.probes,
                    kept=state_folder() / PROBES,
                    at_heads=at_heads,
                )
                for model in aligned
            ]
        with self.timed("looks"):
            own = OwnLooks(self.images, self.labels, self.own.card.input)
            return in_own_looks(probed, own, self.labels, self.settings.harmonise)

    def verified_responses(self) -> Responses | None:
        """Responses by statistics to the site's own query, or published ones; None if there are none."""
        site, responses = self.site, None
        with self.timed("packages"):
            if site.reference_dir is None:
                responses = read_responses(site.responses, site.query_dir, self.own, site.queried, site.trust)
            else:
                told = site.published, site.reference_dir
                responses = read_published(*told, self.own, site.queried, site.trust)
        if responses and site.published:
            training = self.images.prepared("training", self.own.card.input)
            with self.timed("statistics"):
                responses = in_own_map(responses, self.own, training, self.device)
        if responses and self.settings.learns:
            raise InputError(
                "nothing is trained on responses with statistics",
                where="settings",
                fix="use transfer.yaml without an overlay that trains, or leave 'responses' empty",
            )
        return responses

    def participants(self, teachers: Sequence[Teacher], responses: Responses | None) -> list[Teacher]:
        """The teachers that take part; nobody who knows a queried class, or too many, end it."""
        responded = [len(self.local) + i for i in responses.responded] if responses else []
        chosen = method.participants(teachers, self.student, self.settings, responded)
        if chosen and self.settings.begins_with == "committee":
            seated(self.own, chosen, self.labels)
        return chosen

    def with_statistics(self, responses: Responses | None) -> tuple[method.Base, TakenIn | None]:
        """The own model with the classes that were responded for, in closed form; and what was found."""
        if not responses or not responses.responded:
            return method.Base(self.own, self.student.own_held_out), None
        given = self.own.card.input
        images = self.images.prepared("training", given), self.images.prepared("validation", given)
        with self.timed("statistics"):
            model, found = with_responses(
                self.own,
                responses,
                *images,
                self.settings.head,
                self.settings.shrinkage,
                self.site.seed,
                self.device,
                self.outputs,
            )
        for name, sites in found.agreement.items():
            for site, doubt in ((s, seen.doubt) for s, seen in sites.items() if seen.doubt):
                print(f"warning: the response of {site} for '{name}' {doubt}", file=sys.stderr)
        return method.statistics_base(self.student, self.images, model, found), found

    def around(self, participants: Sequence[Teacher], run: Run) -> AtSite:
        """What goes on around the steps of the method."""

        def started(network: nn.Module, start: CardedNetwork) -> None:
            require_card(self.site, self.labels, self.data, network, start, self.task)

        return AtSite(self.tracker, self.tags, run, self.unfinished(participants), self.timed, started)

    def within_budget(self, learnt: method.Learnt, parent: Run) -> BudgetFit:
        """Phase 2: the head refined, and the queried classes' biases raised within the forgetting budget."""
        name = "phase 2: head refinement"
        with self.timed("phase 2"), self.tracker.run(name, self.tags, parent=parent) as child:
            method.refine(self.student, learnt, self.settings)
            fit = method.within_budget(self.student, self.images, learnt, self.settings)
            spend_budget(learnt.network, fit, self.query)
            promise = Promise.of(self.site.forgetting_budget, self.settings)
            self.tracker.log(child, held_out_figures(fit_facts(fit, promise)))
        return fit

    def report(self, summary: TransferSummary, run: Run) -> None:
        """Figures, report and MLflow, from the same summary."""
        with self.timed("report"):
            report.write(self.site.transfer_dir, summary)
        note = report.verdict_sentence(summary)
        mlflow_log.outcome(self.tracker, run, self.site, self.task, summary, note)

    def unfinished(self, participants: Sequence[Teacher]) -> Path:
        """Where targets and checkpoints are kept until the end: a folder named after what decides them."""
        cards = [self.own.card, *(t.model.card for t in participants)]
        weights = [(card.weights_sha256, card.input.model_dump()) for card in cards]
        classes = [c.model_dump() for c in self.labels]  # what is declared decides what is summed
        settings = self.settings.model_dump()
        facts = fingerprint(self.site.seed, settings, sha256(self.site.data), weights, classes)
        return self.site.output_dir / "unfinished" / f"transfer-{facts}"

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds that a stage takes."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 3)
