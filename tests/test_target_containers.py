"""Targets in every container, missing targets, and targets of one class."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sknn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
CODES = np.arange(60) % 3
NAMES = np.array(["ash", "birch", "cedar"])[CODES]
ARE_POSITIVE = X[:, 0] > 0
SEVERAL = (X[:, :2] > 0).astype(int)
NUMBERS = X @ [1.0, 2, 3, 4]


def strings_of_any_length(values, **options):
    if not hasattr(np.dtypes, "StringDType"):
        pytest.skip("NumPy before 2.0 has no StringDType")
    return np.array(values, np.dtypes.StringDType(**options))


# how a container is made, and the plain array that it equals
CONTAINERS = {
    "StringDType": (lambda: strings_of_any_length(NAMES), NAMES),
    "StringDType with missing": (lambda: strings_of_any_length(NAMES, na_object=np.nan), NAMES),
    "objects: strings": (lambda: NAMES.astype(object), NAMES),
    "objects: integers": (lambda: CODES.astype(object), CODES),
    "objects: booleans": (lambda: ARE_POSITIVE.astype(object), ARE_POSITIVE),
    "objects: floats": (lambda: CODES.astype(float).astype(object), CODES.astype(float)),
    "objects: NumPy's": (lambda: np.array([*CODES, None])[:-1], CODES),
    "objects: several labels": (lambda: SEVERAL.astype(object), SEVERAL),
    "column of a mixed frame": (lambda: pd.DataFrame({"name": NAMES, "y": CODES}).to_numpy()[:, 1], CODES),
    "list": (lambda: NAMES.tolist(), NAMES),
    "tuple": (lambda: tuple(CODES.tolist()), CODES),
    "pandas Int64": (lambda: pd.Series(CODES, dtype="Int64"), CODES),
    "pandas boolean": (lambda: pd.Series(ARE_POSITIVE, dtype="boolean"), ARE_POSITIVE),
    "pandas string": (lambda: pd.Series(NAMES, dtype="string"), NAMES),
    "pandas str": (lambda: pd.Series(NAMES.tolist()), NAMES),
    "pandas category": (lambda: pd.Series(NAMES, dtype="category"), NAMES),
    "pandas category of integers": (lambda: pd.Series(CODES, dtype="category"), CODES),
    "pandas index": (lambda: pd.Index(CODES), CODES),
    "frame Int64": (lambda: pd.DataFrame(SEVERAL).astype("Int64"), SEVERAL),
    "frame boolean": (lambda: pd.DataFrame(SEVERAL == 1).astype("boolean"), SEVERAL == 1),
    "frame of two types": (lambda: pd.DataFrame(SEVERAL).astype({0: "Int64", 1: "boolean"}), SEVERAL),
    "polars String": (lambda: pl.Series(NAMES.tolist()), NAMES),
    "polars Int64": (lambda: pl.Series(CODES), CODES),
    "polars Boolean": (lambda: pl.Series(ARE_POSITIVE), ARE_POSITIVE),
    "polars Categorical": (lambda: pl.Series(NAMES.tolist(), dtype=pl.Categorical), NAMES),
    "polars Enum": (lambda: pl.Series(NAMES.tolist(), dtype=pl.Enum(["ash", "birch", "cedar"])), NAMES),
    "polars frame": (lambda: pl.DataFrame(SEVERAL), SEVERAL),
}


def classifier(**parameters):
    return MLPClassifier(hidden_layer_sizes=(4,), max_iter=3, random_state=0, **parameters)


def assert_same_model(mine, other):
    for array, expected in zip(mine.coefs_ + mine.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("case", CONTAINERS)
@pytest.mark.fast_share(4)
def test_a_container_of_labels_equals_the_plain_array(case):
    make, plain = CONTAINERS[case]
    y = make()
    for parameters in ({}, {"early_stopping": True}):
        model, expected = (classifier(**parameters).fit(X, labels) for labels in (y, plain))
        assert_same_model(model, expected)
        assert model.classes_.dtype == expected.classes_.dtype
        np.testing.assert_array_equal(model.classes_, expected.classes_)
        np.testing.assert_array_equal(model.predict(X), expected.predict(X))
        assert model.score(X, y) == expected.score(X, plain) == model.score(X, plain)
        assert model.validation_scores_ == expected.validation_scores_
    model, expected = (classifier().fit(X, labels, X_val=X, y_val=labels) for labels in (y, plain))
    assert model.validation_scores_ == expected.validation_scores_
    assert model.validation_scores_[-1] == model.score(X, y)


@pytest.mark.parametrize("case", CONTAINERS)
@pytest.mark.fast_share(4)
def test_partial_fit_takes_classes_of_any_container(case):
    make, plain = CONTAINERS[case]
    y = make()
    expected = classifier(early_stopping=True).partial_fit(X, plain, classes=np.unique(plain))
    model = classifier(early_stopping=True).partial_fit(X, y, classes=None if plain.ndim == 2 else y)
    assert_same_model(model.partial_fit(X, y), expected.partial_fit(X, plain))
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize(
    "make", [pd.Series, pl.Series, list, lambda y: pd.Series(y, dtype="Float64"), lambda y: y.astype(object)]
)
def test_a_container_of_numbers_equals_the_plain_array(make):
    def regressor():
        return MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0, early_stopping=True)

    model, expected = (regressor().fit(X, y, X_val=X, y_val=y) for y in (make(NUMBERS), NUMBERS))
    assert_same_model(model, expected)
    assert model.validation_scores_ == expected.validation_scores_
    assert model.score(X, make(NUMBERS)) == expected.score(X, NUMBERS)
    assert_same_model(model.partial_fit(X, make(NUMBERS)), expected.partial_fit(X, NUMBERS))


# ---- missing targets --------------------------------------------------------------------

MISSING = {
    "StringDType NaN": lambda: strings_of_any_length(["a", np.nan, "b"], na_object=np.nan),
    "StringDType NA": lambda: strings_of_any_length(["a", pd.NA, "b"], na_object=pd.NA),
    "StringDType None": lambda: strings_of_any_length(["a", None, "b"], na_object=None),
    "list None": lambda: ["a", None, "b"],
    "list NA": lambda: [1, pd.NA, 2],
    "floats": lambda: np.array([1, np.nan, 2]),
    "objects NaN": lambda: np.array([1, np.nan, 2], object),
    "masked": lambda: np.ma.array([1, 2, 3], mask=[0, 1, 0]),
    "NaT": lambda: pd.Series([pd.Timestamp("2020"), pd.NaT, pd.Timestamp("2021")], dtype=object),
    "dates": lambda: pd.Series(pd.to_datetime(["2020", None, "2021"], format="%Y")),
    "dates in a time zone": lambda: pd.Series(pd.to_datetime(["2020", None, "2021"], format="%Y", utc=True)),
    "times": lambda: np.array([1, "NaT", 2], "timedelta64[s]"),
    "periods": lambda: pd.Series(pd.PeriodIndex(["2020", None, "2021"], freq="Y")),
    "Int64": lambda: pd.Series([1, None, 2], dtype="Int64"),
    "boolean": lambda: pd.Series([True, None, False], dtype="boolean"),
    "string": lambda: pd.Series(["a", None, "b"], dtype="string"),
    "category": lambda: pd.Series(["a", None, "b"], dtype="category"),
    "polars": lambda: pl.Series(["a", None, "b"]),
    "polars dates": lambda: pl.Series([datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1)]),
    "several": lambda: pd.DataFrame({"a": [0, None, 1], "b": [0, 1, 1]}, dtype="Int64"),
}


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("case", MISSING)
def test_missing_targets_are_named(case, estimator):
    y, rows = MISSING[case](), X[:3]
    model = estimator(max_iter=1).fit(rows, [0, 1, 1])
    message = r"Input {} contains NaN, or another missing value: 1 of \d; got .* in row 1 .*Drop these rows"
    with pytest.raises(ValueError, match=message.format("y")):
        model.fit(rows, y)
    with pytest.raises(ValueError, match=message.format("y")):
        model.score(rows, y)
    with pytest.raises(ValueError, match=message.format("y_val")):
        model.fit(rows, [0, 1, 1], X_val=rows, y_val=y)
    if estimator is MLPClassifier and case != "several":
        with pytest.raises(ValueError, match=message.format("classes")):
            MLPClassifier().partial_fit(rows, [0, 1, 1], classes=y)


# ---- one class --------------------------------------------------------------------------

ONE = {"str": "only", "int": 7, "bool": True, "float": 2.0}


@pytest.mark.parametrize("label", ONE.values(), ids=ONE)
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.fast_share(3)
def test_one_class_has_one_column_of_ones(solver, loss, label):
    y = [label] * 60
    for early_stopping in (False, True):
        model = classifier(solver=solver, loss=loss, early_stopping=early_stopping, class_weight="balanced")
        model.fit(X, y, RNG.random(60) + 0.1)
        np.testing.assert_array_equal(model.classes_, [label])
        np.testing.assert_array_equal(model.predict_proba(X), np.ones((60, 1)))
        np.testing.assert_array_equal(model.predict_log_proba(X), np.zeros((60, 1)))
        np.testing.assert_array_equal(model.predict(X), y)
        assert model.score(X, y) == 1
    if solver == "adam":
        first = classifier(loss=loss).partial_fit(X, y, classes=[label])
        np.testing.assert_array_equal(first.partial_fit(X, y).predict_proba(X), np.ones((60, 1)))


def test_the_type_of_one_class_is_that_of_x():
    model = classifier().fit(X.astype(np.float32), ["only"] * 60)
    assert model.predict_proba(X.astype(np.float32)).dtype == np.float32
