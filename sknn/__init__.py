"""The neural network scikit-learn would have if it were allowed to be fast."""

from ._common.config import config_context, get_config, set_config
from ._common.versions import show_versions
from ._estimators.classifier import MLPClassifier
from ._estimators.regressor import MLPRegressor

__version__ = "0.1.0"

for _estimator in (MLPClassifier, MLPRegressor):
    _estimator.__module__ = __name__  # which is written into pickles: a path that stays

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "config_context",
    "get_config",
    "set_config",
    "show_versions",
]
