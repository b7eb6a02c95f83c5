"""Keep kernels that Numba has on disk in step with those that they call: ``python -m tests.backend.stamps``.

Numba's cache of a compiled function follows the file that the function is in. A file whose kernels call those of others
therefore holds a stamp of the others' content, and so changes with them. This brings the stamps up to date.
"""

import hashlib
import re
from pathlib import Path

from sknn import backend

FOLDER = Path(backend.__file__).parent
# In this order: the stamp of a file is part of its content.
COMPILED_IN = {
    "_loops.py": ("_compiling.py", "_vector_math.py", "philox.py"),
    "_updates.py": ("_compiling.py",),
    "_columns.py": ("_compiling.py",),
    "_program.py": ("_compiling.py", "_loops.py", "_updates.py"),
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
