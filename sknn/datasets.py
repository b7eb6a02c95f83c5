"""Readers for data files: IDX, the format of MNIST, Fashion-MNIST and their relatives."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IDX_PREFIXES = {"train": "train", "test": "t10k"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file, plain or compressed by gzip.

    Parameters
    ----------
    path : str or path-like
        The file. Whether it is compressed is seen from its content, not from its name.

    Returns
    -------
    array : ndarray
        In the shape and type that the file declares, one of uint8, int8, int16, int32, float32
        and float64, in native byte order; writable.

    Raises
    ------
    ValueError
        If the file is not IDX, is cut short or damaged, or goes on after its data.

    See Also
    --------
    load_idx_folder : Images and labels by the names that MNIST gives their files.

    Examples
    --------
    Two zero bytes, the type (8 is uint8), the number of dimensions, their sizes, the data:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sknn.datasets import read_idx
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1]) + bytes([0, 0, 0, 3]) + bytes([7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    content = _read_bytes(path)
    dtype, shape, start = _parse_header(content, path)
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - start
    if found != expected:
        fault = "the file is truncated" if found < expected else "the rest does not belong there"
        raise ValueError(
            f"{path}: data of shape {shape} and type {dtype.name} takes {expected} bytes, "
            f"but {found} follow the header: {fault}."
        )
    data = np.frombuffer(content, dtype, offset=start) if found else np.empty(0, dtype)
    return data.reshape(shape).astype(dtype.newbyteorder("="))


def _read_bytes(path):
    content = Path(path).read_bytes()
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated gzip data ({error}).") from error


def _parse_header(content, path):
    """Return (dtype, shape, offset of the data)."""
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES:
        codes = ", ".join(f"{code:02x}" for code in IDX_TYPES)
        raise ValueError(
            f"{path}: not an IDX file. It must start with 00 00, a type out of {codes}, "
            f"and the number of dimensions; got {magic.hex(' ') or 'no bytes'}."
        )
    start = 4 + 4 * magic[3]
    if len(content) < start:
        raise ValueError(f"{path}: truncated within the sizes of its {magic[3]} dimensions.")
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    return np.dtype(IDX_TYPES[magic[2]]), shape, start


def load_idx_folder(
    folder: str | os.PathLike[str], split: str = "train", *, flatten: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Load images and labels from a folder of IDX files that are named as MNIST's are.

    The training files are ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, those of
    the test set start with ``t10k``. A dot before ``idx`` and ``.gz`` at the end are fine too.

    Parameters
    ----------
    folder : str or path-like
        Where the files are.
    split : {"train", "test"}, default="train"
        Which of the two sets to load.
    flatten : bool, default=True
        Whether each image becomes one row, as estimators want it.

    Returns
    -------
    X : ndarray of shape (n_images, n_pixels) or (n_images, height, width)
        Images, of the type that the file has: uint8 from 0 to 255 in the MNIST family.
    y : ndarray of int64 of shape (n_images,)
        Labels.

    Raises
    ------
    FileNotFoundError
        If the folder lacks one of the two files.
    ValueError
        If a file cannot be read as IDX, or images and labels do not match.

    See Also
    --------
    read_idx : One IDX file of any name.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sknn.datasets import load_idx_folder
    >>> images = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3]) + bytes([0, 9, 0, 8, 0, 8])
    >>> labels = bytes([0, 0, 8, 1, 0, 0, 0, 2]) + bytes([1, 7])
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "train-images-idx3-ubyte").write_bytes(images)
    ...     _ = Path(folder, "train-labels-idx1-ubyte").write_bytes(labels)
    ...     X, y = load_idx_folder(folder)
    >>> X
    array([[0, 9, 0],
           [8, 0, 8]], dtype=uint8)
    >>> y
    array([1, 7])
    """
    if split not in IDX_PREFIXES:
        raise ValueError(f"split must be one of 'train', 'test'; got {split!r}.")
    image_file, label_file = _find(folder, split, "images", 3), _find(folder, split, "labels", 1)
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.ndim < 2 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{image_file} and {label_file} do not belong together: "
            f"images of shape {images.shape}, labels of shape {labels.shape}."
        )
    if flatten:
        images = images.reshape(len(images), math.prod(images.shape[1:]))
    return images, labels.astype(np.int64)


def _find(folder, split, kind, n_dimensions):
    stem, ending = f"{IDX_PREFIXES[split]}-{kind}", f"idx{n_dimensions}-ubyte"
    names = [f"{stem}{mark}{ending}{suffix}" for suffix in ("", ".gz") for mark in "-."]
    for name in names:
        if (path := Path(folder, name)).is_file():
            return path
    problem = f"has no {split} {kind}" if Path(folder).is_dir() else "is not a folder"
    raise FileNotFoundError(f"{folder} {problem}: looked for {', '.join(names)}.")
