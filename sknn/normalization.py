"""Normalisation of what a hidden unit gets, of what it gives, or of its weights.

A norm is a frozen dataclass with the shapes of what it learns and keeps, and the stages that do it. Before the
activation (``position="pre"``) its shift is the bias of the layer, which comes anyway; behind it (``"post"``) it has a
shift of its own. Gains start at 1 and shifts at 0.

Conventions, where peers differ: the ``momentum`` of running statistics is the weight of a new batch, as in PyTorch
(Keras's is 1 minus that); a batch is normalised by its biased variance, and the running variance is an average of
unbiased ones, as in PyTorch and in Ioffe and Szegedy's paper (Keras's are biased). The t-th batch has at least the
weight 1 / t, so that running statistics begin as the plain mean of batches and not as a mean with the 0 and 1 that they
start from.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from ._common.blocks import Block, building_block
from ._common.rules import boolean, either, integer, nothing, one_of, real, require
from .activations import Identity

# ---- stages -----------------------------------------------------------------------------


class NormStage:
    """Turns ``source`` into ``gain * x-hat`` in ``out``, which shares its gradient buffer.

    The buffer of ``source`` is overwritten: by x-hat, which the way back needs. ``learnt``, ``gradients`` and ``kept``
    have the views of the layer by kind; ``training`` is None at prediction.
    """

    def __init__(self, backend, norm, source, out, learnt, kept, gradients=None, training=None):
        self.backend, self.norm, self.source, self.out = backend, norm, source, out
        self.kept, self.training = kept, training
        self.n_models, self.n_rows, self.units = source.value.shape
        self.gain = learnt["gains"] if norm.scale else self._buffer(1) + 1
        if training is not None:
            self.d_gain = gradients["gains"] if norm.scale else self._buffer(1)
            # without a shift, the bias behind a norm is not learnt
            self.still = gradients["biases"] if norm.position == "pre" and not norm.center else None

    def _buffer(self, rows, units=None):
        return self.backend.xp.zeros((self.n_models, rows, units or self.units), self.source.value.dtype)

    def backward(self):
        """Turn the gradient on the output into that on the input, and write that of the gain."""
        still = [] if self.still is None else [partial(self.still.fill, 0)]
        return [*self._backward(self.out.gradient), *still]

    def _standardize(self, mean, gain, bounds):
        return partial(self.backend.standardize, self.source.value, mean, self.inverse, gain, bounds, self.out.value)

    def _inverse_std(self):
        return 1 / self.backend.xp.sqrt(self.kept["variances"] + self.norm.eps)


class FixedStage(NormStage):
    """By running statistics that stay as they are: at prediction, and in training if they are frozen."""

    def __init__(self, *args):
        super().__init__(*args)
        self.inverse = self._inverse_std()

    def forward(self):
        """x-hat = (x - running mean) / running std."""
        return [self._standardize(self.kept["means"], self.gain, np.array([0, self.n_rows]))]

    def _backward(self, d):
        return [partial(self.backend.scale_backward, d, self.source.value, self.inverse, self.gain, self.d_gain)]


class BatchStage(NormStage):
    """By the statistics of the batch, or of each of its parts."""

    def __init__(self, *args):
        super().__init__(*args)
        self.bounds = self.norm.bounds(self.n_rows)
        self.mean, self.variance, self.inverse = (self._buffer(len(self.bounds) - 1) for _ in range(3))

    def forward(self):
        """x-hat = (x - mean) / std."""
        return [self._measure(), self._standardize(self.mean, self.gain, self.bounds), *self._track()]

    def _measure(self):
        rows = self.source.value, self.training.weight, self.bounds
        return partial(self.backend.batch_moments, *rows, self.norm.eps, self.mean, self.variance, self.inverse)

    def _track(self):
        if not self.training.tracks:
            return []
        moments = self.mean, self.variance, self.training.weight, self.bounds
        return [partial(self.backend.track_moments, *moments, self.norm.momentum, self.kept)]

    def _backward(self, d):
        return [self._standardize_backward(d, self.gain)]

    def _standardize_backward(self, d, gain):
        batch = self.training.weight, self.bounds
        return partial(self.backend.standardize_backward, d, self.source.value, self.inverse, gain, *batch, self.d_gain)


class RenormStage(BatchStage):
    """By the statistics of the batch, corrected towards the running ones."""

    def __init__(self, *args):
        super().__init__(*args)
        self.r, self.d, self.full_gain, self.full_shift = (self._buffer(1) for _ in range(4))

    def forward(self):
        """y = gain (x-hat r + d)."""
        y = self.out.value
        return [
            self._measure(),
            partial(self.backend.renorm, self.mean, self.inverse, self.kept, self.norm, self.r, self.d),
            self._multiply(self.gain, self.r, self.full_gain),
            self._multiply(self.gain, self.d, self.full_shift),
            self._standardize(self.mean, self.full_gain, self.bounds),
            partial(self.backend.bias_activation, y, self.full_shift, Identity(), y),
            *self._track(),
        ]

    def _backward(self, d):
        # d gain = r sum(dy x-hat) + d sum(dy)
        xp, total = self.backend.xp, self.full_shift
        return [
            partial(self.backend.activation_backward, d, d, d, Identity(), total),  # which is the sum over the rows
            self._standardize_backward(d, self.full_gain),
            self._multiply(self.d_gain, self.r, self.d_gain),
            self._multiply(total, self.d, total),
            partial(xp.add, self.d_gain, total, out=self.d_gain),
        ]

    def _multiply(self, a, b, out):
        return partial(self.backend.xp.multiply, a, b, out=out)


class RowStage(NormStage):
    """By the statistics of groups of units in each row."""

    def __init__(self, *args):
        super().__init__(*args)
        self.inverse = self._buffer(self.n_rows, self.norm.n_groups())

    def forward(self):
        """x-hat = (x - mean) / std of the group."""
        given = self.source.value, self.norm.eps, self.inverse, self.gain
        return [partial(self.backend.standardize_groups, *given, self.out.value)]

    def _backward(self, d):
        given = d, self.source.value, self.inverse, self.gain
        return [partial(self.backend.standardize_groups_backward, *given, self.d_gain)]


class WeightStage:
    """Makes the weights that a linear map uses from directions and gains, and on the way back their gradients."""

    def __init__(self, backend, learnt, gradients, W, dW):
        self.backend, self.learnt, self.gradients, self.W, self.dW = backend, learnt, gradients, W, dW
        self.inverse = backend.xp.empty(learnt["gains"].shape, W.dtype)

    def forward(self):
        """W = gain v / |v|."""
        learnt = self.learnt["weights"], self.learnt["gains"]
        return [partial(self.backend.normalize_weights, *learnt, self.inverse, self.W)]

    def backward(self):
        """Equation 3 of the paper."""
        v, gain = self.learnt["weights"], self.learnt["gains"]
        gradients = self.gradients["weights"], self.gradients["gains"]
        return [partial(self.backend.normalize_weights_backward, self.dW, v, gain, self.inverse, *gradients)]


# ---- norms ------------------------------------------------------------------------------


class Norm(Block):
    """Base of all norms."""

    mixes_rows: ClassVar[bool] = False  # what becomes of a row depends on the other rows of its batch
    follows_training: ClassVar[bool] = False  # what becomes of it depends on the batches before, too
    follows_data: ClassVar[bool] = False  # parameters are adapted to training rows before the first step
    is_exact: ClassVar[bool] = False  # statistics are those of all training rows, once training has ended

    def learnt(self, units):
        """Return the shapes of the parameters, by kind."""
        raise NotImplementedError

    def kept(self, units):
        """Return the shapes of what is kept of the rows that were seen, by kind."""
        return {}

    def start(self, parameters):
        """Set the parameters of one model to where they start."""
        raise NotImplementedError

    def check_units(self, units):
        """Raise ValueError if a layer of this many units cannot have this norm."""


@building_block
class WeightNorm(Norm):
    """Weights of length ``gain``: a unit's weights are ``gain * v / |v|``, and ``coefs_`` holds the v.

    Salimans and Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
    Networks", NIPS 2016. As in its section 3, gains and biases start where each unit has mean 0 and variance 1 on the
    training rows. ``max_norm`` bounds the gains; ``alpha`` and ``l1`` shrink the v, whose lengths say nothing.

    Parameters
    ----------
    data_dependent : bool, default=True
        Whether to start so; else gains start at the length of the weights that were drawn, which thereby stay.
    """

    data_dependent: bool = True
    _rules: ClassVar[dict] = {"data_dependent": boolean()}

    def learnt(self, units):
        return {"gains": (1, units)}

    def start(self, parameters):
        parameters["gains"][...] = np.sqrt((parameters["weights"] ** 2).sum(axis=-2, keepdims=True))

    @property
    def follows_data(self):
        return self.data_dependent

    def adapt(self, parameters, mean, std):
        """Give each unit mean 0 and variance 1, but for those that say the same of all rows."""
        varies = std > np.finfo(parameters["gains"].dtype).eps * abs(mean)
        std = np.where(varies, std, 1)
        parameters["gains"] /= std
        parameters["biases"][...] = np.where(varies, -mean / std, 0)


class UnitNorm(Norm):
    """Base of norms that make each unit's values x-hat, and then ``gain * x-hat + shift``.

    All have the fields ``eps``, ``center``, ``scale`` and ``position``; those that keep something also ``momentum``.
    """

    _rules: ClassVar[dict] = {
        "eps": real(0, closed="neither"),
        "center": boolean(),
        "scale": boolean(),
        "position": one_of("pre", "post"),
    }
    training_stage: ClassVar[type]
    fixed_stage: ClassVar[type]  # for prediction, and for training with frozen statistics

    def learnt(self, units):
        shapes = {"gains": (1, units)} if self.scale else {}
        return shapes | ({"shifts": (1, units)} if self.center and self.position == "post" else {})

    def start(self, parameters):
        starts = {"biases": 0} if self.position == "pre" else {"shifts": 0}
        for kind, value in {**starts, "gains": 1}.items():
            if kind in parameters:
                parameters[kind][...] = value


@building_block
class BatchNorm(UnitNorm):
    """Each unit to mean 0 and variance 1 over the rows of a training batch; over all rows seen, at prediction.

    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    ICML 2015. Rows count by their sample weights: a weight of 2 is the row twice.

    Parameters
    ----------
    momentum : float, default=0.1
        Weight of a new batch in the running statistics, in (0, 1].
    eps : float, default=1e-5
        Added to the variance.
    statistics : {"ema", "exact"}, default="ema"
        What predictions are normalised by: running statistics, or those of all training rows, worked out at the end
        of each call of fit, and after each epoch if there are validation rows to score, which costs a pass over the
        training rows. ``partial_fit`` does not see all rows and keeps to running statistics.
    virtual_batch_size : int or None, default=None
        About how many rows share their statistics, at least 2: a batch is cut into parts of nearly equal size (Hoffer,
        Hubara and Soudry, "Train Longer, Generalize Better", NIPS 2017). None stands for the whole batch.
    center, scale : bool, default=True
        Whether to learn a shift and a gain.
    position : {"pre", "post"}, default="pre"
        Before or behind the activation.
    """

    momentum: float = 0.1
    eps: float = 1e-5
    statistics: str = "ema"
    virtual_batch_size: int | None = None
    center: bool = True
    scale: bool = True
    position: str = "pre"
    _rules: ClassVar[dict] = UnitNorm._rules | {
        "momentum": real(0, 1, closed="right"),
        "statistics": one_of("ema", "exact"),
        "virtual_batch_size": either(nothing(), integer(2)),
    }
    mixes_rows: ClassVar[bool] = True
    training_stage: ClassVar[type] = BatchStage
    fixed_stage: ClassVar[type] = FixedStage

    @property
    def is_exact(self):
        return self.statistics == "exact"

    def kept(self, units):
        return {"means": (1, units), "variances": (1, units), "updates": (1, 1)}

    def bounds(self, n_rows):
        """Return where each part of a batch begins, and the end of the last."""
        size = self.virtual_batch_size or n_rows
        n_parts = max(1, min(-(-n_rows // size), n_rows // 2))
        return np.arange(n_parts + 1) * n_rows // n_parts


@building_block
class BatchRenorm(UnitNorm):
    """Batch norm whose batches are corrected towards the running statistics, for small or dependent batches.

    Ioffe, "Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models", NIPS 2017:
    ``x-hat * r + d`` with ``r = std / running std`` within ``[1 / r_max, r_max]`` and ``d = (mean - running mean) /
    running std`` within ``[-d_max, d_max]``, both constants for the gradient. The running std is the root of an average
    of unbiased variances, as in batch norm; the paper averages standard deviations, which comes out smaller.

    Parameters
    ----------
    momentum : float, default=0.01
        Weight of a new batch in the running statistics, in (0, 1].
    eps : float, default=1e-5
        Added to the variance.
    r_max, d_max : float, default=3.0, 5.0
        Bounds of the correction in the end; they start at 1 and 0.
    start_step, r_end, d_end : int, default=5000, 40000, 25000
        The steps up to which there is no correction, and at which the two bounds, growing linearly, come to their end.
        The defaults are the paper's; few tables have so many batches.
    center, scale : bool, default=True
        Whether to learn a shift and a gain.
    position : {"pre", "post"}, default="pre"
        Before or behind the activation.
    """

    momentum: float = 0.01
    eps: float = 1e-5
    r_max: float = 3.0
    d_max: float = 5.0
    start_step: int = 5000
    r_end: int = 40_000
    d_end: int = 25_000
    center: bool = True
    scale: bool = True
    position: str = "pre"
    _rules: ClassVar[dict] = UnitNorm._rules | {
        "momentum": real(0, 1, closed="right"),
        "r_max": real(1),
        "d_max": real(0),
        "start_step": integer(0),
        "r_end": integer(0),
        "d_end": integer(0),
    }
    mixes_rows: ClassVar[bool] = True
    follows_training: ClassVar[bool] = True
    training_stage: ClassVar[type] = RenormStage
    fixed_stage: ClassVar[type] = FixedStage

    def __post_init__(self):
        super().__post_init__()
        for name in ("r_end", "d_end"):
            end = getattr(self, name)
            require(end >= self.start_step, name, f"an integer >= start_step={self.start_step}", end)

    def kept(self, units):
        return {"means": (1, units), "variances": (1, units), "updates": (1, 1)}

    def bounds(self, n_rows):
        """Return begin and end of a batch."""
        return np.array([0, n_rows])


class RowNorm(UnitNorm):
    """Base of norms over the units of each row, in groups of neighbours."""

    training_stage: ClassVar[type] = RowStage
    fixed_stage: ClassVar[type] = RowStage

    def n_groups(self):
        """Return into how many groups the units are cut."""
        raise NotImplementedError

    def check_units(self, units):
        n_groups = self.n_groups()
        if units % n_groups or units // n_groups < 2:
            needed = (
                f"whose units can be cut into {n_groups} groups of two or more"
                if n_groups > 1
                else "of two or more units"
            )
            raise ValueError(
                f"{self} must have a layer {needed}; got {units} {'unit' if units == 1 else 'units'}. A group of one "
                "unit would be 0 in every row, since it is its own mean."
            )


@building_block
class LayerNorm(RowNorm):
    """The units of each row to mean 0 and variance 1: rows do not depend on each other.

    Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450.

    Parameters
    ----------
    eps : float, default=1e-5
        Added to the (biased) variance.
    center, scale : bool, default=True
        Whether to learn a shift and a gain.
    position : {"pre", "post"}, default="pre"
        Before or behind the activation.
    """

    eps: float = 1e-5
    center: bool = True
    scale: bool = True
    position: str = "pre"

    def n_groups(self):
        return 1


@building_block
class GroupNorm(RowNorm):
    """Each group of neighbouring units of each row to mean 0 and variance 1.

    Wu and He, "Group Normalization", ECCV 2018.

    Parameters
    ----------
    groups : int
        Number of groups; the units of a layer are a multiple of it, at least twice as many.
    eps : float, default=1e-5
        Added to the (biased) variance.
    center, scale : bool, default=True
        Whether to learn a shift and a gain, of each unit.
    position : {"pre", "post"}, default="pre"
        Before or behind the activation.
    """

    groups: int
    eps: float = 1e-5
    center: bool = True
    scale: bool = True
    position: str = "pre"
    _rules: ClassVar[dict] = UnitNorm._rules | {"groups": integer(1)}

    def n_groups(self):
        return self.groups


@building_block
class InstanceNorm(RowNorm):
    """Units seen as channels x positions: each channel of each row to mean 0 and variance 1 over its positions.

    Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", arXiv:1607.08022. Each unit has a shift and a gain of its
    own, where PyTorch's ``affine=True`` has one of each a channel.

    Parameters
    ----------
    channels : int
        Number of channels; unit ``c * positions + p`` is position p of channel c.
    eps : float, default=1e-5
        Added to the (biased) variance.
    center, scale : bool, default=True
        Whether to learn a shift and a gain, of each unit.
    position : {"pre", "post"}, default="pre"
        Before or behind the activation.
    """

    channels: int
    eps: float = 1e-5
    center: bool = True
    scale: bool = True
    position: str = "pre"
    _rules: ClassVar[dict] = UnitNorm._rules | {"channels": integer(1)}

    def n_groups(self):
        return self.channels


NORMS = {
    "batch": BatchNorm(),
    "batch_renorm": BatchRenorm(),
    "layer": LayerNorm(),
    "weight": WeightNorm(),
}
