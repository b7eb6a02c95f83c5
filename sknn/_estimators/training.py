"""Training of a `Fit`: epochs of mini-batches or L-BFGS, with callbacks, progress and warnings around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._backend.typing import Array
from .._common.callbacks import FitTasks
from .._common.warnings import warn
from .._core import lbfgs
from .._core.passes import Model
from .._core.statistics import Sample, population_statistics
from .._core.trainer import Trainer
from .attributes import fitted_attributes
from .diagnosis import divergence
from .preparation import Fit

NOT_CONVERGED = (
    "Stochastic Optimizer: Maximum iterations ({}) reached and the optimization hasn't converged yet. "
    "Increase max_iter, or learning_rate_init."
)
LBFGS_NOT_CONVERGED = (
    "lbfgs failed to converge after {} iteration(s): {} Increase max_iter or max_fun, or scale X (for "
    "example with StandardScaler)."
)


def run(estimator: Any, parameters: Any, fit: Fit, publish: Callable[[Fit], None]) -> None:
    """Train, and publish the fitted attributes, also of a training that was interrupted or diverged.

    ``parameters`` are those of the estimator, as plain values.

    Raises
    ------
    ValueError
        If training diverged, and no epoch was validated before.
    """
    network, backend = fit.problem.network, fit.problem.backend

    def attributes() -> dict[str, Any]:
        return fitted_attributes(network, *(np.array(backend.to_host(part)) for part in fit.state.last_model))

    fit.has_begun = True
    tasks = FitTasks(estimator, fit.callback_data, fit.max_iter, attributes)
    train = _train_lbfgs if parameters.solver == "lbfgs" else _train_epochs
    try:
        train(parameters, fit, tasks)
    except KeyboardInterrupt:
        warn("Training interrupted by user.")
    finally:
        _find_exact_statistics(parameters, fit)
        publish(fit)
    tasks.finish()
    if fit.state.diverged[0]:
        _tell_of_divergence(estimator, fit)


def _tell_of_divergence(estimator: Any, fit: Fit) -> None:
    """Raise ValueError, or warn where early stopping has a best epoch to go back to."""
    message = divergence(estimator, fit)
    if not fit.state.has_best[0]:
        raise ValueError(f"{message} The estimator keeps the weights of the last finite epoch.")
    warn(f"{message} Early stopping keeps the weights of the best epoch.", ConvergenceWarning)


def _train_epochs(parameters: Any, fit: Fit, tasks: FitTasks) -> None:
    trainer = Trainer(fit.problem, fit.state)
    try:
        for _ in range(fit.max_iter):
            tasks.begin()
            trainer.train_epoch()
            _print_progress(parameters, fit, trainer.message)
            has_stopped = bool(trainer.stopped[0])
            fit.met_rule = bool(has_stopped and (fit.state.has_best[0] or not fit.state.diverged[0]))
            if tasks.end() or has_stopped:
                return
    finally:
        trainer.store()
    if fit.callback_data is not None:
        warn(NOT_CONVERGED.format(fit.max_iter), ConvergenceWarning)


def _train_lbfgs(parameters: Any, fit: Fit, tasks: FitTasks) -> None:
    state = fit.state

    def after_iteration(loss: float, theta: Array) -> bool:
        tasks.begin()
        state.theta[0] = theta
        state.loss_curve.append(np.array([loss]))
        state.epochs += 1
        _print_progress(parameters, fit)
        fit.stopped_by_callback = tasks.end()
        return fit.stopped_by_callback

    objective = lbfgs.Objective(fit.problem, state)
    result = lbfgs.minimize(
        objective,
        state.theta,
        max_iter=fit.max_iter,
        max_fun=parameters.max_fun,
        tol=parameters.tol,
        after_iteration=after_iteration,
    )
    loss, _ = objective(result.x)
    state.diverged = np.array([not np.isfinite(loss)])
    if state.diverged[0]:
        return
    state.theta[0] = result.x
    fit.met_rule = result.status == 0
    if not state.loss_curve:
        state.loss_curve.append(np.array([objective.loss]))
    if result.status != 0 and not fit.stopped_by_callback:
        warn(LBFGS_NOT_CONVERGED.format(fit.n_iter, result.message), ConvergenceWarning)


def _find_exact_statistics(parameters: Any, fit: Fit) -> None:
    """Give the state statistics of all training rows, where norms predict by them."""
    problem, state = fit.problem, fit.state
    is_lbfgs = parameters.solver == "lbfgs"
    by_lbfgs = is_lbfgs and problem.network.statistics_layout.size and not parameters.freeze_norm
    # the best model so far has exact statistics already: it was scored with them
    if not (problem.options.exact_norms or by_lbfgs) or state.best is not None or state.diverged[0]:
        return
    model = Model.of_flat(problem.backend, problem.network, *state.prediction_model)
    sample = Sample(problem.data.rows, problem.data.sample_weight, None if is_lbfgs else state.order)
    state.exact = population_statistics(model, sample)


def _print_progress(parameters: Any, fit: Fit, message: str = "") -> None:
    if not parameters.verbose:
        return
    state, problem = fit.state, fit.problem
    print(f"Iteration {fit.n_iter}, loss = {state.loss_curve[-1][0]:.8f}")
    if problem.data.validation is not None:
        measure = "score" if parameters.monitor in ("score", "loss") else parameters.monitor
        print(f"Validation {measure}: {state.validation_scores[-1][0]:f}")
        if problem.options.monitors_loss:
            print(f"Validation loss: {state.validation_losses[-1][0]:.8f}")
    if message:
        print(message)
