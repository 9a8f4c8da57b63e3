"""The joint opinion in ONNX's operators, of which none solves linear equations.

The inverse of the curvature is found by Newton and Schulz: ``X <- X (2 I - A X)`` doubles the digits of the
inverse of a positive definite matrix with every step. Needs onnxscript: nothing imports this but an export.
"""

# No ``from __future__ import annotations``: onnxscript reads the annotations of what it translates.

import onnxscript
from onnxscript import DOUBLE
from onnxscript import opset18 as op

from clinical_qkt.export.onnx_opinion import DAMPING, LONGEST
from clinical_qkt.networks.joint_opinion import RIDGE, STEPS

DAMPED = RIDGE + DAMPING
DOUBLINGS = 22
"""Enough for curvatures of which the largest is 100,000 times the smallest; 128 members bring about less."""


@onnxscript.script(onnxscript.values.Opset("clinical_qkt", 1), default_opset=op)
def joint_opinion(said: DOUBLE[...], place: DOUBLE[...], member: DOUBLE[...]) -> DOUBLE[...]:  # type: ignore[valid-type]
    """As ``onnx_opinion.opinion``."""
    first = op.Constant(value_ints=[1])
    second = op.Constant(value_ints=[2])
    ridge = op.CastLike(op.Constant(value_float=RIDGE), said)
    damped = op.CastLike(op.Constant(value_float=DAMPED), said)
    most = op.CastLike(op.Constant(value_float=LONGEST), said)
    eye = op.EyeLike(op.MatMul(op.Transpose(place, perm=[1, 0]), place))
    two = eye + eye
    same = op.MatMul(op.Transpose(member, perm=[1, 0]), member)
    z = op.MatMul(said - said, place)
    for _ in range(STEPS):
        y = op.MatMul(z, op.Transpose(place, perm=[1, 0]))
        e = op.Exp(y - op.ReduceMax(y, first, keepdims=1))
        s = e / op.MatMul(e, same)
        gradient = ridge * z + op.MatMul(s - said, place)
        shared = op.MatMul(op.Unsqueeze(s, first) * member, place)
        whole = (op.Unsqueeze(op.MatMul(s, place), first) + damped) * eye
        curvature = whole - op.MatMul(op.Transpose(shared, perm=[0, 2, 1]), shared)
        rows = op.ReduceSum(op.Abs(curvature), second, keepdims=1)
        inverse = eye / op.ReduceMax(rows, first, keepdims=1)
        for _ in range(DOUBLINGS):
            inverse = op.MatMul(inverse, two - op.MatMul(curvature, inverse))
        step = op.Squeeze(op.MatMul(inverse, op.Unsqueeze(gradient, second)), second)
        z = z - op.Clip(step, op.Neg(most), most)
    return z
