"""Fits on different backends: the cases, and everything that a fit leaves in the model."""

from dataclasses import dataclass, field, fields

import numpy as np

from sknn import MLPClassifier, MLPRegressor

RNG = np.random.RandomState(0)
X = RNG.standard_normal((70, 5))
SIGNAL = X @ RNG.standard_normal((5, 3)) + 0.5 * RNG.standard_normal((70, 3))
LABELS = SIGNAL.argmax(axis=1)
NAMES = np.array(["ash", "birch", "cedar"])[LABELS]
WEIGHT = RNG.randint(0, 3, 70) / 2
TASKS = {
    "binary": (MLPClassifier, LABELS == 1),
    "multiclass": (MLPClassifier, LABELS),
    "strings": (MLPClassifier, NAMES),
    "multilabel": (MLPClassifier, (SIGNAL > 0).astype(int)),
    "regression": (MLPRegressor, SIGNAL[:, 0]),
    "two outputs": (MLPRegressor, SIGNAL[:, :2]),
    "poisson": (MLPRegressor, RNG.poisson(np.exp(SIGNAL[:, 0] / 3))),
}


@dataclass(frozen=True)
class Case:
    """A case: a task, the parameters, and the calls that fit the model."""

    task: str
    parameters: dict = field(default_factory=dict)
    method: str = "fit"
    n_calls: int = 1
    weighted: bool = False
    validated: bool = False

    def __str__(self):
        settings = [f"{name}={value}" for name, value in self.parameters.items()]
        changed = [item.name for item in fields(self)[3:] if getattr(self, item.name) != item.default]
        return "-".join([self.task, *settings, *changed, *([self.method] if self.method != "fit" else [])])

    def fitted(self, bring=np.asarray, **parameters):
        """Return a model that is fitted to data which ``bring`` has copied to the backend."""
        estimator, y = TASKS[self.task]
        common = {"hidden_layer_sizes": (6, 4), "batch_size": 32, "max_iter": 8, "learning_rate_init": 0.01}
        loss = {"loss": "poisson"} if self.task == "poisson" else {}
        model = estimator(**{**common, "random_state": 1, **loss, **self.parameters, **parameters})
        for _ in range(self.n_calls):
            getattr(model, self.method)(bring(X), y, **self.options(bring, y))
        return model

    def options(self, bring, y):
        options = {"sample_weight": WEIGHT} if self.weighted else {}
        if self.validated:
            options |= {"X_val": bring(X[::3]), "y_val": y[::3]}
        if self.method == "partial_fit" and self.task in ("binary", "multiclass", "strings"):
            options["classes"] = np.unique(y)
        return options


def fitted_values(model):
    """Return everything that fitting left in the model: public attributes, and the state for further training."""
    values = {name: value for name, value in vars(model).items() if name.endswith("_") and not name.startswith("_")}
    state = {f"state.{name}": value for name, value in vars(model._state).items()}
    streams = [stream.get_state()[1] for stream in state.pop("state.streams")]
    return {**values, **state, "state.streams": streams}


def assert_equal(ours, theirs, rtol, name):
    assert type(ours) is type(theirs), name
    if isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), name
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_equal(*pair, rtol, f"{name}[{i}]")
    elif isinstance(ours, float) or (isinstance(ours, np.ndarray) and ours.dtype.kind == "f"):
        assert getattr(ours, "dtype", float) == getattr(theirs, "dtype", float), name
        finite = np.abs(theirs)[np.isfinite(theirs)]
        np.testing.assert_allclose(ours, theirs, rtol, rtol * finite.max(initial=0), err_msg=name)
    else:
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def outputs(model, X):
    """Return every output of the model, by the method's name."""
    methods = ["predict", "predict_proba", "predict_log_proba"]
    return {method: getattr(model, method)(X) for method in methods if hasattr(model, method)}
