"""Fitted models in files: only public paths, one copy of the parameters, and training that goes on."""

import copy
import pickle
import pickletools

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

import sknn
from sknn import MLPClassifier, MLPRegressor
from sknn._common import pickles
from sknn.activations import LeakyReLU
from sknn.normalization import BatchNorm
from sknn.preprocessing import PCA, ZCA, InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer
from sknn.schedules import Cosine, GrowingBatch

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*ended after max_iter"),
]
X, y = load_iris(return_X_y=True)
NETWORKS = {
    "plain": MLPClassifier(),
    "two classes": MLPClassifier(class_weight="balanced"),
    "indicators": MLPClassifier(loss="squared_error"),
    "numbers": MLPRegressor("huber"),
    "blocks": MLPClassifier(activation=LeakyReLU(0.2), norm=BatchNorm(statistics="exact"), learning_rate=Cosine()),
    "norms": MLPClassifier((6, 5), norm=["weight", "layer"], activation=["prelu", "maxout"], dropout=0.2),
    "early stopping": MLPClassifier(early_stopping=True, ema_decay=0.9, batch_size=GrowingBatch(8)),
    "lbfgs": MLPClassifier(solver="lbfgs"),
}
TARGETS = {"two classes": y > 1, "indicators": np.eye(3, dtype=int)[y], "numbers": X[:, 0]}
TRANSFORMERS = [StandardScaler(), MinMaxScaler(), ZeroCenterer(), InstanceNormalizer(), PCA(2), ZCA()]
each_network = pytest.mark.parametrize("name", NETWORKS)


def fitted(name, **parameters):
    model = copy.deepcopy(NETWORKS[name]).set_params(max_iter=4, random_state=0, **parameters)
    return model.fit(X, TARGETS.get(name, y))


def named_in(data):
    """Return the paths of classes and functions that a pickle names."""
    strings, paths = [], set()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "UNICODE"):
            strings.append(argument)
        elif opcode.name == "STACK_GLOBAL":
            paths.add(".".join(strings[-2:]))
        elif opcode.name == "GLOBAL":
            paths.add(argument.replace(" ", "."))
    return paths


def private_paths(data):
    return {path for path in named_in(data) if path.startswith("sknn.") and "._" in path}


@each_network
def test_a_fitted_network_names_no_private_class(name):
    data = pickle.dumps(fitted(name))
    assert private_paths(data) == set()
    assert f"sknn.{type(NETWORKS[name]).__name__}" in named_in(data)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda transformer: type(transformer).__name__)
def test_a_fitted_transformer_names_no_private_class(transformer):
    assert private_paths(pickle.dumps(transformer.fit(X))) == set()


def test_an_unfitted_estimator_names_no_private_function_either():
    """Neither in a fitted search, nor with the setting that it carries to workers."""
    with sknn.config_context(backend="numpy"):
        search = GridSearchCV(MLPClassifier(max_iter=2), {"alpha": [0, 1]}, cv=2).fit(X, y)
        for estimator in (MLPClassifier(), StandardScaler(), search):
            data = pickle.dumps(estimator)
            assert private_paths(data) == set()
            assert b"_carried_scope" in data
            assert "_carried_scope" not in vars(pickle.loads(data))  # this process has its own settings


def test_a_copy_keeps_the_setting_that_it_carries():
    with sknn.config_context(backend="numpy"):
        estimator = clone(MLPClassifier())
        for copied in (copy.copy(estimator), copy.deepcopy(estimator)):
            assert copied._carried_scope is estimator._carried_scope is not None


# ---- versions -----------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [MLPClassifier(max_iter=2), StandardScaler()], ids=["network", "transformer"])
def test_a_pickle_carries_the_version_that_wrote_it(estimator):
    attributes = estimator.fit(X, y).__getstate__()
    assert attributes["_sknn_version"] == sknn.__version__
    assert not [name for name in vars(pickle.loads(pickle.dumps(estimator))) if name.startswith("_sknn")]


@pytest.mark.parametrize("estimator", [MLPClassifier(max_iter=2), StandardScaler()], ids=["network", "transformer"])
def test_a_newer_format_is_refused(estimator, monkeypatch):
    monkeypatch.setattr(pickles, "FORMAT", 7)
    monkeypatch.setattr(pickles, "__version__", "9.1")
    data = pickle.dumps(estimator.fit(X, y))
    assert pickle.loads(data).n_features_in_ == 4
    monkeypatch.undo()
    advice = f"Load this {type(estimator).__name__} with sknn 9"
    with pytest.raises(ValueError, match=rf"at most 1 for .*got 7, written by sknn 9\.1\. {advice}"):
        pickle.loads(data)


# ---- classes ------------------------------------------------------------------------------


def test_a_private_class_would_be_seen():
    assert private_paths(pickle.dumps(fitted("plain")._state)) == {"sknn._core.state.State"}


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_estimators_are_at_the_path_that_pickles_name(estimator):
    assert estimator.__module__ == "sknn" and getattr(sknn, estimator.__name__) is estimator


@each_network
def test_a_loaded_network_predicts_and_goes_on_bit_for_bit(name):
    model = fitted(name, warm_start=True)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert vars(other).keys() == vars(model).keys()
    kept, targets = pickle.dumps(model), TARGETS.get(name, y)
    goes_on = model.fit(X, targets)
    loaded = pickle.loads(kept).fit(X, targets)
    for mine, theirs in zip(loaded.coefs_ + loaded.intercepts_, goes_on.coefs_ + goes_on.intercepts_, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert loaded.loss_curve_ == goes_on.loss_curve_


@each_network
def test_the_hash_of_a_network_outlives_a_pickle(name):
    model = fitted(name)
    loaded = pickle.loads(pickle.dumps(model))
    assert joblib.hash(loaded) == joblib.hash(model)
    assert joblib.hash(fitted(name)) == joblib.hash(model)
    assert joblib.hash(fitted(name, alpha=0.5)) != joblib.hash(model)


HASHED = [
    *TRANSFORMERS,
    *(PCA(2, svd_solver=solver, random_state=0) for solver in ("full", "covariance_eigh", "arpack", "randomized")),
    PCA(0.9, whiten=True),
    ZCA(2),
    StandardScaler(per="sample"),
    MinMaxScaler(data_range=(0, 1)),
]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("transformer", HASHED, ids=str)
def test_the_hash_of_a_transformer_outlives_a_pickle(transformer, order):
    transformer = clone(transformer).fit(np.asarray(X, order=order))
    loaded = pickle.loads(pickle.dumps(transformer))
    assert joblib.hash(loaded) == joblib.hash(transformer)


def test_attributes_set_to_views_have_the_same_hash():
    model = fitted("plain")
    model.coefs_ = [np.repeat(coef, 2, axis=1)[:, ::2] for coef in model.coefs_]
    assert joblib.hash(pickle.loads(pickle.dumps(model))) == joblib.hash(model)


def test_parameters_set_after_fit_do_not_change_the_loaded_model():
    model = fitted("plain")
    expected = model.predict_proba(X)
    loaded = pickle.loads(pickle.dumps(model.set_params(hidden_layer_sizes=(3,), norm="batch", init="he_normal")))
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)


def test_a_memory_mapped_model_predicts(tmp_path):
    model = fitted("plain")
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    loaded.set_params(warm_start=True).fit(X, y)
