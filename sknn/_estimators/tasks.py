"""Tasks: the parts of a fit in which a classifier and a regressor differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from sklearn.utils.multiclass import type_of_target, unique_labels

from .._backend.typing import Array
from .._common.blocks import resolve
from .._common.rules import plain_value, shown
from ..losses import REGRESSION_LOSSES, BinaryLogLoss, Loss, SigmoidSquaredError, SoftmaxLogLoss
from .targets import Indicators, Labels, Numbers, Targets, classification_targets


class Progress(NamedTuple):
    """The progress of training: whether a call trains for one epoch, as ``partial_fit``, and all possible classes."""

    is_incremental: bool = False
    classes: Any = None


class Call(NamedTuple):
    """Arguments of a call of ``fit`` or ``partial_fit``."""

    X: Any
    y: Any
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    progress: Progress = Progress()


class Task(Protocol):
    """Classification or regression."""

    y_numeric: bool

    def find_targets(self, parameters: Any, y: Array, known: Targets | None, progress: Progress) -> Targets:
        """Return the kind of targets that y holds; ``known`` are those of earlier training that goes on."""

    def loss(self, parameters: Any, targets: Targets) -> Loss:
        """Return the loss that the parameters ask for."""

    def usual_loss(self, estimator: Any, n_outputs: int) -> Loss:
        """Return a loss for weights that were set without a fit, by the number of outputs."""

    def described_targets(self, estimator: Any, n_outputs: int) -> Targets:
        """Return the targets of weights that were set without a fit, as fitted attributes describe them."""

    def class_weights(
        self, parameters: Any, targets: Targets, y: Array, weight: Array | None, progress: Progress
    ) -> Array | None:
        """Return the weight of each class of encoded targets y, or None; ``weight`` are the weights of rows."""


class Classification:
    """Labels, or 0-1 indicators of several labels."""

    y_numeric = False

    def find_targets(self, parameters: Any, y: Array, known: Targets | None, progress: Progress) -> Targets:
        if known is not None:
            return self._known_targets(y, known, progress)
        if progress.is_incremental and progress.classes is None and not type_of_target(y).startswith("multilabel"):
            raise ValueError(
                "classes must be passed on the first call to partial_fit: all labels of all calls; got None. "
                "Pass classes=np.unique(all_labels)."
            )
        return classification_targets(y, progress.classes, one_hot=parameters.loss == "squared_error")

    def _known_targets(self, y: Array, known: Any, progress: Progress) -> Targets:
        found, classes = classification_targets(y), progress.classes
        if type(found) is not type(known):
            raise ValueError(
                f"y must hold the same kind of targets as in the previous call (Labels: class labels, Indicators: "
                f"multilabel indicators), {type(known).__name__}; got {type(found).__name__}. Fit a new estimator."
            )
        if (
            progress.is_incremental
            and classes is not None
            and not np.array_equal(unique_labels(classes), known.classes)
        ):
            raise ValueError(
                f"`classes={shown(classes)}` is not the same as on last call to partial_fit, was: "
                f"{shown(known.classes)}. Pass the same classes in every call."
            )
        if not progress.is_incremental and set(found.classes) != set(known.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {known.classes}, `y` has {found.classes}. Set warm_start=False to start again."
            )
        return known

    def loss(self, parameters: Any, targets: Targets) -> Loss:
        if parameters.loss == "log_loss":
            if parameters.target_range != (0, 1):
                raise ValueError(
                    f"target_range must be (0, 1) for loss='log_loss'; got {parameters.target_range}. "
                    "Use label_smoothing."
                )
            loss: Any = targets.loss
            return replace(loss, label_smoothing=parameters.label_smoothing)
        if parameters.label_smoothing:
            raise ValueError(
                f"label_smoothing must be 0 for loss='squared_error'; got {parameters.label_smoothing}. "
                "Use target_range."
            )
        return SigmoidSquaredError(*parameters.target_range)

    def usual_loss(self, estimator: Any, n_outputs: int) -> Loss:
        return BinaryLogLoss() if n_outputs == 1 else SoftmaxLogLoss()

    def described_targets(self, estimator: Any, n_outputs: int) -> Targets:
        classes = vars(estimator).get("classes_")
        if classes is None:
            raise ValueError(
                "classes_ must be set where coefs_ and intercepts_ were set without a fit, to name the class of each "
                "output; got none. Set classes_ to the sorted labels, or call fit."
            )
        labels = Labels(np.asarray(classes))
        is_multilabel = n_outputs > 1 and vars(estimator).get("out_activation_") == "logistic"
        targets = Indicators(labels.classes) if is_multilabel else labels
        if targets.n_outputs != n_outputs:
            raise ValueError(
                f"classes_ must have one label for each output of coefs_, or two for one output; got {len(classes)} "
                f"labels for {n_outputs} output(s). Set classes_ and coefs_ of the same model."
            )
        return targets

    def class_weights(
        self, parameters: Any, targets: Targets, y: Array, weight: Array | None, progress: Progress
    ) -> Array | None:
        if parameters.class_weight is None:
            return None
        if not isinstance(targets, Labels):
            raise ValueError(
                f"class_weight must be None for multilabel y; got {shown(parameters.class_weight)}. Pass sample_weight "
                "instead."
            )
        if progress.is_incremental and parameters.class_weight == "balanced":
            raise ValueError(
                "class_weight must be a dict or None for partial_fit, which does not see all rows; got 'balanced'. "
                "Compute the weights from all of y with sklearn.utils.class_weight.compute_class_weight."
            )
        return targets.class_weights(parameters.class_weight, y, weight)


class Regression:
    """Numbers."""

    y_numeric = True

    def find_targets(self, parameters: Any, y: Array, known: Targets | None, progress: Progress) -> Targets:
        return Numbers(1 if y.ndim == 1 else y.shape[1], resolve(parameters.loss, REGRESSION_LOSSES))

    def loss(self, parameters: Any, targets: Targets) -> Loss:
        return targets.loss

    def usual_loss(self, estimator: Any, n_outputs: int) -> Loss:
        return resolve(plain_value(estimator.loss), REGRESSION_LOSSES)

    def described_targets(self, estimator: Any, n_outputs: int) -> Targets:
        return Numbers(n_outputs, resolve(plain_value(estimator.loss), REGRESSION_LOSSES))

    def class_weights(
        self, parameters: Any, targets: Targets, y: Array, weight: Array | None, progress: Progress
    ) -> Array | None:
        return None
