"""The classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import sklearn
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from .._backend import get_backend, to_numpy
from .._common.rules import class_weights, either, interval, one_of, real
from .._common.validation import MatrixLike, like_input
from ..activations import Activation
from ..initializers import Initializer
from ..losses import SigmoidSquaredError
from ..normalization import Norm
from ..optimizers import Optimizer
from ..schedules import BatchSchedule, Schedule
from .base import BaseMLP, has_partial_fit
from .recipe import RULES
from .targets import Labels, classification_targets


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron classifier.

    A drop-in for :class:`sklearn.neural_network.MLPClassifier`: the same parameters and the same ``random_state`` give
    the same model. Trains on the log loss; two classes and multilabel targets have logistic outputs, more classes
    softmax.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Units of each hidden layer; ``()`` is a linear model.
    activation : str, Activation, or a sequence of these, default="relu"
        Activation of the hidden units, one for all hidden layers or one for each: "identity", "logistic" (also called
        "sigmoid"), "tanh", "relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus", "maxout",
        or an instance from :mod:`sknn.activations` such as ``LeakyReLU(0.1)``.
    solver : str or Optimizer, default="adam"
        "lbfgs" for full-batch L-BFGS; for mini-batches "sgd" with (Nesterov) momentum, "adam" (arXiv:1412.6980),
        "adamw", "amsgrad", "nadam", "adagrad", "adadelta", "rmsprop", "lion", or an instance from
        :mod:`sknn.optimizers` such as ``RMSprop(0.99)``.
    alpha : float, default=0.0001
        Strength of the L2 penalty ``alpha / 2 |W|^2``, divided by the batch's sum of weights; biases are free. "adamw"
        and "lion" shrink weights by ``1 - learning rate * alpha`` a step instead, apart from the loss.
    batch_size : int, BatchSchedule or "auto", default="auto"
        Rows of a mini-batch; "auto" is ``min(200, n_samples)``. :class:`sknn.schedules.GrowingBatch` changes it from
        epoch to epoch. A last batch of one row joins the one before if a norm mixes rows.
    learning_rate : str or Schedule, default="constant"
        For solver "sgd" as scikit-learn has it: "constant", "invscaling" (``learning_rate_init / (t + 1)^power_t`` with
        t the samples seen) or "adaptive" (a fifth of the rate on each plateau). For all solvers but "lbfgs": "step",
        "exponential", "cosine", "one_cycle", "coslog4", "reduce_on_plateau", "warm_up", or an instance from
        :mod:`sknn.schedules` such as ``WarmUp(3, then=Cosine(period=20))``. What has an end ends after ``max_iter``
        epochs.
    learning_rate_init : float, default=0.001
        Initial step size, for all solvers but "lbfgs".
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Most epochs (iterations of L-BFGS) in one call of fit.
    shuffle : bool, default=True
        Whether each epoch visits the rows in a new order.
    random_state : int, RandomState instance or None, default=None
        Draws initial weights, the validation split and the order of rows, in scikit-learn's sequence.
    tol : float, default=1e-4
        Least improvement that counts; for "lbfgs" the bound on the gradient.
    verbose : bool or int, default=False
        Whether to print the loss of each epoch.
    warm_start : bool, default=False
        Whether fit goes on from the last call: weights, optimiser, order of rows and stopping counters all continue.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether "sgd" uses Nesterov's momentum.
    early_stopping : bool, default=False
        Whether to watch the score on validation rows, stop when it stays, and keep the best weights.
    validation_fraction : float, default=0.1
        Share of the rows set aside for early stopping, stratified by class; unused if fit gets ``X_val``.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the moments of "adam", "adamw", "amsgrad" and "nadam", in [0, 1).
    epsilon : float, default=1e-8
        Guard of the same solvers against division by zero.
    n_iter_no_change : int, default=10
        Epochs without improvement that are borne before training stops.
    max_fun : int, default=15000
        Most evaluations of the loss by "lbfgs".
    init : str, Initializer, or a sequence of these, default="auto"
        How weights are drawn, one for all layers or one for each hidden layer, the last one serving the output layer
        too: "auto" (as scikit-learn), "zeros", "normal", "truncated_normal", "uniform", "inverse_sqrt", "orthogonal",
        "lsuv", "lecun_normal", "glorot_normal" (also "xavier_normal"), "he_normal" (also "kaiming_normal"), the last
        three also with "_uniform", or an instance from :mod:`sknn.initializers` such as ``Normal(0.1)``.
    l1 : float, default=0.0
        Strength of the L1 penalty ``l1 |W|``, divided by the batch's sum of weights as ``alpha`` is; biases are free.
        Not for "lbfgs", and so for the next four, ``ema_decay`` and "batch_renorm".
    decoupled_decay : bool or None, default=None
        Whether ``alpha`` shrinks weights apart from the loss; None leaves it to the solver, which does so for "adamw"
        and "lion" (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019).
    clip_norm : float or None, default=None
        Longest gradient of the loss, penalties apart, in a step; a longer one is shortened to this (Pascanu, Mikolov
        and Bengio, "On the Difficulty of Training Recurrent Neural Networks", ICML 2013).
    max_norm : float or None, default=None
        Longest vector of incoming weights of a hidden unit; a longer one is shortened after the step (Srivastava et
        al., "Dropout", JMLR 15, 2014, section 5.1).
    norm : str, Norm, None, or a sequence of these, default=None
        Normalisation, one for all hidden layers or one for each: "batch", "batch_renorm", "layer", "weight", or an
        instance from :mod:`sknn.normalization` such as ``GroupNorm(4)`` or ``BatchNorm(position="post")``. None stands
        for no norm. The shift of a norm before the activation is in ``intercepts_``.
    freeze_norm : bool, default=False
        Whether training goes on with running statistics as they are, for fine-tuning: with ``warm_start`` or
        ``partial_fit``; gains and shifts are learnt.
    dropout : float or sequence of float, default=0.0
        Share of hidden units that each training step leaves out, in [0, 1), one for all hidden layers or one for each;
        the others are enlarged by ``1 / (1 - dropout)``, so that predictions take all units as they are (ibid.). Which
        ones depends on ``random_state`` and the step alone (Philox), on any backend.
    input_dropout : float, default=0.0
        The same share of the input features, drawn for each row.
    ema_decay : float or None, default=None
        Predictions are made with weights averaged over the training steps, each earlier one counting ``ema_decay``
        times as much as the next; in [0, 1), such as 0.999. The first ``1 / (1 - ema_decay)`` steps count alike (Polyak
        and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control Optim. 30, 1992). With
        batch norm take ``BatchNorm(statistics="exact")``.
    monitor : str or callable, default="score"
        What ``early_stopping`` watches on the validation rows: "score" (accuracy), "loss" (penalties apart), or a
        scorer of scikit-learn, by name or as ``scorer(estimator, X, y)``, which then is what ``validation_scores_``
        record. A scorer gets weights where there are any and it takes ``sample_weight``.
    loss : {"log_loss", "squared_error"}, default="log_loss"
        "squared_error" is half of it, summed over logistic outputs, one for each class of several; ``predict_proba``
        then divides outputs by their sum.
    target_range : tuple of float (low, high), default=(0.0, 1.0)
        Targets of "squared_error" in [0, 1]: 0.01 and 0.99 can be reached by the logistic function.
    class_weight : dict, "balanced" or None, default=None
        By what ``sample_weight`` is multiplied for rows of each class, in training and in validation scores: a weight
        by class, 1 for those that are not named; or ``sum of weights / (n_classes * sum of the class's weights)``.
        Single-label y only; ``partial_fit`` takes no "balanced".
    label_smoothing : float, default=0.0
        Share of a target that is spread over all classes, in [0, 1).
    dtype : {"float32", "float64"} or None, default=None
        Float type to compute in; None follows X.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Where to compute; None asks ``set_config``, then ``SKNN_BACKEND``; "auto" is where X lives. Rows that do not fit
        the GPU's memory stay on the host and are brought in pieces.
    precision : {"float32", "tf32", "bfloat16"}, default="float32"
        How a GPU multiplies float32 data: in full, or by tensor cores that round what is multiplied to 11 or 8
        significant bits. Parameters, sums and all else are float32.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer; their directions for layers with ``norm="weight"``.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer.
    norm_gains_, norm_shifts_, norm_means_, norm_variances_ : list of ndarray of shape (units,) or None
        What norms have learnt and kept, one a layer, None where a layer has none; only where any layer has some. A
        norm before maxout has as many for each of its pieces.
    activation_slopes_ : list of ndarray of shape (units,) or (1,) or None
        What "prelu" has learnt, likewise; one slope if it is shared.
    loss_, loss_curve_ : float and list of float
        Training loss (penalty included) of the last epoch and of all; the mean of the batches' losses.
    best_loss_ : float or None
        Lowest training loss; None with early stopping.
    validation_scores_ : list of float or None
        Accuracy, or what ``monitor`` scores, on the validation rows after each epoch; None without any.
    validation_loss_curve_ : list of float or None
        Loss on the same rows, penalties apart.
    best_validation_score_ : float or None
        Validation score of the epoch whose model is served; None without early stopping.
    best_validation_loss_ : float or None
        Validation loss of the same epoch.
    stopped_ : bool
        Whether training met its stopping rule in the last call, instead of ending at ``max_iter``.
    n_iter_ : int
        Epochs (iterations of L-BFGS) of the last call.
    t_ : int
        Training rows seen in all epochs so far.
    n_layers_, n_outputs_, out_activation_ : int, int, str
        Layers (input and output included), outputs, and the link on them.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X had string column names.

    See Also
    --------
    MLPRegressor : The same network for numbers.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", max_iter=500, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    _y_numeric = False
    _rules = {
        **RULES,
        "loss": one_of("log_loss", "squared_error"),
        "target_range": interval(0, 1),
        "class_weight": either(one_of(None, "balanced"), class_weights()),
        "label_smoothing": real(0, 1),
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Activation | Sequence[str | Activation] = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 0.0001,
        batch_size: int | str | BatchSchedule = "auto",
        learning_rate: str | Schedule = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        init: str | Initializer | Sequence[str | Initializer] = "auto",
        l1: float = 0.0,
        decoupled_decay: bool | None = None,
        clip_norm: float | None = None,
        max_norm: float | None = None,
        norm: str | Norm | Sequence[str | Norm | None] | None = None,
        freeze_norm: bool = False,
        dropout: float | Sequence[float] = 0.0,
        input_dropout: float = 0.0,
        ema_decay: float | None = None,
        monitor: str | Callable = "score",
        loss: str = "log_loss",
        target_range: tuple[float, float] = (0.0, 1.0),
        class_weight: dict | str | None = None,
        label_smoothing: float = 0.0,
        dtype: str | None = None,
        precision: str = "float32",
        backend: str | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.init = init
        self.l1 = l1
        self.decoupled_decay = decoupled_decay
        self.clip_norm = clip_norm
        self.max_norm = max_norm
        self.norm = norm
        self.freeze_norm = freeze_norm
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.ema_decay = ema_decay
        self.monitor = monitor
        self.loss = loss
        self.target_range = target_range
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.dtype = dtype
        self.precision = precision
        self.backend = backend

    def _find_targets(self, y, fresh, incremental, classes):
        if not fresh:
            return self._known_targets(y, incremental, classes)
        if incremental and classes is None and not type_of_target(y).startswith("multilabel"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return classification_targets(y, classes, one_hot=self.loss == "squared_error")

    def _known_targets(self, y, incremental, classes):
        targets, found = self._targets, classification_targets(y)
        if type(found) is not type(targets):
            raise ValueError(
                f"y must be of the same kind as before, {type(targets).__name__}; got {type(found).__name__}."
            )
        if incremental and classes is not None and not np.array_equal(unique_labels(classes), targets.classes):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {targets.classes!r}"
            )
        if not incremental and set(found.classes) != set(targets.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {targets.classes}, `y` has {found.classes}"
            )
        return targets

    def _loss(self, targets):
        if self.loss == "log_loss":
            if tuple(self.target_range) != (0, 1):
                raise ValueError(
                    f"target_range must be (0, 1) for loss='log_loss'; got {self.target_range}. Use label_smoothing."
                )
            return replace(targets.loss, label_smoothing=float(self.label_smoothing))
        if self.label_smoothing:
            raise ValueError(
                f"label_smoothing must be 0 for loss='squared_error'; got {self.label_smoothing}. Use target_range."
            )
        return SigmoidSquaredError(*map(float, self.target_range))

    def _class_weights(self, targets, y, sample_weight, incremental):
        if self.class_weight is None:
            return None
        if not isinstance(targets, Labels):
            raise ValueError("class_weight needs single-label y; got multilabel y. Pass sample_weight instead.")
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight must be a dict for partial_fit, which does not know all rows; got 'balanced'. "
                "sklearn.utils.class_weight.compute_class_weight makes one from all of y."
            )
        return targets.class_weights(self.class_weight, y, sample_weight)

    def _publish_shape(self, job):
        super()._publish_shape(job)
        self.classes_ = job.targets.classes

    @available_if(has_partial_fit)
    def partial_fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        X_val: MatrixLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on X, going on from where the last call left off.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row.
        classes : array-like of shape (n_classes,), default=None
            All labels that may ever come; needed in the first call unless y is multilabel.
        X_val, y_val : array-like or None, default=None
            Validation rows, as in ``fit``. With ``early_stopping``, the best weights so far are served, and
            ``stopped_`` says when to stop calling; rows given here are a steady measure, while a part of X is drawn
            anew where X has another number of rows.

        Returns
        -------
        self : object
            The estimator.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, incremental=True, classes=to_numpy(classes))

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to classify.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels, or 0-1 indicators where y was multilabel.
        """
        backend, probability = self._predictions(X)
        labels = self._targets.decode(backend.to_host(probability))
        is_numeric = isinstance(labels, np.ndarray) and labels.dtype.kind in "biuf"
        return like_input(labels, X) if is_numeric else labels

    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Estimate the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to classify.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            In the order of ``classes_``, in the model's float type.
        """
        backend, probability = self._predictions(X)
        if self.loss == "squared_error" and isinstance(self._targets, Labels) and self.n_outputs_ > 1:
            probability /= backend.xp.maximum(probability.sum(axis=1, keepdims=True), 1e-30)
        if self.n_outputs_ == 1:
            probability = backend.xp.hstack([1 - probability, probability])
        return like_input(probability, X)

    def predict_log_proba(self, X: MatrixLike) -> np.ndarray:
        """Estimate the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to classify.

        Returns
        -------
        log_probability : ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            ``log(predict_proba(X))``; minus infinity for a probability of 0.
        """
        probability = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return get_backend("auto", probability).xp.log(probability)

    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to classify.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row.

        Returns
        -------
        score : float
            Share of rows classified rightly.
        """
        with sklearn.config_context(array_api_dispatch=False):  # predictions as NumPy, beside y
            return super().score(X, to_numpy(y), to_numpy(sample_weight))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
