"""The rows that early stopping sets aside."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from sknn import MLPClassifier, MLPRegressor
from sknn._core.data import split_rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
SIZES = {  # of the classes: those that scikit-learn's stratified split refuses, at a tenth for validation
    "10 rows of 2 classes": [5, 5],
    "10 classes of 9": [9] * 10,
    "30 classes of 5": [5] * 30,
    "a class of one row": [30, 1],
    "three classes of one row": [20, 1, 1, 1, 7],
    "all of one row": [1] * 12,
    "5 rows": [3, 2],
}


def labels_of(sizes):
    return RNG.permutation(np.repeat(np.arange(len(sizes)), sizes))


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.6])
def test_shares_of_classes_are_kept_as_far_as_it_goes(fraction, case):
    """The quota rule: each class has its share rounded down or up, unless its last row is kept for training."""
    sizes = np.array(SIZES[case])
    labels = labels_of(sizes)
    train, validation = split_rows(np.random.RandomState(0), len(labels), fraction, labels)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert len(validation) == max(2, np.ceil(fraction * len(labels)))
    quota = sizes * len(validation) / len(labels)
    counts = np.bincount(labels[validation], minlength=len(sizes))
    may_be_kept = sizes - counts == 1
    assert ((counts >= np.floor(quota)) | may_be_kept).all()
    if (sizes > 1).all():
        assert (counts <= np.ceil(quota)).all()
    if len(train) >= len(sizes):
        assert len(set(labels[train])) == len(sizes)


def test_largest_remainders_are_rounded_up():
    """Shares of 12 of 60 rows: 4.8, 3.6, 2.2, 1.2 and 0.2."""
    labels = np.repeat(np.arange(5), [24, 18, 11, 6, 1])
    _, validation = split_rows(np.random.RandomState(0), 60, 0.2, labels)
    np.testing.assert_array_equal(np.bincount(labels[validation], minlength=5), [5, 4, 2, 1, 0])


def test_equal_classes_have_equal_chances():
    labels = np.arange(90) % 10
    counts = sum(
        np.bincount(labels[split_rows(np.random.RandomState(k), 90, 0.05, labels)[1]], minlength=10) for k in range(400)
    )
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200 * 0.5)  # 5 of 10 classes in each split


@pytest.mark.parametrize("fraction, sizes", [(0.1, [20, 20]), (0.1, [50, 3, 30]), (0.1, [40]), (0.3, [5] * 4)], ids=str)
def test_the_split_is_scikit_learns_where_it_has_one(fraction, sizes):
    labels = labels_of(sizes)
    rows = np.arange(len(labels))
    for stratified in (labels, None):
        expected = train_test_split(
            rows, test_size=fraction, random_state=np.random.RandomState(3), stratify=stratified
        )
        found = split_rows(np.random.RandomState(3), len(labels), fraction, stratified)
        for mine, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_classifiers_train(weighted, case):
    y = np.array([f"class {label}" for label in labels_of(SIZES[case])])
    X = RNG.standard_normal((len(y), 3))
    weight = RNG.random(len(y)) + 0.1 if weighted else None
    model = MLPClassifier((4,), early_stopping=True, max_iter=3, random_state=0).fit(X, y, weight)
    again = MLPClassifier((4,), early_stopping=True, random_state=0)
    for _ in range(3):
        again.partial_fit(X, y, weight, classes=np.unique(y))
    assert np.isfinite(model.validation_scores_).all()
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))


@pytest.mark.parametrize("n_rows", [5, 8, 12])
def test_regressors_and_several_labels_train_on_few_rows(n_rows):
    X = RNG.standard_normal((n_rows, 3))
    for model, y in ((MLPRegressor(), X[:, 0]), (MLPClassifier(), (X[:, :2] > 0).astype(int))):
        model.set_params(hidden_layer_sizes=(4,), early_stopping=True, max_iter=3, random_state=0).fit(X, y)
        assert model._state.validation_rows.shape == (1, 2) and np.isfinite(model.validation_scores_).all()


REFUSED = {  # y, the fraction for validation: how the message begins, scikit-learn's words where it has some
    "two rows": ([0, 0], 0.1, "The validation set is too small. Increase 'validation_fraction' or the size of your"),
    "one row": ([0], 0.1, "The validation set is too small. .* n_samples=1 "),
    "a class of one row": (
        [0, 0, 0, 1],
        0.1,
        r"The least populated classes in y have only 1 member.*Classes with too few members are: \['True'\]",
    ),
    "of texts": (["a", "a", "a", "b"], 0.1, r"The least .* members are: \['True'\] \(in y: \['b'\]\)\. The"),
    "classes of texts": (["a", "b", "c", "c"], 0.1, r"The least .* members are: \['a', 'b'\]\. The"),
    "classes of one row": ([0, 1, 2, 2], 0.1, r"The least populated .* Classes with too few members are: \[0, 1\]"),
    "none to train on": ([0, 1] * 5, 0.99, "The validation set leaves no rows to train on. Decrease 'validation_frac"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_split(case):
    y, fraction, message = REFUSED[case]
    X = np.arange(2.0 * len(y)).reshape(-1, 2)
    model = MLPClassifier(early_stopping=True, validation_fraction=fraction)
    with pytest.raises(ValueError, match=f"^{message}.* Or pass your own validation set as X_val and y_val"):
        model.fit(X, y)
    assert not hasattr(model, "classes_")
    model.fit(X, y, X_val=[[0, 1], [2, 3]], y_val=[y[0], y[-1]])
