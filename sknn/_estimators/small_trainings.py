"""Calls of ``partial_fit`` on a few rows, which take less time than their preparation: the last one's is kept."""

from __future__ import annotations

from collections import deque
from itertools import chain
from operator import is_
from typing import Any

import numpy as np

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.blocks import Block
from .._common.rows import rows_of
from .._common.rules import PLAIN
from .._core.data import Data, Problem
from .._core.epoch import EpochSteps
from .._core.state import State
from .attributes import ATTRIBUTES

MOST_BYTES = 2**20  # of X, and of the parameters


class SmallTraining:
    """The problem of a call of ``partial_fit``, on copies of its rows, and its compiled steps.

    They serve another call with the same parameters and shapes; the steps do if the state has the same arrays, too.
    """

    def __init__(self, parameters: Any, problem: Problem) -> None:
        self._parameters, self.problem = parameters, problem
        self._steps: EpochSteps | None = None
        self._arrays: tuple[Any, ...] = ()
        self._given: tuple[Any, ...] = ()
        self._published: tuple[Any, ...] = ()

    def parameters_of(self, estimator: Any) -> Any:
        """Return the plain parameters if the estimator has the very same as in the last call, or None."""
        return self._parameters if _are_same(self._given, _given_parameters(estimator)) else None

    def has_published(self, estimator: Any) -> bool:
        """Return whether the estimator has the arrays that the last call made, which are views of its state."""
        return _are_same(self._published, _published_arrays(estimator))

    def remember(self, estimator: Any) -> None:
        """Remember the parameters and arrays of the estimator after a call."""
        given = _given_parameters(estimator)
        if not _are_same(self._given, given):
            self._given = given if all(map(_is_immutable, given)) else ()
        self._published = _published_arrays(estimator)

    def fits(self, parameters: Any, backend: Backend, arrays: tuple[Any, ...]) -> bool:
        """Return whether a call with these parameters, and X, y and weights, poses the same problem."""
        known, given = map(_shapes, (_arrays_of(self.problem.data), arrays))
        return backend is self.problem.backend and known == given and parameters == self._parameters

    def take(self, arrays: tuple[Any, ...]) -> None:
        """Take other values of X, y and weights."""
        for mine, other in zip(_arrays_of(self.problem.data), arrays, strict=True):
            if other is not None:
                mine[...] = other

    def keep(self, steps: EpochSteps, state: State) -> None:
        """Keep the compiled steps for calls that go on from this state."""
        self._steps, self._arrays = steps, _arrays_of_steps(state)

    def steps(self, state: State) -> EpochSteps | None:
        """Return the compiled steps if they train the arrays of a state."""
        return self._steps if _are_same(self._arrays, _arrays_of_steps(state)) else None


class SmallTrainings(deque[SmallTraining]):
    """The last call's training, or none: each call takes it out and puts its own in, so that no two calls share one."""

    def __init__(self) -> None:
        super().__init__(maxlen=1)

    def taken(self) -> SmallTraining | None:
        """Take out the training of the last call, or None."""
        try:
            return self.pop()
        except IndexError:
            return None


def copied_data(backend: Backend, X: Array, y: Array, weight: Array | None) -> Data:
    """Return data on copies of its arrays, into which those of other calls may be written."""
    return Data(rows_of(backend, np.array(X, order="C")), np.array(y), None if weight is None else np.array(weight))


def is_small(backend: Backend, X: Any, n_parameters: int) -> bool:
    """Return whether X and the parameters are so small that memory for copies of them does not matter."""
    return backend.on_host and type(X) is np.ndarray and max(X.nbytes, n_parameters * X.itemsize) <= MOST_BYTES


def _arrays_of(data: Data) -> tuple[Any, ...]:
    return data.rows.X, data.y, data.sample_weight


def _shapes(arrays: tuple[Any, ...]) -> list[Any]:
    return [None if array is None else (type(array), array.shape, array.dtype) for array in arrays]


def _arrays_of_steps(state: State) -> tuple[Any, ...]:
    return state.theta, state.statistics, state.slots, state.average, state.keys


def _given_parameters(estimator: Any) -> tuple[Any, ...]:
    return tuple(map(vars(estimator).get, estimator._rules))


def _published_arrays(estimator: Any) -> tuple[Any, ...]:
    attributes = vars(estimator)
    arrays = chain.from_iterable(attributes[name] for name in ATTRIBUTES.values() if name in attributes)
    return (attributes.get("_state"), attributes.get("_network"), *arrays)


def _are_same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    return len(before) == len(now) and all(map(is_, before, now))


def _is_immutable(value: Any) -> bool:
    """Return whether a parameter has the same plain value as long as it is the same object."""
    if type(value) is tuple:
        return all(map(_is_immutable, value))
    return type(value) in PLAIN or isinstance(value, Block | np.generic | np.random.RandomState)
