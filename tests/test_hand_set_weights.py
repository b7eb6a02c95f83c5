"""Weights, layers and activations that users set by hand: what scikit-learn computes with them is the truth."""

import pickle
import re
import warnings

import numpy as np
import pytest
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.preprocessing import LabelBinarizer

import sknn
from sknn import MLPClassifier, MLPRegressor
from sknn._estimators.hooks import HOOKS

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 4))
T = X @ [1, 2, 3, 4.0]
Y2, Y3 = (X[:, 0] > 0).astype(int), np.digitize(X[:, 0], [-0.5, 0.5])
SHORT = {"hidden_layer_sizes": (5, 3), "max_iter": 3, "random_state": 0}
PAIRS = {
    "regressor": (MLPRegressor, theirs.MLPRegressor, T),
    "two outputs": (MLPRegressor, theirs.MLPRegressor, np.c_[T, -T]),
    "two classes": (MLPClassifier, theirs.MLPClassifier, Y2),
    "three classes": (MLPClassifier, theirs.MLPClassifier, Y3),
}


def fitted(cls, y, rows=X, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(**SHORT | parameters).fit(rows, y)


def outputs(model, rows=X):
    return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)


@pytest.fixture(params=PAIRS)
def pair(request):
    """A model of ours, and one of scikit-learn's, that were fitted alike."""
    ours, other, y = PAIRS[request.param]
    return fitted(ours, y), fitted(other, y)


def weights(model, low=-2, high=3):
    """Integer weights of the shapes that a model has."""
    draws = np.random.default_rng(1)
    return (
        [draws.integers(low, high, W.shape) for W in model.coefs_],
        [draws.integers(low, high, b.shape) for b in model.intercepts_],
    )


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8, bool, np.float16, np.longdouble, "list", "F", "strided"])
@pytest.mark.fast_share(5)
def test_weights_of_any_kind_of_number(pair, kind):
    for model in pair:
        coefs, intercepts = weights(model)
        if kind == "F":
            coefs = [np.asfortranarray(W, float) for W in coefs]
        elif kind == "strided":
            coefs = [np.repeat(W, 2, axis=1)[:, ::2].astype(float) for W in coefs]
            intercepts = [np.repeat(b, 2)[::2] for b in intercepts]
        elif kind != "list":
            coefs, intercepts = ([array.astype(kind) for array in arrays] for arrays in (coefs, intercepts))
        model.coefs_, model.intercepts_ = coefs, intercepts
    mine, other = pair
    if kind == "list":  # which scikit-learn does not take
        mine.coefs_, mine.intercepts_ = ([a.tolist() for a in arrays] for arrays in (mine.coefs_, mine.intercepts_))
    np.testing.assert_allclose(outputs(mine), np.asarray(outputs(other), float), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", [X, X.astype("f4")])
def test_integers_are_computed_in_the_type_of_the_fit(rows):
    model = fitted(MLPRegressor, T.astype(rows.dtype), rows)
    model.coefs_, model.intercepts_ = weights(model)
    assert model.predict(X).dtype == rows.dtype


def test_a_number_is_the_bias_of_all_units(pair):
    for model in pair:
        model.intercepts_ = [0.5, np.float64(-1), np.array([0.25])]
    mine, other = pair
    np.testing.assert_allclose(outputs(mine), outputs(other), rtol=1e-12)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_activation_that_is_changed_after_the_fit(pair, activation):
    for model in pair:
        model.activation = activation
    mine, other = pair
    np.testing.assert_allclose(outputs(mine), outputs(other), rtol=1e-9, atol=1e-12)
    loaded = pickle.loads(pickle.dumps(mine))
    np.testing.assert_array_equal(outputs(loaded), outputs(mine))


@pytest.mark.parametrize("out_activation", ["identity", "logistic", "softmax", "tanh", "relu"])
def test_output_activation_that_is_changed_after_the_fit(pair, out_activation):
    for model in pair:
        model.out_activation_ = out_activation
    mine, other = pair
    np.testing.assert_allclose(outputs(mine), outputs(other), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mine.predict(X), other.predict(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_kept", [1, 2])
@pytest.mark.parametrize("cuts_coefs", [True, False])
def test_outputs_of_a_network_whose_last_layers_are_cut_off(pair, n_kept, cuts_coefs):
    for model in pair:
        model.n_layers_, model.out_activation_ = n_kept + 1, "relu"
        model.n_outputs_ = model.coefs_[n_kept - 1].shape[1]  # by which scikit-learn tells two classes
        if cuts_coefs:
            model.coefs_, model.intercepts_ = model.coefs_[:n_kept], model.intercepts_[:n_kept]
    mine, other = pair
    np.testing.assert_allclose(outputs(mine), outputs(other), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(outputs(mine, X[:1]), outputs(other, X[:1]), rtol=1e-9, atol=1e-12)


def test_a_layer_that_is_widened_and_one_that_is_added(pair):
    for model in pair:
        draws = np.random.default_rng(2)
        widths = (4, 7, 6, 5, model.coefs_[-1].shape[1])
        model.coefs_ = [draws.standard_normal(shape) for shape in zip(widths, widths[1:], strict=False)]
        model.intercepts_ = [draws.standard_normal(width) for width in widths[1:]]
        model.n_layers_ = 5
    mine, other = pair
    np.testing.assert_allclose(outputs(mine), outputs(other), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_kept", [1, 2])
def test_a_cut_network_keeps_its_norms(n_kept):
    """Of weights by which the norms of the first layers, computed by hand, are neither the identity nor alike."""
    rows = X * 3 + 2
    model = fitted(MLPRegressor, T, rows, norm=["batch", "batch"], activation=["tanh", "relu"], learning_rate_init=0.1)
    hidden = rows
    for i in range(n_kept):
        scale = model.norm_gains_[i] / np.sqrt(model.norm_variances_[i] + 1e-5)
        z = (hidden @ model.coefs_[i] - model.norm_means_[i]) * scale + model.intercepts_[i]
        hidden = np.tanh(z) if i == 0 else np.maximum(z, 0)
    model.n_layers_, model.out_activation_ = n_kept + 1, ("tanh", "relu")[n_kept - 1]
    np.testing.assert_allclose(model.predict(rows), hidden, rtol=1e-9, atol=1e-12)
    model.coefs_, model.intercepts_ = model.coefs_[:n_kept], model.intercepts_[:n_kept]
    np.testing.assert_allclose(model.predict(rows[:1]), hidden[:1], rtol=1e-9, atol=1e-12)
    model.out_activation_ = "logistic"
    assert ((model.predict(rows) > 0) & (model.predict(rows) < 1)).all()


def test_cut_classifier_has_no_labels_to_predict():
    model = fitted(MLPClassifier, Y3)
    model.coefs_, model.intercepts_, model.n_layers_ = model.coefs_[:1], model.intercepts_[:1], 2
    with pytest.raises(ValueError, match=r"coefs_ must end in 3 output\(s\) to predict 3 classes; got 5"):
        model.predict(X)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coefs_": [np.ones((4, 5))]}, r"n_layers_ must be an integer in \[2, 2\], as coefs_ has 1 arrays; got 4"),
        ({"n_layers_": 2.0}, r"n_layers_ must be an integer"),
        ({"intercepts_": [np.ones(5)]}, r"intercepts_\[1\] must be an array of real numbers of shape \(3,\); got None"),
        ({"intercepts_": [np.ones(5), np.ones(2), 0]}, r"intercepts_\[1\] .* of shape \(3,\); got shape \(2,\)"),
        ({"intercepts_": [1j, 0, 0]}, r"intercepts_\[0\] must be an array of real numbers"),
        ({"intercepts_": ["a", 0, 0]}, r"intercepts_\[0\] must be an array of real numbers"),
        ({"coefs_": [np.ones((4, 5)), np.ones((4, 3)), np.ones((3, 1))]}, r"coefs_\[1\] .* shape \(5, 3\); got shape"),
        ({"coefs_": [np.ones(4), np.ones((4, 3)), np.ones((3, 1))]}, r"coefs_\[0\] must be an array of shape"),
        ({"out_activation_": "rellu"}, r"out_activation_ must be one of \['identity', .*; got 'rellu'"),
        ({"out_activation_": "maxout"}, r"out_activation_ must be one of"),
        ({"activation": "rellu"}, r"activation must be one of .*; got 'rellu'"),
        ({"activation": ["relu"]}, r"activation must be one value for all or one value for each of the 2 hidden"),
        ({"activation": "prelu"}, r"activation_slopes_\[0\] must be an array"),
    ],
)
def test_attributes_that_do_not_belong_together(changes, message):
    model = fitted(MLPRegressor, T)
    vars(model).update(changes)
    with pytest.raises(ValueError, match=message):
        model.predict(X)


def test_the_names_of_output_activations_are_listed_once():
    model = fitted(MLPRegressor, T)
    model.out_activation_ = "nope"
    with pytest.raises(ValueError, match="out_activation_ must be one of") as caught:
        model.predict(X)
    names = re.findall(r"'(\w+)'", str(caught.value))
    assert len(names) == len(set(names)) and names[-1] == "nope"


# ---- without a fit ----------------------------------------------------------------------


def bare(model, **more):
    """Return an estimator that was never fitted, with the weights of a model of scikit-learn's."""
    cls = getattr(sknn, type(model).__name__)
    other = cls(**SHORT)
    other.coefs_ = [W.copy() for W in model.coefs_]
    other.intercepts_ = [b.copy() for b in model.intercepts_]
    vars(other).update(more)
    return other


def test_weights_without_a_fit(pair):
    _, other = pair
    model = bare(other)
    if isinstance(model, MLPClassifier):
        with pytest.raises(ValueError, match="classes_ must be set where coefs_"):
            model.predict(X)
        model.classes_ = other.classes_
    np.testing.assert_allclose(outputs(model), outputs(other), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X) > 0, other.predict(X) > 0)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    with pytest.raises(ValueError, match="X has 3 features, but .* is expecting 4 features"):
        model.predict(X[:, :3])
    assert not hasattr(clone(model), "coefs_")


def test_multilabel_weights_without_a_fit():
    Y = np.c_[Y2, 1 - Y2, X[:, 1] > 0].astype(int)
    other = fitted(theirs.MLPClassifier, Y)
    model = bare(other, classes_=np.arange(3), out_activation_="logistic")
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


def test_classes_of_another_model_are_refused():
    with pytest.raises(ValueError, match="classes_ must have one label for each output"):
        bare(fitted(theirs.MLPClassifier, Y3), classes_=[0, 1]).predict(X)


def test_label_binarizer_is_read_and_taken():
    for y in (Y2, Y3, Y3.astype(str)):
        model, other = fitted(MLPClassifier, y), fitted(theirs.MLPClassifier, y)
        np.testing.assert_array_equal(
            model._label_binarizer.transform(model.predict(X)), LabelBinarizer().fit(y).transform(model.predict(X))
        )
        given = bare(other)
        given._label_binarizer = other._label_binarizer
        np.testing.assert_array_equal(given.predict(X), other.predict(X))


@pytest.mark.parametrize("kind", PAIRS)
def test_training_goes_on_from_weights_without_a_fit(kind):
    cls, _, y = PAIRS[kind]
    start = fitted(cls, y)
    # the gradient of one full-batch step of plain gradient descent does not depend on anything but the weights
    common = {"solver": "sgd", "momentum": 0.0, "batch_size": 60, "learning_rate_init": 0.1, "shuffle": False}
    expected = fitted(cls, y, **common, max_iter=1)
    expected.coefs_ = [W.copy() for W in start.coefs_]
    expected.intercepts_ = [b.copy() for b in start.intercepts_]
    expected.partial_fit(X, y)
    model = bare(start).set_params(**common)
    if isinstance(model, MLPClassifier):
        model.classes_ = start.classes_
    model.partial_fit(X, y)
    for mine, other in zip(model.coefs_ + model.intercepts_, expected.coefs_ + expected.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12)
    warm = bare(start).set_params(**common, warm_start=True, max_iter=1)
    with pytest.warns(Warning, match="Maximum iterations"):
        warm.fit(X, y)
    np.testing.assert_array_equal(warm.coefs_[0], model.coefs_[0])


def test_training_goes_on_from_weights_of_the_layers_that_parameters_describe():
    model = bare(fitted(theirs.MLPRegressor, T)).set_params(hidden_layer_sizes=(9,))
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must be those of coefs_.*\[4, 5, 3, 1\].*=\(5, 3\)"):
        model.partial_fit(X, T)
    model.set_params(hidden_layer_sizes=(5, 3)).partial_fit(X, T)


# ---- private names of scikit-learn ------------------------------------------------------


@pytest.mark.parametrize("name", ["_init_coef", "_initialize", "_validate_input", "_forward_pass", "_backprop"])
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_private_method_in_a_subclass_is_reported(cls, name):
    sub = type("Sub", (cls,), {name: lambda self, *args: None})
    model = sub(max_iter=300, tol=10)
    for call in (model.fit, model.partial_fit):
        with pytest.warns(UserWarning, match=f"Sub.{name} is never called.*Use|Sub.{name} is never called.*Pass"):
            call(X, Y2)


def test_a_method_of_ones_own_is_not_reported():
    class Mine(MLPRegressor):
        def fit(self, X, y):
            return self._initialize(X, y)

        def _initialize(self, X, y):
            return super().fit(X, y)

    class Helpful(MLPRegressor):
        def _fit(self, X, y):
            return self.fit(X, y)

    for cls in (Mine, Helpful):
        fitted(cls, T)  # where warnings are silent
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cls(max_iter=300, tol=10).fit(X, T)


def test_other_errors_of_attributes_are_those_of_python():
    class Summarized(MLPRegressor):
        @property
        def summary(self):
            return self.missing_thing_

    with pytest.raises(AttributeError, match="missing_thing_"):
        _ = Summarized().summary
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as raised:
        _ = MLPRegressor(solver="lbfgs").partial_fit
    assert "only available for mini-batch solvers" in str(raised.value.__cause__)
    with pytest.raises(AttributeError, match="classes_"):
        _ = MLPClassifier()._label_binarizer


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_private_name_leads_to_the_public_one(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'. (Use|Pass) "):
        getattr(MLPClassifier(), name)


def test_private_attributes_that_are_set_to_none():
    expected, model = fitted(MLPClassifier, Y3), fitted(MLPClassifier, Y3)
    model._optimizer = model._label_binarizer = model._random_state = None
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    with pytest.warns(Warning, match="Maximum iterations"):
        model.fit(X, Y3)
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_no_private_name_means_something_else_in_scikit_learn(name):
    ours, other = getattr(sknn, name), getattr(theirs, name)
    shared = {key for key in dir(ours) if key.startswith("_") and not key.startswith("__") and hasattr(other, key)}
    own = {key for key in shared if any(key in vars(base) for base in ours.__mro__ if "sknn" in base.__module__)}
    assert not own - {"_label_binarizer"}
