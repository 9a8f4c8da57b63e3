"""Several sites' models as one network: a committee, which answers with their joint opinion.

Kept in a model folder like any other network: the card says which networks sit in it and what they know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clinical_qkt.core.values import Sent
from clinical_qkt.data.inputs import InputContract, converted
from clinical_qkt.networks.gaussian_classifier import SingleNetwork
from clinical_qkt.networks.joint_opinion import JointOpinion, merged, own_settled
from clinical_qkt.networks.one_body import with_head_inputs
from clinical_qkt.networks.spec import NetworkSpec, linear_head
from clinical_qkt.tasks.single_label import SINGLE_LABEL


class Committee(nn.Module):
    """Networks that see the same image, their joint opinion, and a head.

    Whether an image shows one of the student's classes or a queried one is settled by the joint opinion;
    which of its own classes it shows, by it or by the student's own model alone, see ``qkt.own_classes``. The
    head is linear in what comes of both. At first it passes the classes that are asked for on as they are.

    Where members differ in their heads alone, the first one's network sees the image for all of them.

    Args:
        spec: who sits in it.
        members: their networks, each with one row for each class that it knows; with ``one_body`` of all but
            the first their heads alone.
        classes: rows of the head.
    """

    def __init__(self, spec: CommitteeSpec, members: Sequence[nn.Module], classes: int) -> None:
        super().__init__()
        self.spec, self.members = spec, nn.ModuleList(members)
        columns = [[*dict.fromkeys(seat.columns)] for seat in spec.members]
        self.join = JointOpinion(columns, spec.width)
        self.mine = [columns[0].index(c) for c in spec.own]
        self.head = nn.Linear(spec.width, classes)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(classes, spec.width))
            self.head.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        """``(B, channels, *spatial_size)``, as ``spec.input`` says, to ``(B, classes)`` logits."""
        seats = self.spec.members
        if self.spec.one_body:
            first, *heads = self.members
            own, seen = with_head_inputs(first, converted(image, self.spec.input, seats[0].input))
            logits = [own, *(head(seen) for head in heads)]
        else:
            logits = [
                member(converted(image, self.spec.input, seat.input))
                for member, seat in zip(self.members, seats, strict=True)
            ]
        return self.joined(logits)

    def joined(self, logits: Sequence[Tensor]) -> Tensor:
        """From each member's logits, ``(B, its rows)``, to ``(B, classes)``."""
        seats = zip(logits, self.spec.members, strict=True)
        return self.answer([merged(said, seat.columns)[0] for said, seat in seats])

    def answer(self, said: Sequence[Tensor]) -> Tensor:
        """From what each member says of its classes, each once, to ``(B, classes)`` logits."""
        together = self.join(said)
        if self.spec.own:
            together = own_settled(together, said[0][:, self.mine], self.spec.own)
        logits: Tensor = self.head(together)
        return logits


MAX_MEMBERS, MAX_CLASSES = 128, 512
"""The joint opinion needs memory for the square of the classes, for every image of a batch."""
MOST_BLOCKS, MOST_COLUMNS = 512, 8192
"""Of all members together: how deep they are, see ``registry.blocks``, and how many rows their heads have."""

Column = Annotated[int, Field(ge=0, lt=MAX_CLASSES)]


class Seat(Sent):
    """One member on a card."""

    network: SingleNetwork
    """What it is."""
    input: InputContract
    """What it expects of an image."""
    columns: list[Column] = Field(min_length=1, max_length=MAX_CLASSES)
    """For each row of its head where that class stands among all members' classes. Rows that stand for the
    same one are its parts, and are merged."""


class CommitteeSpec(Sent):
    """A committee as a card describes it; the counterpart of ``spec.NetworkSpec``."""

    name: Literal["Committee"] = "Committee"
    """What tells it from a network of the closed list."""
    input: InputContract
    """Of the images that it is given."""
    members: list[Seat] = Field(min_length=1, max_length=MAX_MEMBERS)
    """The networks that sit in it."""
    width: int = Field(ge=1, le=MAX_CLASSES)
    """Classes that its members know in all."""
    own: list[Column] = Field([], max_length=MAX_CLASSES, exclude_if=lambda own: not own)
    """Among which of these the first member, the student's own, settles it alone; none where the joint
    opinion does, as in committees of earlier versions."""

    one_body: bool = Field(False, exclude_if=lambda one: not one)
    """Whether members differ in their heads alone: then of all but the first there are only these."""

    @model_validator(mode="after")
    def _one_network(self) -> CommitteeSpec:
        first = self.members[0]
        same = all((s.network, s.input) == (first.network, first.input) for s in self.members)
        if self.one_body and not (same and isinstance(first.network, NetworkSpec)):
            raise ValueError("one_body: members are not one network of the closed list on the same images")
        return self

    @model_validator(mode="after")
    def _own_are_its_own(self) -> CommitteeSpec:
        if len(set(self.own)) < len(self.own):
            raise ValueError("own: it names a class twice")
        if not set(self.own) <= set(self.members[0].columns):
            raise ValueError("own: the first member does not know one of them")
        return self

    @model_validator(mode="after")
    def _within(self) -> CommitteeSpec:
        if any(c >= self.width for seat in self.members for c in seat.columns):
            raise ValueError("members: a column lies beyond 'width'")
        bodies = self.members[:1] if self.one_body else self.members
        if sum(seat.network.blocks for seat in bodies) > MOST_BLOCKS:
            raise ValueError(f"members: together they are deeper than {MOST_BLOCKS} blocks")
        if sum(len(seat.columns) for seat in self.members) > MOST_COLUMNS:
            raise ValueError(f"members: together they have more than {MOST_COLUMNS:,} rows")
        for seat in self.members:
            obstacle = seat.input.obstacle(self.input)
            if obstacle:
                raise ValueError(f"members: one {obstacle}")
        return self

    def build(self, classes: int) -> Committee:
        """The committee with random weights and a head of ``classes`` rows.

        Raises:
            InputError: if MONAI refuses a member's arguments.
        """
        first, *others = self.members
        networks = [first.network.build(len(first.columns))]
        if self.one_body:
            width = linear_head(networks[0]).in_features
            networks += [SINGLE_LABEL.head(width, len(seat.columns)) for seat in others]
        else:
            networks += [seat.network.build(len(seat.columns)) for seat in others]
        return Committee(self, networks, classes)
