"""What a task decides: what a label says of an image, and all that follows from it.

torchmetrics keeps binary, multiclass and multilabel apart, each with pure functions of its own and none with
a switch. A ``Task`` gathers such functions. There is one so far, ``single_label``; nothing chooses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:  # whoever only counts what was decided does not wait for torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

Rows = TypeVar("Rows", "Tensor", "NDArray[Any]")
"""One row an image."""


class Task(Protocol):
    """From labels and logits to losses, decisions and counts.

    Throughout: ``logits`` and ``probabilities`` are ``(N, C)``, a column a class; ``targets`` are what labels
    say and ``decided`` is what a model says, both in the task's one form; classes are named by their columns.

    What a second task has to bring besides, since these rest on one label an image and belong to a method:

    * ``qkt.losses``: divergences of softmaxes, and a cross-entropy that leaves the queried classes out;
      ``networks.joint_opinion``: models joined on a simplex; ``qkt.knowledge_masks``, ``qkt.subclasses``;
    * ``qkt.forgetting_budget``: a bias that is raised until the queried class wins an image;
    * ``statistics.gaussian_heads`` and ``networks.gaussian_classifier``: each image from one Gaussian;
    * ``query.patient_batches`` and the ledger: an image counts in the response for one class;
    * ``evidence``: what is compared with a class's column by ``==``, such as false alarms, and the stated
      probability as the highest of a row; ``audit.membership``: confidence in the one true class;
    * ``data``: the field ``label`` of a datalist, splits that are stratified by it; the bundles' YAML, which
      names ``CrossEntropyLoss`` and a metric of one label.
    """

    @property
    def head(self) -> type[nn.Linear]:
        """The kind of layer that ends a network; a row a class, so that classes can be added and taken."""
        ...

    def targets(self, items: Iterable[Mapping[str, Any]]) -> Tensor:
        """What the labels of images ``{"label", …}`` say, int64."""
        ...

    def relabelled(
        self, items: Iterable[Mapping[str, Any]], columns: Mapping[int, int | None]
    ) -> list[dict[str, Any]]:
        """The images that show a class of another list, with labels in that list.

        Args:
            items: ``{"label", …}``; everything else stays as it is.
            columns: ``{column here: column there}``; a class that is not there has none, or None.
        """
        ...

    def loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Of supervised training, a scalar; ``targets`` are a batch's entries without the images."""
        ...

    def probabilities(self, logits: Tensor) -> Tensor:
        """``(N, C)`` in ``[0, 1]``."""
        ...

    def decide(self, scores: Rows) -> Rows:
        """What a model says of each image, of its logits or of its probabilities alike."""
        ...

    def evidence(self, logits: Tensor, query: Sequence[int], known: Sequence[int]) -> Tensor:
        """``(N, len(query))``: how much speaks for each queried class, measured on the known ones."""
        ...

    def by_class(self, rows: Rows, targets: Rows, classes: Iterable[int]) -> list[Rows]:
        """The rows of the images of each class."""
        ...

    def counts(self, targets: NDArray[Any], decided: NDArray[Any], classes: int) -> NDArray[Any]:
        """How many images of each class were decided how."""
        ...
