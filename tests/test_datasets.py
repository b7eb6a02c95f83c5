"""Readers of data files, against bytes that are written by hand."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sknn import datasets
from sknn.datasets import load_idx_folder, read_idx
from tests.support.idx_files import IDX_TYPES, idx_bytes, write_idx_folder

EXTREMES = {
    "uint8": [0, 1, 255],
    "int8": [-128, -1, 127],
    "int16": [-32768, 258, 32767],
    "int32": [-(2**31), 16909060, 2**31 - 1],
    "float32": [-1.5, float("inf"), 2.0**-149],
    "float64": [-1.5, float("nan"), 5e-324],
}
FASHION_MNIST = os.environ.get("SKNN_FASHION_MNIST", "")
DEBIAN_FASHION_MNIST = "/usr/share/datasets/fashion-mnist"


@pytest.fixture(scope="module")
def scratch_file(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "data"


@pytest.fixture
def pictures():
    return np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4), np.array([9, 200], np.uint8)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
@pytest.mark.parametrize("dtype", IDX_TYPES)
def test_every_type_comes_in_native_order(tmp_path, dtype, pack):
    path = tmp_path / "name-says-nothing.gz"
    path.write_bytes(pack(idx_bytes(EXTREMES[dtype], (3,), dtype)))
    found = read_idx(path)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, np.array(EXTREMES[dtype], dtype))


def test_the_example_of_the_format(tmp_path):
    path = tmp_path / "matrix"
    path.write_bytes(bytes.fromhex("00000b02 00000002 00000003 0001 0002 0003 0100 ffff 8000"))
    np.testing.assert_array_equal(read_idx(str(path)), [[1, 2, 3], [256, -1, -32768]])


@given(data=st.data(), dtype=st.sampled_from(list(IDX_TYPES)), packed=st.booleans())
@settings(deadline=None)
def test_any_array_comes_back(scratch_file, data, dtype, packed):
    shape = data.draw(array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    array = data.draw(arrays(dtype, shape))
    content = idx_bytes(array.ravel().tolist(), shape, dtype)
    scratch_file.write_bytes(gzip.compress(content) if packed else content)
    found = read_idx(scratch_file)
    assert found.dtype == array.dtype
    assert found.shape == shape
    assert found.flags.writeable
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, array)


def test_a_file_without_dimensions_is_one_number(tmp_path):
    path = tmp_path / "scalar"
    path.write_bytes(idx_bytes([7], ()))
    np.testing.assert_array_equal(read_idx(path), np.uint8(7))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_every_cut_is_an_error_that_names_the_file(scratch_file, pack):
    content = pack(idx_bytes(range(6), (2, 3), "int32"))
    for size in range(len(content)):
        scratch_file.write_bytes(content[:size])
        with pytest.raises(ValueError) as caught:
            read_idx(scratch_file)
        assert str(scratch_file) in str(caught.value)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not an IDX file.*got no bytes"),
        (b"\x89PNG\r\n", "not an IDX file.*got 89 50 4e 47"),
        (b"\x00\x00\x0a\x01" + bytes(8), r"a type code \(08, 09, 0b, 0c, 0d, 0e\).*got 00 00 0a 01"),
        (b"\x00\x00\x08\x03" + bytes(11), "truncated header: the sizes of its 3 dimensions are incomplete"),
        (idx_bytes(range(5), (2, 3)), r"\(2, 3\) and type uint8 takes 6 .*5 follow.*truncated"),
        (idx_bytes(range(7), (2, 3)), r"\(2, 3\) and type uint8 takes 6 .*7 follow.*surplus bytes"),
        (idx_bytes([], (2**32 - 1,) * 3, "float64"), "but 0 follow.*truncated"),
        (gzip.compress(b"text", mtime=0), "not an IDX file"),
        (gzip.compress(idx_bytes([1], (1,)), mtime=0)[:-8] + bytes(8), "damaged or truncated gzip data"),
        (gzip.compress(idx_bytes([1], (1,)), mtime=0) + b"more", "damaged or truncated gzip data"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, content, message):
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"(?s){path}.*{message}"):
        read_idx(path)


@pytest.mark.parametrize("shape", [(1,) * 65, (1,) * 255, (2**32 - 1,) * 3 + (0,), (0, *(2**32 - 1,) * 64)], ids=len)
def test_sizes_of_no_array(tmp_path, shape):
    path = tmp_path / "broken"
    path.write_bytes(idx_bytes([7] * (0 not in shape), shape))
    with pytest.raises(
        ValueError, match=rf"{path}: the sizes of its {len(shape)} dimensions.*no NumPy array"
    ) as caught:
        read_idx(path)
    assert len(str(caught.value)) < 500
    (tmp_path / "broken").rename(tmp_path / "train-images-idx3-ubyte")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes([], (0,)))
    with pytest.raises(ValueError, match="train-images-idx3-ubyte: the sizes"):
        load_idx_folder(tmp_path)


@pytest.mark.parametrize("value", [None, 7, b"name", ["name"]], ids=str)
def test_paths_that_are_none(value):
    with pytest.raises(TypeError, match="path must be a str or a path-like object of str; got"):
        read_idx(value)
    with pytest.raises(TypeError, match="folder must be a str or a path-like object of str; got"):
        load_idx_folder(value)


@pytest.mark.parametrize("split", [["train"], None, {"train": 1}, np.array(["train"]), 0], ids=str)
def test_splits_that_are_no_names(tmp_path, split):
    with pytest.raises(ValueError, match="split must be one of 'train', 'test'; got"):
        load_idx_folder(tmp_path, split)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("split, prefix", [("train", "train"), ("test", "t10k")])
def test_a_folder(tmp_path, pictures, split, prefix, mark, pack):
    images, labels = pictures
    write_idx_folder(tmp_path, images, labels, [prefix], mark, pack)
    X, y = load_idx_folder(tmp_path, split)
    np.testing.assert_array_equal(X, images.reshape(2, 12))
    np.testing.assert_array_equal(y, [9, 200])
    assert X.dtype == np.uint8
    assert y.dtype == np.int64


def test_images_keep_their_shape_on_request(tmp_path, pictures):
    write_idx_folder(tmp_path, *pictures)
    X, _ = load_idx_folder(str(tmp_path), flatten=False)
    np.testing.assert_array_equal(X, pictures[0])


def test_a_folder_without_images_in_its_files(tmp_path):
    write_idx_folder(tmp_path, np.empty((0, 28, 28), np.uint8), np.empty(0, np.uint8))
    X, y = load_idx_folder(tmp_path)
    assert X.shape == (0, 784)
    assert y.shape == (0,)


def test_a_folder_that_lacks_a_file_says_what_was_looked_for(tmp_path, pictures):
    write_idx_folder(tmp_path, *pictures, prefixes=["train"])
    (tmp_path / "t10k-images-idx3-ubyte").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        load_idx_folder(tmp_path, "test")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path} has no test images: looked for t10k-images-idx3-ubyte, ")
    assert "t10k-images.idx3-ubyte.gz" in said
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="no train labels: looked for train-labels-idx1"):
        load_idx_folder(tmp_path)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder: looked for train-images"):
        load_idx_folder(tmp_path / "nowhere")


def test_images_and_labels_that_do_not_match(tmp_path, pictures):
    images, labels = pictures
    write_idx_folder(tmp_path, images, labels[:1])
    with pytest.raises(ValueError, match=r"do not belong together.*\(2, 3, 4\).*\(1,\)"):
        load_idx_folder(tmp_path)


def test_a_split_that_there_is_not(tmp_path):
    with pytest.raises(ValueError, match="split must be one of 'train', 'test'; got 'valid'"):
        load_idx_folder(tmp_path, "valid")


def test_the_reader_needs_numpy_alone():
    heavy = {"cupy", "numba", "pandas", "scipy", "sklearn"}
    program = f"""
import runpy, sys
from tests.support.idx_files import IDX_TYPES, idx_bytes, write_idx_folder
runpy.run_path({datasets.__file__!r})
sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(
    not (FASHION_MNIST or Path(DEBIAN_FASHION_MNIST).is_dir()),
    reason="neither SKNN_FASHION_MNIST nor Debian's package dataset-fashion-mnist is there",
)
@pytest.mark.parametrize("split, n_images", [("train", 60_000), ("test", 10_000)])
def test_fashion_mnist(split, n_images):
    X, y = load_idx_folder(FASHION_MNIST or DEBIAN_FASHION_MNIST, split)
    assert X.shape == (n_images, 784)
    np.testing.assert_array_equal(np.bincount(y), [n_images // 10] * 10)
    if split == "train":  # mean and deviation that are widely used to normalise this data set
        assert X.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
        assert X.std() / 255 == pytest.approx(0.3530, abs=5e-5)
        assert y[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
