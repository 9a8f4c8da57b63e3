"""Parts of a site's YAML file that are of use alone: whose packages it takes, and its classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from clinical_qkt.core.errors import InputError
from clinical_qkt.core.schema import SHOWN
from clinical_qkt.core.terms import PSEUDONYM
from clinical_qkt.core.values import Strict
from clinical_qkt.data.label_space import LabelSpace, SiteClass
from clinical_qkt.data.wholes import SiteList
from clinical_qkt.packages.signing import Trust


class SiteTrust(Strict):
    """Whose packages a site takes: the part of its YAML file that checking a package needs."""

    trusted_keys: dict[Annotated[str, Field(pattern=PSEUDONYM)], Path] = Field(default={})
    """Files with the public keys of other sites, by their pseudonyms. Packages of all others are refused."""
    untrusted_packages: Literal["refuse", "accept"] = "refuse"
    """`accept`: take packages that nobody vouches for, too; summary, report and MLflow then name them."""

    @property
    def trust(self) -> Trust:
        return Trust(self.trusted_keys, self.untrusted_packages == "accept")


class SiteLabels(SiteTrust):
    """A site's classes, and those that it asks for: the part of its YAML file that alignment needs."""

    classes: list[SiteClass] = Field(min_length=1, json_schema_extra={SHOWN: "the bundle's"})
    """The label space, in the order of the model's rows: names, or mappings with codes and synonyms."""
    query: list[SiteClass] = Field(default=[])
    """The classes that the site asks for, in the same form."""
    wholes: list[SiteClass] = Field(default=[], max_length=100)
    """Classes that other sites ask for and this one does not list, since it lists all their parts instead:
    `{name: granulocyte, merges: [neutrophil, eosinophil]}`. Asked for one, the site answers with the images
    of all its parts together; for nothing else does it count."""

    @model_validator(mode="after")
    def _distinct(self) -> SiteLabels:
        try:
            own = self.labels
            already = [q.name for q in self.query if own.places(q)]
            if self.query and not already:
                own.extended(self.query)
        except InputError as e:
            raise ValueError(f"{e.where}: {e.problem}") from None
        if already:
            known = f"query: the site knows '{already[0]}'"
            raise ValueError(f"{known} already; ask for classes that are in neither 'classes' nor 'wholes'")
        return self

    @property
    def labels(self) -> LabelSpace:
        return SiteList(self.classes, self.wholes)

    @property
    def queried(self) -> LabelSpace:
        return LabelSpace(self.query, where="query")
