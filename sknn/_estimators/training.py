"""Training of a `Fit`: epochs of mini-batches or L-BFGS, with callbacks, progress and warnings around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._backend.typing import Array
from .._backend.warnings import warn
from .._common.callbacks import FitTasks, with_callbacks
from .._common.estimator import despite_interrupts
from .._core import lbfgs
from .._core.statistics import find_lag, scoring_statistics, set_exact_statistics
from .._core.trainer import Trainer
from .attributes import fitted_attributes
from .failures import divergence, large_penalty, missed_scale, obstacle
from .preparation import Fit

NOT_CONVERGED = (
    "Stochastic Optimizer: Maximum iterations ({}) reached and the optimization hasn't converged yet. "
    "Increase max_iter, or learning_rate_init."
)
LBFGS_NOT_CONVERGED = (
    "lbfgs failed to converge after {} iteration(s): {} Increase max_iter or max_fun, or scale X (for "
    "example with StandardScaler)."
)
LIMIT_REACHED = 1  # SciPy's status for max_iter and max_fun
LAG = (
    "The running statistics of norm={!r} lag behind training: in hidden layer {}, the running means are {:.1f} "
    "standard deviations from the means of the training rows, so that predictions differ from what training saw. Call "
    "recalibrate_norm(X) before you predict, or scale X (for example with StandardScaler){}."
)
NO_SCORE = (
    "No score of the validation rows was finite, so that early stopping has no best epoch, and the estimator keeps the "
    "weights that it began with. Their values may be too large: scale X_val and y_val, or X and y, of which a part is "
    "used without X_val."
)
CALLS_A_LOOK = 64  # of partial_fit, at the latest, between looks at the whole model; the first ones come sooner


def run(estimator: Any, parameters: Any, fit: Fit, publish: Callable[[Fit], None]) -> None:
    """Train, and publish the fitted attributes, also of a training that was interrupted or diverged.

    ``parameters`` are those of the estimator, as plain values.

    Raises
    ------
    ValueError
        If training diverged, and no epoch was validated before.
    """
    problem, backend = fit.problem, fit.problem.backend
    had_met_rule = bool(vars(estimator).get("stopped_"))
    fit.state.n_partial_fits = fit.state.n_partial_fits + 1 if fit.is_incremental else 0

    def attributes() -> dict[str, Any]:
        theta, running = fit.state.last_model
        statistics = scoring_statistics(problem, fit.state)
        model = theta, running if statistics is None else statistics.measure(running)
        return fitted_attributes(problem.network, *(np.array(backend.to_host(part)) for part in model))

    tasks = FitTasks(estimator, fit.callback_data, fit.max_iter, attributes)
    train = _train_lbfgs if parameters.solver == "lbfgs" else _train_epochs
    try:
        train(parameters, fit, tasks)
    except KeyboardInterrupt:
        warn("Training interrupted by user.")
    finally:
        despite_interrupts(lambda: publish(fit))
    tasks.finish()
    if fit.state.diverged[0]:
        _tell_of_divergence(parameters, fit)
    elif fit.n_iter and fit.problem.options.early_stopping and not fit.state.has_best[0]:
        warn(NO_SCORE, ConvergenceWarning)
    # losses of the chunks of a stream stop falling long before training ends, so only validation rows tell its end
    if not fit.is_incremental or (parameters.early_stopping and fit.met_rule and not had_met_rule):
        _warn_of_scale(parameters, fit)
    if _looks_at_model(fit.state.n_partial_fits):
        _warn_of_lag(fit)


def _looks_at_model(n_partial_fits: int) -> bool:
    """Return whether to examine the model, which takes as long as a prediction of many rows.

    ``fit`` always does, ``partial_fit`` in its first, second, 4th, 8th, ... call and in every 64th.
    """
    return n_partial_fits % CALLS_A_LOOK == 0 or _is_power_of_two(n_partial_fits)


def _is_power_of_two(number: int) -> bool:
    return number.bit_count() == 1


run_with_callbacks = with_callbacks(run)


def _tell_of_divergence(parameters: Any, fit: Fit) -> None:
    """Raise ValueError, or warn where early stopping has a best epoch to go back to."""
    message = divergence(parameters, fit.problem, len(fit.state.loss_curve))
    if not fit.state.has_best[0]:
        raise ValueError(f"{message} The estimator keeps the weights of the last finite epoch.")
    warn(f"{message} Early stopping keeps the weights of the best epoch.", ConvergenceWarning)


def _warn_of_scale(parameters: Any, fit: Fit) -> None:
    """Warn if training ended without having reached the scale of y."""
    message = missed_scale(fit.problem, fit.state, parameters.tol)
    if message:
        warn(message, ConvergenceWarning)


def _train_epochs(parameters: Any, fit: Fit, tasks: FitTasks) -> None:
    small = fit.small
    trainer = Trainer(fit.problem, fit.state, None if small is None else small.steps(fit.state))
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
        despite_interrupts(trainer.finish)
        if small is not None and trainer.steps is not None:
            small.keep(trainer.steps, fit.state)
    if not fit.is_incremental:
        why = large_penalty(parameters, fit.problem)
        warn(f"{NOT_CONVERGED.format(fit.max_iter)} {why}".strip(), ConvergenceWarning)


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
    try:
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
    finally:
        despite_interrupts(lambda: set_exact_statistics(fit.problem, state))
    if result.status != 0 and not fit.stopped_by_callback:
        why = (large_penalty if result.status == LIMIT_REACHED else obstacle)(parameters, fit.problem)
        warn(f"{LBFGS_NOT_CONVERGED.format(fit.n_iter, result.message)} {why}".strip(), ConvergenceWarning)


def _warn_of_lag(fit: Fit) -> None:
    """Warn of running statistics by which the model would predict otherwise than training saw the rows."""
    problem = fit.problem
    options, tracks = problem.options, problem.network.statistics_layout.size > 0
    if not tracks or options.exact_norms or options.freezes_norms:
        return
    lag = find_lag(problem, fit.state)
    if lag is not None:
        instead = "" if options.streams_rows else ", or set statistics='exact' in the norm"
        warn(LAG.format(problem.network.norms[lag.layer], lag.layer + 1, lag.distance, instead))


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
