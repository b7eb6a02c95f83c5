"""The neural network scikit-learn would have if it were allowed to be fast."""

from ._config import config_context, get_config, set_config
from ._versions import show_versions
from .mlp import MLPClassifier, MLPRegressor

__version__ = "0.1.0"

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "config_context",
    "get_config",
    "set_config",
    "show_versions",
]
