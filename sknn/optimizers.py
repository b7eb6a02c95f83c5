"""Optimisers: one vectorised update over the flat parameter buffer, for all models of a stack.

An optimiser is a frozen dataclass. ``slots`` buffers of theta's shape carry its memory; ``hyper`` lists its numbers as
the kernels want them, one row a model; ``rates`` gives the step size of each coming step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Optimizer:
    """Base of all optimisers."""

    kernel: ClassVar[str]
    n_slots: ClassVar[int]

    def hyper(self):
        """Return the numbers that the update reads, as a tuple."""
        raise NotImplementedError

    def rates(self, learning_rate, steps):
        """Return the step size at each of ``steps`` (counted from 1), float64."""
        return np.full(len(steps), learning_rate)

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate):
        """Move theta by one step; ``hyper (K, h)``, ``rate (K, 1)``."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with (Nesterov's) momentum, in the form of Sutskever et al., 2013."""

    momentum: float = 0.9
    nesterovs_momentum: bool = True
    kernel: ClassVar[str] = "sgd"
    n_slots: ClassVar[int] = 1

    def hyper(self):
        return self.momentum, float(self.nesterovs_momentum)

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate):
        velocity = slots[0]
        momentum, lookahead = hyper[:, :1], hyper[:, 1:2]
        grad *= rate
        velocity *= momentum
        velocity -= grad
        theta += lookahead * (momentum * velocity - grad) + (1 - lookahead) * velocity


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980), epsilon outside the bias correction as in its section 2."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    kernel: ClassVar[str] = "adam"
    n_slots: ClassVar[int] = 2

    def hyper(self):
        # 1 - beta is taken in float64: in float32 1 - 0.999 would be off by 5e-5
        return self.beta_1, 1 - self.beta_1, self.beta_2, 1 - self.beta_2, self.epsilon

    def rates(self, learning_rate, steps):
        return learning_rate * np.sqrt(1 - self.beta_2**steps) / (1 - self.beta_1**steps)

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate):
        m, v = slots
        b1, c1, b2, c2, epsilon = (hyper[:, i : i + 1] for i in range(5))
        m *= b1
        m += c1 * grad
        v *= b2
        v += c2 * grad * grad
        theta -= rate * m / (xp.sqrt(v) + epsilon)


@dataclass(frozen=True)
class FullBatch(Optimizer):
    """Stands for a solver that takes no steps of its own here, L-BFGS: no numbers, no memory."""

    kernel: ClassVar[str] = "full_batch"
    n_slots: ClassVar[int] = 0

    def hyper(self):
        return ()


OPTIMIZERS = {
    "sgd": SGD,
    "adam": Adam,
}
