"""Multi-layer perceptron classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import sklearn
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from .._backend import get_backend, to_numpy
from .._common.rules import class_weights, either, interval, is_named, one_of, real
from .._common.validation import MatrixLike, plain_sample_weight
from ..activations import Activation
from ..initializers import Initializer
from ..normalization import Norm
from ..optimizers import Optimizer
from ..schedules import BatchSchedule, Schedule
from .base import BaseMLP, has_partial_fit
from .preparation import Fit
from .recipe import RULES
from .targets import Indicators, Labels, plain_targets
from .tasks import Call, Classification, Progress


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron classifier.

    A drop-in replacement for :class:`sklearn.neural_network.MLPClassifier`: the same parameters and the same
    ``random_state`` give the same model. The default loss is the log loss. The outputs are logistic for two classes and
    for multilabel targets, and softmax for more than two classes.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Number of units of each hidden layer; ``()`` gives a linear model.
    activation : str, Activation, or a sequence of these, default="relu"
        Activation of the hidden units, one for all hidden layers or one for each: "identity", "logistic" (alias
        "sigmoid"), "tanh", "relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus", "maxout",
        or an instance from :mod:`sknn.activations` such as ``LeakyReLU(0.1)``.
    solver : str or Optimizer, default="adam"
        "lbfgs" trains by full-batch L-BFGS. The mini-batch solvers are "sgd" (momentum or Nesterov momentum), "adam"
        (arXiv:1412.6980), "adamw", "amsgrad", "nadam", "adagrad", "adadelta", "rmsprop", "lion", or an instance from
        :mod:`sknn.optimizers` such as ``RMSprop(0.99)``.
    alpha : float, default=0.0001
        Strength of the L2 penalty ``alpha / 2 * |W|^2``, which is divided by the sum of the sample weights of the
        mini-batch. Biases are not penalised. With decoupled weight decay (the default of "adamw" and "lion"), the loss
        has no penalty; instead, each step multiplies the weights by ``1 - learning rate * alpha``.
    batch_size : int, BatchSchedule or "auto", default="auto"
        Number of rows of a mini-batch; "auto" is ``min(200, n_samples)``. :class:`sknn.schedules.GrowingBatch` changes
        the batch size from epoch to epoch. If a norm uses statistics over rows, a last batch of a single row is merged
        into the batch before it. Not used by "lbfgs".
    learning_rate : str or Schedule, default="constant"
        Schedule of the learning rate. As in scikit-learn, for solver "sgd" only: "constant", "invscaling"
        (``learning_rate_init / (t + 1)^power_t``, where t is the number of samples seen) or "adaptive" (learning rate
        divided by 5 on each plateau). For all mini-batch solvers: "step", "exponential", "cosine", "one_cycle",
        "coslog4", "reduce_on_plateau", "warm_up", or an instance from :mod:`sknn.schedules` such as ``WarmUp(3,
        then=Cosine(period=20))``. Schedules with an end reach it after ``max_iter`` epochs.
    learning_rate_init : float, default=0.001
        Initial learning rate. Not used by "lbfgs".
    power_t : float, default=0.5
        Exponent of the schedule "invscaling".
    max_iter : int, default=200
        Maximum number of epochs (of iterations for "lbfgs") in one call of ``fit``.
    shuffle : bool, default=True
        Whether to shuffle the rows before each epoch.
    random_state : int, RandomState instance or None, default=None
        Seed or random stream for the initial weights, the validation split and the order of rows, drawn in
        scikit-learn's sequence. Pass an int for reproducible results.
    tol : float, default=1e-4
        Minimum change of the monitored loss or score that counts as an improvement. For "lbfgs": training stops when
        the largest component of the gradient is at most ``tol``.
    verbose : bool or int, default=False
        Whether to print the loss, and the validation score if there is one, after each epoch.
    warm_start : bool, default=False
        Whether ``fit`` continues from the previous call: weights, optimiser state, order of rows and stopping counters
        are kept.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether "sgd" uses Nesterov momentum.
    early_stopping : bool, default=False
        Whether to monitor a validation set, to stop training when ``monitor`` does not improve by at least ``tol`` for
        more than ``n_iter_no_change`` consecutive epochs, and to keep the best weights. Not used by "lbfgs".
    validation_fraction : float, default=0.1
        Fraction of the training rows set aside for early stopping, at least 2 rows, with about the same share
        of each class, except for multilabel y. Not used if ``X_val`` is passed to ``fit``.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the first and second moment estimates of "adam", "adamw", "amsgrad" and "nadam", in [0, 1).
    epsilon : float, default=1e-8
        Constant added to the denominator of "adam", "adamw", "amsgrad" and "nadam" to avoid division by zero.
    n_iter_no_change : int or infinity, default=10
        Number of consecutive epochs without improvement that are allowed. After one more, training stops, or the
        schedules "adaptive" and "reduce_on_plateau" lower the learning rate.
    max_fun : int, default=15000
        Maximum number of evaluations of the loss by "lbfgs".
    init : str, Initializer, or a sequence of these, default="auto"
        Initialiser of the weights, one for all layers or one for each hidden layer; the last one is also used for the
        output layer. "auto" (scikit-learn's), "zeros", "normal", "truncated_normal", "uniform", "inverse_sqrt",
        "orthogonal", "lsuv", "lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform" (aliases
        "xavier_normal", "xavier_uniform"), "he_normal", "he_uniform" (aliases "kaiming_normal", "kaiming_uniform"), or
        an instance from :mod:`sknn.initializers` such as ``Normal(0.1)``.
    l1 : float, default=0.0
        Strength of the L1 penalty ``l1 * |W|``, which is divided by the sum of the sample weights of the mini-batch.
        Biases are not penalised. Must be 0 for "lbfgs".
    decoupled_decay : bool or None, default=None
        Whether ``alpha`` is applied as decoupled weight decay, separate from the loss (Loshchilov and Hutter,
        "Decoupled Weight Decay Regularization", ICLR 2019). None selects True for "adamw" and "lion", and False for all
        other solvers. Must not be True for "lbfgs".
    clip_norm : float or None, default=None
        Maximum Euclidean norm of the gradient of the loss without penalties; in each step, a gradient with a larger
        norm is scaled down to this norm (Pascanu, Mikolov and Bengio, "On the Difficulty of Training Recurrent Neural
        Networks", ICML 2013). None does not clip. Must be None for "lbfgs".
    max_norm : float or None, default=None
        Maximum Euclidean norm of the incoming weights of each hidden unit; after each step, a weight vector with a
        larger norm is scaled down to this norm (Srivastava et al., "Dropout", JMLR 15, 2014, section 5.1). None sets no
        limit. Must be None for "lbfgs".
    norm : str, Norm, None, or a sequence of these, default=None
        Normalisation, one for all hidden layers or one for each: "batch", "batch_renorm" (not for "lbfgs"), "layer",
        "weight", or an instance from :mod:`sknn.normalization` such as ``GroupNorm(4)`` or
        ``BatchNorm(position="post")``. None means no normalisation. The shift of a norm before the activation is stored
        in ``intercepts_``.
    freeze_norm : bool, default=False
        Whether to use the running statistics of norms unchanged during training, for fine-tuning with ``warm_start`` or
        ``partial_fit``. Gains and shifts are still trained.
    dropout : float or sequence of float, default=0.0
        Fraction of hidden units that each training step sets to zero at random, in [0, 1), one for all hidden layers or
        one for each. The remaining units are multiplied by ``1 / (1 - dropout)``, so that predictions use all units
        without scaling (Srivastava et al., "Dropout", JMLR 15, 2014). The dropout masks depend only on ``random_state``
        and the number of the step (Philox generator), and are the same on every backend. Must be 0 for "lbfgs".
    input_dropout : float, default=0.0
        Fraction of input features that each training step sets to zero at random in each row, in [0, 1). Must be 0 for
        "lbfgs".
    ema_decay : float or None, default=None
        Decay rate of an exponential moving average of the weights over the training steps, in [0, 1), for example
        0.999. If set, predictions use the averaged weights. The first ``1 / (1 - ema_decay)`` steps have equal weight
        in the average (Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control
        Optim. 30, 1992). Batch norm gets the statistics of the averaged network. Must be None for
        "lbfgs".
    monitor : str or callable, default="score"
        Quantity that ``early_stopping`` monitors on the validation set: "score" (accuracy), "loss" (without penalties),
        or a scikit-learn scorer, by name or as a callable ``scorer(estimator, X, y)``. ``validation_scores_`` then
        contains the values of this scorer. Sample weights are passed to scorers that accept ``sample_weight``.
    loss : {"log_loss", "squared_error"}, default="log_loss"
        Loss function. "log_loss" is the cross-entropy. "squared_error" is half the squared error summed over logistic
        outputs, with one output per class for more than two classes; ``predict_proba`` then divides the outputs by
        their sum; outputs that are all 0 become equal probabilities.
    target_range : tuple of float (low, high), default=(0.0, 1.0)
        Targets of "squared_error" for the false and the true class, in [0, 1], with low < high. The logistic function
        can reach (0.01, 0.99), but not (0, 1).
    class_weight : dict, "balanced" or None, default=None
        Factors by which ``sample_weight`` is multiplied for the rows of each class, in training and in validation
        scores. A dict maps classes to weights; classes that it does not contain have weight 1. It may contain classes
        that y lacks if it contains all classes of y. "balanced" uses ``sum of
        weights / (n_classes * sum of the weights of the class)``. None means equal weights. Not available for
        multilabel y; ``partial_fit`` does not accept "balanced".
    label_smoothing : float, default=0.0
        Fraction of the target that is distributed equally over all classes, in [0, 1). Must be 0 for loss
        "squared_error".
    dtype : {"float32", "float64"} or None, default=None
        Float type of the computation; None uses the float type of X (float64 for X of integers).
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Library that computes: "numpy" on the CPU, "cupy" on a GPU. "auto" uses CuPy if X is a CuPy array, and NumPy
        otherwise. None uses the setting of ``config_context``, ``set_config`` or the environment variable
        ``SKNN_BACKEND``.
        Rows that do not fit into GPU memory stay on the host and are copied to the GPU in pieces.
    precision : {"float32", "tf32", "bfloat16"}, default="float32"
        Precision of float32 matrix products on a GPU. "float32" uses full precision; "tf32" and "bfloat16" use tensor
        cores, which round the factors to 11 or 8 significant bits. Parameters, sums and all other computations are
        float32.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer. For layers with ``norm="weight"``: the direction vectors v.
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer.
    norm_gains_, norm_shifts_, norm_means_, norm_variances_ : list of ndarray of shape (units,) or None
        Trained gains and shifts, and running means and variances of the norms, one entry per layer; None for a layer
        that does not have them. Each attribute exists only if at least one layer has it. A norm before a maxout
        activation has one value per linear map of each unit.
    activation_slopes_ : list of ndarray of shape (units,) or (1,) or None
        Trained slopes of "prelu", one entry per layer; None for layers with another activation. A shared slope has
        shape (1,). Exists only if at least one layer has slopes.
    loss_, loss_curve_ : float and list of float
        Training loss, including penalties, of the last epoch and of every epoch: the mean of the mini-batch losses.
    best_loss_ : float or None
        Lowest training loss; None with early stopping.
    validation_scores_ : list of float or None
        Accuracy, or the score of ``monitor``, on the validation set after each epoch; None without a validation set.
    validation_loss_curve_ : list of float or None
        Loss on the validation set after each epoch, without penalties; None without a validation set.
    best_validation_score_ : float or None
        Validation score of the epoch whose weights were kept; None without early stopping.
    best_validation_loss_ : float or None
        Validation loss of the same epoch; None without early stopping.
    stopped_ : bool
        Whether the last call ended because the stopping rule was met or early stopping ended a divergence, and not
        because ``max_iter`` was reached.
    n_iter_ : int
        Number of epochs (iterations for "lbfgs") of the last call.
    t_ : int
        Number of training rows processed in all epochs so far.
    n_layers_, n_outputs_, out_activation_ : int, int, str
        Number of layers (including input and output), number of outputs, and name of the output function.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features; exists only if X had string column names.

    See Also
    --------
    MLPRegressor : Multi-layer perceptron regressor.

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

    _task = Classification()
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
        dtype: DTypeLike | None = None,
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

    @property
    def _label_binarizer(self) -> Any:
        """scikit-learn's LabelBinarizer, which public code reads; the classes of one that is set are taken."""
        from sklearn.preprocessing import LabelBinarizer  # which takes as long to import as all of sknn

        classes = self.classes_
        is_multilabel = isinstance(vars(self).get("_targets"), Indicators)
        return LabelBinarizer().fit(np.eye(len(classes), dtype=int) if is_multilabel else classes)

    @_label_binarizer.setter
    def _label_binarizer(self, binarizer: Any) -> None:
        if binarizer is not None:  # as scripts set it to start anew
            self.classes_ = binarizer.classes_

    def _publish_shape(self, fit: Fit) -> None:
        super()._publish_shape(fit)
        targets: Any = fit.targets
        self.classes_ = targets.classes

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
        """Train for one epoch on X, continuing from the previous call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or 0-1 indicators for multilabel targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row in the loss; None means equal weights.
        classes : array-like of shape (n_classes,), default=None
            All class labels that can occur in any call; required in the first call unless y is multilabel.
        X_val, y_val : array-like or None, default=None
            Validation set, as in ``fit``. With ``early_stopping``, predictions use the best weights so far, and
            ``stopped_`` becomes True when training should end. Pass a validation set here to compare all calls on the
            same rows; without it, a part of X is used, which is drawn again if the number of rows of X changes.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is invalid; the estimator is then unchanged. Also if training diverges
            before any epoch was validated by early stopping; the estimator then has the last finite weights.
        """
        return self._train(Call(X, y, sample_weight, X_val, y_val, Progress(True, plain_targets(classes, "classes"))))

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to classify.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            Predicted class labels, or 0-1 indicators if the model was trained on multilabel targets.

        Warns
        -----
        RuntimeWarning
            If probabilities are not finite, because rows or weights are too large.
        """
        rows, probability = self._outputs(X)
        labels = self._targets_of(probability).decode(to_numpy(probability))
        is_numeric = isinstance(labels, np.ndarray) and labels.dtype.kind in "biuf"
        return rows.as_prediction(labels) if is_numeric else labels

    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Estimate the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to classify.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            Probabilities in the float type of the model; columns are in the order of ``classes_``.

        Warns
        -----
        RuntimeWarning
            If probabilities are not finite, because rows or weights are too large.
        """
        rows, probability = self._outputs(X)
        xp = rows.result_module
        n_outputs, targets = probability.shape[1], vars(self).get("_targets")
        if n_outputs > 1 and is_named(self.loss, "squared_error") and isinstance(targets, Labels):
            probability[~probability.any(axis=1)] = 1  # all outputs vanish: no class is more probable than another
            probability /= probability.sum(axis=1, keepdims=True)
        if n_outputs == 1:
            both = xp.empty((len(probability), 2), probability.dtype)  # hstack takes a tenth of the time of one row
            both[:, 1:] = probability
            xp.subtract(1, probability, out=both[:, :1])
            probability = both
        if isinstance(targets, Labels) and len(targets.classes) == 1:
            probability = xp.ones_like(probability[:, :1])
        return rows.as_prediction(probability)

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
        """Return the mean accuracy of the predictions for X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to classify.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            True class labels, or 0-1 indicators for multilabel targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None means equal weights.

        Returns
        -------
        score : float
            Fraction of rows that are classified correctly. For multilabel targets, all labels of a row must be correct.
        """
        with sklearn.config_context(array_api_dispatch=False):  # predictions as NumPy, beside y
            return super().score(X, plain_targets(y), plain_sample_weight(sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
