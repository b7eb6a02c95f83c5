"""Initial weights, drawn on the host so that every backend starts from the same numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GlorotUniform:
    """Uniform in +-sqrt(factor / (fan_in + fan_out)), biases too, as in scikit-learn.

    Glorot and Bengio (2010, eq. 16) have a factor of 6; scikit-learn takes 2 for logistic units.
    """

    factor: float = 6.0

    def draw(self, random_state, fan_in, fan_out):
        """Return a weight matrix ``(fan_in, fan_out)`` and a bias ``(fan_out,)`` in float64."""
        bound = np.sqrt(self.factor / (fan_in + fan_out))
        weight = random_state.uniform(-bound, bound, (fan_in, fan_out))
        return weight, random_state.uniform(-bound, bound, fan_out)
