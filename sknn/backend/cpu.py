"""NumPy arrays, with Numba for the kernels where one fused pass pays.

Kernels are single-threaded and release the GIL: BLAS has the cores, and two thread pools would spin against each other.
``error_model="numpy"`` lets loops with divisions be vectorised; ``fastmath`` leaves out nnan and ninf, which would
compile away the arithmetic that lets divergence be seen.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from . import reference

kernel = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})


class Backend(reference.Backend):
    """The reference kernels on NumPy, some of them replaced by fused loops."""

    def __init__(self):
        super().__init__(np)

    def gather(self, table, order, clock, out):
        _gather(table, order, clock, out)

    def bias_activation(self, z, b, activation, y):
        fused = _FORWARD.get(activation.kernel)
        if fused is None:
            super().bias_activation(z, b, activation, y)
        else:
            fused(z, b)

    def activation_backward(self, dz, z, y, activation, db):
        fused = _BACKWARD.get(activation.kernel)
        if fused is None:
            super().activation_backward(dz, z, y, activation, db)
        else:
            fused(dz, y, db)

    def loss_gradient(self, loss, z, y, weight, scale, clock, dz, losses):
        fused = _LOSSES.get(loss.kernel)
        if fused is None:
            super().loss_gradient(loss, z, y, weight, scale, clock, dz, losses)
        else:
            fused(z, y, weight, scale, clock, dz, losses)

    def update(self, optimizer, theta, grad, slots, hyper, alpha, n_decayed, tables):
        fused = _UPDATES.get(optimizer.kernel)
        if fused is None:
            super().update(optimizer, theta, grad, slots, hyper, alpha, n_decayed, tables)
        else:
            t = tables
            fused(theta, grad, slots, hyper, t.rate, alpha, t.scale, n_decayed, t.clock, t.loss)


# ---- batches ----------------------------------------------------------------------------


@kernel
def _gather(table, order, clock, out):
    first = clock[1]
    for s in range(out.shape[0]):
        for i in range(out.shape[1]):
            row = order[s, first + i]
            for j in range(out.shape[2]):
                out[s, i, j] = table[row, j]


# ---- bias and activation ----------------------------------------------------------------


# In place, on one array: with two names for the same memory LLVM's overlap check fails and the loop stays scalar.


@kernel
def _bias(z, b):
    for k in range(z.shape[0]):
        for i in range(z.shape[1]):
            for j in range(z.shape[2]):
                z[k, i, j] += b[k, 0, j]


@kernel
def _bias_relu(z, b):
    zero = z.dtype.type(0)
    for k in range(z.shape[0]):
        for i in range(z.shape[1]):
            for j in range(z.shape[2]):
                x = z[k, i, j] + b[k, 0, j]
                z[k, i, j] = zero if x < zero else x  # written so that NaN goes through


# Written out four times: Numba cannot cache a kernel that closes over the derivative.


@kernel
def _identity_backward(dz, y, db):
    db[:] = 0
    for k in range(dz.shape[0]):
        for i in range(dz.shape[1]):
            for j in range(dz.shape[2]):
                db[k, 0, j] += dz[k, i, j]


@kernel
def _relu_backward(dz, y, db):
    zero = dz.dtype.type(0)
    db[:] = 0
    for k in range(dz.shape[0]):
        for i in range(dz.shape[1]):
            for j in range(dz.shape[2]):
                d = dz[k, i, j]
                g = d if y[k, i, j] > zero else d * zero  # times zero, so that NaN goes through
                dz[k, i, j] = g
                db[k, 0, j] += g


@kernel
def _tanh_backward(dz, y, db):
    one = dz.dtype.type(1)  # an integer would make it all float64
    db[:] = 0
    for k in range(dz.shape[0]):
        for i in range(dz.shape[1]):
            for j in range(dz.shape[2]):
                g = dz[k, i, j] * (one - y[k, i, j] * y[k, i, j])
                dz[k, i, j] = g
                db[k, 0, j] += g


@kernel
def _logistic_backward(dz, y, db):
    one = dz.dtype.type(1)  # an integer would make it all float64
    db[:] = 0
    for k in range(dz.shape[0]):
        for i in range(dz.shape[1]):
            for j in range(dz.shape[2]):
                g = dz[k, i, j] * y[k, i, j] * (one - y[k, i, j])
                dz[k, i, j] = g
                db[k, 0, j] += g


# tanh and logistic keep NumPy's vectorised tanh and exp forward: a scalar loop calls libm for each element.
# Fused kernels work in place, so they serve activations whose derivative needs the output only.
_FORWARD = {"identity": _bias, "relu": _bias_relu}
_BACKWARD = {
    "identity": _identity_backward,
    "relu": _relu_backward,
    "tanh": _tanh_backward,
    "logistic": _logistic_backward,
}


# ---- losses on raw outputs --------------------------------------------------------------


@kernel
def _softmax_log_loss(z, y, weight, scale, clock, dz, losses):
    step = clock[0]
    for k in range(z.shape[0]):
        s = min(k, y.shape[0] - 1)
        total = 0.0
        for i in range(z.shape[1]):
            top = z[k, i, 0]
            for j in range(1, z.shape[2]):
                top = max(top, z[k, i, j])
            norm = z.dtype.type(0)
            for j in range(z.shape[2]):
                e = math.exp(z[k, i, j] - top)
                dz[k, i, j] = e
                norm += e
            share = weight[s, i] * scale[step, k]
            factor = share / norm
            for j in range(z.shape[2]):
                dz[k, i, j] *= factor
            code = y[s, i, 0]
            dz[k, i, code] -= share
            total += share * (math.log(norm) + top - z[k, i, code])
        losses[step, k] = total


@kernel
def _binary_log_loss(z, y, weight, scale, clock, dz, losses):
    step = clock[0]
    one = z.dtype.type(1)
    for k in range(z.shape[0]):
        s = min(k, y.shape[0] - 1)
        total = 0.0
        for i in range(z.shape[1]):
            share = weight[s, i] * scale[step, k]
            for j in range(z.shape[2]):
                x, target = z[k, i, j], y[s, i, j]
                e = math.exp(-abs(x))
                p = (one if x >= 0 else e) / (one + e)
                dz[k, i, j] = share * (p - target)
                total += share * (max(x, z.dtype.type(0)) - target * x + math.log1p(e))
        losses[step, k] = total


@kernel
def _squared_error(z, y, weight, scale, clock, dz, losses):
    step = clock[0]
    for k in range(z.shape[0]):
        s = min(k, y.shape[0] - 1)
        total = 0.0
        for i in range(z.shape[1]):
            share = weight[s, i] * scale[step, k]
            for j in range(z.shape[2]):
                d = z[k, i, j] - y[s, i, j]
                dz[k, i, j] = share * d
                total += share * d * d
        losses[step, k] = 0.5 * total / z.shape[2]


_LOSSES = {
    "softmax_log_loss": _softmax_log_loss,
    "binary_log_loss": _binary_log_loss,
    "squared_error": _squared_error,
}


# ---- optimisers: one pass over the flat buffer ------------------------------------------


@kernel
def _decay_and_penalty(theta, grad, decay, n_decayed):
    squares = theta.dtype.type(0)
    for i in range(n_decayed):
        squares += theta[i] * theta[i]
        grad[i] += decay * theta[i]
    return squares


@kernel
def _adam(theta, grad, slots, hyper, rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    for k in range(theta.shape[0]):
        decay = alpha[k] * scale[step, k]
        squares = _adam_row(theta[k], grad[k], slots[0, k], slots[1, k], hyper[k], rate[step, k], decay, n_decayed)
        losses[step, k] += 0.5 * decay * squares


@kernel
def _adam_row(theta, grad, m, v, hyper, rate, decay, n_decayed):
    b1, c1, b2, c2, epsilon = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]
    squares = theta.dtype.type(0)
    for i in range(n_decayed):
        w = theta[i]
        squares += w * w
        g = grad[i] + decay * w
        m[i] = b1 * m[i] + c1 * g
        v[i] = b2 * v[i] + c2 * g * g
        theta[i] = w - rate * m[i] / (math.sqrt(v[i]) + epsilon)
    for i in range(n_decayed, theta.shape[0]):
        g = grad[i]
        m[i] = b1 * m[i] + c1 * g
        v[i] = b2 * v[i] + c2 * g * g
        theta[i] -= rate * m[i] / (math.sqrt(v[i]) + epsilon)
    return squares


@kernel
def _sgd(theta, grad, slots, hyper, rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    for k in range(theta.shape[0]):
        decay = alpha[k] * scale[step, k]
        squares = _decay_and_penalty(theta[k], grad[k], decay, n_decayed)
        _sgd_row(theta[k], grad[k], slots[0, k], hyper[k], rate[step, k])
        losses[step, k] += 0.5 * decay * squares


@kernel
def _sgd_row(theta, grad, velocity, hyper, rate):
    momentum, lookahead = hyper[0], hyper[1]
    plain = theta.dtype.type(1) - lookahead
    for i in range(theta.shape[0]):
        move = rate * grad[i]
        velocity[i] = momentum * velocity[i] - move
        theta[i] += lookahead * (momentum * velocity[i] - move) + plain * velocity[i]


_UPDATES = {"adam": _adam, "sgd": _sgd}
