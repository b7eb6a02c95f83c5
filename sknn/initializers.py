"""Initialisers of weights and biases.

An initialiser is a frozen dataclass. Its method ``draw`` gets the numbers of inputs and outputs of a layer and the
activation of the layer; some initialisers multiply by the gain of the activation. Weights are drawn on the host in
float64, so that all backends start from the same numbers. All initialisers except "auto" set biases to zero.

``fan_in`` is the number of inputs of a layer, ``fan_out`` the number of its outputs.

Examples
--------
>>> import numpy as np
>>> from sknn.activations import ReLU
>>> from sknn.initializers import INITIALIZERS
>>> weight, bias = INITIALIZERS["he_normal"].draw(np.random.RandomState(0), 1000, 500, ReLU())
>>> weight.shape, bool(abs(weight.std() - np.sqrt(2 / 1000)) < 0.001), bool((bias == 0).all())
((1000, 500), True, True)
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from ._backend.typing import Array, Arrays
from ._common.blocks import Block, building_block
from ._common.rules import boolean, either, finite, nothing, one_of, real
from .activations import Activation


class Initializer(Block, is_base=True):
    """Base class of all initialisers; a subclass defines ``draw_weight``, or ``draw`` if it also draws biases."""

    follows_data: ClassVar[bool] = False  # weights are adapted to training rows

    def draw(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> tuple[Array, Array]:
        """Return a weight matrix ``(fan_in, fan_out)`` and a bias ``(fan_out,)`` in float64."""
        return self.draw_weight(random_state, fan_in, fan_out, activation), np.zeros(fan_out)

    def draw_weight(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> Array:
        """Return a weight matrix ``(fan_in, fan_out)``."""
        raise NotImplementedError

    def adapt(self, parameters: Arrays, mean: Array, std: Array) -> None:
        """Adapt parameters to the mean and standard deviation of each unit, where the initialiser follows data."""
        raise NotImplementedError


@building_block
class Auto(Initializer):
    """scikit-learn's initialisation: weights and biases uniform in [-b, b], b = sqrt(factor / (fan_in + fan_out)).

    Parameters
    ----------
    factor : float or None, default=None
        Factor in the bound, > 0. None selects 2 for the logistic activation and 6 for all others (Glorot and Bengio,
        AISTATS 2010, equation 16).
    """

    factor: float | None = None
    _rules: ClassVar[dict] = {"factor": either(nothing(), real(0, closed="neither"))}

    def draw(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> tuple[Array, Array]:
        factor = activation.glorot_factor if self.factor is None else self.factor
        bound = np.sqrt(factor / (fan_in + fan_out))
        weight = random_state.uniform(-bound, bound, (fan_in, fan_out))
        return weight, random_state.uniform(-bound, bound, fan_out)


@building_block
class Constant(Initializer):
    """The same value for all weights; useful only for demonstrations.

    All units of a hidden layer then get the same gradient and stay identical during training.

    Parameters
    ----------
    value : float, default=0.0
        Value of every weight.
    """

    value: float = 0.0
    _rules: ClassVar[dict] = {"value": finite()}

    def draw_weight(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> Array:
        return np.full((fan_in, fan_out), float(self.value))


@building_block
class Normal(Initializer):
    """Normal distribution with mean 0.

    Parameters
    ----------
    std : float, default=0.01
        Standard deviation, > 0.
    """

    std: float = 0.01
    _rules: ClassVar[dict] = {"std": real(0, closed="neither")}

    def draw_weight(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> Array:
        return random_state.normal(0, self.std, (fan_in, fan_out))


@building_block
class TruncatedNormal(Initializer):
    """Normal distribution with mean 0, truncated at two standard deviations of the untruncated distribution.

    Parameters
    ----------
    std : float, default=0.01
        Standard deviation of the truncated distribution, > 0.
    """

    std: float = 0.01
    _rules: ClassVar[dict] = {"std": real(0, closed="neither")}

    def draw_weight(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> Array:
        return self.std * standard_truncated_normal(random_state, (fan_in, fan_out))


@building_block
class Uniform(Initializer):
    """Uniform distribution in [-bound, bound].

    Parameters
    ----------
    bound : float, default=0.05
        Largest magnitude of a weight, in (0, 1e300).
    """

    bound: float = 0.05
    _rules: ClassVar[dict] = {"bound": real(0, 1e300, closed="neither")}  # the width is a float, too

    def draw_weight(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> Array:
        return random_state.uniform(-self.bound, self.bound, (fan_in, fan_out))


@building_block
class InverseSqrt(Initializer):
    """Uniform distribution in [-b, b] with b = 1 / sqrt(fan_in): T. Rashid, "Make Your Own Neural Network", 2016."""

    def draw_weight(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> Array:
        bound = 1 / np.sqrt(fan_in)
        return random_state.uniform(-bound, bound, (fan_in, fan_out))


@building_block
class VarianceScaling(Initializer):
    """Weights of mean 0 and variance ``scale / fan``, optionally times the squared gain of the activation.

    Parameters
    ----------
    scale : float, default=1.0
        Product of variance and fan, > 0.
    mode : {"fan_in", "fan_out", "fan_avg"}, default="fan_in"
        Definition of fan: the number of inputs of the layer, the number of its outputs, or the mean of both.
    distribution : {"normal", "uniform", "truncated_normal"}, default="normal"
        Shape of the distribution; the variance is the same for all three. "truncated_normal" is truncated at two
        standard deviations of the untruncated distribution.
    follow_gain : bool, default=False
        Whether to multiply the weights by the gain of the layer's activation, for example sqrt(2) for ReLU.

    References
    ----------
    LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998: scale 1, fan_in; the names "lecun_...".
    Glorot and Bengio, AISTATS 2010: scale 1, fan_avg; the names "glorot_..." and "xavier_...".
    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015: fan_in with the gain; the names "he_..." and
    "kaiming_...".

    Examples
    --------
    >>> from sknn.initializers import INITIALIZERS, VarianceScaling
    >>> INITIALIZERS["he_normal"] == VarianceScaling(follow_gain=True)
    True
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"
    follow_gain: bool = False
    _rules: ClassVar[dict] = {
        "scale": real(0, closed="neither"),
        "mode": one_of("fan_in", "fan_out", "fan_avg"),
        "distribution": one_of("normal", "uniform", "truncated_normal"),
        "follow_gain": boolean(),
    }

    def draw_weight(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> Array:
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        std = np.sqrt(self.scale / fan) * (activation.gain if self.follow_gain else 1)
        if self.distribution == "uniform":
            bound = np.sqrt(3) * std
            return random_state.uniform(-bound, bound, (fan_in, fan_out))
        if self.distribution == "normal":
            return random_state.normal(0, std, (fan_in, fan_out))
        return std * standard_truncated_normal(random_state, (fan_in, fan_out))


@building_block
class Orthogonal(Initializer):
    """Random orthogonal matrix times a gain: its rows or its columns, whichever are fewer, are orthogonal.

    Saxe, McClelland and Ganguli, "Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural
    Networks", ICLR 2014.

    Parameters
    ----------
    gain : float or None, default=None
        Euclidean norm of these rows or columns, > 0. None selects the gain of the layer's activation.
    """

    gain: float | None = None
    _rules: ClassVar[dict] = {"gain": either(nothing(), real(0, closed="neither"))}

    def draw_weight(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> Array:
        tall = random_state.normal(size=(max(fan_in, fan_out), min(fan_in, fan_out)))
        basis, triangle = np.linalg.qr(tall)
        basis *= np.where(np.diag(triangle) < 0, -1.0, 1.0)  # else signs would not be uniform: Mezzadri, 2007
        gain = activation.gain if self.gain is None else self.gain
        return gain * (basis if fan_in >= fan_out else basis.T)


@building_block
class LSUV(Initializer):
    """Layer-sequential unit variance: orthogonal weights, scaled so that the outputs of the layer have variance 1.

    The outputs are those of the linear map, before bias and activation, on up to 1024 training rows. One division gives
    variance 1 exactly, so the iterations of the paper are not needed.

    Mishkin and Matas, "All You Need Is a Good Init", ICLR 2016.
    """

    follows_data: ClassVar[bool] = True

    def draw_weight(
        self, random_state: np.random.RandomState, fan_in: int, fan_out: int, activation: Activation
    ) -> Array:
        return Orthogonal(1.0).draw_weight(random_state, fan_in, fan_out, activation)

    def adapt(self, parameters: Arrays, mean: Array, std: Array) -> None:
        """Divide the weights by the standard deviation of the outputs of all units of the layer together."""
        variance = (std**2 + (mean - mean.mean()) ** 2).mean()
        if variance > 0:
            parameters["weights"] /= np.sqrt(variance)


def standard_truncated_normal(random_state: np.random.RandomState, shape: tuple[int, int]) -> Array:
    """Return draws of mean 0 and variance 1: a normal truncated at two standard deviations, rescaled to variance 1."""
    std_of_cut = 0.87962566103423978
    return ndtri(random_state.uniform(ndtr(-2), ndtr(2), shape)) / std_of_cut


INITIALIZERS = {
    "auto": Auto(),
    "zeros": Constant(),
    "normal": Normal(),
    "truncated_normal": TruncatedNormal(),
    "uniform": Uniform(),
    "inverse_sqrt": InverseSqrt(),
    "lecun_normal": VarianceScaling(),
    "lecun_uniform": VarianceScaling(distribution="uniform"),
    "glorot_normal": VarianceScaling(mode="fan_avg"),
    "glorot_uniform": VarianceScaling(mode="fan_avg", distribution="uniform"),
    "xavier_normal": VarianceScaling(mode="fan_avg"),
    "xavier_uniform": VarianceScaling(mode="fan_avg", distribution="uniform"),
    "he_normal": VarianceScaling(follow_gain=True),
    "he_uniform": VarianceScaling(distribution="uniform", follow_gain=True),
    "kaiming_normal": VarianceScaling(follow_gain=True),
    "kaiming_uniform": VarianceScaling(distribution="uniform", follow_gain=True),
    "orthogonal": Orthogonal(),
    "lsuv": LSUV(),
}
