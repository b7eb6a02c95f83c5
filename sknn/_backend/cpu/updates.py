"""Fused loops of what changes parameters: optimisers, penalties and bounds, averages."""

from __future__ import annotations

import math

import numpy as np

from .compiling import kernel

COMPILED_IN = "9117ba9008e1e726"  # stands for what is imported from here, see tests/backend/stamps.py

# ---- optimisers: one pass over the flat buffer ------------------------------------------


@kernel
def decay_and_penalty(theta, grad, decay, n_decayed):
    squares = theta.dtype.type(0)
    for i in range(n_decayed):
        squares += theta[i] * theta[i]
        grad[i] += decay * theta[i]
    return squares


@kernel
def add_penalties(theta, grad, alpha, scale, n_decayed, step, losses):
    for k in range(theta.shape[0]):
        decay = alpha[k] * scale[step, k]
        losses[step, k] += 0.5 * decay * decay_and_penalty(theta[k], grad[k], decay, n_decayed)


@kernel
def adam(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    for k in range(theta.shape[0]):
        decay = alpha[k] * scale[step, k]
        squares = adam_row(theta[k], grad[k], slots[0, k], slots[1, k], hyper[k], rate[step, k], decay, n_decayed)
        losses[step, k] += 0.5 * decay * squares


@kernel
def adam_row(theta, grad, m, v, hyper, rate, decay, n_decayed):
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
def sgd(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    add_penalties(theta, grad, alpha, scale, n_decayed, step, losses)
    for k in range(theta.shape[0]):
        sgd_row(theta[k], grad[k], slots[0, k], hyper[k], rate[step, k])


@kernel
def sgd_row(theta, grad, velocity, hyper, rate):
    momentum, lookahead = hyper[0], hyper[1]
    plain = theta.dtype.type(1) - lookahead
    for i in range(theta.shape[0]):
        move = rate * grad[i]
        velocity[i] = momentum * velocity[i] - move
        theta[i] += lookahead * (momentum * velocity[i] - move) + plain * velocity[i]


@kernel
def amsgrad(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    add_penalties(theta, grad, alpha, scale, n_decayed, step, losses)
    for k in range(theta.shape[0]):
        amsgrad_row(theta[k], grad[k], slots[0, k], slots[1, k], slots[2, k], hyper[k], rate[step, k])


@kernel
def amsgrad_row(theta, grad, m, v, greatest, hyper, rate):
    b1, c1, b2, c2, epsilon = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]
    for i in range(theta.shape[0]):
        g = grad[i]
        m[i] = b1 * m[i] + c1 * g
        v[i] = b2 * v[i] + c2 * g * g
        top = greatest[i] if greatest[i] > v[i] else v[i]  # v where it is NaN
        greatest[i] = top
        theta[i] -= rate * m[i] / (math.sqrt(top) + epsilon)


@kernel
def nadam(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    add_penalties(theta, grad, alpha, scale, n_decayed, step, losses)
    for k in range(theta.shape[0]):
        nadam_row(theta[k], grad[k], slots[0, k], slots[1, k], hyper[k], rate[step, k], second_rate[step, k])


@kernel
def nadam_row(theta, grad, m, v, hyper, rate, second_rate):
    b1, c1, b2, c2, epsilon = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]
    for i in range(theta.shape[0]):
        g = grad[i]
        m[i] = b1 * m[i] + c1 * g
        v[i] = b2 * v[i] + c2 * g * g
        theta[i] -= (rate * g + second_rate * m[i]) / (math.sqrt(v[i]) + epsilon)


@kernel
def adagrad(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    add_penalties(theta, grad, alpha, scale, n_decayed, step, losses)
    for k in range(theta.shape[0]):
        adagrad_row(theta[k], grad[k], slots[0, k], hyper[k, 0], rate[step, k])


@kernel
def adagrad_row(theta, grad, total, epsilon, rate):
    for i in range(theta.shape[0]):
        g = grad[i]
        total[i] += g * g
        theta[i] -= rate * g / (math.sqrt(total[i]) + epsilon)


@kernel
def adadelta(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    add_penalties(theta, grad, alpha, scale, n_decayed, step, losses)
    for k in range(theta.shape[0]):
        adadelta_row(theta[k], grad[k], slots[0, k], slots[1, k], hyper[k], rate[step, k])


@kernel
def adadelta_row(theta, grad, gradients, steps, hyper, rate):
    rho, rest, epsilon = hyper[0], hyper[1], hyper[2]
    for i in range(theta.shape[0]):
        g = grad[i]
        gradients[i] = rho * gradients[i] + rest * g * g
        move = math.sqrt((steps[i] + epsilon) / (gradients[i] + epsilon)) * g
        steps[i] = rho * steps[i] + rest * move * move
        theta[i] -= rate * move


@kernel
def rmsprop(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    add_penalties(theta, grad, alpha, scale, n_decayed, step, losses)
    for k in range(theta.shape[0]):
        rmsprop_row(theta[k], grad[k], slots[0, k], slots[1, k], slots[2, k], hyper[k], rate[step, k])


@kernel
def rmsprop_row(theta, grad, squares, mean, velocity, hyper, rate):
    rho, rest, momentum, epsilon, centered = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]
    zero = theta.dtype.type(0)
    for i in range(theta.shape[0]):
        g = grad[i]
        squares[i] = rho * squares[i] + rest * g * g
        mean[i] = rho * mean[i] + rest * g
        variance = squares[i] - centered * mean[i] * mean[i]
        variance = zero if variance < zero else variance  # written so that NaN goes through
        velocity[i] = momentum * velocity[i] + g / (math.sqrt(variance) + epsilon)
        theta[i] -= rate * velocity[i]


@kernel
def lion(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses):
    step = clock[0]
    add_penalties(theta, grad, alpha, scale, n_decayed, step, losses)
    for k in range(theta.shape[0]):
        lion_row(theta[k], grad[k], slots[0, k], hyper[k], rate[step, k])


@kernel
def lion_row(theta, grad, m, hyper, rate):
    b1, c1, b2, c2 = hyper[0], hyper[1], hyper[2], hyper[3]
    for i in range(theta.shape[0]):
        g = grad[i]
        theta[i] -= rate * np.sign(b1 * m[i] + c1 * g)
        m[i] = b2 * m[i] + c2 * g


UPDATES = {
    "adam": adam,
    "sgd": sgd,
    "amsgrad": amsgrad,
    "nadam": nadam,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "rmsprop": rmsprop,
    "lion": lion,
}


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
