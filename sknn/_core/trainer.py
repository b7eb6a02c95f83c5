"""Training: epochs, early stopping, divergence. One loop for one model and for a stack of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._backend.typing import Array
from .data import Problem
from .epoch import EpochSteps
from .scoring import Scoring
from .state import State
from .statistics import ServedStatistics, scoring_statistics, set_exact_statistics


class Trainer:
    """Runs epochs of mini-batches on a stack of models and keeps its state."""

    def __init__(self, problem: Problem, state: State, steps: EpochSteps | None = None) -> None:
        self.problem, self.state = problem, state
        self.stopped = np.zeros(len(state.theta), bool)
        self.message = ""
        self._start = problem.backend.asarray(state.model())  # a copy of the models as the epoch began
        state.move(problem.backend.asarray)
        self.steps = steps
        self._scores: Scoring | None = None
        self._statistics: ServedStatistics | None = None
        self.has_new_best = False

    def store(self) -> None:
        """Bring the state back to the host, when training ends or someone is to see it."""
        self.state.move(self.problem.backend.to_host)

    def finish(self) -> None:
        """Bring the state back to the host at the end of training, with the statistics that predictions need."""
        state = self.state
        self.store()
        if state.best is None or self.has_new_best:
            set_exact_statistics(self.problem, state)

    # ---- one epoch ----------------------------------------------------------------------

    def train_epoch(self) -> None:
        """Train for one epoch, record it, and mark the models that stop.

        Interrupted by Ctrl-C, it leaves the state of an epoch that has ended, or of one that some steps were made of.
        """
        state, n_epochs = self.state, self.state.epochs
        curves = state.loss_curve, state.validation_scores, state.validation_losses
        lengths = [len(curve) for curve in curves]
        try:
            # overflow on the way to divergence is seen and reported at the end of the epoch
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                steps = self._run()
            self._record(steps)
        finally:
            if state.epochs == n_epochs:
                for curve, length in zip(curves, lengths, strict=True):
                    del curve[length:]

    def _run(self) -> EpochSteps:
        state, steps = self.state, self._steps_of_epoch()
        state.write_model(self._start)
        self._shuffle()
        steps.fill_tables(state)
        try:
            steps.run()
        finally:
            state.steps += steps.n_steps_done
        return steps

    def _steps_of_epoch(self) -> EpochSteps:
        """Return the steps of batches of the size that this epoch has."""
        size = self.problem.options.batch_size_in(self.state.epochs)
        if self.steps is None or size != self.steps.batch_size:
            self.steps = None  # so that its buffers are free
            self.steps = EpochSteps(self.problem, self.state, size)
        return self.steps

    def _shuffle(self) -> None:
        state = self.state
        if self.problem.options.shuffle:
            # the order is permuted anew, not drawn anew: scikit-learn's sequence
            pairs = zip(state.order, state.streams, strict=True)
            state.order = np.array([stream.permutation(rows) for rows, stream in pairs])

    # ---- after an epoch -----------------------------------------------------------------

    def _record(self, steps: EpochSteps) -> None:
        state, options, loss = self.state, self.problem.options, steps.loss()
        diverged = self._find_divergence(loss)
        state.loss_curve.append(loss)
        model = state.last_model
        if self.problem.data.validation is not None:
            model = self._scored_model()
            if self._scores is None:
                self._scores = Scoring(self.problem, state)
            scores, losses = self._scores.measure(*model)
            losses = np.where(diverged, np.nan, losses)
            state.validation_scores.append(np.where(np.isfinite(losses), scores, np.nan))
            state.validation_losses.append(losses)
        seen = state.samples_seen + int(steps.lengths.sum())
        new = {"epochs": state.epochs + 1, "samples_seen": seen, **self._improvement(model)}
        new["learning_rate"] = options.schedule.after_epoch(state.learning_rate, state.base_rate, seen).copy()
        self._stop_on_plateau(new)
        vars(state).update(new)  # at once: Ctrl-C finds all of it or nothing

    def _scored_model(self) -> tuple[Array, Array]:
        """Return the last model as it would be served now, but that norms may have statistics of some rows only."""
        theta, running = self.state.last_model
        if self._statistics is None:
            self._statistics = scoring_statistics(self.problem, self.state)
        return theta, running if self._statistics is None else self._statistics.measure(running)

    def _find_divergence(self, loss: Array) -> Array:
        """Stop models whose loss or parameters are not finite, with the last parameters of finite losses.

        Return which models these are.
        """
        state = self.state
        bad = ~(np.isfinite(loss) & self.problem.backend.to_host(state.is_finite()))
        if not bad.any():
            state.finite, self._start = self._start, state.finite
            return bad
        state.finite[~bad] = self._start[~bad]
        state.restore_finite(bad)
        state.diverged |= bad
        self.stopped |= bad
        return bad

    # ---- stopping by score or loss ------------------------------------------------------

    def _improvement(self, model: tuple[Array, Array]) -> dict[str, Any]:
        """Return changes of the state by the last score or loss: the best so far, and epochs without improvement."""
        state, options = self.state, self.problem.options
        new: dict[str, Any] = {}
        if options.early_stopping:
            score = -state.validation_losses[-1] if options.monitors_loss else state.validation_scores[-1]
            # NaN and infinity are no improvement
            stale = ~(np.isfinite(score) & (score >= state.best_score + options.tol))
            better = score > state.best_score
            new["best_score"] = np.where(better, score, state.best_score)
            if better.any():
                new["best"] = state.best.copy()
                self.has_new_best = True
                new["best"][better] = self.problem.backend.xp.concatenate(model, axis=1)[better]
        else:
            loss = state.loss_curve[-1]
            stale = loss > state.best_loss - options.tol
            new["best_loss"] = np.fmin(loss, state.best_loss)
        return new | {"no_improvement": np.where(stale, state.no_improvement + 1, 0)}

    def _stop_on_plateau(self, new: dict[str, Any]) -> None:
        """Mark the models that have waited for too long, or lower their learning rate in the changes ``new``."""
        self.message = ""
        options = self.problem.options
        waited = (new["no_improvement"] > options.n_iter_no_change) & ~self.stopped
        for k in waited.nonzero()[0]:
            rate = options.schedule.after_plateau(new["learning_rate"][k])
            self.message = self._plateau_message(rate)
            if rate is None:
                self.stopped[k] = True
            else:
                new["learning_rate"][k] = rate
                new["no_improvement"][k] = 0

    def _plateau_message(self, rate: float | None) -> str:
        options = self.problem.options
        measure = "Training loss"
        if options.early_stopping:
            measure = "Validation loss" if options.monitors_loss else "Validation score"
        then = options.schedule.last_words if rate is None else f"Setting learning rate to {rate:f}"
        return (
            f"{measure} did not improve more than tol={options.tol:f} "
            f"for {options.n_iter_no_change} consecutive epochs. {then}"
        )


def train_stack(problem: Problem, state: State, max_iter: int) -> list[State]:
    """Train each model of a stack until it stops; return the state of each model, as a stack of one.

    This function is for stacks of several models. An estimator trains a stack of one, with a ``Trainer`` of its own.
    """
    finished: list[Any] = [None] * len(state.theta)
    left = np.arange(len(state.theta))
    trainer = Trainer(problem, state)
    for _ in range(max_iter):
        trainer.train_epoch()
        if not trainer.stopped.any():
            continue
        trainer.finish()
        for k in np.flatnonzero(trainer.stopped).tolist():
            finished[left[k]] = trainer.state.take([k])
        going = np.flatnonzero(~trainer.stopped)
        left = left[going]
        if not len(left):
            break
        problem = replace(problem, options=problem.options.take(going))
        followed, trainer = trainer, Trainer(problem, trainer.state.take(going))
        trainer.has_new_best = followed.has_new_best
    trainer.finish()
    for k in range(len(left)):
        finished[left[k]] = trainer.state.take([k])
    return finished
