"""What a benchmark's YAML file may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.refusals import sentences
from clinical_qkt.core.terms import LookAugmentation, TrainedLayers
from clinical_qkt.data.folds import FOLDS
from clinical_qkt.networks.registry import PRESETS
from clinical_qkt.qkt.forgetting_budget import Promise
from clinical_qkt.research.benchmark.rows import FIGURES
from clinical_qkt.research.methods import METHODS
from clinical_qkt.research.shift import USUAL, Part, Shift

SITE_LEARNING_RATE = 3e-3


class _Strict(BaseModel):  # not ``values.Strict``: the command line gives seeds as texts
    model_config = ConfigDict(extra="forbid", frozen=True)


def later(default: Any, **constraints: Any) -> Any:
    """A field that a scenario got later: it is not told where it has its default.

    So earlier scenarios keep their fingerprints, and with them their rows and site models.
    """
    return Field(default=default, exclude_if=lambda value: value == default, **constraints)


Hospital = Annotated[str, Field(pattern=r"^hospital_[1-9][0-9]*$")]


class OtherSite(_Strict):
    """The pictures of a second laboratory.

    Attributes:
        data: a folder with a sub-folder of pictures a class; a relative path starts beside the first data.
        magnified: the factor by which what they show is enlarged to be as large as in the first; see
            ``cell_sizes``.
        side: pixels along each side to which both sites' pictures are reduced.
    """

    data: Path
    magnified: float = Field(default=1.0, ge=0.5, le=2)
    side: int = Field(default=28, ge=8, le=1024)


class Scenario(_Strict):
    """How the data are dealt to sites, and what is asked.

    Attributes:
        partition: ``pathological``: each site has some of the classes (McMahan et al., 2017); ``dirichlet``:
            each class is dealt in proportions drawn with ``alpha``.
        classes_per_site: of ``pathological``; several numbers are given to the sites in turn.
        query_size: classes asked for at once.
        queried_images: of each queried class, at the student; usually none.
        max_per_class: training images used of each class, at most.
        architecture: of all sites' models; several are given to the sites in turn.
        spatial_size: pixels a side that the models take; several are given to the sites in turn. None: as
            many as the images have.
        label_lists: ``alike``: all sites list all classes in one order. ``own``: each lists, in an order and
            a spelling of its own, the classes that it has and one that it has no images of. ``finer``: as
            alike, but every second site lists sub-types instead of classes that have some, see
            ``sub_types``; the others declare them and are the ones that ask.
        max_epochs: of each site's own training.
        shift: how much the sites' images differ in look, see ``research.shift``. Each site trains and is
            tested on its own look.
        shift_parts: what differs.
        other_site: real pictures of a second site; the first has those of the benchmark's ``data``. Both do
            with the classes that both have.
        student: the only site that asks, such as ``hospital_1``, or several.
        training_looks: how far the looks may be that each site's own training gives its images, see
            ``data.look_augmentation``.
        mix_style: whether it also mixes styles, see ``networks.mix_style``.
        pretrained: a file of weights from which all sites' models start, see ``packages.weights_file``.
        trained_layers: what of them is trained; of ``head`` what the rest gives is computed once for all.
        head_penalty: a head that is trained alone is fitted with it, see ``training.head_fit``; None: it is
            trained by epochs.
        learning_rate: of a training by epochs, the highest of its schedule.
        held_out_folds: a site's own network is trained once more without each of so many parts of its images,
            see ``training.own_folds``; 0: it is not, and validation images alone are held out.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    partition: Literal["pathological", "dirichlet"] = "pathological"
    sites: int = Field(default=8, ge=2, le=256)
    classes_per_site: list[int] = [3, 4]
    alpha: float = Field(default=0.5, gt=0)
    query_size: int = Field(default=1, ge=1)
    queried_images: int = Field(default=0, ge=0)
    max_per_class: int = Field(default=2500, ge=10)
    architecture: str | list[str] = "resnet_small"
    spatial_size: int | list[int] | None = None
    label_lists: Literal["alike", "own", "finer"] = "alike"
    max_epochs: int = Field(default=8, ge=1)
    shift: Shift = later("none")
    shift_parts: tuple[Part, ...] = later(USUAL, min_length=1)
    other_site: OtherSite | None = later(None)
    student: Hospital | list[Hospital] | None = later(None)
    training_looks: LookAugmentation = later("none")
    mix_style: bool = later(False)
    pretrained: Path | None = later(None)
    trained_layers: TrainedLayers = later("all")
    head_penalty: float | None = later(None, gt=0)
    learning_rate: float = later(SITE_LEARNING_RATE, gt=0)
    held_out_folds: int = later(FOLDS, ge=0, le=10)

    @model_validator(mode="after")
    def _known_network(self) -> Scenario:
        for name in in_turn(self.architecture):
            if name not in PRESETS:
                raise ValueError(f"architecture: {one_of(name, list(PRESETS))}")
        return self

    @model_validator(mode="after")
    def _looks_of_something(self) -> Scenario:
        if self.shift == "none" and self.shift_parts != USUAL:
            raise ValueError("shift_parts: nothing differs with 'shift: none'; choose mild, medium or strong")
        return self

    @model_validator(mode="after")
    def _a_frozen_network_sees_all_alike(self) -> Scenario:
        if self.pretrained is None and self.trained_layers != "all":
            raise ValueError("trained_layers: without 'pretrained' the rest would be random")
        if self.head_penalty is not None and self.trained_layers != "head":
            raise ValueError("head_penalty: is of a head that is trained alone; set 'trained_layers: head'")
        many = isinstance(self.architecture, list) or isinstance(self.spatial_size, list)
        looks = self.shift != "none" or self.other_site or self.training_looks != "none" or self.mix_style
        if self.trained_layers == "head" and (many or looks):
            raise ValueError("trained_layers: with 'head' all sites have one network, size and look")
        return self

    @model_validator(mode="after")
    def _parts_to_leave_out(self) -> Scenario:
        if self.held_out_folds == 1:
            raise ValueError("held_out_folds: without the only part nothing is left; say 2 or more, or 0")
        return self

    @model_validator(mode="after")
    def _two_real_sites(self) -> Scenario:
        if self.other_site is None:
            return self
        if self.sites != 2 or self.partition != "pathological":
            raise ValueError("other_site: two data sets are two sites; give 'sites: 2' and no partition")
        if self.queried_images:
            raise ValueError("other_site: the student has no queried images; leave 'queried_images' out")
        return self

    @model_validator(mode="after")
    def _asked_by_a_site(self) -> Scenario:
        for name in in_turn(self.student) if self.student else ():
            if int(name.removeprefix("hospital_")) > self.sites:
                raise ValueError(f"student: there is no '{name}' among {self.sites} sites")
        return self


def in_turn(value: Any) -> list[Any]:
    """What the sites are given in turn: one value, or several."""
    return value if isinstance(value, list) else [value]


class Curve(_Strict):
    """Query recall at the budget over something that differs between methods, as a figure and a table.

    Attributes:
        name: of the figure.
        x: a setting of the methods, or a figure of their rows such as ``bytes_received``.
        log: whether the axis of x is logarithmic.
        label: of that axis.
        methods: by their names in ``methods``.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    x: str
    log: bool = False
    label: str
    methods: list[str] = Field(min_length=1)


class BenchmarkConfig(_Strict):
    """A benchmark.

    Attributes:
        name: of its results.
        data: as for ``clinical-qkt demo --data``; phantoms if None.
        queries: how many a seed and scenario, drawn at random from all that can be asked.
        forgetting_budget, confidence, worst_factor: how the budget is spent, the same for every method; see
            ``forgetting_budget`` and ``TransferSettings``.
        thresholds: at which masks are compared with the truth.
        methods: by the name that stands in the results; ``method`` says which it is, if the
            name does not; everything else is its settings.
        curves: what is drawn beside the tables.
    """

    name: str
    data: Path | None = None
    seeds: list[int] = [0, 1, 2]
    queries: int = Field(default=8, ge=1)
    forgetting_budget: float = Field(default=2.0, ge=0, le=100)
    confidence: float = Field(default=0.75, ge=0.5, lt=1)
    worst_factor: float = Field(default=2.5, ge=1)
    thresholds: list[float] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5]
    scenarios: list[Scenario] = Field(min_length=1)
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    curves: list[Curve] = []

    @model_validator(mode="after")
    def _consistent(self) -> BenchmarkConfig:
        names = [s.name for s in self.scenarios]
        if len(set(names)) < len(names):
            raise ValueError("scenarios: two have the same name")
        for label in self.methods:
            self.settings(label)
        figures = [*names, "masks", *(c.name for c in self.curves)]
        for i, curve in enumerate(self.curves):
            if figures.count(curve.name) > 1:
                raise ValueError(f"curves.{i}.name: there is another figure '{curve.name}'")
            self._check(curve, f"curves.{i}")
        return self

    def _check(self, curve: Curve, at: str) -> None:
        for label in curve.methods:
            if label not in self.methods:
                raise ValueError(f"{at}.methods: no method '{label}'; {one_of(label, list(self.methods))}")
            fields = type(self.settings(label)[1]).model_fields
            if curve.x not in FIGURES and curve.x not in fields:
                known = one_of(curve.x, [*fields, *FIGURES])
                raise ValueError(f"{at}.x: '{curve.x}' is no setting of '{label}' and no figure; {known}")

    @property
    def promise(self) -> Promise:
        """What is promised of each method's model."""
        budget = self.forgetting_budget
        return Promise(budget, budget * self.worst_factor, self.confidence)

    def settings(self, label: str) -> tuple[str, Any]:
        """The registered name and the validated settings of one method."""
        values = dict(self.methods[label])
        name = values.pop("method", label)
        if name not in METHODS:
            raise ValueError(f"methods: {label}: unknown method '{name}'; {one_of(name, sorted(METHODS))}")
        try:
            return name, METHODS[name].settings.model_validate(values)
        except ValidationError as e:
            raise ValueError(f"methods: {label}: {'; '.join(sentences(e))}") from None


def read_config(path: Path, **changes: Any) -> BenchmarkConfig:
    """Read and check a benchmark's config.

    Args:
        changes: fields to be replaced, those that are None are not.

    Raises:
        InputError: all problems at once, each with its field.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise InputError(
            f"cannot be read ({e.strerror})", where=str(path), fix="name a file in configs/benchmarks"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise InputError(f"is not YAML: {e}", where=str(path), fix="mend the file at that place") from None
    if not isinstance(content, dict):
        raise InputError("is not a mapping", where=str(path), fix="see configs/benchmarks/quick.yaml")
    content |= {k: v for k, v in changes.items() if v is not None}
    try:
        return BenchmarkConfig.model_validate(content)
    except ValidationError as e:
        raise InputError("; ".join(sentences(e)), where=str(path), fix="correct the fields named") from None


def only(config: BenchmarkConfig, methods: list[str] | None) -> BenchmarkConfig:
    """The config with some of its methods, and of its curves what is left with these.

    Raises:
        InputError: one of them is not in the config.
    """
    if methods is None:
        return config
    for name in methods:
        if name not in config.methods:
            raise InputError(
                f"the config has no method '{name}'",
                where="--methods",
                fix=one_of(name, list(config.methods)),
            )
    curves = [
        curve.model_copy(update={"methods": left})
        for curve in config.curves
        if (left := [m for m in curve.methods if m in methods])
    ]
    return config.model_copy(update={"methods": {m: config.methods[m] for m in methods}, "curves": curves})
