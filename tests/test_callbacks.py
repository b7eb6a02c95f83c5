"""scikit-learn's callbacks (1.9 and later), alone and inside a search over a pipeline."""

import inspect

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sknn import MLPClassifier, MLPRegressor
from sknn.preprocessing import StandardScaler
from tests.support.transformers import TRANSFORMERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
callback = pytest.importorskip("sklearn.callback", reason="scikit-learn < 1.9 has no callbacks")
X, y = load_iris(return_X_y=True)
EPOCHS = 4


class Recorder:
    """Counts tasks, keeps the ready-made estimators, and may ask to stop."""

    def __init__(self, stop_after=None):
        self.begun, self.ended, self.fitted, self.torn_down = [], [], [], 0
        self.stop_after = stop_after

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.begun.append((context.task_name, metadata))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.ended.append(context.task_name)
        if context.task_name == "epoch":
            self.fitted.append(fitted_estimator)
        return self.stop_after is not None and len(self.ended) >= self.stop_after


def model(estimator=MLPClassifier, **parameters):
    return estimator(hidden_layer_sizes=(5,), max_iter=EPOCHS, random_state=0, **parameters)


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_one_task_an_epoch_below_one_task_a_fit(estimator, solver):
    recorder = Recorder()
    fitted = model(estimator, solver=solver).set_callbacks(recorder).fit(X, y)
    assert recorder.ended == ["epoch"] * EPOCHS + ["fit"]
    assert [name for name, _ in recorder.begun] == ["fit"] + ["epoch"] * EPOCHS
    assert recorder.torn_down == 1
    assert fitted.n_iter_ == EPOCHS
    assert "_callback_fit_ctx" not in vars(fitted)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_epoch_hands_over_the_model_so_far(solver):
    recorder = Recorder()
    fitted = model(solver=solver).set_callbacks(recorder).fit(X, y)
    for epochs, so_far in enumerate(recorder.fitted, start=1):
        short = model(solver=solver).set_params(max_iter=epochs).fit(X, y)
        np.testing.assert_allclose(so_far.predict_proba(X), short.predict_proba(X), rtol=1e-12)
    np.testing.assert_array_equal(recorder.fitted[-1].predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_may_stop_training(solver, recwarn):
    fitted = model(solver=solver).set_callbacks(Recorder(stop_after=2)).fit(X, y)
    assert fitted.n_iter_ == len(fitted.loss_curve_) == 2
    assert not recwarn.list


def test_weights_are_told_as_metadata():
    recorder, weight = Recorder(), np.ones(150)
    model().set_callbacks(recorder).fit(X, y, weight)
    assert all(metadata["sample_weight"] is weight for _, metadata in recorder.begun)


def test_teardown_comes_after_an_error_too():
    recorder = Recorder()
    diverging = model(MLPRegressor, solver="sgd", learning_rate_init=1e300).set_callbacks(recorder)
    with pytest.raises(ValueError, match="diverged"):
        diverging.fit(X, y)
    assert recorder.torn_down == 1


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda t: type(t).__name__)
def test_a_transformer_runs_one_task(transformer, method):
    recorder = Recorder()
    transformer = clone(transformer).set_callbacks(recorder)
    getattr(transformer, method)(X)
    assert [name for name, _ in recorder.begun] == recorder.ended
    assert len(recorder.ended) == recorder.torn_down == 1
    with pytest.raises(ValueError, match="X"):
        getattr(transformer, method)(np.full((2, 4), np.inf))
    assert recorder.torn_down == 2


def test_partial_fit_runs_no_tasks():
    recorder = Recorder()
    model().set_callbacks(recorder).partial_fit(X, y, classes=[0, 1, 2])
    assert recorder.begun == []


def test_scoring_monitor_scores_each_epoch():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    fitted = model().set_callbacks(monitor).fit(X, y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == EPOCHS
    assert rows[-1]["accuracy"] == fitted.score(X, y)


@pytest.mark.parametrize("parameters", [{"ema_decay": 0.99}, {"ema_decay": 0.9, "norm": "batch"}], ids=str)
def test_callbacks_see_the_model_that_is_served(parameters):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    fitted = model().set_params(**parameters).set_callbacks(monitor).fit(X, y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert rows[-1]["accuracy"] == fitted.score(X, y)


def search(n_jobs, *callbacks):
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", model().set_callbacks(*callbacks))])
    return GridSearchCV(pipeline, {"mlp__alpha": [1e-4, 1e-2]}, cv=2, n_jobs=n_jobs)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_scoring_monitor_works_inside_a_search_over_a_pipeline(n_jobs):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    search(n_jobs, monitor).fit(X, y)
    logs = monitor.get_logs(select="all")
    rows = [row for log in logs for row in log.data if row["task_name"] == "epoch"]
    assert len(rows) == EPOCHS * (2 * 2 + 1)  # candidates x folds, and the refit


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_progress_bar_works_alone_and_inside_a_search(n_jobs, capsys):
    depth = (
        {"max_propagation_depth": None}
        if "max_propagation_depth" in inspect.signature(callback.ProgressBar).parameters
        else {}
    )
    model().set_callbacks(callback.ProgressBar(**depth)).fit(X, y)
    assert "MLPClassifier" in capsys.readouterr().out
    search(n_jobs).set_callbacks(callback.ProgressBar(**depth)).fit(X, y)
    assert "mlp" in capsys.readouterr().out.lower()


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_model_so_far_has_the_statistics_of_the_training_rows(solver):
    """Running statistics would lag behind where inputs are far from zero."""
    recorder, rows = Recorder(), X + 1000
    model(norm="batch", solver=solver).set_callbacks(recorder).fit(rows, y)
    for fitted in recorder.fitted:
        np.testing.assert_allclose(fitted.norm_means_[0], (rows @ fitted.coefs_[0]).mean(axis=0), rtol=1e-9)
