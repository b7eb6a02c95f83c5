"""Fast multi-layer perceptrons and preprocessing for scikit-learn, on NumPy or CuPy.

:class:`MLPClassifier` and :class:`MLPRegressor` are drop-in replacements for scikit-learn's estimators of the same
names. :mod:`sknn.preprocessing` contains transformers, :mod:`sknn.datasets` readers for IDX files. The modules
``activations``, ``initializers``, ``losses``, ``normalization``, ``optimizers`` and ``schedules`` contain the building
blocks that the estimators accept as parameters, and :func:`building_block` makes your own.
"""

from ._common.blocks import building_block
from ._common.config import config_context, get_config, set_config
from ._common.versions import __version__ as __version__
from ._common.versions import show_versions
from ._estimators.classifier import MLPClassifier
from ._estimators.regressor import MLPRegressor

for _estimator in (MLPClassifier, MLPRegressor):
    _estimator.__module__ = __name__  # which is written into pickles: a path that stays

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "building_block",
    "config_context",
    "get_config",
    "set_config",
    "show_versions",
]
