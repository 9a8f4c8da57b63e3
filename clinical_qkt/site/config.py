"""A site's description, validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import Field, ValidationError, model_validator

from clinical_qkt.core.errors import InputError, one_of
from clinical_qkt.core.files import write_text
from clinical_qkt.core.refusals import Origin, refused
from clinical_qkt.core.renamed import CONFIG
from clinical_qkt.core.schema import SHOWN
from clinical_qkt.core.terms import PSEUDONYM, ClassWeights, ImageCache, Keep, LookAugmentation
from clinical_qkt.core.values import Number, Strict
from clinical_qkt.core.yaml_file import read_yaml
from clinical_qkt.data.label_space import LabelSpace
from clinical_qkt.evidence.acceptance import Acceptance, TestImages
from clinical_qkt.packages import made_here
from clinical_qkt.packages.signing import Trust
from clinical_qkt.site.assess import Assess
from clinical_qkt.site.exchange_settings import Exchange
from clinical_qkt.site.monitoring_limits import Monitoring
from clinical_qkt.site.parts import SiteLabels as SiteLabels
from clinical_qkt.site.parts import SiteTrust as SiteTrust
from clinical_qkt.site.policy import Policy
from clinical_qkt.site.start import Start

S = TypeVar("S", bound=Strict)
FIX = "the site's YAML, see docs/reference/site-yaml.md"
_SERVERS = ("http://", "https://", "databricks")


def _shown(default: str) -> dict[str, Any]:
    """What the reference gives as a key's default: the bundle's configs set it, or it needs other words."""
    return {SHOWN: default}


class Site(Start, SiteLabels):
    """One hospital: what its YAML file may say. The file is merged over a bundle's configs.

    Paths are absolute or relative to the folder in which the command is run.
    """

    RENAMED: ClassVar[Mapping[str, str]] = CONFIG

    site: str = Field(pattern=PSEUDONYM)
    """A pseudonym; it stands on the card of every package that leaves."""
    data: Path
    """The datalist JSON."""
    bundle: str = ""
    """The bundle that `clinical-qkt run` uses: a name of a shipped one or a folder."""
    teachers: list[Path] = Field(default=[])
    """Folders of teacher packages from other sites."""
    responses: list[Path] = Field(default=[])
    """Folders of response packages to the site's own query."""
    reference_dir: Path | None = Field(default=None, json_schema_extra=_shown("none"))
    """Folder of the reference whose answers lie under `published`."""
    published: list[Path] = Field(default=[])
    """Folders of response packages to that reference: what sites published for all who work with the same
    pretrained network, so that nobody has to be asked. Not together with `responses`."""
    assessments: list[Path] = Field(default=[])
    """Folders of assessment packages of the new model: what other sites measured of it, for `judge`."""
    forgetting_budget: float = Field(default=2.0, ge=0, le=100)
    """How many points of recall on its own classes the site is willing to lose, on average."""
    acceptance: Acceptance = Field(default=Acceptance(), json_schema_extra=_shown("see there"))
    """What a new model must show on test images to be accepted."""
    prevalence: dict[str, Number] = Field(default={}, json_schema_extra=_shown("not told"))
    """By queried class, of 100 images in daily practice how many show it, such as `basophil: 0.5`. The report
    then says what an answer means there."""
    test_data: TestImages = Field(default=TestImages(), json_schema_extra=_shown("not told"))
    """Where the test images come from, for the report."""
    monitoring: Monitoring = Field(default=Monitoring(), json_schema_extra=_shown("see there"))
    """When `monitor` alarms, and from when on a model in use is to be switched off."""
    mlflow: str = Field(default="", json_schema_extra=_shown("`sqlite:///<transfer_dir>/mlflow.db`"))
    """MLflow's tracking URI: a database, or the address of a server, to which a database's records are
    then sent when a stage has ended."""
    register_model: bool = True
    """Whether the student's model is logged to MLflow, too, and registered there under the task's name."""
    output_dir: Path = Field(json_schema_extra=_shown("`runs/<site>`"))
    """Where the site's own model and results go."""
    package_dir: Path = Field(json_schema_extra=_shown("`<output_dir>/package`"))
    """Where `share` writes."""
    query_dir: Path = Field(json_schema_extra=_shown("`<output_dir>/query`"))
    """Where `query` writes."""
    transfer_dir: Path = Field(json_schema_extra=_shown("`<output_dir>/transfer`"))
    """Where `transfer` writes."""
    policy: Policy = Field(default=Policy(), json_schema_extra=_shown("private means alone"))
    """Which answers the site gives to others' queries."""
    exchange: Exchange = Field(default=Exchange(), json_schema_extra=_shown("by hand"))
    """How packages come and go, where they are not handed over by hand."""
    assess: Assess = Field(default=Assess(), json_schema_extra=_shown("see there"))
    """What the site tells of other sites' new models when it measures them on its own test images."""
    ledger: Path = Field(json_schema_extra=_shown("one of the pseudonym's own, in the user's state folder"))
    """The file that keeps which packages left, what was answered, and the privacy budget. It belongs to the
    patients, not to a results folder: name it only where several people or computers share it."""
    signing_key: Path | None = Field(default=None, json_schema_extra=_shown("not signed"))
    """The site's private key, from `clinical-qkt keys new`: every package that leaves is signed with it."""
    licence: str = Field(default="all rights reserved by the sending site", max_length=200)
    """Under which the site shares its model."""
    image_cache: ImageCache = "auto"
    """Where prepared images are kept while a stage runs: `auto`, by size; `memory`; `disk`, in
    `<output_dir>/unfinished/images`, until the stage ends; `kept`: there, and for the next stage; `none`."""
    publish_mask: bool = False
    """Whether the card tells which classes the noise probes found."""
    mask_epsilon: float | None = Field(default=None, gt=0, le=100, json_schema_extra=_shown("as found"))
    """Of the randomised response by which the card tells each class of the mask: the truth with probability
    e^ε / (1 + e^ε). The card then leaves out recall and training images by class. Whoever gets the model
    itself can probe it all the same."""
    tell_looks: bool = True
    """Whether the card of a shared model tells how the training images look, in a few exact numbers a class:
    whoever receives it can then show it images in that look. Of a class with fewer patients than the policy's
    `minimum_patients` nothing is told, nor of a model that was trained with differential privacy."""
    architecture: str = Field(default="resnet_small", json_schema_extra=_shown("the bundle's"))
    """The network of the site's model, by one of the short names."""
    channels: int = Field(default=3, ge=1, le=16, json_schema_extra=_shown("the bundle's"))
    """1 for grey images, 3 for colour."""
    spatial_size: list[int] = Field(
        default=[28, 28], min_length=2, max_length=3, json_schema_extra=_shown("the bundle's")
    )
    """Width and height in pixels, or three sizes in voxels."""
    max_epochs: int = Field(default=8, ge=1, json_schema_extra=_shown("the bundle's"))
    """How often the site's own training sees all its images."""
    batch_size: int = Field(default=64, ge=2)
    """Images in a step of the training."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """The highest of the training."""
    look_augmentation: LookAugmentation = "none"
    """Whether the site's own training gives images new looks, so that the network does not learn the site's
    own stain, tone and sharpness. `mild` needs a `max_epochs` of 16, and then hardly costs any recall on own
    images; `strong` needs 24 or more, and may cost some."""
    keep: Keep = "last"
    """Which epoch's weights the site's own training keeps: the last's, or `best`, those with the highest mean
    recall on the validation images. The latter are then not quite as new to the model as they were."""
    early_stopping: int | None = Field(default=None, ge=1, json_schema_extra=_shown("never"))
    """After how many looks at the validation images (one an epoch) without a higher recall the training ends.
    Only with `keep: best`."""
    class_weights: ClassWeights = "none"
    """`balanced`: in the loss an image of a class with few training images counts more, by
    images / (classes * images of its class)."""
    held_out_folds: int = Field(default=3, ge=0, le=10)
    """How often a site that asks for classes trains its network once more, each time without one of so many
    parts of the training images, so that these show forgetting, too. 0: never; validation images alone do."""
    allow_mixed_sizes: bool = False
    """Images may differ in size."""
    seed: int = Field(default=0, ge=0)
    """The same seed gives the same figures."""

    @model_validator(mode="before")
    @classmethod
    def _own_forgetting_budget(cls, values: Any) -> Any:
        """A bundle leaves the forgetting budget open, so that it is known whether the hospital wrote it."""
        if isinstance(values, dict) and values.get("forgetting_budget", 0) is None:
            return {k: v for k, v in values.items() if k != "forgetting_budget"}
        return values

    @model_validator(mode="after")
    def _published_for_a_reference(self) -> Site:
        if bool(self.published) != (self.reference_dir is not None):
            raise ValueError(
                "published: answers to a reference are used together with 'reference_dir', its folder"
            )
        if self.published and self.responses:
            raise ValueError(
                "published: answers to a reference and to the own query are in different axes; "
                "use one or the other"
            )
        return self

    @model_validator(mode="after")
    def _of_queried_classes(self) -> Site:
        for name, share in self.prevalence.items():
            if name not in self.queried.names:
                raise ValueError(f"prevalence: '{name}' is not asked for; {one_of(name, self.queried.names)}")
            if not 0 < share < 100:
                raise ValueError(f"prevalence: of '{name}' it is {share:g} %; it lies between 0 and 100")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Site:
        from clinical_qkt.networks.registry import PRESETS  # which takes MONAI's seconds to import

        if self.architecture not in PRESETS:
            known = one_of(self.architecture, list(PRESETS))
            raise ValueError(f"architecture: '{self.architecture}' is not on the list; {known}")
        if self.early_stopping is not None and self.keep != "best":
            raise ValueError(
                "early_stopping: the last weights of a training that stopped are not its best; "
                "say 'keep: best', too"
            )
        if self.held_out_folds == 1:
            raise ValueError("held_out_folds: without the only part nothing is left; say 2 or more, or 0")
        if self.tracking_server and "@" in urlsplit(self.mlflow).netloc:
            raise ValueError(
                "mlflow: holds a user or a password, and the address is logged; "
                "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            )
        return self

    def require_classes(self, trained: LabelSpace) -> None:
        """Refuse a model whose rows are not the site's classes: a list that was changed since it was trained.

        Raises:
            InputError: other classes, another order, or parts of what is one class now.
        """
        pairs = zip(trained, self.classes, strict=False)
        same = all(now.match(then) not in (None, "merged") for then, now in pairs)
        if not same or len(trained) != len(self.classes):
            raise InputError(
                f"the model was trained for other classes: {', '.join(trained.names)}",
                where=f"site '{self.site}': classes",
                fix="run `train` again, or list the classes as they were",
            )

    @property
    def numbers(self) -> list[Path]:
        """Folders of what came as statistics, whether it was asked for or published."""
        return [*self.responses, *self.published]

    @property
    def record(self) -> tuple[Path, ...]:
        """Where it is written down which packages this site wrote itself; see ``packages.made_here``."""
        return made_here.places(self.site, self.output_dir)

    @property
    def trust(self) -> Trust:
        """Whose packages the site takes; its own are known by its record, not by where they lie."""
        return replace(super().trust, site=self.site, made_here=made_here.cards(self.record))

    @property
    def rule_written(self) -> frozenset[str]:
        """The criteria of the rule whose limit the hospital wrote itself."""
        forgetting = {"forgetting"} if "forgetting_budget" in self.model_fields_set else set()
        return self.acceptance.written() | forgetting

    @property
    def rule_sha256(self) -> str:
        """The digest of the rule by which a new model is judged."""
        return self.acceptance.digest(self.forgetting_budget)

    @property
    def tracking_uri(self) -> str:
        """Where MLflow logs: a database, beside the results unless the site names one."""
        beside = f"sqlite:///{(self.transfer_dir / 'mlflow.db').absolute()}"
        return beside if self.tracking_server else self.mlflow or beside

    @property
    def tracking_server(self) -> str | None:
        """The address to which the database's records are sent when a stage has ended."""
        return self.mlflow if self.mlflow.startswith(_SERVERS) else None


def check_site(values: dict[str, Any], where: str, origin: Origin | None = None) -> Site:
    """Validate a site's description.

    Args:
        where: named in an error if it is not known where a value was written.
        origin: where each was.

    Raises:
        InputError: all problems at once, each with its key.
    """
    unknown = [k for k in values if k not in {*Site.model_fields, *Site.RENAMED}]
    if unknown:
        raise InputError(
            f"unknown key '{unknown[0]}'", where=where, fix=one_of(unknown[0], list(Site.model_fields))
        )
    return _validated(Site, values, origin or Origin(where))


def read_part(path: Path, model: type[S]) -> S:
    """A part of a site's YAML file; its other keys are checked when the bundle runs.

    Raises:
        InputError: the file cannot be read, or all problems with that part, each with its key.
    """
    values = read_yaml(path)
    known = {*model.model_fields, *model.RENAMED}
    return _validated(model, {k: v for k, v in values.items() if k in known}, Origin(str(path)))


def write_site(path: Path, values: dict[str, Any]) -> None:
    """Write a site's YAML file."""
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _validated(model: type[S], values: dict[str, Any], origin: Origin) -> S:
    try:
        return model.model_validate(values)
    except ValidationError as e:
        raise refused(e, model, origin, fix=FIX) from None
