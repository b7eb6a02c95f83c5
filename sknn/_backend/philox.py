"""Philox4x32-10: random numbers as a function of a counter and a key, the same bits wherever they are computed.

Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. A counter of four words gives
four words. In dropout a counter is ``(element, stream, low and high half of the step)``; the n elements of a model are
cut into four quarters, whose i-th elements share counter i.
"""

from __future__ import annotations

from typing import Any

from .typing import Array, ArrayModule

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # the golden ratio, and the root of 3 less 1
WORD = 0xFFFFFFFF


def philox(counter: tuple[Any, ...], key: tuple[Any, Any]) -> tuple[Any, ...]:
    """Return four words of random bits; words are uint64 arrays below 2^32, or integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product_0, product_2 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (product_2 >> 32) ^ c1 ^ k0, product_2 & WORD, (product_0 >> 32) ^ c3 ^ k1, product_0 & WORD
        k0, k1 = (k0 + KEY_STEPS[0]) & WORD, (k1 + KEY_STEPS[1]) & WORD
    return c0, c1, c2, c3


def keeps(xp: ArrayModule, elements: Array, n: int, noise: Any, stream: int) -> Array:
    """Return which of the ``elements`` of n numbers dropout keeps: bool ``(models, elements)``."""
    quarter = (n + 3) // 4
    step = (noise.clock[0] + noise.clock[2]).astype(xp.uint64)
    counter = (elements % quarter).astype(xp.uint64), stream, step & WORD, step >> 32
    keys = noise.keys.astype(xp.uint64)
    words = philox(counter, (keys[:, :1], keys[:, 1:]))
    chosen = xp.choose(elements // quarter, xp.broadcast_arrays(*words))
    return chosen >= (noise.rates[:, stream, None] * 2.0**32).astype(xp.uint64)
