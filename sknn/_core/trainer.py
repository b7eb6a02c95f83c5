"""Training: epochs, stopping. One loop for one model and for a stack of them."""

from __future__ import annotations

import numpy as np

from .epoch import Live, Steps
from .inference import population_statistics
from .scoring import Scoring


class Trainer:
    """Runs epochs of mini-batches on a stack of models and keeps its state."""

    def __init__(self, backend, network, options, state, data):
        self.backend, self.network, self.options = backend, network, options
        self.state, self.data = state, data
        self.stopped = np.zeros(len(state.theta), bool)
        self.message = ""
        self._start = backend.asarray(state.model())
        state.move(backend.asarray)
        self._live = Live(state.theta, state.statistics, state.slots, state.average)
        self._steps = self._scores = None

    def store(self):
        """Bring the state back to the host, when training ends or someone is to see it."""
        self.state.move(self.backend.to_host)

    # ---- one epoch ----------------------------------------------------------------------

    def epoch(self):
        """Train for one epoch, record it, and mark the models that stop.

        Interrupted by Ctrl-C, it leaves the state of an epoch that has ended, or of one that some steps were made of.
        """
        state, n_epochs = self.state, self.state.epochs
        curves = state.loss_curve, state.validation_scores, state.validation_losses
        lengths = [len(curve) for curve in curves]
        try:
            self._run()
            self._record(self._steps.loss())
        finally:
            if state.epochs == n_epochs:
                for curve, length in zip(curves, lengths, strict=True):
                    del curve[length:]

    def _run(self):
        state, steps = self.state, self._steps_of_epoch()
        state.write_model(self._start)
        self._draw_order()
        steps.fill(state)
        try:
            steps.run()
        finally:
            state.steps += steps.n_done

    def _steps_of_epoch(self):
        """Return steps on batches of the size that this epoch has."""
        size = self.options.batch_size_in(self.state.epochs)
        if self._steps is None or size != self._steps.batch_size:
            described = self.backend, self.network, self.options, self.state, self.data
            self._steps = None  # so that its buffers are free
            self._steps = Steps(*described, self._live, size)
        return self._steps

    def _draw_order(self):
        state = self.state
        if self.options.shuffle:
            # the order is permuted anew, not drawn anew: scikit-learn's sequence
            pairs = zip(state.order, state.streams, strict=True)
            state.order = np.array([stream.permutation(rows) for rows, stream in pairs])

    # ---- after an epoch -----------------------------------------------------------------

    def _record(self, loss):
        state = self.state
        self._find_divergence(loss)
        state.loss_curve.append(loss)
        model = state.last
        if self.data.validation is not None:
            model = self._with_exact_statistics(*model)
            scores, losses = self._scoring(model[0]).measure(*model)
            state.validation_scores.append(scores)
            state.validation_losses.append(losses)
        seen = state.samples_seen + int(self._steps.lengths.sum())
        new = {"epochs": state.epochs + 1, "samples_seen": seen, **self._improvement(model)}
        new["learning_rate"] = self.options.schedule.after_epoch(state.learning_rate, state.base_rate, seen).copy()
        self._stop_on_plateau(new)
        vars(state).update(new)  # at once: Ctrl-C finds all of it or nothing

    def _scoring(self, theta):
        if self._scores is None:
            described = self.backend, self.network, self.data.validation
            self._scores = Scoring(*described, theta, self.state.validation_rows)
        return self._scores

    def _with_exact_statistics(self, theta, statistics):
        """Return the model as it is served: norms may have statistics of all rows that are trained on."""
        if not self.options.exact_norms or not np.isfinite(theta).all():
            return theta, statistics
        backend, data, rows = self.backend, self.data, self.state.order
        described = backend, self.network, self.network.layout.views(theta), backend.to_host(statistics)
        return theta, backend.asarray(population_statistics(*described, data.X, data.sample_weight, rows))

    def _find_divergence(self, loss):
        """Stop models whose loss or parameters are not finite, with the last parameters of finite loss."""
        state = self.state
        bad = ~(np.isfinite(loss) & self.backend.to_host(state.is_finite()))
        if not bad.any():
            state.good, self._start = self._start, state.good
            return
        state.good[~bad] = self._start[~bad]
        state.go_back(bad)
        state.diverged |= bad
        self.stopped |= bad

    def _improvement(self, model):
        """Return what changes in the state by the last score or loss: the best so far, and for how long it has been."""
        state, options = self.state, self.options
        if options.early_stopping:
            score = -state.validation_losses[-1] if options.monitors_loss else state.validation_scores[-1]
            stale = ~(score >= state.best_score + options.tol)  # NaN is no improvement
            better = score > state.best_score
            new = {"best_score": np.where(better, score, state.best_score)}
            if better.any():
                new["best"] = state.best.copy()
                new["best"][better] = self.backend.xp.concatenate(model, axis=1)[better]
        else:
            loss = state.loss_curve[-1]
            stale = loss > state.best_loss - options.tol
            new = {"best_loss": np.fmin(loss, state.best_loss)}
        return new | {"no_improvement": np.where(stale, state.no_improvement + 1, 0)}

    def _stop_on_plateau(self, new):
        """Mark the models that have waited for too long, or lower their learning rate in what is ``new``."""
        self.message = ""
        waited = (new["no_improvement"] > self.options.n_iter_no_change) & ~self.stopped
        for k in waited.nonzero()[0]:
            rate = self.options.schedule.after_plateau(new["learning_rate"][k])
            self.message = self._plateau_message(rate)
            if rate is None:
                self.stopped[k] = True
            else:
                new["learning_rate"][k] = rate
                new["no_improvement"][k] = 0

    def _plateau_message(self, rate):
        options = self.options
        watched = "Validation loss" if options.monitors_loss else "Validation score"
        what = watched if options.early_stopping else "Training loss"
        then = options.schedule.last_words if rate is None else f"Setting learning rate to {rate:f}"
        return (
            f"{what} did not improve more than tol={options.tol:f} "
            f"for {options.n_iter_no_change} consecutive epochs. {then}"
        )


def train_stack(backend, network, options, state, data, max_iter):
    """Train every model of a stack to its own end; return one state of one model for each."""
    finished = [None] * len(state.theta)
    left = np.arange(len(state.theta))
    trainer = Trainer(backend, network, options, state, data)
    for _ in range(max_iter):
        trainer.epoch()
        if not trainer.stopped.any():
            continue
        trainer.store()
        for k in np.flatnonzero(trainer.stopped):
            finished[left[k]] = trainer.state.take([k])
        going = np.flatnonzero(~trainer.stopped)
        left = left[going]
        if not len(left):
            return finished
        options = options.take(going)
        trainer = Trainer(backend, network, options, trainer.state.take(going), data)
    trainer.store()
    for k, model in enumerate(left):
        finished[model] = trainer.state.take([k])
    return finished
