"""EfficientNet-lite0 as a variant of MONAI's EfficientNet, for which there are weights of ImageNet.

Of TensorFlow's efficientnet_lite_builder.py: no squeeze-and-excitation, ReLU6 in the place of swish, and
neither stem, head, first nor last stage scaled, which for the smallest of the family changes nothing.
"""

from __future__ import annotations

import torch
from monai.networks.nets.efficientnet import EfficientNet, MBConvBlock
from torch import Tensor, nn
from torch.nn import functional as F

from clinical_qkt.networks.pooled import mean_and_spread

STAGES = [
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
]
"""In MONAI's notation, without squeeze-and-excitation."""
BLOCKS = sum(int(stage[1]) for stage in STAGES)
NORM = ("batch", {"eps": 1e-3, "momentum": 0.1})
"""``eps`` is that of the weights there are: another would change what they compute. The family's momentum of
0.01 belongs to trainings of a million images; a hospital's few steps need the usual one."""


class EfficientNetLite0(EfficientNet):
    """MONAI's EfficientNet with other layers, which pads images of any size as TensorFlow's ``same`` does.

    MONAI pads for one size that has to be known beforehand.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the images.
        num_classes: rows of the head.
    """

    def __init__(self, spatial_dims: int, in_channels: int, num_classes: int) -> None:
        super().__init__(STAGES, spatial_dims, in_channels, num_classes, norm=NORM)
        self._swish = nn.ReLU6()
        self._conv_stem_padding = same(self._conv_stem)
        for block in self.modules():
            if isinstance(block, MBConvBlock):
                block._swish = nn.ReLU6()
                block._depthwise_conv_padding = same(block._depthwise_conv)


class EfficientNetLite0OfStages(EfficientNetLite0):
    """The same; its head reads all stages: each one's channels' mean and spread, and the last layer's means.

    The last layer alone knows what the network was trained for; what tells a hospital's classes apart may lie
    earlier. Evci et al. (Head2Toe, ICML 2022) read all layers' means; the spreads, and no choice among the
    features, are ours. The weights are EfficientNet-lite0's but for the head.

    Args:
        spatial_dims, in_channels, num_classes: as above.

    Attributes:
        reads_stages: so that the head of a file of weights has other columns, see ``packages.weights_file``.
    """

    reads_stages = True

    def __init__(self, spatial_dims: int, in_channels: int, num_classes: int) -> None:
        super().__init__(spatial_dims, in_channels, num_classes)
        stages = [int(stage.split("_o")[1]) for stage in STAGES]
        width = 2 * (self._conv_stem.out_channels + sum(stages)) + self._conv_head.out_channels
        self._fc = nn.Linear(width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(B, in_channels, *places)`` to ``(B, num_classes)`` logits."""
        x = self._bn0(self._conv_stem(self._conv_stem_padding(inputs)))
        seen = [mean_and_spread(x.float().flatten(2))]
        x = self._swish(x)
        for stage in self._blocks:
            x = stage(x)
            seen.append(mean_and_spread(x.float().flatten(2)))
        last = self._swish(self._bn1(self._conv_head(self._conv_head_padding(x))))
        logits: Tensor = self._fc(torch.cat([*seen, last.float().flatten(2).mean(2)], 1))
        return logits


def same(convolution: nn.Module) -> nn.Module:
    """What has to come before a convolution so that steps of s give one place in s, rounded up.

    With steps of one nothing: the convolution adds the zeros by itself, without a copy of its images.
    """
    assert isinstance(convolution, nn.Conv2d | nn.Conv3d)
    if any(step > 1 for step in convolution.stride):
        return Same(convolution)
    convolution.padding = tuple(kernel // 2 for kernel in convolution.kernel_size)  # all are odd
    return nn.Identity()


class Same(nn.Module):
    """Zeros around an image, so that a convolution with steps of s gives one in s places, rounded up.

    Args:
        convolution: that follows.
    """

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.kernel, self.steps = convolution.kernel_size, convolution.stride

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, *places)``; of an odd number of zeros the last is at the end."""
        pads: list[int] = []
        for places, kernel, step in zip(x.shape[2:], self.kernel, self.steps, strict=True):
            total = max((-(-places // step) - 1) * step + kernel - places, 0)
            pads = [total // 2, total - total // 2, *pads]  # torch names the last axis first
        return F.pad(x, pads) if any(pads) else x
