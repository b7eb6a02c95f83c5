"""Signals in ten layers of 500 units, for several initialisers: prints their spread and writes initialization.png.

The experiment of Stanford's course CS231n: with weights that are too small signals die out, with weights that are too
large tanh saturates, and what keeps them alive depends on the activation.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from sknn.activations import ACTIVATIONS
from sknn.initializers import INITIALIZERS, Normal

N_LAYERS, N_UNITS, N_ROWS = 10, 500, 1000
CASES = {
    "tanh, std 0.01": ("tanh", Normal(0.01)),
    "tanh, std 1": ("tanh", Normal(1.0)),
    "tanh, lecun_normal": ("tanh", INITIALIZERS["lecun_normal"]),
    "relu, lecun_normal": ("relu", INITIALIZERS["lecun_normal"]),
    "relu, he_normal": ("relu", INITIALIZERS["he_normal"]),
}


def signals(activation, initializer, seed=0):
    """Return the outputs of each layer for normal inputs."""
    stream = np.random.RandomState(seed)
    y, outputs = stream.normal(size=(N_ROWS, N_UNITS)), []
    for _ in range(N_LAYERS):
        W, _ = initializer.draw(stream, N_UNITS, N_UNITS, activation)
        z = y @ W
        y = np.empty_like(z)
        activation.forward(np, z, y)
        outputs.append(y)
    return outputs


def main():
    """Print standard deviations layer by layer, and draw histograms."""
    figure, axes = plt.subplots(len(CASES), N_LAYERS, figsize=(16, 9), sharex="row", layout="constrained")
    for row, (name, (activation, initializer)) in zip(axes, CASES.items(), strict=True):
        outputs = signals(ACTIVATIONS[activation], initializer)
        print(f"{name:20}", *(f"{y.std():8.2g}" for y in outputs))
        limits = (-1, 1) if activation == "tanh" else (0, 2)
        for axis, y in zip(row, outputs, strict=True):
            axis.hist(y.ravel(), bins=30, range=limits)
            axis.set_yticks([])
        row[0].set_ylabel(name)
    for number, axis in enumerate(axes[0], start=1):
        axis.set_title(f"layer {number}")
    figure.savefig("initialization.png", dpi=100)


if __name__ == "__main__":
    main()
