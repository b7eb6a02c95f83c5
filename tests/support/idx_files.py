"""Files in the IDX format, written by hand."""

import gzip
import struct
from pathlib import Path

# NumPy's type, the code in the file, the letter of struct: from the description of the format
IDX_TYPES = {
    "uint8": (0x08, "B"),
    "int8": (0x09, "b"),
    "int16": (0x0B, "h"),
    "int32": (0x0C, "i"),
    "float32": (0x0D, "f"),
    "float64": (0x0E, "d"),
}


def idx_bytes(values, shape, dtype="uint8"):
    """Return the content of an IDX file, packed with the struct module alone."""
    code, letter = IDX_TYPES[dtype]
    values = list(values)
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)
    return header + struct.pack(f">{len(values)}{letter}", *values)


def write_idx_folder(folder, images, labels, prefixes=("train", "t10k"), mark="-", pack=bytes):
    """Write images (n, height, width) and labels (n,) under MNIST's names."""
    ending = ".gz" if pack is gzip.compress else ""
    for prefix in prefixes:
        content = {
            f"images{mark}idx3": idx_bytes(images.ravel().tolist(), images.shape),
            f"labels{mark}idx1": idx_bytes(labels.tolist(), labels.shape),
        }
        for name, data in content.items():
            Path(folder, f"{prefix}-{name}-ubyte{ending}").write_bytes(pack(data))
