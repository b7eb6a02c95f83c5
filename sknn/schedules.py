"""Learning-rate schedules: what becomes of the learning rate after an epoch, and on a plateau.

``learning_rate`` and ``base`` (the initial rate) have one entry a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Constant:
    """The initial learning rate throughout; a plateau ends training."""

    last_words: ClassVar[str] = "Stopping."

    def after_epoch(self, learning_rate, base, samples_seen):
        """Return the rate for the next epoch."""
        return learning_rate

    def after_plateau(self, learning_rate):
        """Return the rate to go on with, or None to stop."""
        return None


@dataclass(frozen=True)
class InverseScaling(Constant):
    """base / (samples seen + 1)^power_t, scikit-learn's "invscaling"."""

    power_t: float = 0.5

    def after_epoch(self, learning_rate, base, samples_seen):
        return base / (samples_seen + 1) ** self.power_t


@dataclass(frozen=True)
class Adaptive(Constant):
    """A fifth of the rate on each plateau; training ends once it is at most 1e-6."""

    last_words: ClassVar[str] = "Learning rate too small. Stopping."

    def after_plateau(self, learning_rate):
        return None if learning_rate <= 1e-6 else learning_rate / 5


SCHEDULES = {
    "constant": Constant,
    "invscaling": InverseScaling,
    "adaptive": Adaptive,
}
