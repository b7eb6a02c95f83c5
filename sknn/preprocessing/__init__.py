"""Transformers of rows and images: what goes before a network."""

from .centering import ZeroCenterer
from .scaling import InstanceNormalizer, MinMaxScaler, StandardScaler

__all__ = ["InstanceNormalizer", "MinMaxScaler", "StandardScaler", "ZeroCenterer"]
