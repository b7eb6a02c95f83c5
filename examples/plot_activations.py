"""Draw every activation with its derivative: writes activations.png into the folder where it runs."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from sknn.activations import ACTIVATIONS

z = np.linspace(-4, 4, 401)
activations = dict(ACTIVATIONS)
del activations["sigmoid"]  # another name of "logistic"
figure, axes = plt.subplots(3, 4, figsize=(12, 8), sharex=True, sharey=True, layout="constrained")
for axis, (name, activation) in zip(axes.flat, activations.items(), strict=False):
    y, slope = np.empty_like(z), np.ones_like(z)
    activation.forward(np, z, y)
    activation.backward(np, slope, z, y)
    axis.plot(z, y, label="f(z)", linewidth=2)
    axis.plot(z, slope, label="f'(z)", linestyle="--")
    axis.set_title(f"{name}, gain {activation.gain:.3f}")
    axis.axhline(0, color="0.8", zorder=0)
    axis.axvline(0, color="0.8", zorder=0)
    axis.set_ylim(-2, 4)
for axis in axes.flat[len(activations) :]:
    axis.set_visible(False)
for axis in axes[-1]:
    axis.set_xlabel("z")
axes.flat[0].legend(loc="upper left")
figure.savefig("activations.png", dpi=100)
print(f"activations.png: {len(activations)} activations and their derivatives")
