"""Every kernel in plain array code: the definition, and the oracle of the tests.

Shapes: K models, S streams of row numbers (1 where all models share their batches, else K), r rows of a batch.
``z, y, dz (K, r, units)``, ``W (K, fan_in, units)``, ``b (K, 1, units)``, ``theta, grad (K, P)``. A kernel looks at the
last two axes only and overwrites the buffers it is given for that, nothing else.

What changes from step to step is read from arrays that a step shares with the training loop (see
``sknn.training.Tables``): ``clock`` holds the number of the step in its epoch and the first row of its batch.
"""

from __future__ import annotations

BLOCK_ELEMENTS = 2**18  # of rows that are worked on together; 2 MB in float64


class Backend:
    """Kernels over the arrays of one array module ``xp`` (numpy, or cupy)."""

    name = "numpy"

    def __init__(self, xp):
        self.xp = xp

    # ---- arrays at the door -------------------------------------------------------------

    def asarray(self, array, dtype=None):
        """Bring a NumPy array to where this backend computes; no copy where it already is there."""
        return self.xp.asarray(array, dtype=dtype)

    def to_host(self, array):
        """Return ``array`` as a NumPy array."""
        return array

    # ---- batches ------------------------------------------------------------------------

    def gather(self, table, order, clock, out):
        """out[s, i] = table[order[s, first + i]] for the batch that the clock points at."""
        rows = self.xp.take(order, clock[1] + self.xp.arange(out.shape[1]), axis=1)
        out[...] = table[rows]

    def advance(self, clock, n_rows):
        """Move the clock on by one step of ``n_rows`` rows."""
        clock[0] += 1
        clock[1] += n_rows

    # ---- layers -------------------------------------------------------------------------

    def matmul(self, a, b, out):
        """out = a @ b over the last two axes."""
        self.xp.matmul(a, b, out=out)

    def bias_activation(self, z, b, activation, y):
        """z += b; y = activation(z); y may be z itself where the activation allows it."""
        self.xp.add(z, b, out=z)
        activation.forward(self.xp, z, y)

    def activation_backward(self, dz, z, y, activation, db):
        """dz, the gradient on y, becomes the gradient on z; db = its sum over the rows."""
        activation.backward(self.xp, dz, z, y)
        self.xp.sum(dz, axis=-2, keepdims=True, out=db)

    # ---- loss and update ----------------------------------------------------------------

    def loss_gradient(self, loss, z, y, weight, scale, clock, dz, losses):
        """Mean loss of a batch into ``losses[step]`` and its gradient on the raw outputs into dz.

        ``weight (S, r)``; ``scale (steps, K)`` is one over the batch's sum of weights.
        """
        rows = loss.value_and_gradient(self.xp, z, y, dz)
        share = weight * scale[clock[0]][:, None]
        dz *= share[..., None]
        losses[clock[0]] = (rows * share).sum(axis=-1)

    def weight_decay(self, theta, grad, alpha, scale, n_decayed, clock, losses):
        """Add the L2 penalty ``alpha scale / 2 |theta|^2`` of the decayed parameters to loss and gradient."""
        decay = alpha * scale[clock[0]]
        decayed = theta[:, :n_decayed]
        grad[:, :n_decayed] += decay[:, None] * decayed
        losses[clock[0]] += 0.5 * decay * (decayed * decayed).sum(axis=-1)

    def update(self, optimizer, theta, grad, slots, hyper, alpha, n_decayed, tables):
        """One step of the optimiser, weight decay included. Leaves grad undefined."""
        clock = tables.clock
        self.weight_decay(theta, grad, alpha, tables.scale, n_decayed, clock, tables.loss)
        optimizer.update(self.xp, theta, grad, slots, hyper, tables.rate[clock[0]][:, None])

    # ---- preprocessing ------------------------------------------------------------------

    def row_blocks(self, X):
        """Yield slices of rows that cut ``X (n, d)`` into blocks of bounded size."""
        size = max(1, BLOCK_ELEMENTS // X.shape[1])
        for start in range(0, X.shape[0], size):
            yield slice(start, min(start + size, X.shape[0]))

    def column_moments(self, X, weight=None):
        """Return sum of weights, mean and weighted sum of squared deviations of each column of ``X (n, d)``.

        All three are ``(d,)``, summed in float64 relative to the mean so far, a block of rows at a time; ``rest`` is
        what float64 cannot hold of that mean. NaN is left out; a column without any weight has mean 0. ``weight (n,)``
        is None where every row counts once.
        """
        xp = self.xp
        count, mean, rest, squares = xp.zeros((4, X.shape[1]))
        for rows in self.row_blocks(X):
            block = X[rows].astype(xp.float64)
            is_known = ~xp.isnan(block)
            share = is_known * (1.0 if weight is None else weight[rows, None])
            block = xp.where(is_known, block, 0)
            seen = share.sum(axis=0)
            block_mean = (share * block).sum(axis=0) / xp.where(seen > 0, seen, 1)
            mean = xp.where(count > 0, mean, block_mean)
            deviation = block - mean
            drift = (share * deviation).sum(axis=0) + count * rest
            squares += (share * deviation * deviation).sum(axis=0) + count * rest * rest
            count += seen
            step = drift / xp.where(count > 0, count, 1)
            squares -= drift * step
            mean, before = mean + step, mean
            rest = step - (mean - before)
        return count, mean, xp.maximum(squares, 0)

    def shift_scale(self, X, shift, scale, out):
        """out = (X - shift) / scale for ``X, out (n, d)`` and ``shift, scale (d,)``; out may be X itself."""
        self.xp.subtract(X, shift, out=out)
        self.xp.divide(out, scale, out=out)

    def scale_shift(self, X, scale, shift, out):
        """out = X * scale + shift, the way back; out may be X itself."""
        self.xp.multiply(X, scale, out=out)
        self.xp.add(out, shift, out=out)
