"""Learning-rate schedules: what becomes of the learning rate from step to step, after an epoch, and on a plateau.

A schedule is a frozen dataclass. ``factors`` multiplies the rate of each step; it depends on the number of the step
alone, so that training that is resumed goes on where it was. ``after_epoch`` and ``after_plateau`` change the rate
itself. Chosen by name, a schedule takes the fields in ``shared`` from the estimator's parameters of these names.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ._common.blocks import Block, building_block
from ._common.rules import block, either, integer, nothing, real, require


class Schedule(Block):
    """Base of all schedules: leaves the rate as it is, and ends training on a plateau."""

    last_words: ClassVar[str] = "Stopping."
    shared: ClassVar[tuple] = ()

    def factors(self, steps, steps_per_epoch, n_steps):
        """Return by what the rate is multiplied at each of ``steps`` (counted from 1), of ``n_steps`` in all."""
        return np.ones(len(steps))

    def after_epoch(self, learning_rate, base, samples_seen):
        """Return the rate for the next epoch; the rate and the initial one, ``base``, have one entry a model."""
        return learning_rate

    def after_plateau(self, learning_rate):
        """Return the rate to go on with, or None to stop."""
        return None


class BatchSchedule(Block):
    """Base of schedules of the batch size."""

    def size_in(self, epoch):
        """Return the rows of a batch in an epoch, counted from 0."""
        raise NotImplementedError


@building_block
class GrowingBatch(BatchSchedule):
    """Batches that grow by a factor every few epochs, in the place of a falling learning rate.

    Smith, Kindermans, Ying and Le, "Don't Decay the Learning Rate, Increase the Batch Size", ICLR 2018.

    Parameters
    ----------
    start : int, default=32
        Rows of a batch in the first epochs.
    factor : float, default=2.0
        By how much batches grow, at least 1.
    period : int, default=10
        After how many epochs they grow.
    largest : int, default=1024
        The rows where they stay.
    """

    start: int = 32
    factor: float = 2.0
    period: int = 10
    largest: int = 1024
    _rules: ClassVar[dict] = {"start": integer(1), "factor": real(1), "period": integer(1), "largest": integer(1)}

    def __post_init__(self):
        super().__post_init__()
        require(self.largest >= self.start, "largest", f"an integer >= start={self.start}", self.largest)

    def size_in(self, epoch):
        size = self.start
        for _ in range(epoch // self.period):
            if size == self.largest or self.factor == 1:
                break
            size = min(size * self.factor, self.largest)
        return int(size)


@building_block
class Constant(Schedule):
    """The initial learning rate throughout."""


@building_block
class InverseScaling(Schedule):
    """base / (samples seen + 1)^power_t after each epoch, scikit-learn's "invscaling".

    Parameters
    ----------
    power_t : float, default=0.5
        Exponent, not negative.
    """

    power_t: float = 0.5
    _rules: ClassVar[dict] = {"power_t": real(0)}
    shared: ClassVar[tuple] = ("power_t",)

    def after_epoch(self, learning_rate, base, samples_seen):
        return base / (samples_seen + 1) ** self.power_t


@building_block
class ReduceOnPlateau(Schedule):
    """A share of the rate on each plateau, that is after ``n_iter_no_change`` epochs without improvement.

    Parameters
    ----------
    factor : float, default=0.1
        The share, in (0, 1).
    min_rate : float, default=1e-6
        Training ends on a plateau once the rate is not above this.
    """

    factor: float = 0.1
    min_rate: float = 1e-6
    _rules: ClassVar[dict] = {"factor": real(0, 1, closed="neither"), "min_rate": real(0)}
    last_words: ClassVar[str] = "Learning rate too small. Stopping."

    def after_plateau(self, learning_rate):
        return None if learning_rate <= self.min_rate else learning_rate * self.factor


@building_block
class Adaptive(ReduceOnPlateau):
    """A fifth of the rate on each plateau, scikit-learn's "adaptive".

    Parameters
    ----------
    factor : float, default=0.2
        The share, in (0, 1).
    min_rate : float, default=1e-6
        Training ends on a plateau once the rate is not above this.
    """

    factor: float = 0.2

    def after_plateau(self, learning_rate):
        return None if learning_rate <= self.min_rate else learning_rate / (1 / self.factor)  # / 5, to the bit


@building_block
class StepDecay(Schedule):
    """A share of the rate after every so many epochs.

    Parameters
    ----------
    every : int, default=30
        Epochs between two falls.
    factor : float, default=0.1
        What is left of the rate.
    """

    every: int = 30
    factor: float = 0.1
    _rules: ClassVar[dict] = {"every": integer(1), "factor": real(0, closed="neither")}

    def factors(self, steps, steps_per_epoch, n_steps):
        epochs = (steps - 1) // steps_per_epoch
        return self.factor ** (epochs // self.every)


@building_block
class Exponential(Schedule):
    """A share of the rate after every epoch.

    Parameters
    ----------
    factor : float, default=0.95
        What is left of the rate.
    """

    factor: float = 0.95
    _rules: ClassVar[dict] = {"factor": real(0, closed="neither")}

    def factors(self, steps, steps_per_epoch, n_steps):
        return float(self.factor) ** ((steps - 1) // steps_per_epoch)


@building_block
class Cosine(Schedule):
    """Half a cosine from the rate down to a share of it, once or with restarts.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5.

    Parameters
    ----------
    period : int or None, default=None
        Epochs from one start to the next; None makes one fall of all ``max_iter`` epochs.
    growth : float, default=1.0
        By what the period is multiplied at each restart, at least 1.
    end : float, default=0.0
        Share of the rate at the end of a fall.
    """

    period: int | None = None
    growth: float = 1.0
    end: float = 0.0
    _rules: ClassVar[dict] = {"period": either(nothing(), integer(1)), "growth": real(1), "end": real(0)}

    def factors(self, steps, steps_per_epoch, n_steps):
        if self.period is None:
            progress = np.minimum((steps - 1) / n_steps, 1)
        else:
            progress = self._restarted((steps - 1) / (steps_per_epoch * self.period))
        return self.end + (1 - self.end) * falling_cosine(progress)

    def _restarted(self, periods):
        """Return the part of its period that is over, given the number of first periods that are."""
        if self.growth == 1:
            return periods % 1
        n_over = np.floor(np.log1p(periods * (self.growth - 1)) / np.log(self.growth) + 1e-12)
        started = (self.growth**n_over - 1) / (self.growth - 1)
        return np.clip((periods - started) / self.growth**n_over, 0, 1)


@building_block
class OneCycle(Schedule):
    """Up to the rate and down to almost nothing, both along half a cosine.

    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    arXiv:1708.07120; the numbers are those of PyTorch's ``OneCycleLR``, whose momentum stays here.

    Parameters
    ----------
    peak_at : float, default=0.3
        Share of all steps at which the rate is ``learning_rate_init``, in (0, 1).
    start, end : float, default=0.04, 4e-6
        Shares of the rate at the first and at the last step.
    """

    peak_at: float = 0.3
    start: float = 0.04
    end: float = 4e-6
    _rules: ClassVar[dict] = {
        "peak_at": real(0, 1, closed="neither"),
        "start": real(0, closed="neither"),
        "end": real(0, closed="neither"),
    }

    def factors(self, steps, steps_per_epoch, n_steps):
        peak, last = max(self.peak_at * n_steps - 1, 0), max(n_steps - 1, 1)
        position = np.minimum(steps - 1, last)
        rising = 1 - (1 - self.start) * falling_cosine(np.clip(position / max(peak, 1e-9), 0, 1))
        falling = self.end + (1 - self.end) * falling_cosine(np.clip((position - peak) / max(last - peak, 1e-9), 0, 1))
        return np.where(position < peak, rising, falling)


@building_block
class CosLog4(Schedule):
    """Four rises and falls, each twice as long as the one before: ``(1 - cos(2 pi log2(1 + 15 t))) / 2``.

    Holzmueller, Grinsztajn and Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data",
    NeurIPS 2024, section 3; t is the share of all steps that is over.
    """

    def factors(self, steps, steps_per_epoch, n_steps):
        progress = np.minimum((steps - 1) / n_steps, 1)
        return 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * progress)))


@building_block
class WarmUp(Schedule):
    """A straight rise from zero to the rate, in front of another schedule, whose epochs are counted from its end.

    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", arXiv:1706.02677, section 2.2.

    Parameters
    ----------
    epochs : int, default=5
        Length of the rise.
    then : str or Schedule, default="constant"
        What follows.
    """

    epochs: int = 5
    then: str | Schedule = "constant"
    _rules: ClassVar[dict] = {"epochs": integer(1)}

    @property
    def _then(self):
        return SCHEDULES[self.then]() if isinstance(self.then, str) else self.then

    @property
    def last_words(self):
        return self._then.last_words

    def factors(self, steps, steps_per_epoch, n_steps):
        n_rising = self.epochs * steps_per_epoch
        later = self._then.factors(np.maximum(steps - n_rising, 1), steps_per_epoch, max(n_steps - n_rising, 1))
        return np.where(steps <= n_rising, steps / n_rising, later)

    def after_epoch(self, learning_rate, base, samples_seen):
        return self._then.after_epoch(learning_rate, base, samples_seen)

    def after_plateau(self, learning_rate):
        return self._then.after_plateau(learning_rate)


def falling_cosine(progress):
    """Return half a cosine from 1 at 0 to 0 at 1."""
    return 0.5 * (1 + np.cos(np.pi * progress))


SCHEDULES = {
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
