"""An epoch: its steps, compiled, and the tables that they read and write."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from .._backend.operations import Tables
from .._backend.protocol import CompiledPlan
from .._backend.typing import Array
from .data import Problem
from .state import State
from .step import StepPlanner

STEPS_AHEAD = 1024  # whose sizes are worked out at once


class StepSizes(NamedTuple):
    """Sizes of the steps of some epochs, from number ``first`` on, that hold while the learning rate stays.

    ``rates``, ``second_rates`` and ``shrinkage`` are ``(steps, models)`` or None.
    """

    first: int
    n_epochs: int
    learning_rate: bytes
    rates: Array
    second_rates: Array | None
    shrinkage: Array | None

    def covers(self, state: State) -> bool:
        """Return whether the next epoch of ``state`` is among these."""
        return state.epochs < self.first + self.n_epochs and state.learning_rate.tobytes() == self.learning_rate

    def of_epoch(self, epoch: int, n_steps: int) -> list[Array | None]:
        """Return rates, second rates and shrinkage of the steps of one epoch."""
        steps = slice((epoch - self.first) * n_steps, (epoch - self.first + 1) * n_steps)
        return [None if sizes is None else sizes[steps] for sizes in (self.rates, self.second_rates, self.shrinkage)]


class EpochSteps:
    """The steps of an epoch, for batches of one size; ``state`` lies where the backend computes."""

    def __init__(self, problem: Problem, state: State, batch_size: int) -> None:
        self._problem, self.batch_size = problem, batch_size
        self.lengths = batch_lengths(state.order.shape[1], batch_size, problem.network.mixes_rows)
        self._share = self.lengths / self.lengths.sum()
        self._tables = self._allocate_tables(state)
        self._sizes: StepSizes | None = None
        self._feed = problem.data.rows.feed(self._tables.order, self.lengths)
        self._pieces = self._compile(StepPlanner(problem, state, self._tables, self._feed))

    def _allocate_tables(self, state: State) -> Tables:
        backend, options, dtype = self._problem.backend, self._problem.options, state.theta.dtype
        xp, shape = backend.xp, (len(self.lengths), len(state.theta))
        has_second_rate = options.optimizers[0].second_rates(1.0, np.ones(1, int)) is not None
        return Tables(
            clock=xp.zeros(3, np.int64),
            order=backend.asarray(state.order.copy()),
            scale=backend.asarray(np.broadcast_to(1 / self.lengths[:, None], shape), dtype).copy(),
            rate=xp.empty(shape, dtype),
            loss=xp.empty(shape, np.float64),
            second_rate=xp.empty(shape, dtype) if has_second_rate else None,
            shrinkage=xp.empty(shape, dtype) if options.decouples_decay else None,
        )

    def _compile(self, planner: StepPlanner) -> list[list[tuple[CompiledPlan, int]]]:
        """Return, for each piece of the rows, (compiled step, how often it runs) for each run of equal lengths."""
        lengths = dict.fromkeys(self.lengths.tolist())
        steps = {n_rows: self._problem.backend.compile(planner.plan(n_rows)) for n_rows in lengths}
        return [[(steps[int(n_rows)], len(list(run))) for n_rows, run in groupby(piece)] for piece in self._feed.pieces]

    # ---- an epoch -----------------------------------------------------------------------

    def fill_tables(self, state: State) -> None:
        """Fill the tables for the next epoch of ``state``."""
        bring, tables, dtype = self._problem.backend.asarray, self._tables, state.theta.dtype
        tables.clock[:2] = 0
        tables.clock[2] = state.steps
        tables.order[...] = bring(state.order)
        self._feed.follow(state.order)
        if self._problem.data.sample_weight is not None:
            tables.scale[...] = bring(self._scales(state), dtype)
        sizes = self._step_sizes(state).of_epoch(state.epochs, len(self.lengths))
        for table, size in zip((tables.rate, tables.second_rate, tables.shrinkage), sizes, strict=True):
            if table is not None:
                table[...] = bring(size, dtype)

    def _step_sizes(self, state: State) -> StepSizes:
        """Return step sizes for the next epoch; on a small table, those of one take as long as those of many."""
        if self._sizes is None or not self._sizes.covers(state):
            self._sizes = self._sizes_ahead(state, max(1, STEPS_AHEAD // len(self.lengths)))
        return self._sizes

    def _sizes_ahead(self, state: State, n_epochs: int) -> StepSizes:
        options, numbers = self._problem.options, np.arange(1, n_epochs * len(self.lengths) + 1)
        learning_rates, steps = self._learning_rates(state, numbers), state.steps + numbers
        models = list(zip(options.optimizers, learning_rates.T, strict=True))
        rates = np.array([optimizer.rates(rate, steps) for optimizer, rate in models]).T
        second_rates = shrinkage = None
        if self._tables.second_rate is not None:
            second_rates = np.array([optimizer.second_rates(rate, steps) for optimizer, rate in models]).T
        if options.decouples_decay:
            shrinkage = np.maximum(1 - learning_rates * options.alpha, 0)
        return StepSizes(state.epochs, n_epochs, state.learning_rate.tobytes(), rates, second_rates, shrinkage)

    def _learning_rates(self, state: State, numbers: Array) -> Array:
        """Return the learning rate of steps to come, for each model.

        A schedule counts steps as if all epochs had as many as this one.
        """
        options, per_epoch = self._problem.options, len(self.lengths)
        steps = state.epochs * per_epoch + numbers
        factors = options.schedule.factors(steps, per_epoch, options.n_epochs * per_epoch)
        return factors[:, None] * state.learning_rate

    def _scales(self, state: State) -> Array:
        """Return one over each batch's sum of weights, ``(steps, 1 or models)``, and 0 for a batch of no weight."""
        starts = np.cumsum(self.lengths) - self.lengths
        weight: Any = self._problem.data.sample_weight
        sums = np.add.reduceat(weight[state.order], starts, axis=1, dtype=np.float64).T
        return np.divide(1, sums, out=np.zeros_like(sums), where=sums > 0)

    def run(self) -> None:
        """Run the epoch's steps."""
        for piece in self._feed:
            for step, times in self._pieces[piece]:
                step.run(times)

    @property
    def n_steps_done(self) -> int:
        """Number of steps of the epoch that have run."""
        return int(self._tables.clock[0])

    def loss(self) -> Array:
        """Return the mean loss of the epoch's rows, for each model."""
        return self._share @ self._problem.backend.to_host(self._tables.loss)


def batch_lengths(n_rows: int, batch_size: int, mixes_rows: bool = False) -> Array:
    """Return the rows of each batch of an epoch; a single last row joins the batch before if rows need each other."""
    batch_size = min(batch_size, n_rows)
    full, rest = divmod(n_rows, batch_size)
    lengths = [batch_size] * full + [rest] * (rest > 0)
    if mixes_rows and rest == 1:
        lengths[-2:] = [batch_size + 1]
    return np.array(lengths)
