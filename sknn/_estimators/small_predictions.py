"""Predictions of a few rows, which take less time than their preparation: the last one's is kept."""

from __future__ import annotations

from collections import deque
from itertools import chain
from operator import is_
from typing import Any

import numpy as np

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.rows import Rows
from .._core.passes import Model, SmallPass
from .attributes import ATTRIBUTES, model_of

MOST_ROWS = 128


class SmallPredictions:
    """The compiled pass of an estimator's last prediction of a few rows, for others of as many rows.

    Threads do not share a pass: each takes it out of here, or makes one of its own.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[tuple[int, ...], tuple[Any, ...], SmallPass]] = deque(maxlen=1)

    def outputs(self, estimator: Any, rows: Rows) -> Array:
        """Return outputs behind the link, ``(n, outputs)``, for checked rows in the float type of the model."""
        X, source = rows.X, _source(estimator, rows.backend)
        try:
            shape, known, small_pass = self._kept.pop()
        except IndexError:
            shape, known = (), ()
        if shape != X.shape or len(known) != len(source) or not all(map(is_, known, source)):
            model = model_of(estimator, rows)
            small_pass = SmallPass(model, len(X))
            if not _reads(model, source):
                return small_pass.outputs(X)
        outputs = small_pass.outputs(X)
        self._kept.append((X.shape, source, small_pass))
        return outputs


def _source(estimator: Any, backend: Backend) -> tuple[Any, ...]:
    """Return the objects that a pass is made of, each of which a user may replace."""
    attributes = vars(estimator)
    arrays = chain.from_iterable(attributes[name] for name in ATTRIBUTES.values() if name in attributes)
    return (backend, *map(attributes.get, ("_network", "activation", "out_activation_", "n_layers_")), *arrays)


def _reads(model: Model, source: tuple[Any, ...]) -> bool:
    """Return whether a model reads these arrays where they are, and nothing else in there can change in place."""
    if any(isinstance(setting, list) for setting in source):
        return False
    arrays = [array for array in source if isinstance(array, np.ndarray)]
    learnt = [array for layer in (*model.parameters, *model.statistics) for array in layer.values()]
    return all(any(np.may_share_memory(array, other) for other in arrays) for array in learnt)
