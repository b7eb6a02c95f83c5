"""Normalisation layers: batch norm, batch renorm, layer norm, group norm, instance norm and weight norm.

A norm is a frozen dataclass. It normalises the input of an activation (``position="pre"``), the output of an activation
(``position="post"``), or the weights of a layer (:class:`WeightNorm`). With ``position="pre"``, the bias of the layer
is the shift of the norm; with ``position="post"``, the norm has a separate shift. Gains start at 1 and shifts at 0.

Conventions, on which libraries differ:

- ``momentum`` is the weight of the new batch in the running statistics, as in PyTorch; Keras defines it as 1 minus this
  weight.
- A batch is normalised by its biased variance. The running variance is an average of unbiased variances, as in PyTorch
  and in the paper by Ioffe and Szegedy; in Keras it is an average of biased variances.
- The t-th batch has at least the weight 1 / t in the running statistics. Running statistics therefore start as the
  plain mean of the first batches, without the influence of initial values 0 and 1.
- Running statistics follow the weights with a delay, which is large where inputs are far from zero. Other libraries
  always predict by them; here ``fit`` ends with the statistics of all training rows (``statistics="exact"``).

Examples
--------
>>> from sklearn.datasets import load_iris
>>> from sknn import MLPClassifier
>>> from sknn.normalization import BatchNorm
>>> X, y = load_iris(return_X_y=True)
>>> model = MLPClassifier((10, 10), norm=[BatchNorm(momentum=0.3), None], max_iter=100, random_state=0).fit(X, y)
>>> [None if means is None else means.shape for means in model.norm_means_]
[(10,), None, None]
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ._backend.operations import Renorm, RunningMoments
from ._backend.typing import Array, Arrays, Shapes
from ._common.blocks import Block, building_block
from ._common.rules import boolean, either, integer, nothing, one_of, real, require


class Norm(Block, is_base=True):
    """Base class of all norms."""

    stage: ClassVar[str]  # of a pass: "batch", "renorm" or "groups"; "weights" for a norm of the weights
    position: Any  # of the stage: "pre" or "post", before or behind the activation, or "weights"
    max_norm_kind: ClassVar[str] = "weights"  # the kind of parameters whose lengths max_norm bounds
    mixes_rows: ClassVar[bool] = False  # outputs of a row depend on the other rows of its batch
    follows_training: ClassVar[bool] = False  # and on the batches before
    follows_data: ClassVar[bool] = False  # parameters are adapted to training rows before the first step
    is_exact: ClassVar[bool] = False  # predictions use statistics of all training rows, once ``fit`` has ended

    def parameter_shapes(self, units: int) -> Shapes:
        """Return the shapes of the trained parameters of a layer, by kind."""
        raise NotImplementedError

    def statistic_shapes(self, units: int) -> Shapes:
        """Return the shapes of the running statistics of a layer, by kind."""
        return {}

    def start(self, parameters: Arrays) -> None:
        """Set the trained parameters of one model to their initial values."""
        raise NotImplementedError

    def adapt(self, parameters: Arrays, mean: Array, std: Array) -> None:
        """Adapt parameters to the mean and standard deviation of each unit, where the norm follows data."""
        raise NotImplementedError

    def check_units(self, units: int) -> None:
        """Raise ValueError if the norm cannot be used for a layer with this number of units."""


@building_block
class WeightNorm(Norm):
    """Weight normalisation: the weights of a unit are ``gain * v / norm(v)``, with trained gain and direction v.

    ``coefs_`` contains the vectors v and ``norm_gains_`` the gains. ``max_norm`` limits the gains. Weight decay
    (``alpha`` and ``l1``) acts on v; it does not change the layer, which uses ``v / norm(v)``.

    Salimans and Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
    Networks", NIPS 2016.

    Parameters
    ----------
    data_dependent : bool, default=True
        If True, the initial gains and biases give each unit mean 0 and variance 1 on up to 1024 training rows, as in
        section 3 of the paper. If False, the initial gains are the norms of the initial weights, so that the layer
        starts with the weights drawn by the initialiser.
    """

    data_dependent: bool = True
    _rules: ClassVar[dict] = {"data_dependent": boolean()}
    stage: ClassVar[str] = "weights"
    position = "weights"  # no field
    max_norm_kind: ClassVar[str] = "gains"

    def parameter_shapes(self, units: int) -> Shapes:
        return {"gains": (1, units)}

    def start(self, parameters: Arrays) -> None:
        parameters["gains"][...] = np.sqrt((parameters["weights"] ** 2).sum(axis=-2, keepdims=True))

    @property
    def follows_data(self) -> bool:  # type: ignore[override]
        return self.data_dependent

    def adapt(self, parameters: Arrays, mean: Array, std: Array) -> None:
        """Give each unit mean 0 and variance 1; units that are constant on all rows stay unchanged."""
        varies = std > np.finfo(parameters["gains"].dtype).eps * abs(mean)
        std = np.where(varies, std, 1)
        parameters["gains"] /= std
        parameters["biases"][...] = np.where(varies, -mean / std, 0)


class UnitNorm(Norm, is_base=True):
    """Base class of norms that standardize the values of units to x-hat and return ``gain * x-hat + shift``.

    All of them have the fields ``eps``, ``center``, ``scale`` and ``position``.
    """

    _rules: ClassVar[dict] = {
        "eps": real(0, closed="neither"),
        "center": boolean(),
        "scale": boolean(),
        "position": one_of("pre", "post"),
    }
    eps: float
    center: bool
    scale: bool
    position: str

    def parameter_shapes(self, units: int) -> Shapes:
        shapes = {"gains": (1, units)} if self.scale else {}
        return shapes | ({"shifts": (1, units)} if self.center and self.position == "post" else {})

    def start(self, parameters: Arrays) -> None:
        starts = {"biases": 0} if self.position == "pre" else {"shifts": 0}
        for kind, value in {**starts, "gains": 1}.items():
            if kind in parameters:
                parameters[kind][...] = value


class RunningNorm(UnitNorm, is_base=True):
    """Base class of norms by the statistics of a batch, with running statistics for predictions.

    Besides the fields of :class:`UnitNorm` they have ``momentum`` and ``statistics``.
    """

    _rules: ClassVar[dict] = UnitNorm._rules | {
        "momentum": real(0, 1, closed="right"),
        "statistics": one_of("exact", "ema"),
    }
    mixes_rows: ClassVar[bool] = True
    momentum: float
    statistics: str

    @property
    def is_exact(self) -> bool:  # type: ignore[override]
        return self.statistics == "exact"

    def statistic_shapes(self, units: int) -> Shapes:
        return {"means": (1, units), "variances": (1, units), "updates": (1, 1)}

    def trained_statistics(self, mean: Array, variance: Array, running: Arrays) -> tuple[Array, Array]:
        """Return the mean and variance that a training step on rows of this mean and variance would use."""
        return mean, variance


@building_block
class BatchNorm(RunningNorm):
    """Batch normalisation: standardizes each unit to mean 0 and variance 1 over the rows of a mini-batch.

    In training, mean and variance are those of the mini-batch; in prediction, those of the training rows (see
    ``statistics``). Sample weights count as numbers of rows: a row with weight 2 counts as two rows. A mini-batch must
    have at least 2 rows. Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
    Internal Covariate Shift", ICML 2015.

    Parameters
    ----------
    momentum : float, default=0.1
        Weight of a new batch in the running statistics, in (0, 1].
    eps : float, default=1e-5
        Constant added to the variance to avoid division by zero, > 0.
    statistics : {"exact", "ema"}, default="exact"
        Statistics for predictions. "exact" uses the mean and variance of all training rows, so that predictions agree
        with training for any scale and offset of X. They are computed at the end of each call of ``fit``, by one
        prediction pass over the training rows. If there is a validation set, each epoch is scored with the statistics
        of up to 1024 evenly spread training rows. "ema" uses running statistics (exponential moving averages), which
        follow the weights with a delay. ``partial_fit`` does not see all rows and always uses running statistics.
    virtual_batch_size : int or None, default=None
        Ghost batch norm: each batch is divided into parts of nearly equal size, about ``virtual_batch_size`` rows (at
        least 2), and each part is normalised by its own statistics (Hoffer, Hubara and Soudry, "Train Longer,
        Generalize Better", NIPS 2017). None uses the whole batch.
    center, scale : bool, default=True
        ``center``: whether to train a shift of each unit; ``scale``: whether to train a gain of each unit.
    position : {"pre", "post"}, default="pre"
        Position of the norm: before ("pre") or after ("post") the activation.
    """

    momentum: float = 0.1
    eps: float = 1e-5
    statistics: str = "exact"
    virtual_batch_size: int | None = None
    center: bool = True
    scale: bool = True
    position: str = "pre"
    _rules: ClassVar[dict] = RunningNorm._rules | {"virtual_batch_size": either(nothing(), integer(2))}
    stage: ClassVar[str] = "batch"

    def bounds(self, n_rows: int) -> Array:
        """Return the first row of each part of a batch, and the end of the last part."""
        size = self.virtual_batch_size or n_rows
        n_parts = max(1, min(-(-n_rows // size), n_rows // 2))
        return np.arange(n_parts + 1) * n_rows // n_parts


@building_block
class BatchRenorm(RunningNorm):
    """Batch renormalisation: batch norm corrected towards the running statistics, for small or non-i.i.d. batches.

    A unit standardized by the batch, x-hat, becomes ``x-hat * r + d`` with ``r = std / running std``, clipped to
    ``[1 / r_max, r_max]``, and ``d = (mean - running mean) / running std``, clipped to ``[-d_max, d_max]``. The
    gradient treats r and d as constants. The running std is the root of an average of unbiased variances, as in
    :class:`BatchNorm`; the paper averages standard deviations, which gives a smaller value. Not for solver "lbfgs".
    Ioffe, "Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models", NIPS 2017.

    Parameters
    ----------
    momentum : float, default=0.01
        Weight of a new batch in the running statistics, in (0, 1].
    eps : float, default=1e-5
        Constant added to the variance to avoid division by zero, > 0.
    r_max, d_max : float, default=3.0, 5.0
        Final bounds of r and d, ``r_max >= 1`` and ``d_max >= 0``. The initial bounds are 1 and 0.
    start_step, r_end, d_end : int, default=5000, 40000, 25000
        Numbers of training steps. Until ``start_step`` there is no correction. From ``start_step`` on, the bounds of r
        and d grow linearly; they reach ``r_max`` at ``r_end`` and ``d_max`` at ``d_end``. The defaults are those of the
        paper; on small data sets training ends earlier, so choose smaller values.
    statistics : {"exact", "ema"}, default="exact"
        Statistics for predictions, as in :class:`BatchNorm`. "exact" gives all training rows what a next training step
        on all of them would give: the mean and variance of these rows as far as r and d are bounded, and the running
        statistics as far as r and d correct towards them. "ema" uses the running statistics.
    center, scale : bool, default=True
        ``center``: whether to train a shift of each unit; ``scale``: whether to train a gain of each unit.
    position : {"pre", "post"}, default="pre"
        Position of the norm: before ("pre") or after ("post") the activation.
    """

    momentum: float = 0.01
    eps: float = 1e-5
    r_max: float = 3.0
    d_max: float = 5.0
    start_step: int = 5000
    r_end: int = 40_000
    d_end: int = 25_000
    statistics: str = "exact"
    center: bool = True
    scale: bool = True
    position: str = "pre"
    _rules: ClassVar[dict] = RunningNorm._rules | {
        "r_max": real(1),
        "d_max": real(0),
        "start_step": integer(0),
        "r_end": integer(0),
        "d_end": integer(0),
    }
    follows_training: ClassVar[bool] = True
    stage: ClassVar[str] = "renorm"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("r_end", "d_end"):
            end = getattr(self, name)
            require(end >= self.start_step, name, f"an integer >= start_step={self.start_step}", end)

    def bounds(self, n_rows: int) -> Array:
        """Return the first row and the end of a batch."""
        return np.array([0, n_rows])

    def trained_statistics(self, mean: Array, variance: Array, running: Arrays) -> tuple[Array, Array]:
        std = np.sqrt(variance + self.eps)
        r, d = np.empty_like(std), np.empty_like(std)
        moments = RunningMoments(running["means"], running["variances"], running["updates"])
        Renorm(mean, 1 / std, moments, self, r, d).define(np)
        # (x - mean) / std * r + d as one standardisation
        std /= r
        return mean - d * std, np.maximum(std**2 - self.eps, 0)


class RowNorm(UnitNorm, is_base=True):
    """Base class of norms over groups of neighbouring units of each row."""

    stage: ClassVar[str] = "groups"

    def n_groups(self) -> int:
        """Return the number of groups of units."""
        raise NotImplementedError

    def check_units(self, units: int) -> None:
        n_groups = self.n_groups()
        if units % n_groups or units // n_groups < 2:
            needed = (
                f"whose units can be divided into {n_groups} equal groups of two or more"
                if n_groups > 1
                else "of two or more units"
            )
            raise ValueError(
                f"{self} must have a layer {needed}; got {units} {('unit' if units == 1 else 'units')}. A group of "
                "one unit would be 0 in every row, because the unit equals the mean of the group."
            )


@building_block
class LayerNorm(RowNorm):
    """Layer normalisation: standardizes the units of each row to mean 0 and variance 1.

    The result for a row does not depend on the other rows of the batch. A layer must have at least 2 units. Ba,
    Kiros and Hinton, "Layer Normalization", arXiv:1607.06450.

    Parameters
    ----------
    eps : float, default=1e-5
        Constant added to the (biased) variance to avoid division by zero, > 0.
    center, scale : bool, default=True
        ``center``: whether to train a shift of each unit; ``scale``: whether to train a gain of each unit.
    position : {"pre", "post"}, default="pre"
        Position of the norm: before ("pre") or after ("post") the activation.
    """

    eps: float = 1e-5
    center: bool = True
    scale: bool = True
    position: str = "pre"

    def n_groups(self) -> int:
        return 1


@building_block
class GroupNorm(RowNorm):
    """Group normalisation: standardizes each group of neighbouring units of each row to mean 0 and variance 1.

    Wu and He, "Group Normalization", ECCV 2018.

    Parameters
    ----------
    groups : int
        Number of groups. It must divide the number of units of the layer, with at least 2 units per group.
    eps : float, default=1e-5
        Constant added to the (biased) variance to avoid division by zero, > 0.
    center, scale : bool, default=True
        ``center``: whether to train a shift of each unit; ``scale``: whether to train a gain of each unit.
    position : {"pre", "post"}, default="pre"
        Position of the norm: before ("pre") or after ("post") the activation.
    """

    groups: int
    eps: float = 1e-5
    center: bool = True
    scale: bool = True
    position: str = "pre"
    _rules: ClassVar[dict] = UnitNorm._rules | {"groups": integer(1)}

    def n_groups(self) -> int:
        return self.groups


@building_block
class InstanceNorm(RowNorm):
    """Instance normalisation: standardizes each channel of each row to mean 0 and variance 1 over its positions.

    The units of the layer are arranged as channels x positions. Each unit has its own shift and gain, unlike in
    PyTorch, where ``affine=True`` has one shift and one gain per channel. Ulyanov, Vedaldi and Lempitsky, "Instance
    Normalization", arXiv:1607.08022.

    Parameters
    ----------
    channels : int
        Number of channels. It must divide the number of units, with at least 2 positions per channel. Unit
        ``c * positions + p`` is position p of channel c.
    eps : float, default=1e-5
        Constant added to the (biased) variance to avoid division by zero, > 0.
    center, scale : bool, default=True
        ``center``: whether to train a shift of each unit; ``scale``: whether to train a gain of each unit.
    position : {"pre", "post"}, default="pre"
        Position of the norm: before ("pre") or after ("post") the activation.
    """

    channels: int
    eps: float = 1e-5
    center: bool = True
    scale: bool = True
    position: str = "pre"
    _rules: ClassVar[dict] = UnitNorm._rules | {"channels": integer(1)}

    def n_groups(self) -> int:
        return self.channels


NORMS = {
    "batch": BatchNorm(),
    "batch_renorm": BatchRenorm(),
    "layer": LayerNorm(),
    "weight": WeightNorm(),
}
