"""One network with a head for each model that it speaks for, which answers with their joint opinion.

What a committee is with many networks, this is with one: a body, unchanged, whose pooled stages bear a small
linear head for every other model. Kept in a model folder like any other network.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clinical_qkt.core.values import Sent
from clinical_qkt.networks.extractor import Pooling, PoolingSpec
from clinical_qkt.networks.joint_opinion import JointOpinion, own_settled

MAX_HEADS, MAX_COLUMNS, MOST_ROWS = 128, 512, 8192
"""Heads, classes, and rows of all heads. The joint opinion needs memory for the square of the classes, for
every image of a batch."""


class MultiHead(nn.Module):
    """A network with its own head, linear heads on its pooled stages, and the joint opinion of all.

    Whether an image shows one of the student's classes or a queried one is settled by the joint opinion;
    which of its own classes it shows, by the opinion of the student's own model. A shared body with a head
    for each model of an ensemble is Hydra (Tran et al., arXiv 2001.04694); here each head speaks for the
    classes that its model knows.

    Args:
        spec: what it consists of.
        body: its network has one row for each class that it speaks for.
        classes: rows of the last layer: the student's classes, then the queried ones.
    """

    def __init__(self, spec: MultiHeadSpec, body: Pooling, classes: int) -> None:
        super().__init__()
        self.spec, self.body = spec, body
        self.heads = nn.Linear(spec.body.pooled, sum(map(len, spec.heads)))
        self.join = JointOpinion(spec.opinions, spec.width)
        self.head = nn.Linear(spec.width, classes)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(classes, spec.width))
            self.head.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        """``(B, channels, *spatial_size)`` to ``(B, classes)`` logits."""
        spoken, pooled = self.body.pooled(image)
        return self.answer(spoken, self.heads(pooled))

    def answer(self, spoken: Tensor, imitated: Tensor) -> Tensor:
        """From the logits of the body's own head, and those of all further heads beside each other.

        Args:
            spoken: ``(B, the body's classes)``.
            imitated: ``(B, rows of all further heads)``.
        """
        said = [spoken, *imitated.split([len(columns) for columns in self.spec.heads], 1)]
        own = said[self.spec.own]
        return self.head(own_settled(self.join(said), own, range(own.shape[1])))


Column = Annotated[int, Field(ge=0, lt=MAX_COLUMNS)]
Columns = Annotated[list[Column], Field(min_length=1, max_length=MAX_COLUMNS)]


class MultiHeadSpec(Sent):
    """A ``MultiHead`` as a card describes it; the counterpart of ``spec.NetworkSpec``."""

    name: Literal["MultiHead"] = "MultiHead"
    """What tells it from a network of the closed list."""
    body: PoolingSpec
    """The network below the heads, and its stages that bear them."""
    columns: Columns
    """For each row of the body's own head where that class stands among all classes; each once."""
    heads: list[Columns] = Field(min_length=1, max_length=MAX_HEADS)
    """The same for each further head."""
    own: int = Field(ge=0, le=MAX_HEADS)
    """Who speaks for the student's own model: 0 the body's own head, 1 the first further head. Its classes
    come first among all, in their order."""
    width: int = Field(ge=1, le=MAX_COLUMNS)
    """Classes in all."""

    @model_validator(mode="after")
    def _consistent(self) -> MultiHeadSpec:
        if any(c >= self.width for columns in self.opinions for c in columns):
            raise ValueError("heads: a column lies beyond 'width'")
        if any(len(set(columns)) < len(columns) for columns in self.opinions):
            raise ValueError("heads: one names a class twice")
        if sum(map(len, self.opinions)) > MOST_ROWS:
            raise ValueError(f"heads: together they have more than {MOST_ROWS:,} rows")
        if self.own >= len(self.opinions):
            raise ValueError("own: there are not so many heads")
        if self.opinions[self.own] != list(range(len(self.opinions[self.own]))):
            raise ValueError("own: its classes are not the first of all")
        return self

    @property
    def opinions(self) -> list[list[int]]:
        """The columns of the body's own head and of each further one."""
        return [self.columns, *self.heads]

    @property
    def blocks(self) -> int:
        """How deep its network is; see ``registry``."""
        return self.body.network.blocks

    def build(self, classes: int) -> MultiHead:
        """The network with random weights and a last layer of ``classes`` rows.

        Raises:
            InputError: if MONAI refuses the network's arguments; the network has no such stages.
        """
        return MultiHead(self, Pooling(self.body, self.body.build_network(len(self.columns))), classes)
