"""Initial weights, drawn on the host so that every backend starts from the same numbers.

An initialiser is a frozen dataclass; ``draw`` gets the sizes of a layer and its activation, whose gain some of them
follow. All but "auto" start biases at zero.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from ._common.blocks import Block, building_block
from ._common.rules import boolean, either, finite, nothing, one_of, real


class Initializer(Block):
    """Base of all initialisers."""

    follows_data: ClassVar[bool] = False  # weights are adapted to training rows

    def draw(self, random_state, fan_in, fan_out, activation):
        """Return a weight matrix ``(fan_in, fan_out)`` and a bias ``(fan_out,)`` in float64."""
        return self.draw_weight(random_state, fan_in, fan_out, activation), np.zeros(fan_out)

    def draw_weight(self, random_state, fan_in, fan_out, activation):
        """Return a weight matrix ``(fan_in, fan_out)``."""
        raise NotImplementedError


@building_block
class Auto(Initializer):
    """scikit-learn's: uniform in +-sqrt(factor / (fan_in + fan_out)), biases too.

    Parameters
    ----------
    factor : float or None, default=None
        None takes the activation's: 6 (Glorot and Bengio, AISTATS 2010, equation 16), and 2 for logistic units.
    """

    factor: float | None = None
    _rules: ClassVar[dict] = {"factor": either(nothing(), real(0, closed="neither"))}

    def draw(self, random_state, fan_in, fan_out, activation):
        factor = activation.glorot_factor if self.factor is None else self.factor
        bound = np.sqrt(factor / (fan_in + fan_out))
        weight = random_state.uniform(-bound, bound, (fan_in, fan_out))
        return weight, random_state.uniform(-bound, bound, fan_out)


@building_block
class Constant(Initializer):
    """All weights the same, so that the units of a layer stay the same for ever.

    Parameters
    ----------
    value : float, default=0.0
        The weight.
    """

    value: float = 0.0
    _rules: ClassVar[dict] = {"value": finite()}

    def draw_weight(self, random_state, fan_in, fan_out, activation):
        return np.full((fan_in, fan_out), float(self.value))


@building_block
class Normal(Initializer):
    """Normal with mean 0.

    Parameters
    ----------
    std : float, default=0.01
        Standard deviation.
    """

    std: float = 0.01
    _rules: ClassVar[dict] = {"std": real(0, closed="neither")}

    def draw_weight(self, random_state, fan_in, fan_out, activation):
        return random_state.normal(0, self.std, (fan_in, fan_out))


@building_block
class TruncatedNormal(Initializer):
    """Normal with mean 0, cut at two standard deviations of the normal that is cut.

    Parameters
    ----------
    std : float, default=0.01
        Standard deviation of what is left.
    """

    std: float = 0.01
    _rules: ClassVar[dict] = {"std": real(0, closed="neither")}

    def draw_weight(self, random_state, fan_in, fan_out, activation):
        return self.std * standard_truncated_normal(random_state, (fan_in, fan_out))


@building_block
class Uniform(Initializer):
    """Uniform in +-bound.

    Parameters
    ----------
    bound : float, default=0.05
        Largest magnitude.
    """

    bound: float = 0.05
    _rules: ClassVar[dict] = {"bound": real(0, closed="neither")}

    def draw_weight(self, random_state, fan_in, fan_out, activation):
        return random_state.uniform(-self.bound, self.bound, (fan_in, fan_out))


@building_block
class InverseSqrt(Initializer):
    """Uniform in +-1 / sqrt(fan_in): the rule of thumb of T. Rashid, "Make Your Own Neural Network", 2016."""

    def draw_weight(self, random_state, fan_in, fan_out, activation):
        bound = 1 / np.sqrt(fan_in)
        return random_state.uniform(-bound, bound, (fan_in, fan_out))


@building_block
class VarianceScaling(Initializer):
    """Mean 0 and variance ``scale / fan``, times the square of the activation's gain if that is followed.

    Parameters
    ----------
    scale : float, default=1.0
        Variance times fan.
    mode : {"fan_in", "fan_out", "fan_avg"}, default="fan_in"
        The fan: inputs of a unit, units of the layer, or the mean of both.
    distribution : {"normal", "uniform", "truncated_normal"}, default="normal"
        Shape; whichever it is, the variance is the same. "truncated_normal" is cut at two standard deviations.
    follow_gain : bool, default=False
        Whether to multiply by the gain of the layer's activation: sqrt(2) for ReLU.

    References
    ----------
    LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998: scale 1, fan_in ("lecun_...").
    Glorot and Bengio, AISTATS 2010: scale 1, fan_avg ("glorot_...", "xavier_...").
    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015: fan_in, with the gain ("he_...", "kaiming_...").
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

    def draw_weight(self, random_state, fan_in, fan_out, activation):
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
    """Orthonormal rows or columns, whichever are fewer, times a gain.

    Saxe, McClelland and Ganguli, "Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural
    Networks", ICLR 2014.

    Parameters
    ----------
    gain : float or None, default=None
        Length of the rows or columns; None takes the gain of the layer's activation.
    """

    gain: float | None = None
    _rules: ClassVar[dict] = {"gain": either(nothing(), real(0, closed="neither"))}

    def draw_weight(self, random_state, fan_in, fan_out, activation):
        tall = random_state.normal(size=(max(fan_in, fan_out), min(fan_in, fan_out)))
        basis, triangle = np.linalg.qr(tall)
        basis *= np.where(np.diag(triangle) < 0, -1.0, 1.0)  # else signs would not be uniform: Mezzadri, 2007
        gain = activation.gain if self.gain is None else self.gain
        return gain * (basis if fan_in >= fan_out else basis.T)


@building_block
class LSUV(Initializer):
    """Layer-sequential unit variance: orthonormal, then divided so that a layer's outputs have variance 1.

    Mishkin and Matas, "All You Need Is a Good Init", ICLR 2016. The outputs are those of the linear map, before bias
    and activation, of up to 1024 training rows; one division makes them exact, so that none of the paper's iterations
    is needed.
    """

    follows_data: ClassVar[bool] = True

    def draw_weight(self, random_state, fan_in, fan_out, activation):
        return Orthogonal(1.0).draw_weight(random_state, fan_in, fan_out, activation)

    def adapt(self, parameters, mean, std):
        """Divide weights by the root of the outputs' variance, the units being taken together."""
        variance = (std**2 + (mean - mean.mean()) ** 2).mean()
        if variance > 0:
            parameters["weights"] /= np.sqrt(variance)


def standard_truncated_normal(random_state, shape):
    """Return draws of mean 0 and variance 1: a normal cut at two standard deviations, widened to that variance."""
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
