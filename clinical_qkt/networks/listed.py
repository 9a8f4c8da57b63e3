"""The entries of the closed list of networks that a card may name, with short names for the usual ones.

All are MONAI's, or MONAI's with other layers; of their arguments only those that are listed may be given, as
literals. A new network is one entry of ``ALLOWED``: code of ours; no package, card or config adds to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.networks import nets

from clinical_qkt.networks.allowed import Allowed, Args, Literal
from clinical_qkt.networks.efficientnet_lite import (
    BLOCKS,
    EfficientNetLite0,
    EfficientNetLite0OfStages,
)
from clinical_qkt.networks.resnet_of_norm import ResNetOfNorm

_EFFICIENTNETS = {f"efficientnet-b{i}": n for i, n in enumerate((16, 23, 23, 26, 32, 39, 45, 55))}
"""Blocks of each. The larger ones of MONAI's list cannot be named."""


class ViT(nets.ViT):
    """MONAI's vision transformer, giving its logits alone, as every other classifier does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, channels, *img_size)`` to ``(B, classes)`` logits."""
        return super().forward(x)[0]


def _total(key: str, usual: int, weight: int = 1) -> Callable[[Args], int]:
    """Blocks of a network whose argument ``key`` says how many there are; without it there are ``usual``."""

    def blocks(args: Args) -> int:
        given = args.get(key, usual)
        parts = given if isinstance(given, list) else [given]
        return weight * sum(int(v) for v in parts if isinstance(v, int | float))

    return blocks


def _of_stages(args: Args) -> int:
    stages = args.get("blocks_args_str")
    return sum(2 * int(str(s)[1]) for s in stages) if isinstance(stages, list) else 0


def _unknown_model(args: Args) -> str | None:
    if str(args.get("model_name")) in _EFFICIENTNETS:
        return None
    return f"model_name of EfficientNetBN is none of {', '.join(_EFFICIENTNETS)}"


def _patches(spatial_size: Sequence[int], preset: Args) -> dict[str, Literal]:
    """A preset names its patches' side, the same along each axis; else it is 4, of volumes 8."""
    given, axes = preset.get("patch_size"), len(spatial_size)
    patch = int(given[0]) if isinstance(given, list) else 4 if axes == 2 else 8
    return {"img_size": list(spatial_size), "patch_size": [patch] * axes}


def _uncovered(args: Args) -> str | None:
    """Patches have to cover an image: MONAI would leave out what is over."""
    image, patch = args.get("img_size"), args.get("patch_size")
    if isinstance(image, list) and isinstance(patch, list) and len(image) == len(patch):
        sides = zip(image, patch, strict=True)
        if all(isinstance(i, int) and isinstance(p, int) and p and i % p == 0 for i, p in sides):
            return None
    return "img_size of ViT is no multiple of patch_size along each axis"


_STEM: dict[str, Literal] = {"block": "basic", "conv1_t_size": 3, "conv1_t_stride": 1}
_SMALL: dict[str, Literal] = {
    **_STEM,
    "layers": [1, 1, 1, 1],
    "block_inplanes": [16, 32, 64, 128],
    "no_max_pool": True,
}
_STANDARD: dict[str, Literal] = {
    "conv1_t_size": 7,
    "conv1_t_stride": 2,
    "no_max_pool": False,
    "block_inplanes": [64, 128, 256, 512],
}
_STAGES = ["r1_k3_s11_e1_i32_o16", "r2_k3_s22_e4_i16_o24", "r2_k3_s22_e4_i24_o48", "r1_k3_s22_e4_i48_o96"]

_RESNET = frozenset({"block", "layers", "block_inplanes", "conv1_t_size", "conv1_t_stride", "no_max_pool"})


def _without_batches(preset: str, norm: tuple[str, dict[str, Any]], depths: tuple[str, ...]) -> Allowed:
    """A ResNet with another norm instead of batch norm; its preset is ``resnet_small`` but for that."""
    return Allowed(
        make=ResNetOfNorm,
        channels="n_input_channels",
        classes="num_classes",
        depths=depths,
        late=("layer3", "layer4"),
        others=_RESNET,
        blocks=_total("layers", 0),
        presets={preset: _SMALL},
        fixed={"norm": norm},
        small=frozenset({preset}),
    )


def _lite0(make: Callable[..., Any], preset: str) -> Allowed:
    """Stem, stages and head are the paper's of its family: nothing of it can be chosen."""
    return Allowed(
        make=make,
        channels="in_channels",
        classes="num_classes",
        depths=("_bn0", "_blocks.0", "_blocks.1"),
        late=("_bn1",),
        others=frozenset(),
        blocks=lambda _: 2 * BLOCKS,
        presets={preset: {}},
    )


ALLOWED: dict[str, Allowed] = {
    "ResNet": Allowed(
        make=nets.ResNet,
        channels="n_input_channels",
        classes="num_classes",
        depths=("bn1", "layer1", "layer2"),
        late=("layer3", "layer4"),
        others=_RESNET,
        blocks=_total("layers", 0),
        presets={
            # 0.31 M parameters in two dimensions; for pictures of 28 to 64 pixels
            "resnet_small": _SMALL,
            # the same with a first step of two voxels: eight times as fast on volumes
            "resnet_small_stride2": {**_SMALL, "conv1_t_stride": 2},
            "resnet18": {
                **_STEM,
                "layers": [2, 2, 2, 2],
                "block_inplanes": [64, 128, 256, 512],
                "no_max_pool": True,
            },
            # The stem of the paper (He et al., CVPR 2016), of seven pixels in steps of two and then max
            # pooling: for pictures of 96 to 512 pixels, on which the others compute sixteen times as much
            "resnet18_standard": {**_STANDARD, "block": "basic", "layers": [2, 2, 2, 2]},
            "resnet50_standard": {**_STANDARD, "block": "bottleneck", "layers": [3, 4, 6, 3]},
        },
        small=frozenset({"resnet_small", "resnet18"}),
    ),
    # Nothing of other images is in an image's features, neither of its batch nor of those trained on
    "GroupNormResNet": _without_batches(
        "resnet_small_group", ("group", {"num_groups": 8}), ("bn1", "layer1", "layer2")
    ),
    # What comes out of an instance norm has the same mean and spread for every image: no use to statistics
    "InstanceNormResNet": _without_batches(
        "resnet_small_instance", ("instance", {"affine": True}), ("layer1", "layer2")
    ),
    "DenseNet121": Allowed(
        make=nets.DenseNet121,
        channels="in_channels",
        classes="out_channels",
        depths=("features.norm0", "features.transition1", "features.transition2"),
        late=("features.norm5",),
        others=frozenset({"init_features", "growth_rate", "block_config", "norm"}),
        blocks=_total("block_config", 58),
        presets={
            # 0.07 M parameters; at least 24 pixels a side
            "densenet_small": {"init_features": 24, "growth_rate": 12, "block_config": [3, 3, 3]},
            # its pooling needs at least 32 pixels a side
            "densenet121": {},
        },
    ),
    # For training with differential privacy: no layer mixes the images of a batch or writes over its input
    "GroupNormDenseNet": Allowed(
        make=nets.DenseNet121,
        channels="in_channels",
        classes="out_channels",
        depths=("features.norm0", "features.transition1", "features.transition2"),
        late=("features.norm5",),
        others=frozenset({"init_features", "growth_rate", "block_config"}),
        blocks=_total("block_config", 58),
        # 0.08 M parameters, none of them of batch norm; at least 24 pixels a side
        presets={"densenet_private": {"init_features": 32, "growth_rate": 16, "block_config": [2, 2, 2]}},
        fixed={"norm": ("group", {"num_groups": 8}), "act": ("relu", {"inplace": False})},
    ),
    "EfficientNetBN": Allowed(
        make=nets.EfficientNetBN,
        channels="in_channels",
        classes="num_classes",
        depths=("_bn0", "_blocks.1", "_blocks.2"),
        late=("_bn1",),
        others=frozenset({"model_name", "norm"}),
        blocks=lambda args: 2 * _EFFICIENTNETS.get(str(args.get("model_name")), 0),
        # at least 32 pixels a side
        presets={"efficientnet_b0": {"model_name": "efficientnet-b0", "norm": "batch"}},
        refused=_unknown_model,
        fixed={"pretrained": False},  # pretrained weights would be downloaded
    ),
    "EfficientNet": Allowed(
        make=nets.EfficientNet,
        channels="in_channels",
        classes="num_classes",
        depths=("_bn0", "_blocks.0", "_blocks.1"),
        late=("_bn1",),
        others=frozenset({"blocks_args_str", "image_size", "norm"}),
        blocks=_of_stages,
        # MONAI's batch norm for this family follows its statistics so slowly (momentum 0.01) that a thousand
        # images do not suffice; plain batch norm does
        presets={
            "efficientnet_small": {"blocks_args_str": [f"{s}_se0.25" for s in _STAGES], "norm": "batch"}
        },
    ),
    # 3.4 M parameters; for pictures of 96 to 512 pixels, with or without the weights of ImageNet
    "EfficientNetLite0": _lite0(EfficientNetLite0, "efficientnet_lite0"),
    # The same weights, and a head that reads all stages: for a head that is trained alone
    "EfficientNetLite0OfStages": _lite0(EfficientNetLite0OfStages, "efficientnet_lite0_stages"),
    "SEResNet50": Allowed(
        make=nets.SEResNet50,
        channels="in_channels",
        classes="num_classes",
        depths=("layer0", "layer1", "layer2"),
        late=("layer3",),  # the last one alone comes to 4096 numbers
        others=frozenset({"layers", "inplanes"}),
        blocks=_total("layers", 16, weight=2),
        presets={"seresnet_small": {"layers": [1, 1, 1, 1]}},
    ),
    "ViT": Allowed(
        make=ViT,
        channels="in_channels",
        classes="num_classes",
        depths=("patch_embedding", "blocks.0", "blocks.1"),
        late=("norm",),
        others=frozenset({"img_size", "patch_size", "hidden_size", "mlp_dim", "num_layers", "num_heads"}),
        blocks=_total("num_layers", 12, weight=2),
        # sides that four divides in two dimensions, eight in three
        presets={
            "vit_small": {"hidden_size": 96, "mlp_dim": 192, "num_layers": 4, "num_heads": 4},
            # ViT-S/16 (Touvron et al., ICML 2021): sides that sixteen divides
            "vit_s16": {
                "hidden_size": 384,
                "mlp_dim": 1536,
                "num_layers": 12,
                "num_heads": 6,
                "patch_size": [16],
            },
        },
        refused=_uncovered,
        of_size=_patches,
        fixed={"classification": True, "post_activation": ""},
        tokens=True,
        small=frozenset({"vit_small"}),  # of patches of four pixels
    ),
}
