"""Activations: what a hidden unit makes of its input.

An activation is a frozen dataclass with the function, its derivative, its gain and a row in ``ACTIVATIONS``.
``backward`` gets the output ``y`` and, unless ``in_place`` is set, an untouched input ``z``. At a kink the derivative
is that of the negative side, as in PyTorch. ``kernel`` names fused versions where a backend has them.

``gain`` is by how much weights are to be larger than those of a linear layer, for signals to keep their size. It is
PyTorch's ``calculate_gain`` where that has one, and else ``1 / sqrt(E[f(z)^2])`` for a standard normal z.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from scipy.special import ndtr

from ._backend import erf
from ._common.blocks import Block, building_block
from ._common.rules import boolean, finite, integer, one_of, real

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
FAR = 1e4  # where every saturating function has saturated, and arithmetic is still exact


class Activation(Block):
    """Base of all activations."""

    kernel: ClassVar[str]
    in_place: ClassVar[bool] = True  # the derivative needs y only, so y may overwrite z
    glorot_factor: ClassVar[float] = 6.0
    gain: ClassVar[float] = 1.0
    pieces: ClassVar[int] = 1  # linear maps that a unit chooses from

    def learnt(self, units):
        """Return the shapes of parameters, by kind."""
        return {}

    def start(self, parameters):
        """Set the parameters of one model to where they start."""

    def bind(self, parameters, gradients):
        """Return the activation with the arrays of its parameters and their gradients, by kind."""
        return self

    def forward(self, xp, z, y):
        """Write the activation of z to y."""
        raise NotImplementedError

    def backward(self, xp, dz, z, y):
        """Multiply dz by the derivative, in place."""
        raise NotImplementedError

    def numbers(self):
        """Return what fused kernels need to know."""
        return ()


@building_block
class Identity(Activation):
    """f(z) = z."""

    kernel: ClassVar[str] = "identity"

    def forward(self, xp, z, y):
        if y is not z:
            y[...] = z

    def backward(self, xp, dz, z, y):
        pass


@building_block
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


@building_block
class Tanh(Activation):
    """f(z) = tanh(z); f' = 1 - f^2."""

    kernel: ClassVar[str] = "tanh"
    gain: ClassVar[float] = 5 / 3

    def forward(self, xp, z, y):
        xp.tanh(z, out=y)

    def backward(self, xp, dz, z, y):
        dz *= 1 - y * y


@building_block
class ReLU(Activation):
    """f(z) = max(z, 0); f'(0) = 0."""

    kernel: ClassVar[str] = "relu"
    gain: ClassVar[float] = math.sqrt(2)

    def forward(self, xp, z, y):
        xp.maximum(z, 0, out=y)

    def backward(self, xp, dz, z, y):
        dz *= y > 0


@building_block
class LeakyReLU(Activation):
    """f(z) = z, or negative_slope z below zero; f'(0) = negative_slope.

    Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", ICML 2013.

    Parameters
    ----------
    negative_slope : float, default=0.01
        Slope below zero, not negative.
    """

    negative_slope: float = 0.01
    _rules: ClassVar[dict] = {"negative_slope": real(0)}
    kernel: ClassVar[str] = "leaky_relu"

    @property
    def gain(self):
        return math.sqrt(2 / (1 + self.negative_slope**2))

    def forward(self, xp, z, y):
        y[...] = xp.where(z > 0, z, z * self.negative_slope)

    def backward(self, xp, dz, z, y):
        dz *= xp.where(y > 0, dz.dtype.type(1), dz.dtype.type(self.negative_slope))

    def numbers(self):
        return (self.negative_slope,)


@building_block
class PReLU(Activation):
    """f(z) = z, or a z below zero, with a learnt; f'(0) = a. Slopes do not decay.

    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015.

    Parameters
    ----------
    slope : float, default=0.25
        Where each a starts.
    shared : bool, default=False
        Whether the units of a layer have one a, or one each.
    """

    slope: float = 0.25
    shared: bool = False
    _rules: ClassVar[dict] = {"slope": finite(), "shared": boolean()}
    in_place: ClassVar[bool] = False
    kernel: ClassVar[str] = "prelu"

    @property
    def gain(self):
        return math.sqrt(2 / (1 + self.slope**2))

    def learnt(self, units):
        return {"slopes": (1, 1 if self.shared else units)}

    def start(self, parameters):
        parameters["slopes"][...] = self.slope

    def bind(self, parameters, gradients):
        return BoundPReLU(parameters["slopes"], gradients.get("slopes"))

    def forward(self, xp, z, y):
        y[...] = xp.where(z > 0, z, z * self.slope)

    def backward(self, xp, dz, z, y):
        dz *= xp.where(z > 0, dz.dtype.type(1), dz.dtype.type(self.slope))


class BoundPReLU:
    """PReLU with the slopes ``(models, 1, units or 1)`` of a stack."""

    kernel = "bound_prelu"

    def __init__(self, slope, d_slope):
        self.slope, self.d_slope = slope, d_slope

    def forward(self, xp, z, y):
        """y = z, or slope z below zero."""
        y[...] = xp.where(z > 0, z, z * self.slope)

    def backward(self, xp, dz, z, y):
        """Multiply dz by the derivative; the gradient on slopes is the sum of dy min(z, 0)."""
        by_unit = (dz * xp.minimum(z, 0)).sum(axis=-2, keepdims=True)
        is_shared = self.slope.shape[-1] < by_unit.shape[-1]
        self.d_slope[...] = by_unit.sum(axis=-1, keepdims=True) if is_shared else by_unit
        dz *= xp.where(z > 0, dz.dtype.type(1), self.slope)


@building_block
class Maxout(Activation):
    """The greatest of several linear maps of the input, the first of those that are equal.

    Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout Networks", ICML 2013. ``coefs_`` and ``intercepts_``
    of such a layer have ``pieces`` columns a unit, side by side.

    Parameters
    ----------
    pieces : int, default=2
        Linear maps of each unit, at least 2.
    """

    pieces: int = 2
    _rules: ClassVar[dict] = {"pieces": integer(2)}
    kernel: ClassVar[str] = "maxout"

    @property
    def gain(self):
        # E[max^2] of independent standard normals: 1 for two of them
        x = np.linspace(-10, 10, 4001)
        density = self.pieces * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * ndtr(x) ** (self.pieces - 1)
        return 1 / math.sqrt((x**2 * density).sum() * (x[1] - x[0]))


@building_block
class ELU(Activation):
    """f(z) = z, or alpha (exp(z) - 1) below zero; f'(0) = alpha.

    Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network Learning by Exponential Linear Units (ELUs)",
    ICLR 2016.

    Parameters
    ----------
    alpha : float, default=1.0
        Minus the limit far below zero, positive.
    """

    alpha: float = 1.0
    _rules: ClassVar[dict] = {"alpha": real(0, closed="neither")}
    kernel: ClassVar[str] = "elu"
    gain: ClassVar[float] = 1.2451

    def forward(self, xp, z, y):
        y[...] = xp.where(z > 0, z, self.alpha * xp.expm1(xp.minimum(z, 0)))

    def backward(self, xp, dz, z, y):
        dz *= xp.where(y > 0, dz.dtype.type(1), y + dz.dtype.type(self.alpha))

    def numbers(self):
        return 1.0, self.alpha  # by what SELU multiplies, and alpha


@building_block
class SELU(Activation):
    """f(z) = s z, or s a (exp(z) - 1) below zero; s and a keep mean 0 and variance 1; f'(0) = s a.

    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-Normalizing Neural Networks", NIPS 2017; weights as
    ``init="lecun_normal"`` draws them.
    """

    kernel: ClassVar[str] = "selu"

    def forward(self, xp, z, y):
        y[...] = SELU_SCALE * xp.where(z > 0, z, SELU_ALPHA * xp.expm1(xp.minimum(z, 0)))

    def backward(self, xp, dz, z, y):
        dz *= xp.where(y > 0, dz.dtype.type(SELU_SCALE), y + dz.dtype.type(SELU_SCALE * SELU_ALPHA))

    def numbers(self):
        return SELU_SCALE, SELU_ALPHA


@building_block
class GELU(Activation):
    """f(z) = z P(Z <= z) for a standard normal Z; f'(0) = 1/2.

    Hendrycks and Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default="none"
        "tanh": ``z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2``, the paper's approximation.
    """

    approximate: str = "none"
    _rules: ClassVar[dict] = {"approximate": one_of("none", "tanh")}
    in_place: ClassVar[bool] = False
    gain: ClassVar[float] = 1.5335

    @property
    def kernel(self):
        return "gelu" if self.approximate == "none" else "gelu_tanh"

    def forward(self, xp, z, y):
        share, _ = self._share_and_slope(xp, xp.clip(z, -FAR, FAR))
        y[...] = xp.maximum(z, -FAR) * share

    def backward(self, xp, dz, z, y):
        near = xp.clip(z, -FAR, FAR)
        share, slope = self._share_and_slope(xp, near)
        dz *= share + near * slope

    def _share_and_slope(self, xp, z):
        """Return f(z) / z and its derivative."""
        if self.approximate == "none":
            return 0.5 * (1 + erf(z * math.sqrt(0.5))), xp.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))
        scale = math.sqrt(2 / math.pi)
        t = xp.tanh(scale * (z + 0.044715 * z**3))
        return 0.5 * (1 + t), 0.5 * (1 - t * t) * scale * (1 + 3 * 0.044715 * z * z)


@building_block
class SiLU(Activation):
    """f(z) = z / (1 + exp(-z)), also called swish; f'(0) = 1/2.

    Elfwing, Uchibe and Doya, "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in Reinforcement
    Learning", Neural Networks 107, 2018.
    """

    in_place: ClassVar[bool] = False
    kernel: ClassVar[str] = "silu"
    gain: ClassVar[float] = 1.6765

    def forward(self, xp, z, y):
        y[...] = xp.maximum(z, -FAR) * sigmoid(xp, z)

    def backward(self, xp, dz, z, y):
        share = sigmoid(xp, z)
        dz *= share * (1 + xp.clip(z, -FAR, FAR) * (1 - share))


@building_block
class Mish(Activation):
    """f(z) = z tanh(log(1 + exp(z))); f'(0) = 3/5.

    Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", BMVC 2020.
    """

    in_place: ClassVar[bool] = False
    kernel: ClassVar[str] = "mish"
    gain: ClassVar[float] = 1.4868

    def forward(self, xp, z, y):
        y[...] = xp.maximum(z, -FAR) * xp.tanh(softplus(xp, z))

    def backward(self, xp, dz, z, y):
        t = xp.tanh(softplus(xp, z))
        dz *= t + xp.clip(z, -FAR, FAR) * sigmoid(xp, z) * (1 - t * t)


@building_block
class Softplus(Activation):
    """f(z) = log(1 + exp(z)); f'(0) = 1/2.

    Dugas, Bengio, Belisle, Nadeau and Garcia, "Incorporating Second-Order Functional Knowledge for Better Option
    Pricing", NIPS 2000.
    """

    kernel: ClassVar[str] = "softplus"
    gain: ClassVar[float] = 1.0418

    def forward(self, xp, z, y):
        y[...] = softplus(xp, z)

    def backward(self, xp, dz, z, y):
        dz *= -xp.expm1(-y)


def sigmoid(xp, z):
    """Return 1 / (1 + exp(-z)), without overflow."""
    decay = xp.exp(-abs(z))
    return xp.where(z >= 0, z.dtype.type(1), decay) / (1 + decay)


def softplus(xp, z):
    """Return log(1 + exp(z)), without overflow."""
    return xp.maximum(z, 0) + xp.log1p(xp.exp(-abs(z)))


ACTIVATIONS = {
    "identity": Identity(),
    "logistic": Logistic(),
    "sigmoid": Logistic(),
    "tanh": Tanh(),
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "prelu": PReLU(),
    "elu": ELU(),
    "selu": SELU(),
    "gelu": GELU(),
    "silu": SiLU(),
    "mish": Mish(),
    "softplus": Softplus(),
    "maxout": Maxout(),
}
