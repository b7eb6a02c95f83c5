"""One transformer of each kind, for tests that hold for all."""

from sknn.preprocessing import PCA, ZCA, InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer

TRANSFORMERS = [
    StandardScaler(),
    MinMaxScaler(),
    ZeroCenterer(),
    InstanceNormalizer(),
    PCA(2, svd_solver="covariance_eigh"),
    ZCA(),
]
