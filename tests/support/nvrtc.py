"""A binding of NVRTC, NVIDIA's runtime compiler, which needs neither a GPU nor a driver."""

import ctypes
from importlib.metadata import PackageNotFoundError, files
from typing import NamedTuple


class Compiled(NamedTuple):
    """The result of a compilation: whether it succeeded, the log of the compiler, and the program as text."""

    succeeded: bool
    log: str
    ptx: str


def library():
    """Load the compiler from NVIDIA's package."""
    for package in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"):
        try:
            found = [file for file in files(package) if file.name.startswith("libnvrtc.so")]
        except PackageNotFoundError:
            continue
        return ctypes.CDLL(str(found[0].locate()))
    raise RuntimeError("CUDA kernels are compiled in the tests, which needs the package nvidia-cuda-nvrtc.")


def compiled(source, *options):
    """Compile a source with options."""
    nvrtc, program = library(), ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    try:
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        status = nvrtc.nvrtcCompileProgram(program, len(options), given)
        texts = [_text(nvrtc, program, what) for what in ("ProgramLog", "PTX")]
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return Compiled(status == 0, *texts)


def _text(nvrtc, program, what):
    size = ctypes.c_size_t()
    if getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)):
        return ""
    text = ctypes.create_string_buffer(size.value)
    assert getattr(nvrtc, f"nvrtcGet{what}")(program, text) == 0
    return text.value.decode()
