"""Statistics that users set by hand, after a fit or without one: scikit-learn's transforms are the truth."""

import pickle

import joblib
import numpy as np
import pytest
import sklearn.decomposition
import sklearn.preprocessing as theirs

from sknn import preprocessing as ours

rng = np.random.default_rng(0)
X = rng.standard_normal((20, 3)) * 3 + 5
KINDS = {
    "arrays": np.asarray,
    "integers": lambda values: np.ceil(values).astype(int),
    "float16": lambda values: np.asarray(values, np.float16),
    "lists": lambda values: np.asarray(values).tolist(),
}
PAIRS = {
    "standard": (ours.StandardScaler, theirs.StandardScaler, ("mean_", "scale_")),
    "min_max": (ours.MinMaxScaler, theirs.MinMaxScaler, ("min_", "scale_")),
}


def given(pair, convert, is_fitted):
    """Return our transformer and scikit-learn's, with the same statistics set."""
    cls, other, names = pair
    source = other().fit(X * 2 + 1)
    made = []
    for kind in (cls, other):
        estimator = kind().fit(X) if is_fitted else kind()
        is_list = convert is KINDS["lists"] and kind is other  # which scikit-learn does not always take
        for name in names:
            setattr(estimator, name, (np.asarray if is_list else convert)(getattr(source, name)))
        made.append(estimator)
    return made


@pytest.mark.parametrize("is_fitted", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_scalers_use_statistics_that_are_set(pair, kind, is_fitted):
    mine, other = given(pair, KINDS[kind], is_fitted)
    for method in ("transform", "inverse_transform"):
        expected = getattr(other, method)(X)
        np.testing.assert_allclose(getattr(mine, method)(X), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(getattr(pickle.loads(pickle.dumps(mine)), method)(X), expected, rtol=1e-12)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_statistics_changed_in_place(pair):
    cls, other, names = pair
    mine, theirs_too = cls().fit(X), other().fit(X)
    for estimator in (mine, theirs_too):
        getattr(estimator, names[0])[1] = 3.5
        estimator.scale_ *= 2
    np.testing.assert_allclose(mine.transform(X), theirs_too.transform(X), rtol=1e-12)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_predictions_of_one_column_are_transformed_back(pair):
    """A frequent script for time series: the scale of the target column alone."""
    cls, other, names = pair
    mine, theirs_too = cls().fit(X), other().fit(X)
    for estimator in (mine, theirs_too):
        for name in names:
            setattr(estimator, name, getattr(estimator, name)[2])
    column = mine.inverse_transform(X[:, :1])
    np.testing.assert_allclose(column, theirs_too.inverse_transform(X[:, :1]), rtol=1e-12)


def test_clip_and_feature_range_of_a_map_that_is_set():
    mine, other = (cls((-1, 2), clip=True).fit(X) for cls in (ours.MinMaxScaler, theirs.MinMaxScaler))
    for estimator in (mine, other):
        estimator.min_ = estimator.min_ + 0.5
    np.testing.assert_allclose(mine.transform(X), other.transform(X), rtol=1e-12)


def test_ends_of_a_range_stay_exact_after_a_round_trip(tmp_path):
    scaler = ours.MinMaxScaler().fit(X)
    joblib.dump(scaler, tmp_path / "scaler")
    for loaded in (pickle.loads(pickle.dumps(scaler)), joblib.load(tmp_path / "scaler")):
        assert (loaded.transform(X).max(axis=0) == 1).all()
    again = scaler.partial_fit(X + 9).transform(np.r_[X, X + 9])
    assert (again.min(axis=0) == 0).all() and (again.max(axis=0) == 1).all()


@pytest.mark.parametrize("whiten", [False, True])
def test_axes_that_are_set(whiten):
    source = sklearn.decomposition.PCA(2, whiten=whiten).fit(X)
    mine = ours.PCA(2, whiten=whiten)
    for name in ("mean_", "components_", "explained_variance_"):
        setattr(mine, name, getattr(source, name))
    made = mine.transform(X)
    np.testing.assert_allclose(made, source.transform(X), rtol=1e-10)
    np.testing.assert_allclose(mine.inverse_transform(made), source.inverse_transform(made), rtol=1e-10)


@pytest.mark.parametrize("name", ["StandardScaler", "MinMaxScaler", "PCA"])
def test_no_private_name_means_something_else_in_scikit_learn(name):
    cls, other = getattr(ours, name), getattr(sklearn.decomposition if name == "PCA" else theirs, name)
    shared = {key for key in dir(cls) if key.startswith("_") and not key.startswith("__") and hasattr(other, key)}
    own = {key for key in shared if any(key in vars(base) for base in cls.__mro__ if "sknn" in base.__module__)}
    assert not own - {"_n_features_out", "_sklearn_auto_wrap_output_keys"}  # both mean the same
