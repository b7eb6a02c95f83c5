"""Readers for IDX files, the format of MNIST, Fashion-MNIST and similar data sets."""

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
    """Read an IDX file, uncompressed or compressed by gzip.

    Parameters
    ----------
    path : str or path-like
        Path of the file. Compression is detected from the content of the file, not from its name.

    Returns
    -------
    array : ndarray
        Content of the file, with the shape and the dtype that the file declares: uint8, int8, int16, int32, float32 or
        float64, in native byte order. The array is writable.

    Raises
    ------
    ValueError
        If the file is not an IDX file, is truncated or damaged, or contains bytes after its data.

    See Also
    --------
    load_idx_folder : Read images and labels from a folder with the file names of MNIST.

    Examples
    --------
    An IDX file consists of two zero bytes, the dtype (8 is uint8), the number of dimensions, their sizes, and the data:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sknn.datasets import read_idx
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1]) + bytes([0, 0, 0, 3]) + bytes([7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    path = _as_path(path, "path")
    content = _read_bytes(path)
    dtype, shape, start = _parse_header(content, path)
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - start
    if found != expected:
        fault = "the file is truncated" if found < expected else "the file has surplus bytes"
        raise ValueError(
            f"{path}: data of shape {shape} and type {dtype.name} takes {expected} bytes, "
            f"but {found} follow the header: {fault}."
        )
    data = np.frombuffer(content, dtype, offset=start) if found else np.empty(0, dtype)
    try:
        return data.reshape(shape).astype(dtype.newbyteorder("="))
    except ValueError as error:
        raise ValueError(
            f"{path}: the sizes of its {len(shape)} dimensions, {_shortened(shape)}, are those of no NumPy array "
            f"({error}). If this is not an IDX file, read it as what it is."
        ) from error


def _shortened(shape: tuple[int, ...]) -> str:
    return str(shape) if len(shape) <= 6 else f"({', '.join(map(str, shape[:6]))}, ...)"


def _as_path(value: str | os.PathLike[str], name: str) -> Path:
    try:
        return Path(value)
    except TypeError as error:
        raise TypeError(f"{name} must be a str or a path-like object of str; got {value!r}.") from error


def _read_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated gzip data ({error}).") from error


def _parse_header(content: bytes, path: Path) -> tuple[np.dtype, tuple[int, ...], int]:
    """Return (dtype, shape, offset of the data)."""
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES:
        codes = ", ".join(f"{code:02x}" for code in IDX_TYPES)
        raise ValueError(
            f"{path}: not an IDX file. It must start with the bytes 00 00, a type code ({codes}) and the number "
            f"of dimensions; got {magic.hex(' ') or 'no bytes'}."
        )
    start = 4 + 4 * magic[3]
    if len(content) < start:
        raise ValueError(f"{path}: truncated header: the sizes of its {magic[3]} dimensions are incomplete.")
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    return np.dtype(IDX_TYPES[magic[2]]), shape, start


def load_idx_folder(
    folder: str | os.PathLike[str], split: str = "train", *, flatten: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Load images and labels from a folder of IDX files with the file names of MNIST.

    The training files are ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``; the names of the test files
    start with ``t10k``. Names with a dot before ``idx`` and compressed files with the suffix ``.gz`` are also found.

    Parameters
    ----------
    folder : str or path-like
        Folder that contains the files.
    split : {"train", "test"}, default="train"
        Data set to load: training set or test set.
    flatten : bool, default=True
        Whether to reshape each image to one row, the shape that estimators expect.

    Returns
    -------
    X : ndarray of shape (n_images, n_pixels) or (n_images, height, width)
        Images, with the dtype of the file: uint8 from 0 to 255 for MNIST and similar data sets.
    y : ndarray of int64 of shape (n_images,)
        Labels.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or does not contain one of the two files.
    ValueError
        If ``split`` is invalid, a file is not a valid IDX file, or images and labels do not match.

    See Also
    --------
    read_idx : Read one IDX file of any name.

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
    folder = _as_path(folder, "folder")
    if not isinstance(split, str) or split not in IDX_PREFIXES:
        raise ValueError(f"split must be one of 'train', 'test'; got {split!r}.")
    image_file, label_file = _find(folder, split, "images", 3), _find(folder, split, "labels", 1)
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.ndim < 2 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{image_file} and {label_file} do not belong together: they must have one label per image; got "
            f"images of shape {images.shape} and labels of shape {labels.shape}."
        )
    if flatten:
        images = images.reshape(len(images), math.prod(images.shape[1:]))
    return images, labels.astype(np.int64)


def _find(folder: Path, split: str, kind: str, n_dimensions: int) -> Path:
    stem, ending = f"{IDX_PREFIXES[split]}-{kind}", f"idx{n_dimensions}-ubyte"
    names = [f"{stem}{mark}{ending}{suffix}" for suffix in ("", ".gz") for mark in "-."]
    for name in names:
        if (path := folder / name).is_file():
            return path
    problem = f"has no {split} {kind}" if folder.is_dir() else "is not a folder"
    raise FileNotFoundError(f"{folder} {problem}: looked for {', '.join(names)}.")
