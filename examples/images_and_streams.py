"""Preprocessing of images for a network, and PCA of rows that arrive in pieces."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sknn import MLPClassifier
from sknn.preprocessing import PCA, ZCA, InstanceNormalizer, MinMaxScaler, ZeroCenterer

X, y = load_digits(return_X_y=True)  # 1797 images of 8 x 8 pixels from 0 to 16, in flat rows

steps = {
    "mean image": ZeroCenterer(per="image", image_shape=(8, 8)),
    "pixels to (0.01, 1)": MinMaxScaler((0.01, 1), data_range=(0, 16)),
    "each image": InstanceNormalizer(),
    "ZCA": ZCA(eps=1.0),
}
for name, step in steps.items():
    model = make_pipeline(step, MLPClassifier(early_stopping=True, random_state=0))
    print(f"{name:20} accuracy {cross_val_score(model, X, y, cv=3).mean():.3f}")

# Colour images as CIFAR's files have them: bytes, the three planes of a picture one after the other.
planes = np.random.default_rng(0).integers(256, size=(100, 3 * 32 * 32), dtype=np.uint8)
centerer = ZeroCenterer(per="channel", image_shape=(3, 32, 32), channels="first", dtype="float32").fit(planes)
print("channel means", centerer.mean_.round(1), centerer.transform(planes).dtype)

# Any number of pieces gives the components of one fit.
pca = PCA(10)
for rows in np.array_split(X, 7):
    pca.partial_fit(rows)
difference = np.abs(pca.components_ - PCA(10, svd_solver="covariance_eigh").fit(X).components_).max()
print(f"PCA in 7 pieces: largest difference to one fit {difference:.0e}")
