"""Transformers for rows and images: centring, scaling, normalisation, PCA and ZCA whitening."""

from .centering import ZeroCenterer
from .scaling import InstanceNormalizer, MinMaxScaler, StandardScaler
from .whitening import PCA, ZCA

__all__ = ["PCA", "ZCA", "InstanceNormalizer", "MinMaxScaler", "StandardScaler", "ZeroCenterer"]
