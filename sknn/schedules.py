"""Schedules of the learning rate and of the batch size.

A learning-rate schedule is a frozen dataclass. Its method ``factors`` returns factors by which the learning rate of
each step is multiplied; they depend only on the number of the step, so that resumed training continues the schedule.
``after_epoch`` and ``after_plateau`` change the learning rate itself. A plateau is reached after ``n_iter_no_change``
epochs without improvement. If a schedule is chosen by name, the fields listed in ``shared`` are taken from the
estimator's parameters of the same names.

Examples
--------
>>> import numpy as np
>>> from sknn.schedules import StepDecay, WarmUp
>>> steps = np.array([1, 10, 11, 31])  # with 10 steps per epoch: epochs 1, 1, 2 and 4
>>> StepDecay(every=3, factor=0.5).factors(steps, steps_per_epoch=10, n_steps=100)
array([1. , 1. , 1. , 0.5])
>>> WarmUp(1).factors(steps, steps_per_epoch=10, n_steps=100)
array([0.1, 1. , 1. , 1. ])
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ._backend.typing import Array
from ._common.blocks import Block, building_block
from ._common.rules import block, either, integer, nothing, real, require


class Schedule(Block, is_base=True):
    """Base class of all learning-rate schedules: constant learning rate, training stops on a plateau."""

    last_words: ClassVar[str] = "Stopping."
    shared: ClassVar[tuple[str, ...]] = ()

    def factors(self, steps: Array, steps_per_epoch: int, n_steps: int) -> Array:
        """Return the factor of the learning rate at each of ``steps``, counted from 1; ``n_steps`` is their total."""
        return np.ones(len(steps))

    def after_epoch(self, learning_rate: Array, base: Array, samples_seen: int) -> Array:
        """Return the learning rate for the next epoch.

        ``learning_rate`` and the initial learning rate ``base`` have one entry per model.
        """
        return learning_rate

    def after_plateau(self, learning_rate: float) -> float | None:
        """Return the learning rate after a plateau, or None to stop training."""
        return None


class BatchSchedule(Block, is_base=True):
    """Base class of batch-size schedules."""

    def size_in(self, epoch: int) -> int:
        """Return the batch size in an epoch, counted from 0."""
        raise NotImplementedError


@building_block
class GrowingBatch(BatchSchedule):
    """Batch size that grows by a factor every few epochs, as an alternative to a decreasing learning rate.

    Smith, Kindermans, Ying and Le, "Don't Decay the Learning Rate, Increase the Batch Size", ICLR 2018.

    Parameters
    ----------
    start : int, default=32
        Initial batch size, in rows, at least 1.
    factor : float, default=2.0
        Factor by which the batch size grows, at least 1.
    period : int, default=10
        Number of epochs between two increases, at least 1.
    largest : int, default=1024
        Maximum batch size, in rows, at least ``start``.

    Examples
    --------
    >>> from sknn.schedules import GrowingBatch
    >>> [GrowingBatch(start=32, period=10).size_in(epoch) for epoch in (0, 10, 20, 60)]
    [32, 64, 128, 1024]
    """

    start: int = 32
    factor: float = 2.0
    period: int = 10
    largest: int = 1024
    _rules: ClassVar[dict] = {"start": integer(1), "factor": real(1), "period": integer(1), "largest": integer(1)}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.largest >= self.start, "largest", f"an integer >= start={self.start}", self.largest)

    def size_in(self, epoch: int) -> int:
        size: float = self.start
        for _ in range(epoch // self.period):
            if size == self.largest or self.factor == 1:
                break
            size = min(size * self.factor, self.largest)
        return int(size)


@building_block
class Constant(Schedule):
    """Constant learning rate; training stops on a plateau."""


@building_block
class InverseScaling(Schedule):
    """Learning rate ``learning_rate_init / (samples seen + 1)^power_t`` after each epoch: scikit-learn's "invscaling".

    Parameters
    ----------
    power_t : float, default=0.5
        Exponent, at least 0.
    """

    power_t: float = 0.5
    _rules: ClassVar[dict] = {"power_t": real(0)}
    shared: ClassVar[tuple[str, ...]] = ("power_t",)

    def after_epoch(self, learning_rate: Array, base: Array, samples_seen: int) -> Array:
        with np.errstate(over="ignore"):  # a power beyond all floats leaves a rate of zero
            return base / np.float64(samples_seen + 1) ** self.power_t


@building_block
class ReduceOnPlateau(Schedule):
    """Learning rate multiplied by ``factor`` on each plateau: after ``n_iter_no_change`` epochs without improvement.

    Parameters
    ----------
    factor : float, default=0.1
        Factor of the learning rate, in (0, 1).
    min_rate : float, default=1e-6
        Training stops on a plateau if the learning rate is at most this value, at least 0.
    """

    factor: float = 0.1
    min_rate: float = 1e-6
    _rules: ClassVar[dict] = {"factor": real(0, 1, closed="neither"), "min_rate": real(0)}
    last_words: ClassVar[str] = "Learning rate too small. Stopping."

    def after_plateau(self, learning_rate: float) -> float | None:
        return None if learning_rate <= self.min_rate else learning_rate * self.factor


@building_block
class Adaptive(ReduceOnPlateau):
    """Learning rate divided by 5 on each plateau: scikit-learn's "adaptive".

    Parameters
    ----------
    factor : float, default=0.2
        Factor of the learning rate, in (0, 1).
    min_rate : float, default=1e-6
        Training stops on a plateau if the learning rate is at most this value, at least 0.
    """

    factor: float = 0.2

    def after_plateau(self, learning_rate: float) -> float | None:
        return None if learning_rate <= self.min_rate else learning_rate / (1 / self.factor)  # / 5, to the bit


@building_block
class StepDecay(Schedule):
    """Step decay: learning rate multiplied by ``factor`` every ``every`` epochs.

    Parameters
    ----------
    every : int, default=30
        Number of epochs between two changes, at least 1.
    factor : float, default=0.1
        Factor of the learning rate, > 0.
    """

    every: int = 30
    factor: float = 0.1
    _rules: ClassVar[dict] = {"every": integer(1), "factor": real(0, closed="neither")}

    def factors(self, steps: Array, steps_per_epoch: int, n_steps: int) -> Array:
        epochs = (steps - 1) // steps_per_epoch
        return powers(self.factor, epochs // self.every)


@building_block
class Exponential(Schedule):
    """Exponential decay: learning rate multiplied by ``factor`` after every epoch.

    Parameters
    ----------
    factor : float, default=0.95
        Factor of the learning rate, > 0.
    """

    factor: float = 0.95
    _rules: ClassVar[dict] = {"factor": real(0, closed="neither")}

    def factors(self, steps: Array, steps_per_epoch: int, n_steps: int) -> Array:
        return powers(self.factor, (steps - 1) // steps_per_epoch)


@building_block
class Cosine(Schedule):
    """Cosine annealing: learning rate that falls along half a cosine, once or with warm restarts.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5.

    Parameters
    ----------
    period : int or None, default=None
        Number of epochs from one restart to the next, at least 1. None decays once over all ``max_iter`` epochs.
    growth : float, default=1.0
        Factor by which the period grows at each restart, at least 1.
    end : float, default=0.0
        Learning rate at the end of a period, as a fraction of the initial learning rate; at least 0.
    """

    period: int | None = None
    growth: float = 1.0
    end: float = 0.0
    _rules: ClassVar[dict] = {"period": either(nothing(), integer(1)), "growth": real(1), "end": real(0)}

    def factors(self, steps: Array, steps_per_epoch: int, n_steps: int) -> Array:
        if self.period is None:
            progress = np.minimum((steps - 1) / n_steps, 1)
        else:
            progress = self._restarted((steps - 1) / (steps_per_epoch * self.period))
        return self.end + (1 - self.end) * falling_cosine(progress)

    def _restarted(self, periods: Array) -> Array:
        """Return the elapsed fraction of the current period, given the elapsed time in units of the first period."""
        if self.growth == 1:
            return periods % 1
        n_over = np.floor(np.log1p(periods * (self.growth - 1)) / np.log(self.growth) + 1e-12)
        started = (self.growth**n_over - 1) / (self.growth - 1)
        return np.clip((periods - started) / self.growth**n_over, 0, 1)


@building_block
class OneCycle(Schedule):
    """One-cycle policy: learning rate that rises to ``learning_rate_init`` and falls to almost zero, by half cosines.

    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    arXiv:1708.07120. The defaults are those of PyTorch's ``OneCycleLR``; unlike there, the momentum is constant.

    Parameters
    ----------
    peak_at : float, default=0.3
        Fraction of all steps after which the learning rate reaches ``learning_rate_init``, in (0, 1).
    start, end : float, default=0.04, 4e-6
        Learning rates of the first and of the last step, as fractions of ``learning_rate_init``; > 0.
    """

    peak_at: float = 0.3
    start: float = 0.04
    end: float = 4e-6
    _rules: ClassVar[dict] = {
        "peak_at": real(0, 1, closed="neither"),
        "start": real(0, closed="neither"),
        "end": real(0, closed="neither"),
    }

    def factors(self, steps: Array, steps_per_epoch: int, n_steps: int) -> Array:
        peak, last = max(self.peak_at * n_steps - 1, 0), max(n_steps - 1, 1)
        position = np.minimum(steps - 1, last)
        rising = 1 - (1 - self.start) * falling_cosine(np.clip(position / max(peak, 1e-9), 0, 1))
        falling = self.end + (1 - self.end) * falling_cosine(np.clip((position - peak) / max(last - peak, 1e-9), 0, 1))
        return np.where(position < peak, rising, falling)


@building_block
class CosLog4(Schedule):
    """Four cosine cycles, each twice as long as the one before.

    The factor of the learning rate is ``(1 - cos(2 pi log2(1 + 15 t))) / 2`` after a fraction t of all steps.
    Holzmueller, Grinsztajn and Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data",
    NeurIPS 2024, section 3.
    """

    def factors(self, steps: Array, steps_per_epoch: int, n_steps: int) -> Array:
        progress = np.minimum((steps - 1) / n_steps, 1)
        return 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * progress)))


@building_block
class WarmUp(Schedule):
    """Linear warm-up from zero to the learning rate, followed by another schedule.

    The epochs of the second schedule are counted from the end of the warm-up. Goyal et al., "Accurate, Large Minibatch
    SGD: Training ImageNet in 1 Hour", arXiv:1706.02677, section 2.2.

    Parameters
    ----------
    epochs : int, default=5
        Length of the warm-up in epochs, at least 1.
    then : str or Schedule, default="constant"
        Schedule after the warm-up, by name or as an instance.
    """

    epochs: int = 5
    then: str | Schedule = "constant"
    _rules: ClassVar[dict] = {"epochs": integer(1)}

    @property
    def _then(self) -> Schedule:
        return SCHEDULES[self.then]() if isinstance(self.then, str) else self.then

    @property
    def last_words(self) -> str:  # type: ignore[override]
        return self._then.last_words

    def factors(self, steps: Array, steps_per_epoch: int, n_steps: int) -> Array:
        n_rising = min(self.epochs * steps_per_epoch, 2**62)  # an integer of NumPy
        later = self._then.factors(np.maximum(steps - n_rising, 1), steps_per_epoch, max(n_steps - n_rising, 1))
        return np.where(steps <= n_rising, steps / n_rising, later)

    def after_epoch(self, learning_rate: Array, base: Array, samples_seen: int) -> Array:
        return self._then.after_epoch(learning_rate, base, samples_seen)

    def after_plateau(self, learning_rate: float) -> float | None:
        return self._then.after_plateau(learning_rate)


def powers(factor: float, exponents: Array) -> Array:
    """Return the powers of a factor; infinity beyond all floats, with which training diverges."""
    with np.errstate(over="ignore"):
        return factor**exponents


def falling_cosine(progress: Array) -> Array:
    """Return (1 + cos(pi * progress)) / 2, which falls from 1 at progress 0 to 0 at progress 1."""
    return 0.5 * (1 + np.cos(np.pi * progress))


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "invscaling": InverseScaling,
    "adaptive": Adaptive,
    "step": StepDecay,
    "exponential": Exponential,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "coslog4": CosLog4,
    "reduce_on_plateau": ReduceOnPlateau,
    "warm_up": WarmUp,
}
WarmUp._rules["then"] = block(SCHEDULES, Schedule)  # now that all of them are there
SCIKIT_LEARNS = ("constant", "invscaling", "adaptive")  # by name for solver "sgd" only, as there
