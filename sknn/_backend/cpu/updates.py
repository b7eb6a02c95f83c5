"""Fused loops over parameters: steps of optimisers, penalties, bounds on norms, and averages."""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from . import elements
from .compiling import kernel, named

COMPILED_IN = "57890f5170107122"  # stands for the content of imported files, see tests/backend/stamps.py

# ---- optimisers: one pass over the flat buffer ------------------------------------------


@register_jitable(forceinline=True)
def update(theta, grad, slots, constants, rate, second_rate, alpha, scale, n_decayed, clock, losses, kind):
    """Update each model by one step of the optimiser whose element has this type, L2 penalty included."""
    now = clock[0]
    for k in range(theta.shape[0]):
        decay = alpha[k] * scale[now, k]
        element, rates = elements.element_of_row(kind, constants, k), (rate[now, k], second_rate[now, k])
        squares = update_row(theta[k], grad[k], slots, k, decay, n_decayed, rates, element)
        losses[now, k] += 0.5 * decay * squares


@register_jitable(forceinline=True)
def update_row(theta, grad, slots, k, decay, n_decayed, rates, element):
    squares = theta.dtype.type(0)
    for i in range(n_decayed):
        w = theta[i]
        squares += w * w
        theta[i] = elements.step(element, w, grad[i] + decay * w, slots, k, i, *rates)
    for i in range(n_decayed, theta.shape[0]):
        theta[i] = elements.step(element, theta[i], grad[i], slots, k, i, *rates)
    return squares


def compile_for(kind):
    """Return a kernel: the update for one type of element."""

    def of_kind(theta, grad, slots, constants, rate, second_rate, alpha, scale, n_decayed, clock, losses):
        update(theta, grad, slots, constants, rate, second_rate, alpha, scale, n_decayed, clock, losses, kind)

    return kernel(named(of_kind, f"update_{kind.__name__}"))


UPDATES = {name: compile_for(kind) for name, kind in elements.OPTIMIZERS.items()}


# ---- regularisation ----------------------------------------------------------------------


@kernel
def clip_norm(grad, limit):
    for k in range(grad.shape[0]):
        squares = grad.dtype.type(0)
        for i in range(grad.shape[1]):
            squares += grad[k, i] * grad[k, i]
        length = math.sqrt(squares)
        if not length <= limit[k]:  # written so that NaN goes through
            factor = limit[k] / length
            for i in range(grad.shape[1]):
                grad[k, i] *= factor


@kernel
def add_l1(theta, grad, l1, scale, n_decayed, clock, losses):
    step = clock[0]
    for k in range(theta.shape[0]):
        strength = l1[k] * scale[step, k]
        total = theta.dtype.type(0)
        for i in range(n_decayed):
            grad[k, i] += strength * np.sign(theta[k, i])
            total += abs(theta[k, i])
        losses[step, k] += strength * total


@kernel
def limit_norms(W, limit):
    squares = np.empty(W.shape[2], W.dtype)
    for k in range(W.shape[0]):
        squares[:] = 0
        for i in range(W.shape[1]):
            for j in range(W.shape[2]):
                squares[j] += W[k, i, j] * W[k, i, j]
        for j in range(W.shape[2]):
            length = math.sqrt(squares[j])
            squares[j] = limit[k] / max(length, limit[k])
        for i in range(W.shape[1]):
            for j in range(W.shape[2]):
                W[k, i, j] *= squares[j]


@kernel
def average(values, mean, decay, clock):
    step = clock[0] + clock[2] + 1
    for k in range(mean.shape[0]):
        rate = mean.dtype.type(max(1 - decay[k], 1 / step))
        for i in range(mean.shape[1]):
            mean[k, i] += rate * (values[k, i] - mean[k, i])
