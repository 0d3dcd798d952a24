"""NumPy archives that are damaged or hostile."""

import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from keras_wgd import archive

pytestmark = pytest.mark.any_backend


def header(fields, version=(1, 0)):
    text = fields.encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text


def of(shape, descr="'<f4'", version=(1, 0)):
    fields = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"
    return header(fields, version)


def packed(path, content, **options):
    """An archive whose only array has these bytes."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("a.npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_numpy(tmp_path, save):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6, dtype="int8").reshape(2, 3)),
        "c": np.array(["ä", "bc"]),
        "d": np.float32(3),
        "e": np.zeros((0, 3)),
    }
    path = tmp_path / "x.npz"
    save(path, **arrays)
    assert archive.names(path) == list(arrays)
    max_bytes = sum(array.nbytes for array in arrays.values())
    for got, expected in zip(
        archive.read(path, list(arrays), max_bytes), arrays.values(), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
    with pytest.raises(KeyError, match="'f'"):
        archive.read(path, ["a", "f"], max_bytes)


class Trap:
    """Leaves a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: [trap]])
def test_nothing_is_unpickled(tmp_path, wrap):
    sprung = tmp_path / "sprung"
    array = np.empty(1, object)
    array[0] = wrap(Trap(sprung))
    np.savez(tmp_path / "object.npz", a=array)
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Trap(sprung)))
    packed(tmp_path / "member.npz", pickle.dumps(Trap(sprung)))
    for name in ("object", "bare", "member"):
        with pytest.raises(ValueError, match=r"Object arrays|not a zip|magic"):
            archive.read(tmp_path / f"{name}.npz", ["a"], 1000)
    assert not sprung.exists()
    with np.load(tmp_path / "object.npz", allow_pickle=True) as file:
        file["a"]
    assert sprung.exists()  # it is a trap


BOMB = b"\0" * 2**26
DEFLATED = {"compression": zipfile.ZIP_DEFLATED}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (of((2**24,)) + BOMB, DEFLATED),
        (of((10**12,)), {}),
        (of((10**12,), version=(2, 0)), {}),
        (of((2**24,)) + b"\0" * 9, {}),
        (of((1,), "'<U100000000'"), {}),
        (of((1,), "[('a', '<f4', (9999, 9999))]"), {}),
        (b"\x93NUMPY\2\0" + struct.pack("<I", 2**26) + BOMB, DEFLATED),
        *(
            (of((25,)) + b"\0" * 100, {"compression": kind})
            for kind in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        ),
    ],
    ids=[
        *("unpacks to much", "claims much", "claims much, 2.0", "claims more"),
        *("long strings", "large records", "long header", "bzip2", "lzma"),
    ],
)
def test_no_memory_for_oversized_arrays(tmp_path, content, options):
    path = packed(tmp_path / "x.npz", content, **options)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"unpacks|declares more|compress|header"):
            archive.read(path, ["a"], 100)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_false_size_in_the_directory(tmp_path):
    """Where the directory says a hundred bytes, no more are unpacked."""
    path = packed(tmp_path / "x.npz", of((25,)) + BOMB, **DEFLATED)
    content = path.read_bytes()
    size = struct.pack("<I", len(of((25,)) + BOMB))
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, struct.pack("<I", len(of((25,))) + 100)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="CRC"):
            archive.read(path, ["a"], 100)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x93NUMPY", b"\x93NUMPY\1\0\xff", of((1,), version=(9, 0))),
        header("-" * 9000 + "1"),
        header("(" * 9000),
        header("[" * 9000 + "]" * 9000),
        header("{}"),
        header("__import__('os').system('true')"),
        *(of(shape) + b"\0" * 16 for shape in ("(-1, -4)", "(True,)", "('4',)", "4")),
        of(f"(0, {10**30})"),
        of((1,), f"'{'(9,' * 2000}'"),
        of((1,), "'<f4\x1b[2J'"),
    ],
)
def test_invalid_headers(tmp_path, content):
    path = packed(tmp_path / "x.npz", content)
    with pytest.raises(ValueError, match=r".") as refused:
        archive.read(path, ["a"], 1000)
    assert type(refused.value) is ValueError
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1100


def test_names_are_no_paths(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    names = ["../up", str(tmp_path / "absolute"), "a\nb", "\x1b[2J", ""]
    with zipfile.ZipFile(folder / "x.npz", "w") as file:
        for name in names:
            file.writestr(f"{name}.npy", of((1,)) + b"\0" * 4)
    assert archive.names(folder / "x.npz") == names
    assert len(archive.read(folder / "x.npz", names, 100)) == len(names)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in folder.iterdir()] == ["x.npz"]
