"""Draw every activation with its derivative: writes activations.png into the folder where it runs.

Maxout takes the greatest of several linear maps that it learns; here of two lines, z and -z/2.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from sknn.activations import ACTIVATIONS, GELU, Maxout


def curves(activation, z):
    """Return f(z) and f'(z)."""
    if isinstance(activation, Maxout):
        lines, slopes = np.array([z, -z / 2]), np.array([1, -0.5])
        return lines.max(axis=0), slopes[lines.argmax(axis=0)]
    y, slope = np.empty_like(z), np.ones_like(z)
    activation.forward(np, z, y)
    activation.backward(np, slope, z, y)
    return y, slope


z = np.linspace(-4, 4, 401)
activations = {}
for name, activation in ACTIVATIONS.items():
    if name != "sigmoid":  # another name of "logistic"
        activations[name] = activation
    if name == "gelu":
        activations["gelu, tanh form"] = GELU("tanh")
    if name == "maxout":
        activations["maxout of z and -z/2"] = activations.pop(name)
columns = 7
rows = -(-len(activations) // columns)
figure, axes = plt.subplots(rows, columns, figsize=(19, 3 * rows), sharex=True, sharey=True, layout="constrained")
for axis in axes.flat[len(activations) :]:
    axis.set_axis_off()
for axis, (name, activation) in zip(axes.flat[: len(activations)], activations.items(), strict=True):
    y, slope = curves(activation, z)
    axis.plot(z, y, label="f(z)", linewidth=2)
    axis.plot(z, slope, label="f'(z)", linestyle="--")
    axis.set_title(f"{name}, gain {activation.gain:.3f}", fontsize=11)
    axis.axhline(0, color="0.8", zorder=0)
    axis.axvline(0, color="0.8", zorder=0)
    axis.set_ylim(-2, 4)
for axis in axes.flat[len(activations) - columns : len(activations)]:
    axis.set_xlabel("z")
    axis.tick_params(labelbottom=True)
axes.flat[0].legend(loc="upper left")
figure.savefig("activations.png", dpi=100)
print(f"activations.png: {len(activations)} activations and their derivatives")
