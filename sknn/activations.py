"""Activations: what a hidden unit makes of its input.

An activation is a frozen dataclass with the function, its derivative and a row in ``ACTIVATIONS``. ``backward`` gets
the output ``y`` and, unless ``in_place`` is set, an untouched input ``z``. ``kernel`` names fused versions where a
backend has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Activation:
    """Base of all activations."""

    kernel: ClassVar[str]
    in_place: ClassVar[bool] = True  # the derivative needs y only, so y may overwrite z
    glorot_factor: ClassVar[float] = 6.0

    def forward(self, xp, z, y):
        """Write the activation of z to y."""
        raise NotImplementedError

    def backward(self, xp, dz, z, y):
        """Multiply dz by the derivative, in place."""
        raise NotImplementedError


@dataclass(frozen=True)
class Identity(Activation):
    """f(z) = z."""

    kernel: ClassVar[str] = "identity"

    def forward(self, xp, z, y):
        if y is not z:
            y[...] = z

    def backward(self, xp, dz, z, y):
        pass


@dataclass(frozen=True)
class Logistic(Activation):
    """f(z) = 1 / (1 + exp(-z)); f' = f (1 - f)."""

    kernel: ClassVar[str] = "logistic"
    glorot_factor: ClassVar[float] = 2.0

    def forward(self, xp, z, y):
        # exp(-z) must not overflow: below this bound f is 0 to rounding already
        xp.maximum(z, 1 - math.log(float(xp.finfo(z.dtype).max)), out=y)
        xp.negative(y, out=y)
        xp.exp(y, out=y)
        xp.add(y, 1, out=y)
        xp.divide(1, y, out=y)

    def backward(self, xp, dz, z, y):
        dz *= y * (1 - y)


@dataclass(frozen=True)
class Tanh(Activation):
    """f(z) = tanh(z); f' = 1 - f^2."""

    kernel: ClassVar[str] = "tanh"

    def forward(self, xp, z, y):
        xp.tanh(z, out=y)

    def backward(self, xp, dz, z, y):
        dz *= 1 - y * y


@dataclass(frozen=True)
class ReLU(Activation):
    """f(z) = max(z, 0); f'(0) = 0."""

    kernel: ClassVar[str] = "relu"

    def forward(self, xp, z, y):
        xp.maximum(z, 0, out=y)

    def backward(self, xp, dz, z, y):
        dz *= y > 0


ACTIVATIONS = {
    "identity": Identity(),
    "logistic": Logistic(),
    "tanh": Tanh(),
    "relu": ReLU(),
}
