"""Private names of scikit-learn's networks that public code overrides or reads, and the public ways."""

from __future__ import annotations

from .._backend.warnings import warn

WEIGHTS = "Use the parameter init, or set coefs_ and intercepts_ and train on with warm_start=True or partial_fit."
OUTPUTS = (
    "Use predict or predict_proba; for the outputs of hidden layer k, set n_layers_ = k + 1 and out_activation_ of a "
    "copy of the model."
)
TRAINING = "Use the parameters loss (a block of your own, see sknn.building_block), solver and learning_rate."
PROGRESS = "Use loss_curve_, validation_scores_, best_loss_, stopped_, callbacks, or partial_fit for each epoch."

HOOKS = {
    "_init_coef": WEIGHTS,
    "_initialize": WEIGHTS,
    "_random_state": "Use the parameter random_state.",
    "_forward_pass": OUTPUTS,
    "_forward_pass_fast": OUTPUTS,
    "_predict": OUTPUTS,
    "_backprop": TRAINING,
    "_compute_loss_grad": TRAINING,
    "_loss_grad_lbfgs": TRAINING,
    "_fit": TRAINING,
    "_fit_lbfgs": TRAINING,
    "_fit_stochastic": TRAINING,
    "_unpack": TRAINING,
    "_optimizer": "Use the parameters solver and learning_rate_init; fit with warm_start=False starts anew.",
    "_update_no_improvement_count": PROGRESS,
    "_no_improvement_count": PROGRESS,
    "_best_coefs": PROGRESS,
    "_best_intercepts": PROGRESS,
    "_score": "Use the parameter monitor.",
    "_score_with_function": "Use the parameter monitor.",
    "_validate_input": "Pass X and y as they are to be trained on.",
}


GENERAL = {"_fit", "_predict", "_score", "_unpack"}  # names that a subclass may use for methods of its own


def ignored_hooks(estimator: type, base: type) -> list[str]:
    """Return the names of methods that a class has for scikit-learn's ``fit`` to call; none if ``fit`` is its own."""
    names = HOOKS.keys() - GENERAL if estimator.fit is base.fit else ()  # type: ignore[attr-defined]
    return sorted(name for name in names if callable(getattr(estimator, name, None)))


def warn_of_ignored(estimator: type, names: list[str]) -> None:
    """Warn of methods of a class that are never called."""
    for name in names:
        warn(f"{estimator.__name__}.{name} is never called: it is private to scikit-learn's networks. {HOOKS[name]}")
