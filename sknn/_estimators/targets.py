"""Targets: how y becomes numbers to train on, and how outputs become predictions and scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from .._backend import to_numpy
from .._backend.typing import Array
from .._common.rules import shown
from .._common.validation import numbers_of
from ..losses import REGRESSION_LOSSES, BinaryLogLoss, Loss, RegressionLoss, SoftmaxLogLoss

NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)

# ---- containers of y ----------------------------------------------------------------------


def plain_targets(y: Any, name: str = "y") -> Any:
    """Return targets of any container as an array of a type that scikit-learn knows; sparse ones and None stay.

    Objects that are numbers or booleans become such, as those of a nullable column or of a frame of mixed columns.

    Raises
    ------
    ValueError
        If a value is missing.
    """
    y = to_numpy(y)
    if y is None or scipy.sparse.issparse(y):
        return y
    array = np.asarray(y)
    if array.dtype.kind == "T":  # NumPy's strings of any length
        array = array.astype(object)
    if isinstance(y, np.ma.MaskedArray):
        _refuse_missing(np.ma.getmaskarray(y), y, name)
    if array.dtype.kind == "f" and np.isnan(array).any():
        _refuse_missing(np.isnan(array), array, name)
    if array.dtype.kind in "mM":
        _refuse_missing(np.isnat(array), array, name)
    if array.dtype != object:
        return array
    values = array.ravel().tolist()
    kinds = set(map(type, values))
    if not kinds <= {str, np.str_}:
        _refuse_missing(np.array([_is_missing(value) for value in values]).reshape(array.shape), array, name)
    if not all(issubclass(kind, NUMBERS) for kind in kinds):
        return array
    numbers = np.array(values).reshape(array.shape)
    if numbers.dtype == object:  # integers of more than 64 bits
        with numbers_of(name):
            numbers.astype(np.float64)
    return numbers


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT, or pandas' NA, which alone has no truth value."""
    if value is None or isinstance(value, np.ndarray | list | tuple):
        return value is None
    try:
        return bool(value != value)
    except TypeError:
        return True


def _refuse_missing(are_missing: Array, y: Array, name: str) -> None:
    if are_missing.any():
        first = tuple(np.argwhere(are_missing)[0].tolist())
        raise ValueError(
            f"Input {name} contains NaN, or another missing value: {np.count_nonzero(are_missing)} of "
            f"{are_missing.size}; got {y[first]} in row {first[0]} (the first row is 0). Drop these rows, or fill in "
            "the values."
        )


# ---- kinds of targets -------------------------------------------------------------------


class Targets(Protocol):
    """Protocol of targets: how y becomes numbers to train on, and how outputs become predictions and scores."""

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the network."""

    @property
    def loss(self) -> Loss:
        """The loss for these targets."""

    def check(self, y: Array, name: str) -> None:
        """Raise ValueError for values that the targets cannot have."""

    def encode(self, y: Array, dtype: np.dtype) -> Array:
        """Return the numbers that the network is trained on, ``(n, k)``."""

    def strata(self, encoded: Array) -> Array | None:
        """Return the classes by which a validation split is stratified, or None."""

    def decode(self, outputs: Array) -> Any:
        """Return predictions from outputs ``(n, outputs)``."""

    def score(self, outputs: Array, encoded: Array, sample_weight: Array | None) -> float:
        """Return the score of outputs; higher is better."""


@dataclass(frozen=True)
class Labels:
    """Class labels: one yes-or-no output for two classes, one output a class for more.

    Encoded as class codes ``(n, 1)`` for softmax outputs; as 0 and 1 for two classes, and ``one_hot`` for more.
    """

    classes: np.ndarray
    one_hot: bool = False

    @property
    def n_outputs(self) -> int:
        """Return the number of outputs of the network."""
        return 1 if len(self.classes) <= 2 else len(self.classes)

    @property
    def loss(self) -> Loss:
        """Return the log loss for these targets."""
        return BinaryLogLoss() if self.n_outputs == 1 else SoftmaxLogLoss()

    def encode(self, y: Any, dtype: np.dtype) -> Array:
        """Return targets, in ``dtype`` where they are not class codes."""
        codes = self._nearest(column_or_1d(y))[:, None]
        if self.n_outputs == 1:
            return codes.astype(dtype)
        return (codes == np.arange(self.n_outputs)).astype(dtype) if self.one_hot else codes.astype(np.int64)

    def true_codes(self, encoded: Array) -> Array:
        """Return the class codes of encoded targets, ``(n,)``."""
        return encoded.argmax(axis=1) if encoded.shape[1] > 1 else encoded[:, 0].astype(np.int64, copy=False)

    def check(self, y: Any, name: str) -> None:
        """Raise ValueError for labels that are not among the classes."""
        if y.dtype.kind == self.classes.dtype.kind:
            unknown = np.unique(y[self.classes[self._nearest(y)] != y])
        else:
            unknown = np.setdiff1d(unique_labels(y), self.classes)
        if len(unknown):
            raise ValueError(
                f"`{name}` has classes not in `self.classes_`. `self.classes_` has {self.classes}. "
                f"`{name}` also has {unknown}."
            )

    def _nearest(self, y: Array) -> Array:
        """Return the code of each label; a label that is not among the classes gets the code of any class."""
        return np.searchsorted(self.classes, y).clip(max=len(self.classes) - 1)

    def strata(self, encoded: Array) -> Array | None:
        """Return the classes by which a validation split is stratified."""
        return self.true_codes(encoded)

    def class_weights(self, class_weight: Any, encoded: Array, sample_weight: Array | None) -> Array:
        """Return the weight of each class, float64; "balanced" makes all classes weigh the same together."""
        n_classes, codes = len(self.classes), self.true_codes(encoded)
        if class_weight == "balanced":
            sums = np.bincount(codes, sample_weight, minlength=n_classes).astype(np.float64)
            return np.divide(sums.sum(), n_classes * sums, out=np.zeros(n_classes), where=sums > 0)
        labels = self.classes.tolist()
        unlisted, unknown = [label for label in labels if label not in class_weight], class_weight.keys() - set(labels)
        if unlisted and unknown:  # a fold may lack a class that has a weight, but this may be a typing error
            raise ValueError(
                f"The classes, {unlisted}, are not in class_weight, which has keys that are not classes of y; got "
                f"{list(unknown)}. Give each class a weight, or remove these keys."
            )
        return np.array([float(class_weight.get(label, 1)) for label in labels])

    def codes(self, probability: Array) -> Array:
        """Return the code of the most probable class of each row, ``(n,)``."""
        if probability.shape[1] != self.n_outputs:
            raise ValueError(
                f"coefs_ must end in {self.n_outputs} output(s) to predict {len(self.classes)} classes; got "
                f"{probability.shape[1]}. Use predict_proba, which returns the outputs of the last layer."
            )
        if self.n_outputs > 1:
            return probability.argmax(axis=1)
        return (probability[:, 0] > 0.5) * (len(self.classes) - 1)

    def decode(self, outputs: Array) -> Any:
        """Return predicted labels."""
        return self.classes[self.codes(outputs)]

    def score(self, outputs: Array, encoded: Array, sample_weight: Array | None) -> float:
        """Return the (weighted) accuracy."""
        return _share(self.codes(outputs) == self.true_codes(encoded), sample_weight)


@dataclass(frozen=True)
class Indicators:
    """Multilabel targets: a row of 0 and 1, one yes-or-no output a label."""

    classes: np.ndarray
    sparse: bool = False
    loss = BinaryLogLoss()

    @property
    def n_outputs(self) -> int:
        """Return the number of outputs of the network."""
        return len(self.classes)

    def check(self, y: Any, name: str) -> None:
        """Raise ValueError unless y has a column for each label."""
        _check_columns(y, self.n_outputs, name)

    def encode(self, y: Any, dtype: np.dtype) -> Array:
        """Return indicators 0 and 1 in ``dtype``, ``(n, labels)``."""
        dense = y.toarray() if scipy.sparse.issparse(y) else y
        return np.ascontiguousarray(dense != 0, dtype)

    def strata(self, encoded: Array) -> Array | None:
        """Return None: rows of labels are not stratified."""
        return None

    def decode(self, outputs: Array) -> Any:
        """Return predicted indicators, sparse where y was."""
        chosen = (outputs > 0.5).astype(int)
        return scipy.sparse.csr_matrix(chosen) if self.sparse else chosen

    def score(self, outputs: Array, encoded: Array, sample_weight: Array | None) -> float:
        """Return the (weighted) share of rows with every label right."""
        return _share(((outputs > 0.5) == encoded).all(axis=1), sample_weight)


@dataclass(frozen=True)
class Numbers:
    """Regression targets: one number a row, or one for each output."""

    n_outputs: int
    loss: RegressionLoss

    def check(self, y: Any, name: str) -> None:
        """Raise ValueError for a wrong number of columns, or values that the loss cannot take."""
        if scipy.sparse.issparse(y):
            raise ValueError(f"{name} must be a dense array; got a sparse matrix. Call {name}.toarray().")
        if y.dtype.kind not in "fiub":
            raise ValueError(f"{name} must hold numbers; got dtype {y.dtype}. Use MLPClassifier for labels.")
        _check_columns(y, self.n_outputs, name)
        if self.loss.non_negative and (y < 0).any():
            raise ValueError(f"{name} must be non-negative for {self._loss_shown()}; got {y.min()}. Use another loss.")
        if (y > self.loss.largest_target).any():
            raise ValueError(
                f"{name} must be at most {self.loss.largest_target:.3g} for {self._loss_shown()}; got {y.max():.3g}. "
                "Divide y by a constant."
            )

    def _loss_shown(self) -> str:
        """Return the parameter ``loss`` with the name of the loss, or the loss itself."""
        names = [name for name, loss in REGRESSION_LOSSES.items() if loss == self.loss]
        return f"loss={names[0]!r}" if names else f"loss={shown(self.loss)}"

    def encode(self, y: Any, dtype: np.dtype) -> Array:
        """Return the targets in ``dtype``, ``(n, outputs)``."""
        with np.errstate(over="ignore"):
            numbers = np.ascontiguousarray(y.reshape(len(y), -1), dtype)
        if not np.isfinite(numbers).all():
            raise ValueError(f"y must be finite in the float type of X, {dtype}; got {np.abs(y).max()}. Scale y.")
        return numbers

    def strata(self, encoded: Array) -> Array | None:
        """Return None: numbers are not stratified."""
        return None

    def decode(self, outputs: Array) -> Array:
        """Return predictions, ``(n,)`` for one output."""
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def score(self, outputs: Array, encoded: Array, sample_weight: Array | None) -> float:
        """Return R^2, or NaN where predictions or their squared errors are not finite."""
        if not np.isfinite(outputs).all():
            return np.nan
        with np.errstate(over="ignore", invalid="ignore"):
            score = float(r2_score(encoded, outputs, sample_weight=sample_weight))
        return score if np.isfinite(score) else np.nan


def _share(right: Array, weights: Array | None) -> float:
    """Return the (weighted) share of True values."""
    if weights is None:
        return np.count_nonzero(right) / len(right)
    return float(np.average(right, weights=weights))


def _check_columns(y: Array, n_outputs: int, name: str) -> None:
    columns = 1 if y.ndim == 1 else y.shape[1]
    if columns != n_outputs:
        raise ValueError(
            f"{name} must have {n_outputs} column(s), one per output; got {columns}. Fit a new estimator for another "
            "number."
        )


def check_kinds(labels: Array) -> None:
    """Raise ValueError for labels that cannot be sorted, such as strings beside numbers, or have too many digits."""
    if all(isinstance(label, int) for label in labels.flat):  # else they would be an array of integers
        raise ValueError(
            "y must hold labels of one kind, all strings or all numbers of up to 64 bits; got larger integers. Convert "
            "them, for example with y.astype(str)."
        )
    try:
        np.unique(labels)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in labels.flat})
        raise ValueError(
            f"y must hold labels of one kind, all strings or all numbers; got {kinds}. Convert them, for example with "
            "y.astype(str)."
        ) from error


def _distinct(labels: Array) -> Array:
    """Return the sorted labels; for objects that cannot be sorted, scikit-learn raises its own error."""
    return unique_labels(labels) if labels.dtype == object else np.unique(labels)


def classification_targets(y: Any, classes: Any = None, one_hot: bool = False) -> Labels | Indicators:
    """Return the kind of targets that y holds; ``classes`` lists labels that y may lack."""
    kind = type_of_target(y, input_name="y")
    if kind.startswith(("continuous", "unknown")):
        check_classification_targets(y)  # which raises
    if kind == "multilabel-indicator":
        return Indicators(np.arange(y.shape[1]), scipy.sparse.issparse(y))
    if kind == "multiclass-multioutput":
        raise ValueError(
            "y must be class labels of shape (n,) or 0-1 indicators of shape (n, labels); got several multiclass "
            "columns (multiclass-multioutput). Fit one classifier per column, for example with "
            "MultiOutputClassifier."
        )
    return Labels(_distinct(y) if classes is None else unique_labels(classes), one_hot)
