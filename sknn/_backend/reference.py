"""Every kernel in plain array code: the definition, and the oracle of the tests.

Shapes: K models, S streams of row numbers (1 where all models share their batches, else K), r rows of a batch.
``z, y, dz (K, r, units)``, ``W (K, fan_in, units)``, ``b (K, 1, units)``, ``theta, grad (K, P)``. A kernel looks at the
last two axes only and overwrites the buffers it is given for that, nothing else.

What changes from step to step is read from arrays that a step shares with the training loop (see
``sknn.training.Tables``): ``clock`` holds the number of the step in its epoch, the first row of its batch, and the
number of steps before this epoch.
"""

from __future__ import annotations

from contextlib import nullcontext

from . import philox


class Loop:
    """Runs a plan call by call."""

    def __init__(self, plan):
        self.plan = plan

    def run(self, times):
        """Run the plan some times."""
        for _ in range(times):
            for call in self.plan:
                call()


class Backend:
    """Kernels over the arrays of one array module ``xp`` (numpy, or cupy)."""

    name = "numpy"
    chunk_elements = 2**20  # of the widest buffer of a prediction: 4 MB in float32

    def __init__(self, xp):
        self.xp = xp

    # ---- arrays at the door -------------------------------------------------------------

    def asarray(self, array, dtype=None):
        """Bring a NumPy array to where this backend computes; no copy where it already is there."""
        return self.xp.asarray(array, dtype=dtype)

    def to_host(self, array):
        """Return ``array`` as a NumPy array."""
        return array

    def holds(self, array):
        """Return whether a dense array lies where this backend computes."""
        return True

    def has_room(self, n_bytes):
        """Return whether data of this size can be kept where this backend computes, and what it takes be worked on."""
        return True

    def has_room_for_copy(self, array):
        """Return whether a large array may be copied where it lies, to be read faster."""
        return False

    def explained_lack(self):
        """Return a context in which a lack of memory is explained."""
        return nullcontext()

    def ring(self, shape, dtype):
        """Return buffers along the first axis, one of which is filled while another one is used.

        For data that does not lie where this backend computes: ``table`` has the buffers, and ``stream(gathers)``
        yields one for each of these functions, which fill it on the host.
        """
        raise NotImplementedError

    # ---- plans --------------------------------------------------------------------------

    def prepare(self, plan):
        """Return what runs a plan, a list of calls, by ``run(times)``."""
        return Loop(plan)

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

    def transpose(self, source, out):
        """out = source with its last two axes swapped."""
        out[...] = source.swapaxes(-1, -2)

    def bias_activation(self, z, b, activation, y):
        """z += b; y = activation(z); y may be z itself where the activation allows it."""
        self.xp.add(z, b, out=z)
        activation.forward(self.xp, z, y)

    def activation_backward(self, dz, z, y, activation, db):
        """dz, the gradient on y, becomes the gradient on z; db = its sum over the rows."""
        activation.backward(self.xp, dz, z, y)
        self.xp.sum(dz, axis=-2, keepdims=True, out=db)

    def maxout(self, z, choice, y):
        """y = the greatest of the neighbours that make a unit of ``z (K, r, units * pieces)``.

        ``choice`` is its number, the first of those that are equal.
        """
        pieces = z.reshape(*y.shape, -1)
        choice[...] = pieces.argmax(axis=-1)
        y[...] = pieces.max(axis=-1)

    def maxout_backward(self, dy, choice, dz):
        """dz = dy where z was chosen, else 0."""
        pieces = dz.reshape(*dy.shape, -1)
        pieces[...] = dy[..., None] * (choice[..., None] == self.xp.arange(pieces.shape[-1]))

    def dropout(self, x, noise, stream, keep, out):
        """Set some of ``x (K or 1, r, units)`` to zero in ``out (K, r, units)``, the others to x / (1 - rate).

        ``noise`` has ``rates (K, streams)``, ``keys (K, 2)`` and the clock; bool ``keep`` is what was not set to zero.
        """
        n = out.shape[1] * out.shape[2]
        keep[...] = philox.keeps(self.xp, self.xp.arange(n), n, noise, stream).reshape(out.shape)
        out[...] = x
        self.dropout_backward(out, noise, stream, keep)

    def dropout_backward(self, d, noise, stream, keep):
        """d = d / (1 - rate) where ``keep`` is, else 0."""
        d *= keep / (1 - noise.rates[:, stream, None, None])

    # ---- normalisation ------------------------------------------------------------------

    # A batch is cut into parts at ``bounds``; each has its ``mean, variance, inverse (K, parts, units)``, the last one
    # being one over the standard deviation. ``gain (K, 1, units)``.

    def batch_moments(self, x, weight, bounds, eps, mean, variance, inverse):
        """Weighted mean, biased variance and 1 / sqrt(variance + eps) of the units in each part of a batch.

        ``weight (S, r)``. A part without weight has mean and variance 0.
        """
        xp = self.xp
        for part, share in self._parts(weight, bounds):
            rows = x[:, bounds[part] : bounds[part + 1]]
            mean[:, part] = (share * rows).sum(axis=1)
            variance[:, part] = (share * (rows - mean[:, part, None]) ** 2).sum(axis=1)
        inverse[...] = 1 / xp.sqrt(variance + eps)

    def _parts(self, weight, bounds):
        """Yield the number of each part, and each row's share of its weight, ``(S, r, 1)``."""
        for part in range(len(bounds) - 1):
            rows = weight[:, bounds[part] : bounds[part + 1], None]
            total = rows.sum(axis=1, keepdims=True)
            yield part, rows / self.xp.where(total > 0, total, 1)

    def track_moments(self, mean, variance, weight, bounds, momentum, kept):
        """Move the running ``means, variances (K, 1, units)`` on by the parts of a batch, one after the other.

        The t-th ``update`` has the weight max(momentum, 1 / t). Variances are made unbiased by the sum of weights where
        that is 2 or more, as if it were a number of rows. A part without weight is left out.
        """
        xp = self.xp
        for part in range(mean.shape[1]):
            total = weight[:, bounds[part] : bounds[part + 1]].sum(axis=1)[:, None]
            correction = xp.where(total >= 2, total / xp.where(total >= 2, total - 1, 1), 1)
            kept["updates"] += (total > 0)[..., None]
            rate = xp.maximum(momentum, 1 / xp.maximum(kept["updates"], 1)) * (total > 0)[..., None]
            kept["means"] += rate * (mean[:, part, None] - kept["means"])
            kept["variances"] += rate * (correction[..., None] * variance[:, part, None] - kept["variances"])

    def standardize(self, x, mean, inverse, gain, bounds, y):
        """x = (x - mean) * inverse in each part; y = gain * x."""
        for part in range(len(bounds) - 1):
            rows = x[:, bounds[part] : bounds[part + 1]]
            rows -= mean[:, part, None]
            rows *= inverse[:, part, None]
        self.xp.multiply(x, gain, out=y)

    def standardize_backward(self, d, x, inverse, gain, weight, bounds, d_gain):
        """d, the gradient on gain * x, becomes that on what was standardised to x by its batch.

        With p a row's share of the weight of its part, ``d = gain inverse (d - p (sum d + x sum(d x)))``: Ioffe and
        Szegedy, section 3, for weighted moments.
        """
        self.xp.sum(d * x, axis=-2, keepdims=True, out=d_gain)
        for part, share in self._parts(weight, bounds):
            chosen = slice(bounds[part], bounds[part + 1])
            rows, standard = d[:, chosen], x[:, chosen]
            along = (rows * standard).sum(axis=1, keepdims=True)
            rows -= share * (rows.sum(axis=1, keepdims=True) + standard * along)
            rows *= gain * inverse[:, part, None]

    def scale_backward(self, d, x, inverse, gain, d_gain):
        """d, the gradient on gain * x, becomes that on what was standardised to x by fixed moments."""
        self.xp.sum(d * x, axis=-2, keepdims=True, out=d_gain)
        d *= gain * inverse

    def renorm(self, mean, inverse, kept, norm, r, d):
        """The correction of a batch towards the running moments: x-hat * r + d, within bounds that grow by the step."""
        xp, updates = self.xp, kept["updates"]
        running = xp.sqrt(kept["variances"] + norm.eps)
        r_share, d_share = (self._share_of_way(updates, norm.start_step, end) for end in (norm.r_end, norm.d_end))
        r_max, d_max = 1 + r_share * (norm.r_max - 1), d_share * norm.d_max
        r[...] = xp.clip(1 / (inverse * running), 1 / r_max, r_max)
        d[...] = xp.clip((mean - kept["means"]) / running, -d_max, d_max)

    def _share_of_way(self, updates, start, end):
        """How far ``updates`` is on the way from start to end, in [0, 1]; 0 before the first update."""
        share = self.xp.clip((updates - start) / max(end - start, 1), 0, 1)
        return self.xp.where((updates >= end) & (updates > 0), 1, share * (updates > 0))

    def standardize_groups(self, x, eps, inverse, gain, y):
        """Each row's groups of neighbouring units to mean 0 and variance 1, in place; y = gain * x.

        ``inverse (K, r, groups)`` becomes 1 / sqrt(variance + eps).
        """
        grouped = x.reshape(*inverse.shape, -1)
        grouped -= grouped.mean(axis=-1, keepdims=True)
        inverse[...] = 1 / self.xp.sqrt((grouped * grouped).mean(axis=-1) + eps)
        grouped *= inverse[..., None]
        self.xp.multiply(x, gain, out=y)

    def standardize_groups_backward(self, d, x, inverse, gain, d_gain):
        """d, the gradient on gain * x, becomes that on what was standardised to x by its group."""
        self.xp.sum(d * x, axis=-2, keepdims=True, out=d_gain)
        d *= gain
        rows, standard = (array.reshape(*inverse.shape, -1) for array in (d, x))
        along = (rows * standard).mean(axis=-1, keepdims=True)
        rows -= rows.mean(axis=-1, keepdims=True) + standard * along
        rows *= inverse[..., None]

    def normalize_weights(self, v, gain, inverse, W):
        """W = gain * v / |v| for each column of ``v (K, fan_in, units)``; 0 for a column of zeros.

        ``inverse (K, 1, units)`` becomes 1 / |v|, or 0.
        """
        squares = (v * v).sum(axis=-2, keepdims=True)
        inverse[...] = (squares > 0) / self.xp.sqrt(self.xp.where(squares > 0, squares, 1))
        self.xp.multiply(v, gain * inverse, out=W)

    def normalize_weights_backward(self, dW, v, gain, inverse, dv, d_gain):
        """The gradient on W to those on v and gain."""
        d_gain[...] = (dW * v).sum(axis=-2, keepdims=True) * inverse
        dv[...] = gain * inverse * (dW - d_gain * inverse * v)

    # ---- loss and update ----------------------------------------------------------------

    def loss_gradient(self, loss, z, y, weight, scale, clock, dz, losses):
        """Mean loss of a batch into ``losses[step]`` and its gradient on the raw outputs into dz.

        ``weight (S, r)``; ``scale (steps, K)`` is one over the batch's sum of weights.
        """
        rows = loss.value_and_gradient(self.xp, z, y, dz)
        share = weight * scale[clock[0]][:, None]
        dz *= share[..., None]
        losses[clock[0]] = (rows * share).sum(axis=-1)

    def link(self, loss, z):
        """Turn raw outputs into predictions, in place."""
        loss.link(self.xp, z)

    def weight_decay(self, theta, grad, alpha, scale, n_decayed, clock, losses):
        """Add the L2 penalty ``alpha scale / 2 |theta|^2`` of the decayed parameters to loss and gradient."""
        decay = alpha * scale[clock[0]]
        decayed = theta[:, :n_decayed]
        grad[:, :n_decayed] += decay[:, None] * decayed
        losses[clock[0]] += 0.5 * decay * (decayed * decayed).sum(axis=-1)

    def clip_norm(self, grad, limit):
        """Shorten the gradient of each model to ``limit (K,)`` where it is longer."""
        length = self.xp.sqrt((grad * grad).sum(axis=1))
        grad *= (limit / self.xp.maximum(length, limit))[:, None]

    def add_l1(self, theta, grad, l1, scale, n_decayed, clock, losses):
        """Add the penalty ``l1 scale |theta|_1`` of the decayed parameters to loss and gradient."""
        strength = l1 * scale[clock[0]]
        decayed = theta[:, :n_decayed]
        grad[:, :n_decayed] += strength[:, None] * self.xp.sign(decayed)
        losses[clock[0]] += strength * abs(decayed).sum(axis=1)

    def limit_norms(self, W, limit):
        """Shorten the incoming weights of each unit, columns of ``W (K, fan_in, units)``, to ``limit (K,)``."""
        length = self.xp.sqrt((W * W).sum(axis=-2, keepdims=True))
        limit = limit[:, None, None]
        W *= limit / self.xp.maximum(length, limit)

    def shrink(self, theta, n_decayed, tables):
        """Multiply the decayed parameters by ``tables.shrinkage`` of this step: decoupled weight decay."""
        theta[:, :n_decayed] *= tables.shrinkage[tables.clock[0]][:, None]

    def update(self, optimizer, theta, grad, slots, hyper, alpha, n_decayed, tables):
        """One step of the optimiser, the penalty ``alpha`` included. Leaves grad undefined."""
        clock = tables.clock
        self.weight_decay(theta, grad, alpha, tables.scale, n_decayed, clock, tables.loss)
        second = None if tables.second_rate is None else tables.second_rate[clock[0]][:, None]
        optimizer.update(self.xp, theta, grad, slots, hyper, tables.rate[clock[0]][:, None], second)

    def average(self, values, mean, decay, clock):
        """Move the average ``mean (K, n)`` of what ``values`` were after each step on; ``decay (K,)`` is its share.

        The average of the first steps is their plain mean, so that it does not remember where it began.
        """
        step = clock[0] + clock[2] + 1
        rate = self.xp.maximum(1 - decay, 1 / step)[:, None].astype(mean.dtype)
        mean += rate * (values - mean)

    # ---- preprocessing ------------------------------------------------------------------

    # Blocks are rows of features ``(rows, features)``, or those rows seen as ``(rows, before, groups, after)``, where
    # the features of one group share their statistics. Statistics are float64; NaN is a missing value.

    block_elements = 2**18  # of rows that are worked on together, so that they stay in a core's cache
    product_elements = 2**17  # at least, of rows that are centred and multiplied together
    segment_elements = 2**21  # of rows that a thread takes; whatever the threads, so that sums are the same

    def run(self, work, pieces):
        """Return what ``work`` makes of each piece, in their order."""
        return [work(piece) for piece in pieces]

    def one_blas_thread(self):
        """Return a context in which BLAS has one thread, so that those of ``run`` have the cores."""
        return nullcontext()

    def column_moments(self, X, weight=None):
        """Return sum of weights, mean and weighted sum of squared deviations of each column of ``X (n, d)``.

        Four arrays ``(d,)``, the third being ``rest``, what float64 cannot hold of the mean. They are summed relative
        to the mean so far, a block of rows at a time. A column without any weight has mean 0. ``weight (n,)`` is None
        where every row counts once.
        """
        xp = self.xp
        count, mean, rest, squares = xp.zeros((4, X.shape[1]))
        size = max(1, self.block_elements // X.shape[1])
        for start in range(0, X.shape[0], size):
            block = X[start : start + size].astype(xp.float64)
            is_known = ~xp.isnan(block)
            share = is_known * (1.0 if weight is None else weight[start : start + size, None])
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
        return count, mean, rest, xp.maximum(squares, 0)

    def column_extremes(self, X):
        """Return the least and the greatest value of each column of ``X (n, d)``; infinite the wrong way if none is."""
        return self._extremes(X, axis=0)

    def group_moments(self, x):
        """Return number, mean and sum of squared deviations of the values of each group: three ``(rows, groups)``."""
        xp = self.xp
        is_known = ~xp.isnan(x)
        count = is_known.sum(axis=(1, 3))
        divisor = xp.maximum(count, 1)
        mean = xp.where(is_known, x, 0).sum(axis=(1, 3), dtype=xp.float64) / divisor
        deviation = xp.where(is_known, x - mean[:, None, :, None], 0)
        # zero but for the rounding of the mean: equation 1.7 of Chan, Golub and LeVeque, 1983
        drift = deviation.sum(axis=(1, 3))
        squares = (deviation * deviation).sum(axis=(1, 3)) - drift**2 / divisor
        return count, mean + drift / divisor, squares

    def group_extremes(self, x):
        """Return the least and the greatest value of each group, ``(rows, groups)``, as ``column_extremes`` does."""
        return self._extremes(x, axis=(1, 3))

    def _extremes(self, x, axis):
        xp = self.xp
        if x.dtype.kind != "f":
            return x.min(axis=axis).astype(xp.float64), x.max(axis=axis).astype(xp.float64)
        is_known = ~xp.isnan(x)
        low, high = xp.where(is_known, x, xp.inf).min(axis=axis), xp.where(is_known, x, -xp.inf).max(axis=axis)
        return low.astype(xp.float64), high.astype(xp.float64)

    def has_infinity(self, x):
        """Return whether a block of floats holds infinity."""
        return bool(self.xp.isinf(x).any())

    def shift_scale(self, x, shift, scale):
        """x = (x - shift) / scale in place, for a block of rows and ``shift, scale (features,)``.

        Also for rows seen as groups and ``shift, scale (rows, 1, groups, 1)``.
        """
        x -= shift
        x /= scale

    def scale_shift(self, x, scale, shift):
        """x = x * scale + shift in place, the way back."""
        x *= scale
        x += shift

    def center(self, X, mean, out):
        """out = X - mean for rows ``X, out (n, d)``, in the float type of ``out`` and ``mean (d,)``."""
        self.xp.subtract(X, mean, out=out)

    def gram(self, x, out, work):
        """out += x^T x for ``x (n, d)``; ``work`` is like ``out``."""
        self.xp.matmul(x.T, x, out=work)
        out += work
