"""Write docs/operations.md, the fused kernels of each backend: ``python -m tests.support.operations_page``."""

import inspect
from pathlib import Path

from sknn._backend import operations as ops
from sknn._backend.cpu import kernels
from sknn._backend.cuda import launches

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
FUSED = {"cpu": kernels.FUSED, "cuda": launches.FUSED}
HEAD = """\
# Operations

The operations that plans are made of, and the backends that have fused kernels for them. An operation without a fused
kernel runs on its definition, in `sknn/_backend/operations.py`. Written by

    python -m tests.support.operations_page

| operation | operands | meaning | {backends} |
|---|---|---|{rules}|
"""


def page():
    """Return the text of the page."""
    head = HEAD.format(backends=" | ".join(FUSED), rules="|".join("---" for _ in FUSED))
    return head + "".join(f"| {' | '.join(cells(operation))} |\n" for operation in ops.OPERATIONS)


def cells(operation):
    """Return the cells of an operation."""
    operands = ", ".join(operation.operand_names)
    meaning = inspect.getdoc(operation).splitlines()[0].replace("|", "\\|")
    return operation.__name__, operands, meaning, *("yes" if operation in fused else "" for fused in FUSED.values())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
