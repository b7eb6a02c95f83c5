"""Keep kernels that Numba has on disk in step with those that they call: ``python -m tests.backend.stamps``.

Numba's cache of a compiled function follows the file that the function is in. A file whose kernels call those of others
therefore holds a stamp of the others' content, and so changes with them. This brings the stamps up to date.
"""

import hashlib
import re
from pathlib import Path

from sknn import _backend

FOLDER = Path(_backend.__file__).parent / "cpu"
# In this order: the stamp of a file is part of its content.
COMPILED_IN = {
    "elements.py": ("vector_math.py",),
    "loops.py": ("compiling.py", "elements.py", "vector_math.py", "../philox.py"),
    "updates.py": ("compiling.py", "elements.py"),
    "columns.py": ("compiling.py",),
    "interpreter.py": ("compiling.py", "elements.py", "loops.py", "updates.py"),
}
STAMP = re.compile(r'^COMPILED_IN = "(\w*)"', re.MULTILINE)


def stamp(names):
    """Return what stands for the content of some files."""
    return hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in names)).hexdigest()[:16]


def found(name):
    """Return the stamp that a file holds."""
    return STAMP.search((FOLDER / name).read_text()).group(1)


def main():
    """Write the stamps."""
    for name, others in COMPILED_IN.items():
        text = (FOLDER / name).read_text()
        (FOLDER / name).write_text(STAMP.sub(f'COMPILED_IN = "{stamp(others)}"', text))


if __name__ == "__main__":
    main()
