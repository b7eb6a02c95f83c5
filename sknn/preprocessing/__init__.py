"""Transformers of rows and images: what goes before a network."""

from .centering import ZeroCenterer
from .scaling import InstanceNormalizer, MinMaxScaler, StandardScaler
from .whitening import PCA, ZCA

__all__ = ["PCA", "ZCA", "InstanceNormalizer", "MinMaxScaler", "StandardScaler", "ZeroCenterer"]
