"""Fused kernels of the CPU by operation: a function for each operation that a single compiled loop computes.

Each returns the calls that run the operation, or None where its definition is to run, for example for an activation
without a fused loop. `FUSED` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import operations as ops
from ..typing import Call
from . import loops, updates

# ---- batches ----------------------------------------------------------------------------


def gather(op: ops.Gather) -> list[Call]:
    return [partial(loops.gather, op.table, op.order, op.clock, op.out)]


# ---- array functions --------------------------------------------------------------------


def copy(op: ops.Copy) -> list[Call]:
    return [partial(np.copyto, op.out, op.source)]


def multiply(op: ops.Multiply) -> list[Call]:
    return [partial(np.multiply, op.a, op.b, op.out)]


def add(op: ops.Add) -> list[Call]:
    return [partial(np.add, op.a, op.b, op.out)]


# ---- layers -----------------------------------------------------------------------------


def matmul(op: ops.MatMul) -> list[Call]:
    if op.a.shape[-1] == 1:
        return [partial(loops.outer, op.a, op.b, op.out)]  # which NumPy leaves to no BLAS
    return [partial(np.matmul, op.a, op.b, op.out)]


def bias_activation(op: ops.BiasActivation) -> list[Call] | None:
    loop = loops.FORWARD.get(op.activation.kernel)
    if loop is None:
        return None
    arrays = (op.z, op.b) if op.activation.in_place else (op.z, op.b, op.y)
    return [partial(loop, *arrays, *op.activation.constants())]


def activation_backward(op: ops.ActivationBackward) -> list[Call] | None:
    loop = loops.BACKWARD.get(op.activation.kernel)
    if loop is None:
        return None
    kept = op.y if op.activation.in_place else op.z
    return [partial(loop, op.dz, kept, op.db, *op.activation.constants())]


def maxout(op: ops.Maxout) -> list[Call]:
    return [partial(loops.maxout, op.z, op.choice, op.y)]


def maxout_backward(op: ops.MaxoutBackward) -> list[Call]:
    return [partial(loops.maxout_backward, op.dy, op.choice, op.dz)]


def dropout(op: ops.Dropout) -> list[Call]:
    noise, keep = op.noise, op.keep.reshape(len(op.keep), -1)
    return [
        partial(loops.dropout_keep, noise.rates, noise.keys, op.stream, noise.clock, keep),
        partial(loops.dropout, op.x, noise.rates, op.stream, op.keep, op.out),
    ]


def dropout_backward(op: ops.DropoutBackward) -> list[Call]:
    return [partial(loops.dropout_backward, op.d, op.noise.rates, op.stream, op.keep)]


# ---- normalisation ----------------------------------------------------------------------


def batch_moments(op: ops.BatchMoments) -> list[Call]:
    eps = op.x.dtype.type(op.eps)
    return [partial(loops.batch_moments, op.x, op.weight, op.bounds, eps, op.mean, op.variance, op.inverse)]


def track_moments(op: ops.TrackMoments) -> list[Call]:
    batch = op.mean, op.variance, op.weight, op.bounds
    return [partial(loops.track_moments, *batch, op.momentum, *op.running)]


def standardize(op: ops.Standardize) -> list[Call]:
    return [partial(loops.standardize, op.x, op.mean, op.inverse, op.gain, op.bounds, op.y)]


def standardize_backward(op: ops.StandardizeBackward) -> list[Call]:
    batch = op.weight, op.bounds
    return [partial(loops.standardize_backward, op.d, op.x, op.inverse, op.gain, *batch, op.d_gain)]


def scale_backward(op: ops.ScaleBackward) -> list[Call]:
    return [partial(loops.scale_backward, op.d, op.x, op.inverse, op.gain, op.d_gain)]


def standardize_groups(op: ops.StandardizeGroups) -> list[Call]:
    eps = op.x.dtype.type(op.eps)
    return [partial(loops.standardize_groups, op.x, eps, op.inverse, op.gain, op.y)]


def standardize_groups_backward(op: ops.StandardizeGroupsBackward) -> list[Call]:
    return [partial(loops.standardize_groups_backward, op.d, op.x, op.inverse, op.gain, op.d_gain)]


# ---- loss and update --------------------------------------------------------------------


def loss_gradient(op: ops.LossGradient) -> list[Call] | None:
    loop = loops.LOSSES.get(op.loss.kernel)
    if loop is None:
        return None
    batch = op.z, op.y, op.weight, op.scale, op.clock
    return [partial(loop, *batch, op.dz, op.losses, *op.loss.constants())]


def link(op: ops.Link) -> list[Call] | None:
    loop = loops.LINKS.get(op.loss.link_name)
    return None if loop is None else [partial(loop, op.z)]


def update(op: ops.Update) -> list[Call] | None:
    loop = updates.UPDATES.get(op.optimizer.kernel)
    if loop is None:
        return None
    t = op.tables
    second_rate = t.rate if t.second_rate is None else t.second_rate
    rates = t.rate, second_rate, op.alpha, t.scale
    return [partial(loop, op.theta, op.grad, op.slots, op.constants, *rates, op.n_decayed, t.clock, t.loss)]


def average(op: ops.Average) -> list[Call]:
    return [partial(updates.average, op.values, op.mean, op.decay, op.clock)]


def clip_norm(op: ops.ClipNorm) -> list[Call]:
    return [partial(updates.clip_norm, op.grad, op.limit)]


def add_l1(op: ops.AddL1) -> list[Call]:
    return [partial(updates.add_l1, op.theta, op.grad, op.l1, op.scale, op.n_decayed, op.clock, op.losses)]


def limit_norms(op: ops.LimitNorms) -> list[Call]:
    return [partial(updates.limit_norms, op.W, op.limit)]


FUSED: dict[type[ops.Operation], Callable[[Any], list[Call] | None]] = {
    ops.Gather: gather,
    ops.Copy: copy,
    ops.Multiply: multiply,
    ops.Add: add,
    ops.MatMul: matmul,
    ops.BiasActivation: bias_activation,
    ops.ActivationBackward: activation_backward,
    ops.Maxout: maxout,
    ops.MaxoutBackward: maxout_backward,
    ops.Dropout: dropout,
    ops.DropoutBackward: dropout_backward,
    ops.BatchMoments: batch_moments,
    ops.TrackMoments: track_moments,
    ops.Standardize: standardize,
    ops.StandardizeBackward: standardize_backward,
    ops.ScaleBackward: scale_backward,
    ops.StandardizeGroups: standardize_groups,
    ops.StandardizeGroupsBackward: standardize_groups_backward,
    ops.LossGradient: loss_gradient,
    ops.Link: link,
    ops.Update: update,
    ops.Average: average,
    ops.ClipNorm: clip_norm,
    ops.AddL1: add_l1,
    ops.LimitNorms: limit_norms,
}
