"""What a site's training starts from, and which part of the network it trains: a part of its YAML."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from clinical_qkt.core.schema import SHOWN
from clinical_qkt.core.terms import LookAugmentation, TrainedLayers
from clinical_qkt.core.values import Strict


class Start(Strict):
    """Pretrained weights, and what is trained of a network that starts from them."""

    pretrained: Path | None = Field(default=None, json_schema_extra={SHOWN: "none: random weights"})
    """A `.safetensors` file with weights of the network under `architecture`, from which the site's own
    training starts. They fit to the letter; only a head of another number of classes is left out."""
    trained_layers: TrainedLayers = "all"
    """What is trained of a network with pretrained weights: `all`; what follows its early stages (`last`);
    or its `head` alone, on features that are computed once, without augmentation. What is not trained stays
    as the file has it, statistics of batch norm included."""
    head_penalty: float | None = Field(
        default=None, gt=0, json_schema_extra={SHOWN: "none: the head is trained by epochs"}
    )
    """With `trained_layers: head`: the head is fitted at once by logistic regression, with half this times
    the sum of its squared weights (of standardised features) added to the mean loss. Epochs, batch and rate
    do not matter then. Small weights are less sure of themselves about images of classes that the site never
    saw."""

    @model_validator(mode="after")
    def _of_pretrained_weights(self) -> Start:
        if self.pretrained is None and self.trained_layers != "all":
            raise ValueError(
                f"trained_layers: '{self.trained_layers}' leaves the rest as it is, which without "
                "'pretrained' is random; name a file of weights there, or write 'all'"
            )
        looks: LookAugmentation = getattr(self, "look_augmentation", "none")
        if self.trained_layers == "head" and looks != "none":
            raise ValueError(
                f"look_augmentation: '{looks}' changes images at every look, but with "
                "'trained_layers: head' each is looked at once; write 'none', or train 'last' or 'all'"
            )
        if self.head_penalty is None:
            return self
        if self.trained_layers != "head":
            raise ValueError(
                "head_penalty: is of a head that is trained alone; write 'trained_layers: head', "
                "or take it out"
            )
        if getattr(self, "keep", "last") == "best":
            raise ValueError(
                "head_penalty: a head that is fitted at once has no epochs of which one is the best; write "
                "'keep: last', or take it out"
            )
        return self
