"""Checks that NumPy reads the same arrays from its own files and from Ebb's copies of them.

with_numpy.py REWRITE: the path of the program rewrite.  Exits with 77 if NumPy is missing.
"""

import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("skipped: NumPy is not installed")
    sys.exit(77)

REWRITE = os.path.abspath(sys.argv[1])
TYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
SHAPES = [(), (0,), (1,), (7,), (2, 0, 3), (3, 4), (1, 1, 5), (2, 3, 4, 5), (2, 1, 2, 1, 2, 1, 2, 1)]
checked = 0


def values(dtype, shape):
    """Values over the whole range of a type, including the extremes."""
    n = int(np.prod(shape))
    bits = np.random.default_rng(n).integers(0, 256, n * np.dtype(dtype).itemsize, dtype="u1")
    x = (bits & 1).astype("?") if dtype == "?" else bits.view(dtype)
    if n > 3 and np.dtype(dtype).kind == "f":
        x[:4] = [np.nan, np.inf, -0.0, np.finfo(dtype).tiny]
    elif n > 3 and dtype != "?":
        x[:2] = [np.iinfo(dtype).min, np.iinfo(dtype).max]
    return x[:n].reshape(shape)


def rewrite(source, target, *options):
    subprocess.run([REWRITE, source, target, *options], check=True)


def refused(source, target, *words):
    global checked
    run = subprocess.run([REWRITE, source, target], capture_output=True, text=True)
    assert run.returncode == 1, (source, run)
    for word in words:
        assert word in run.stderr, (word, run.stderr)
    checked += 1


def same(x, y, what):
    """Checks for the same shape, type (except its byte order) and bits."""
    global checked
    assert x.shape == y.shape, (what, x.shape, y.shape)
    assert x.dtype.newbyteorder("<") == y.dtype.newbyteorder("<"), (what, x.dtype, y.dtype)
    little = x.dtype.newbyteorder("<")
    assert x.astype(little).tobytes() == y.astype(little).tobytes(), what
    checked += 1


def arrays():
    """Every type in every shape, in both byte orders and both orders of axes."""
    for dtype in TYPES:
        for shape in SHAPES:
            x = values(dtype, shape)
            name = dtype.replace("?", "b1") + "_" + "x".join(map(str, shape))
            yield name, x
            yield name + "_fortran", np.asfortranarray(x)
            if x.dtype.itemsize > 1:
                yield name + "_big", x.astype(x.dtype.newbyteorder(">"))
                yield name + "_fortran_big", np.asfortranarray(x).astype(x.dtype.newbyteorder(">"))


def npz_files():
    everything = dict(arrays())
    for save in np.savez, np.savez_compressed:
        for options in (), ("deflate",):
            save("all.npz", **everything)
            rewrite("all.npz", "again.npz", *options)
            with np.load("again.npz") as again:
                assert list(again.files) == list(everything)
                for name, x in everything.items():
                    same(x, again[name], name)


def npy_files():
    for k, (name, x) in enumerate(arrays()):
        if k % 5:
            continue
        np.save("x.npy", x)
        rewrite("x.npy", "y.npy")
        same(x, np.load("y.npy"), name)
        # The values begin at a multiple of 64 bytes, for programs that map the file.
        with open("y.npy", "rb") as f:
            assert (f.read().index(b"\n") + 1) % 64 == 0
    for version in (1, 0), (2, 0), (3, 0):
        x = values("f4", (3, 5))
        with open("x.npy", "wb") as f:
            np.lib.format.write_array(f, x, version=version)
        rewrite("x.npy", "y.npy")
        same(x, np.load("y.npy"), version)
    # numpy.load reads the first of several arrays in a file.
    with open("x.npy", "wb") as f:
        np.save(f, np.arange(3))
        np.save(f, np.arange(4))
    rewrite("x.npy", "y.npy")
    same(np.load("x.npy"), np.load("y.npy"), "several")


def names():
    unusual = ["ä", "日本語", "🜂", "a b", "dir/x", "x.npy.npy", "..", "arr_0", ""]
    everything = {name: np.full(2, k) for k, name in enumerate(unusual)}
    np.savez("names.npz", **everything)
    rewrite("names.npz", "again.npz")
    with np.load("again.npz") as again:
        assert list(again.files) == unusual, again.files
        for name, x in everything.items():
            if name + ".npy" not in everything:
                same(x, again[name], name)
    np.savez("empty.npz")
    rewrite("empty.npz", "again.npz")
    with np.load("again.npz") as again:
        assert again.files == []


def large():
    """Arrays larger than a buffer, in both orders of axes, compressed and not."""
    x = np.random.default_rng(1).integers(0, 50, (600, 500)).astype("f4")
    for save in np.savez, np.savez_compressed:
        save("large.npz", x=x, fortran=np.asfortranarray(x), big=x.astype(">f4"))
        for options in (), ("deflate",):
            rewrite("large.npz", "again.npz", *options)
            with np.load("again.npz") as again:
                for name in "x", "fortran", "big":
                    same(x, again[name], name)


def others():
    """Errors name types that Ebb does not have."""
    record = np.zeros(2, [("a", "<f4"), ("b", "<i4", (2,))])
    for x, words in [
        (np.zeros(2, "c8"), ["complex", "<c8"]),
        (np.array(["a", "bc"]), ["strings", "<U2"]),
        (np.array([b"a", b"bc"]), ["strings of bytes", "|S2"]),
        (np.array([{}, []], dtype=object), ["Python objects", "not executed"]),
        (record, ["records"]),
        (np.zeros(2, "f2").view("V2"), ["raw bytes", "bfloat16", "V2"]),
        (np.zeros(2, "M8[s]"), ["dates", "<M8[s]"]),
        (np.zeros(2, "g"), ["floats of another size"]),
    ]:
        np.save("other.npy", x, allow_pickle=True)
        refused("other.npy", "y.npy", *words)


with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    npz_files()
    npy_files()
    names()
    large()
    others()
print(checked, "comparisons")
