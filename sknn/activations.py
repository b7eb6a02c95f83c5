"""Activation functions of hidden layers.

An activation is a frozen dataclass with the function (``forward``), its derivative (``backward``), its ``gain`` and,
if it has a name, an entry in ``ACTIVATIONS``. ``backward`` gets the output ``y``; if ``in_place`` is False, it also
gets the input ``z`` unchanged. At a kink, the derivative is that of the negative side, as in PyTorch. ``kernel`` is the
key under which a backend looks for a fused implementation; without one, ``forward`` and ``backward`` are used. A
subclass that overrides one of them without naming a ``kernel`` gets a new key, so that its own functions run instead
of the parent's fused kernel.

``gain`` is the factor by which initial weights must be larger than those of a linear layer so that signals keep their
variance from layer to layer. It is the value of PyTorch's ``calculate_gain`` where PyTorch defines one, otherwise
``1 / sqrt(E[f(z)^2])`` for a standard normal z.

Examples
--------
>>> from sklearn.datasets import load_iris
>>> from sknn import MLPClassifier
>>> from sknn.activations import LeakyReLU
>>> X, y = load_iris(return_X_y=True)
>>> model = MLPClassifier((10, 10), activation=["tanh", LeakyReLU(0.1)], solver="lbfgs", max_iter=500, random_state=0)
>>> model.fit(X, y).score(X, y) > 0.95
True
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr

from ._backend import erf
from ._backend.typing import Array, ArrayModule, Arrays, Shapes
from ._common.blocks import Block, building_block, is_newer
from ._common.rules import boolean, finite, integer, one_of, real

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
FAR = 1e4  # where every saturating function has saturated, and arithmetic is still exact


class Activation(Block, is_base=True):
    """Base class of all activations.

    A subclass, decorated with :func:`sknn.building_block`, defines ``forward`` and ``backward``, and
    ``in_place = False`` if its derivative needs the input of the activation. ``xp`` is the array module: NumPy or CuPy.
    """

    _fused: ClassVar[dict[str, tuple[str, ...]]] = {"kernel": ("forward", "backward", "in_place")}
    kernel: ClassVar[str]
    in_place: ClassVar[bool] = True  # the derivative needs y only, so y may overwrite z
    glorot_factor: ClassVar[float] = 6.0
    gain: ClassVar[float] = 1.0
    pieces: ClassVar[int] = 1  # linear maps that a unit chooses from
    stage: ClassVar[str] = "elementwise"  # of a pass: see `sknn._core.stages`

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = [name for name in ("forward", "backward") if is_newer(cls, name, "stage")]
        if own and cls.stage != "elementwise":
            raise TypeError(
                f"{cls.__name__} must not define {own[0]}: its parent is computed by a stage of its own, "
                f"{cls.stage!r}, which would not call it. Derive the class from Activation instead."
            )

    def parameter_shapes(self, units: int) -> Shapes:
        """Return the shapes of the learnt parameters of a layer, by kind."""
        return {}

    def start(self, parameters: Arrays) -> None:
        """Set the learnt parameters of one model to their initial values."""

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        """Write f(z) to y."""
        raise NotImplementedError

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        """Multiply dz by the derivative f'(z), in place."""
        raise NotImplementedError

    def constants(self) -> tuple[float, ...]:
        """Return the constants that fused kernels need."""
        return ()


@building_block
class Identity(Activation):
    """Identity: f(z) = z. With it, a hidden layer is linear."""

    kernel: ClassVar[str] = "identity"

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        if y is not z:
            y[...] = z

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        pass


@building_block
class Logistic(Activation):
    """Logistic function (sigmoid): f(z) = 1 / (1 + exp(-z)); f'(z) = f(z) (1 - f(z))."""

    kernel: ClassVar[str] = "logistic"
    glorot_factor: ClassVar[float] = 2.0

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        # exp(-z) must not overflow: below this bound f is 0 to rounding already
        xp.maximum(z, 1 - math.log(float(xp.finfo(z.dtype).max)), out=y)
        xp.negative(y, out=y)
        xp.exp(y, out=y)
        xp.add(y, 1, out=y)
        xp.divide(1, y, out=y)

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        dz *= y * (1 - y)


@building_block
class Tanh(Activation):
    """Hyperbolic tangent: f(z) = tanh(z); f'(z) = 1 - f(z)^2."""

    kernel: ClassVar[str] = "tanh"
    gain: ClassVar[float] = 5 / 3

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        xp.tanh(z, out=y)

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        dz *= 1 - y * y


@building_block
class ReLU(Activation):
    """Rectified linear unit: f(z) = max(z, 0); f'(0) = 0."""

    kernel: ClassVar[str] = "relu"
    gain: ClassVar[float] = math.sqrt(2)

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        xp.maximum(z, 0, out=y)

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        dz *= y > 0


@building_block
class LeakyReLU(Activation):
    """Leaky ReLU: f(z) = z for z > 0, else negative_slope * z; f'(0) = negative_slope.

    Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", ICML 2013.

    Parameters
    ----------
    negative_slope : float, default=0.01
        Slope for z < 0, at least 0.
    """

    negative_slope: float = 0.01
    _rules: ClassVar[dict] = {"negative_slope": real(0)}
    kernel: ClassVar[str] = "leaky_relu"

    @property
    def gain(self) -> float:  # type: ignore[override]
        return math.sqrt(2 / (1 + self.negative_slope**2))

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        y[...] = xp.where(z > 0, z, z * self.negative_slope)

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        dz *= xp.where(y > 0, dz.dtype.type(1), dz.dtype.type(self.negative_slope))

    def constants(self) -> tuple[float, ...]:
        return (self.negative_slope,)


@building_block
class PReLU(Activation):
    """Parametric ReLU: f(z) = z for z > 0, else a * z with a learnt slope a; f'(0) = a.

    Weight decay (``alpha``, ``l1``) does not act on the slopes. The fitted slopes are in ``activation_slopes_``.

    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015.

    Parameters
    ----------
    slope : float, default=0.25
        Initial value of each slope a.
    shared : bool, default=False
        If True, all units of a layer share one slope; if False, each unit has its own.
    """

    slope: float = 0.25
    shared: bool = False
    _rules: ClassVar[dict] = {"slope": finite(), "shared": boolean()}
    in_place: ClassVar[bool] = False
    kernel: ClassVar[str] = "prelu"
    stage: ClassVar[str] = "prelu"

    @property
    def gain(self) -> float:  # type: ignore[override]
        return math.sqrt(2 / (1 + self.slope**2))

    def parameter_shapes(self, units: int) -> Shapes:
        return {"slopes": (1, 1 if self.shared else units)}

    def start(self, parameters: Arrays) -> None:
        parameters["slopes"][...] = self.slope

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        y[...] = xp.where(z > 0, z, z * self.slope)

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        dz *= xp.where(z > 0, dz.dtype.type(1), dz.dtype.type(self.slope))


@building_block
class Maxout(Activation):
    """Maxout: each unit outputs the maximum of several linear maps of its input.

    If several maps are equal, the gradient goes to the first of them. ``coefs_`` and ``intercepts_`` of a maxout layer
    have ``pieces`` neighbouring columns per unit.

    Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout Networks", ICML 2013.

    Parameters
    ----------
    pieces : int, default=2
        Number of linear maps per unit, at least 2.
    """

    pieces: int = 2  # type: ignore[misc]
    _rules: ClassVar[dict] = {"pieces": integer(2)}
    kernel: ClassVar[str] = "maxout"
    stage: ClassVar[str] = "maxout"

    @property
    def gain(self) -> float:  # type: ignore[override]
        # E[max^2] of independent standard normals: 1 for two of them
        x = np.linspace(-10, 10, 4001)
        density = self.pieces * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * ndtr(x) ** (self.pieces - 1)
        return 1 / math.sqrt((x**2 * density).sum() * (x[1] - x[0]))


@building_block
class ELU(Activation):
    """Exponential linear unit: f(z) = z for z > 0, else alpha * (exp(z) - 1); f'(0) = alpha.

    Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network Learning by Exponential Linear Units (ELUs)",
    ICLR 2016.

    Parameters
    ----------
    alpha : float, default=1.0
        Saturation level, > 0: f(z) tends to -alpha for z to minus infinity.
    """

    alpha: float = 1.0
    _rules: ClassVar[dict] = {"alpha": real(0, closed="neither")}
    kernel: ClassVar[str] = "elu"
    gain: ClassVar[float] = 1.2451

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        y[...] = xp.where(z > 0, z, self.alpha * xp.expm1(xp.minimum(z, 0)))

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        dz *= xp.where(y > 0, dz.dtype.type(1), y + dz.dtype.type(self.alpha))

    def constants(self) -> tuple[float, ...]:
        return 1.0, self.alpha  # the scale, which is SELU's, and alpha


@building_block
class SELU(Activation):
    """Scaled ELU: f(z) = s * z for z > 0, else s * a * (exp(z) - 1); f'(0) = s * a.

    The constants s = 1.0507 and a = 1.6733 (rounded here) keep mean 0 and variance 1 from layer to layer, if the
    weights are drawn by ``init="lecun_normal"``.

    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-Normalizing Neural Networks", NIPS 2017.
    """

    kernel: ClassVar[str] = "selu"

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        y[...] = SELU_SCALE * xp.where(z > 0, z, SELU_ALPHA * xp.expm1(xp.minimum(z, 0)))

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        dz *= xp.where(y > 0, dz.dtype.type(SELU_SCALE), y + dz.dtype.type(SELU_SCALE * SELU_ALPHA))

    def constants(self) -> tuple[float, ...]:
        return SELU_SCALE, SELU_ALPHA


@building_block
class GELU(Activation):
    """Gaussian error linear unit: f(z) = z * P(Z <= z) for a standard normal Z; f'(0) = 1/2.

    Hendrycks and Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default="none"
        "none" computes the exact function by the error function; "tanh" computes the paper's approximation
        ``z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2``.
    """

    approximate: str = "none"
    _rules: ClassVar[dict] = {"approximate": one_of("none", "tanh")}
    in_place: ClassVar[bool] = False
    gain: ClassVar[float] = 1.5335

    @property
    def kernel(self) -> str:  # type: ignore[override]
        return "gelu" if self.approximate == "none" else "gelu_tanh"

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        share, _ = self._share_and_slope(xp, xp.clip(z, -FAR, FAR))
        y[...] = xp.maximum(z, -FAR) * share

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        near = xp.clip(z, -FAR, FAR)
        share, slope = self._share_and_slope(xp, near)
        dz *= share + near * slope

    def _share_and_slope(self, xp: ArrayModule, z: Array) -> tuple[Array, Array]:
        """Return f(z) / z and its derivative."""
        if self.approximate == "none":
            return 0.5 * (1 + erf(z * math.sqrt(0.5))), xp.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))
        scale = math.sqrt(2 / math.pi)
        t = xp.tanh(scale * (z + 0.044715 * z**3))
        return 0.5 * (1 + t), 0.5 * (1 - t * t) * scale * (1 + 3 * 0.044715 * z * z)


@building_block
class SiLU(Activation):
    """Sigmoid linear unit, also called swish: f(z) = z / (1 + exp(-z)); f'(0) = 1/2.

    Elfwing, Uchibe and Doya, "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in Reinforcement
    Learning", Neural Networks 107, 2018.
    """

    in_place: ClassVar[bool] = False
    kernel: ClassVar[str] = "silu"
    gain: ClassVar[float] = 1.6765

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        y[...] = xp.maximum(z, -FAR) * sigmoid(xp, z)

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        share = sigmoid(xp, z)
        dz *= share * (1 + xp.clip(z, -FAR, FAR) * (1 - share))


@building_block
class Mish(Activation):
    """Mish: f(z) = z * tanh(log(1 + exp(z))); f'(0) = 3/5.

    Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", BMVC 2020.
    """

    in_place: ClassVar[bool] = False
    kernel: ClassVar[str] = "mish"
    gain: ClassVar[float] = 1.4868

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        y[...] = xp.maximum(z, -FAR) * xp.tanh(softplus(xp, z))

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        t = xp.tanh(softplus(xp, z))
        dz *= t + xp.clip(z, -FAR, FAR) * sigmoid(xp, z) * (1 - t * t)


@building_block
class Softplus(Activation):
    """Softplus: f(z) = log(1 + exp(z)); f'(0) = 1/2.

    Dugas, Bengio, Belisle, Nadeau and Garcia, "Incorporating Second-Order Functional Knowledge for Better Option
    Pricing", NIPS 2000.
    """

    kernel: ClassVar[str] = "softplus"
    gain: ClassVar[float] = 1.0418

    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None:
        y[...] = softplus(xp, z)

    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None:
        dz *= -xp.expm1(-y)


def sigmoid(xp: ArrayModule, z: Array) -> Array:
    """Return 1 / (1 + exp(-z)), without overflow."""
    decay = xp.exp(-abs(z))
    return xp.where(z >= 0, z.dtype.type(1), decay) / (1 + decay)


def softplus(xp: ArrayModule, z: Array) -> Array:
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
