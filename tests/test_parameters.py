"""Parameters as search libraries hand them over: NumPy's scalars and arrays, columns of frames; refused ones."""

import enum
from dataclasses import MISSING, fields
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sknn import MLPClassifier, MLPRegressor
from sknn._common.blocks import Block
from sknn.activations import ACTIVATIONS, Activation, LeakyReLU
from sknn.initializers import INITIALIZERS, Initializer, Normal, Uniform
from sknn.losses import RegressionLoss
from sknn.normalization import NORMS, BatchNorm, Norm
from sknn.optimizers import SGD, Optimizer
from sknn.preprocessing import PCA, ZCA, InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer
from sknn.schedules import BatchSchedule, Cosine, Exponential, GrowingBatch, InverseScaling, Schedule, StepDecay, WarmUp
from tests.support.classes import all_subclasses

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
rng = np.random.default_rng(0)
X = rng.standard_normal((30, 4))
y = (X[:, 0] > 0).astype(int)
NUMBERS = {"hidden_layer_sizes": (8, 4), "max_iter": 2, "random_state": 0}
PER_LAYER = ("activation", "init", "norm", "dropout")
STOPPING = {"early_stopping": True, "max_iter": 3}

# By parameter: a value other than the default, and the parameters with which it has an effect.
NETWORK = {
    "hidden_layer_sizes": [((6, 3), {}), (5, {})],
    "activation": [("tanh", {}), (("tanh", "relu"), {}), (LeakyReLU(0.5), {}), ((LeakyReLU(0.5), "elu"), {})],
    "solver": [("sgd", {}), (SGD(0.5), {})],
    "alpha": [(0.25, {}), (1, {})],
    "batch_size": [(8, {}), (GrowingBatch(4), {})],
    "learning_rate": [("invscaling", {"solver": "sgd"}), (Cosine(3), {})],
    "learning_rate_init": [(0.25, {})],
    "power_t": [(0.25, {"solver": "sgd", "learning_rate": "invscaling"})],
    "max_iter": [(3, {})],
    "shuffle": [(False, {"batch_size": 8})],
    "random_state": [(7, {})],
    "tol": [(0.5, {"n_iter_no_change": 1, "max_iter": 9})],
    "verbose": [(False, {}), (0, {})],
    "warm_start": [(True, {})],
    "momentum": [(0.25, {"solver": "sgd"})],
    "nesterovs_momentum": [(False, {"solver": "sgd"})],
    "early_stopping": [(True, {})],
    "validation_fraction": [(0.25, STOPPING)],
    "beta_1": [(0.25, {})],
    "beta_2": [(0.25, {})],
    "epsilon": [(0.5, {})],
    "n_iter_no_change": [(1, {"tol": 0.5, "max_iter": 9}), (np.inf, {})],
    "max_fun": [(2, {"solver": "lbfgs", "max_iter": 9})],
    "init": [("he_normal", {}), (("zeros", "normal"), {}), (Normal(0.5), {})],
    "l1": [(0.25, {})],
    "decoupled_decay": [(True, {"alpha": 0.5}), (None, {})],
    "clip_norm": [(0.25, {}), (None, {})],
    "max_norm": [(0.25, {}), (None, {})],
    "norm": [("batch", {}), (("layer", None), {}), (BatchNorm(0.5), {}), (None, {})],
    "freeze_norm": [(True, {})],
    "dropout": [(0.25, {}), ((0.25, 0.5), {})],
    "input_dropout": [(0.25, {})],
    "ema_decay": [(0.5, {}), (None, {})],
    "monitor": [("loss", STOPPING)],
    "backend": [("numpy", {}), (None, {})],
    "dtype": [("float32", {}), (None, {})],
    "precision": [("float32", {})],
}
CLASSIFIER = {
    **NETWORK,
    "loss": [("squared_error", {})],
    "target_range": [((0.25, 0.75), {"loss": "squared_error"})],
    "class_weight": [({0: 0.25, 1: 1.0}, {}), ("balanced", {})],
    "label_smoothing": [(0.25, {})],
}
REGRESSOR = {**NETWORK, "loss": [("huber", {})]}
ROWS = {"dtype": [("float32", {}), (None, {})], "backend": [("numpy", {}), (None, {})]}
SCALER = {
    **ROWS,
    "per": [("channel", {"image_shape": (2, 2, 1)})],
    "image_shape": [((2, 2, 1), {"per": "channel"}), (None, {})],
    "channels": [("first", {"per": "channel", "image_shape": (2, 2, 1)})],
    "copy": [(False, {})],
}
TRANSFORMERS = {
    StandardScaler: {**SCALER, "with_mean": [(False, {})], "with_std": [(False, {})]},
    MinMaxScaler: {
        **SCALER,
        "feature_range": [((-1, 2), {}), ((0.25, 0.5), {})],
        "clip": [(True, {})],
        "data_range": [((-1, 1), {}), (None, {})],
    },
    ZeroCenterer: SCALER,
    InstanceNormalizer: {**SCALER, "eps": [(0.25, {}), (0, {})]},
    PCA: {
        **ROWS,
        "n_components": [(2, {}), (0.75, {}), ("mle", {}), (None, {})],
        "copy": [(False, {})],
        "whiten": [(True, {})],
        "svd_solver": [("full", {})],
        "tol": [(0.25, {"svd_solver": "arpack", "n_components": 2, "random_state": 0})],
        "iterated_power": [(1, {"svd_solver": "randomized", "n_components": 2, "random_state": 0})],
        "n_oversamples": [(1, {"svd_solver": "randomized", "n_components": 2, "random_state": 0})],
        "power_iteration_normalizer": [("QR", {"svd_solver": "randomized", "n_components": 2, "random_state": 0})],
        "random_state": [(1, {"svd_solver": "randomized", "n_components": 2})],
        "eps": [(0.25, {"whiten": True})],
    },
    ZCA: {**ROWS, "n_components": [(2, {}), (0.75, {}), (None, {})], "eps": [(0.25, {})]},
}
VALUES = {MLPClassifier: CLASSIFIER, MLPRegressor: REGRESSOR, **TRANSFORMERS}
EACH = [
    pytest.param(estimator, name, id=f"{estimator.__name__}-{name}")
    for estimator, values in VALUES.items()
    for name in values
]
each_parameter = pytest.mark.parametrize("estimator, name", EACH)


class Name(enum.StrEnum):
    """A name as an enumeration has it."""

    TANH = "tanh"


def without_dimension(value):
    """Return an array of no dimension that holds any object."""
    array = np.empty((), object)
    array[()] = value
    return array


def column(values):
    """Return an array of objects."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def kinds(value):
    """Return the same value as other libraries have it."""
    same = [without_dimension(value)]
    if isinstance(value, bool):
        same += [np.bool_(value), np.array(value), np.ma.array(value)]
    elif isinstance(value, int):
        types = [np.dtype(code) for code in "bBhHiIlLqQ"]
        types = [dtype for dtype in types if np.iinfo(dtype).min <= value <= np.iinfo(dtype).max]
        same += [kind for dtype in types for kind in (dtype.type(value), np.array(value, dtype))] + [np.ma.array(value)]
    elif isinstance(value, float):
        same += [kind(value) for kind in (np.float16, np.float32, np.float64, np.longdouble)]
        same += [np.array(value), np.array(value, np.float16), np.array(value, np.longdouble), np.ma.array(value)]
        same += [Fraction(value)] if np.isfinite(value) else []
    elif isinstance(value, str):
        same += [np.str_(value), np.array(value)]
    elif isinstance(value, dict):
        same += [{np.int64(key): np.float32(item) for key, item in value.items()}]
    elif isinstance(value, tuple):
        scalars = [kinds(item)[-1] for item in value]
        same = [list(value), column(value), tuple(scalars), scalars]
        same += [] if None in value else [pd.Series(column(value)), pd.Index(column(value))]
        if not any(isinstance(item, Block | None) for item in value):
            same += [np.array(value), pd.Series(value), np.ma.array(value)]
        if value in ((-1, 1), (-1, 2)):
            same += [range(value[0], value[1] + 1, value[1] - value[0])]
    return same


def arrays_of(model):
    """Return what a fitted model computes."""
    if hasattr(model, "transform"):
        return [model.transform(X)]
    return [*model.coefs_, *model.intercepts_, model.predict(X), np.array(model.loss_curve_), np.array(model.n_iter_)]


def made(estimator, name, value, others):
    numbers = NUMBERS if estimator in (MLPClassifier, MLPRegressor) else {}
    model = estimator(**{**numbers, **others, name: value})
    if name == "freeze_norm":
        model.set_params(norm="batch", warm_start=True, freeze_norm=False).fit(X, y).set_params(freeze_norm=value)
    return model


@each_parameter
@pytest.mark.fast_share(7)
def test_values_of_other_libraries_make_the_model_of_plain_ones(estimator, name):
    for value, others in VALUES[estimator][name]:
        expected = arrays_of(made(estimator, name, value, others).fit(X.copy(), y))
        for kind in kinds(value):
            model = made(estimator, name, kind, others).fit(X.copy(), y)
            assert getattr(model, name) is kind  # as clone wants it
            clone(model)
            for mine, theirs in zip(arrays_of(model), expected, strict=True):
                assert mine.dtype == theirs.dtype
                np.testing.assert_array_equal(mine, theirs, err_msg=repr(kind))


def test_every_parameter_is_tried():
    for estimator, values in VALUES.items():
        assert values.keys() == estimator().get_params(deep=False).keys() == estimator._rules.keys()


def test_a_name_of_an_enumeration():
    model = made(MLPClassifier, "activation", Name.TANH, {}).fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], made(MLPClassifier, "activation", "tanh", {}).fit(X, y).coefs_[0])


def test_arrays_on_a_gpu(cupy):
    given = {"hidden_layer_sizes": cupy.asarray(np.array([8, 4])), "alpha": cupy.asarray(np.array(0.25))}
    numbers = {"max_iter": 2, "random_state": 0, "backend": "numpy"}
    model = MLPClassifier(**given, **numbers).fit(X, y)
    expected = MLPClassifier((8, 4), alpha=0.25, **numbers).fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])
    model = MLPClassifier(backend="cupy", max_iter=2).fit(X, y).set_params(precision=["float32"])
    with pytest.raises(ValueError, match=r"^precision must be one of .+; got \['float32'\]"):
        model.predict(X)


# ---- fields of blocks -------------------------------------------------------------------

FIELDS = [
    pytest.param(cls, field.name, id=f"{cls.__module__.split('.')[-1]}.{cls.__name__}.{field.name}")
    for cls in sorted(all_subclasses(Block), key=lambda cls: (cls.__module__, cls.__name__))
    if cls.__module__.startswith("sknn.") and "._" not in cls.__module__
    for field in fields(cls)
]
each_field = pytest.mark.parametrize("cls, name", FIELDS)
CANDIDATES = [0.25, 0.5, 2, 100, 30_000, True, False, None, "tanh", "exact", "post", "fan_out", "uniform", "cosine"]
CANDIDATES += [Cosine(3)]


def with_field(cls, name, value):
    needed = {item.name: 2 for item in fields(cls) if item.default is MISSING}
    return cls(**{**needed, name: value})


@each_field
@pytest.mark.fast_share(4)
def test_fields_are_plain_values(cls, name):
    taken = 0
    for value in CANDIDATES:
        try:
            block = with_field(cls, name, value)
        except ValueError:
            continue
        taken += 1
        for kind in kinds(value):
            other = with_field(cls, name, kind)
            assert other == block and hash(other) == hash(block) and repr(other) == repr(block)
            assert type(getattr(other, name)) in (bool, int, float, str, type(None), Cosine)
    assert taken


PARAMETERS = {
    Activation: "activation",
    RegressionLoss: "loss",
    Norm: "norm",
    Optimizer: "solver",
    Schedule: "learning_rate",
    BatchSchedule: "batch_size",
    Initializer: "init",
}


@each_field
@pytest.mark.fast_share(5)
def test_extreme_fields_are_refused_or_end_in_time(cls, name):
    parameter = next((parameter for base, parameter in PARAMETERS.items() if issubclass(cls, base)), None)
    for value in (2**31, 2**62, 2**63 - 1, 2**63, 10**30, 10**400, 1e300, 5e-324):
        try:
            block = with_field(cls, name, value)
        except ValueError as error:
            assert " must be " in str(error) and len(str(error)) < 300
            continue
        if parameter is None:  # a loss of classification, or a block that no parameter takes
            continue
        numbers = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0, parameter: block}
        try:
            MLPRegressor(**numbers).fit(X, y)
        except ValueError as error:
            assert any(text in str(error) for text in ("diverged", "must have a layer", "must give at most"))
        except MemoryError:
            assert name == "pieces"


def test_powers_beyond_all_floats():
    steps, rate = np.array([1, 11]), np.array([0.5])
    assert InverseScaling(2**31).after_epoch(rate, rate, 60) == 0
    assert InverseScaling(2).after_epoch(rate, rate, 60) == 0.5 / 61**2
    assert StepDecay(1, 1e300).factors(np.array([1, 11, 21]), 10, 30).tolist() == [1, 1e300, np.inf]
    assert Exponential(1e300).factors(np.array([1, 11, 21]), 10, 30).tolist() == [1, 1e300, np.inf]
    np.testing.assert_allclose(WarmUp(2**62).factors(steps, 10, 30), steps / (2**62), rtol=1e-15)
    with pytest.raises(ValueError, match=r"bound must be a number in \(0, 1e\+300\); got 1.7e\+308"):
        Uniform(1.7e308)


@pytest.mark.parametrize("sizes", [(2**62,), (2**31, 2**31), (2**63 - 1, 2), (10**7, 10**7)])
def test_a_network_beyond_all_memories(sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes must give at most 1e[+]12 weights and biases; got layer"):
        MLPClassifier(sizes).fit(X, y)


LONG = [range(10**9), range(10**400)]  # neither fits into memory, and Python cannot count the second
TAKE_SEQUENCES = [
    *((MLPRegressor, name, "a sequence of ") for name in ("hidden_layer_sizes", *PER_LAYER)),
    *((MinMaxScaler, name, "a pair of ") for name in ("feature_range", "data_range")),
    (StandardScaler, "image_shape", r"\(height, width"),
]


@pytest.mark.parametrize("value", LONG, ids=["long", "longer"])
@pytest.mark.parametrize("cls, name, words", TAKE_SEQUENCES)
def test_long_ranges_are_refused_without_a_list_of_their_items(cls, name, words, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*{words}.*; got range\(0, 10+"):
        cls(**{name: value}).fit(X, y)


def test_no_network_has_more_layers_than_10_000():
    with pytest.raises(ValueError, match="hidden_layer_sizes must be .* up to 10000 positive integers; got"):
        MLPRegressor(hidden_layer_sizes=[1] * 10_001).fit(X, y)


# ---- refused values ---------------------------------------------------------------------


class Unprintable:
    """An object that no error can print."""

    def __repr__(self):
        raise RuntimeError("no repr")


BAD = [
    np.ma.masked,
    np.ma.array(1, mask=True),
    np.array([[1, 2], [3, 4]]),
    [[1], [2, 3]],
    column([[1], [2, 3]]),
    Unprintable(),
    [Unprintable()],
    without_dimension(Unprintable()),
    10**400,
    -(10**5000),
    [10**5000],
    np.longdouble("1e4000"),
    1j,
    b"relu",
    np.bytes_(b"relu"),
    np.datetime64("2026-01-01"),
    np.timedelta64(5),
    np.timedelta64("NaT"),
    np.void(b"12"),
    np.nan,
    np.array(np.nan),
    pd.NA,
    pd.DataFrame({"a": [1.0]}),
    {(0, 1): 1.0},
    {0: -1.0},
    {"nested": [{"a": ["b" * 1000] * 1000}] * 1000},
    "x" * 100_000,
    np.str_("x" * 100_000),
    ["x" * 1000] * 1000,
    [[0] * 1000] * 1000,
    np.zeros((100, 100)),
    set(),
    object,
    SimpleNamespace(ndim=0),
]


def is_callable_monitor(name, value):
    return name == "monitor" and callable(value)


@each_parameter
@pytest.mark.fast_share(7)
def test_refused_values_are_named_and_change_nothing(estimator, name):
    random_state = np.random.RandomState(0)
    numbers = {} if "random_state" not in VALUES[estimator] else {"random_state": random_state}
    if estimator in (MLPClassifier, MLPRegressor):
        numbers |= {"hidden_layer_sizes": (4,), "max_iter": 1}
    model = estimator(**numbers).fit(X, y)
    expected = arrays_of(model)
    predicted = model.predict(X) if hasattr(model, "predict") else None
    for value in BAD:
        if is_callable_monitor(name, value):
            continue
        given = getattr(model, name)
        model.set_params(**{name: value})
        before, position = dict(vars(model)), random_state.get_state()[1].copy()
        calls = [model.fit, estimator(**{**numbers, name: value}).fit, getattr(model, "partial_fit", model.fit)]
        calls += [model.transform] if hasattr(model, "transform") else []
        calls += [model.inverse_transform] if hasattr(model, "inverse_transform") else []
        for call in calls:
            with pytest.raises(ValueError, match=f"^{name} must be .+; got ") as caught:
                call(X, y) if call.__name__ in ("fit", "partial_fit") else call(X)
            assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)
        after = vars(model)
        if hasattr(model, "predict"):  # by what was fitted, or an error about the parameter that is asked for
            try:
                np.testing.assert_array_equal(model.predict(X), predicted)
            except ValueError as error:
                assert str(error).startswith(f"{name} must be ") and len(str(error)) < 500
        assert after.keys() == before.keys() and all(after[key] is item for key, item in before.items())
        np.testing.assert_array_equal(random_state.get_state()[1], position)
        model.set_params(**{name: given})
    for mine, theirs in zip(arrays_of(model), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@each_field
@pytest.mark.fast_share(5)
def test_refused_fields_are_named(cls, name):
    for value in BAD:
        with pytest.raises(ValueError, match=f"^{name} must be .+; got ") as caught:
            with_field(cls, name, value)
        assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


@pytest.mark.parametrize("scaler", [StandardScaler])
@pytest.mark.parametrize("value", BAD[2:6] + ["no"], ids=lambda value: type(value).__name__)
def test_the_argument_copy_is_checked(scaler, value):
    model = scaler().fit(X)
    for call in (model.transform, model.inverse_transform):
        with pytest.raises(ValueError, match="^copy must be True, False or None; got "):
            call(X, copy=value)
        np.testing.assert_array_equal(call(X.copy(), copy=np.bool_(False)), call(X))


@pytest.mark.parametrize(
    "value, text",
    [
        (10**400, "an integer of 401 digits, which does not fit into 64 bits"),
        (-(2**64), "an integer of 20 digits, which does not fit into 64 bits"),
        ("x" * 100_000, "'xxxxx"),
        (np.ma.masked, "masked"),
        ([0.5, "a"], r"\[0.5, 'a'\]"),
        (Unprintable(), "<.*Unprintable instance at "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_show_what_came(value, text):
    with pytest.raises(ValueError, match=f"^alpha must be a number >= 0; got {text}") as caught:
        MLPClassifier(alpha=value).fit(X, y)
    assert len(str(caught.value)) < 130


def test_a_layer_too_many_is_shown_in_short():
    for name in PER_LAYER:
        item = {"activation": ACTIVATIONS, "init": INITIALIZERS, "norm": NORMS, "dropout": [0.5]}[name]
        with pytest.raises(ValueError, match=f"^{name} must be one value for all .* got 10000: ") as caught:
            MLPClassifier((8, 4), **{name: [next(iter(item))] * 10_000}).fit(X, y)
        assert len(str(caught.value)) < 250


def test_other_classes_are_shown_in_short():
    model = MLPClassifier((4,)).partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit, was: array") as caught:
        model.partial_fit(X, y, classes=np.arange(1000))
    assert len(str(caught.value)) < 300
