"""Photos in any folder of class subfolders."""

import os

import numpy as np
import pytest
from PIL import Image
from support.images import photo, write_classes

from keras_wgd.tasks.datasets import folder

pytestmark = pytest.mark.any_backend


@pytest.fixture
def pets(tmp_path):
    """Ten images of each of three classes, whose red is the class."""
    return write_classes(tmp_path / "pets", {"dog": 10, "Cat": 10, "ant": 10})


def names(images, root):
    return [os.path.relpath(path, root) for path in images.paths]


def test_classes_and_labels(pets):
    (pets / ".cache").mkdir()
    (pets / "notes.txt").write_text("mine")
    data = folder.load(pets)
    assert (data.name, data.class_names) == ("pets", ("Cat", "ant", "dog"))
    assert data.image_shape == (8, 8, 3)
    assert np.bincount(data.y_train).tolist() == [8, 8, 8]
    assert np.bincount(data.y_test).tolist() == [2, 2, 2]
    for images, labels in ((data.train, data.y_train), (data.test, data.y_test)):
        assert [n.split("/")[0] for n in names(images, pets)] == [
            data.class_names[label] for label in labels
        ]
        pixels = images[np.arange(len(images))]
        assert pixels.shape[1:] == (8, 8, 3)
        np.testing.assert_array_equal(
            pixels[..., 0].max(axis=(1, 2)), np.array([20, 40, 0])[labels]
        )
    assert {*names(data.train, pets)}.isdisjoint(names(data.test, pets))


def test_split_depends_on_the_names_alone(pets, tmp_path):
    before = names(folder.load(pets).test, pets)
    other = tmp_path / "elsewhere"
    pets.rename(other)
    for path in other.glob("*/*"):
        Image.new("RGB", (16, 16), "red").save(path)
    assert names(folder.load(other).test, other) == before
    (other / "dog" / "new.png").write_bytes((other / "dog" / "0.png").read_bytes())
    after = names(folder.load(other).test, other)
    assert [n for n in after if n[:3] != "dog"] == [n for n in before if n[:3] != "dog"]


@pytest.mark.parametrize("part", folder.VALIDATION)
def test_parts_that_exist(part, tmp_path):
    root = tmp_path / "pets"
    write_classes(root / "train", {"cat": 3, "dog": 2})
    write_classes(root / part, {"cat": 1, "dog": 4})
    data = folder.load(root)
    assert data.class_names == ("cat", "dog")
    assert np.bincount(data.y_train).tolist() == [3, 2]
    assert np.bincount(data.y_test).tolist() == [1, 4]
    assert all(name.startswith(f"{part}/") for name in names(data.test, root))


def test_class_that_is_called_train(tmp_path):
    root = write_classes(tmp_path / "traffic", {"train": 5, "bus": 5})
    assert folder.load(root).class_names == ("bus", "train")


def test_parts_with_other_classes(tmp_path):
    write_classes(tmp_path / "train", {"cat": 3, "dog": 2})
    write_classes(tmp_path / "val", {"cat": 1, "ant": 1})
    with pytest.raises(ValueError, match=r"same class folders.*with ant, dog in one"):
        folder.load(tmp_path)


def test_images_of_other_sizes(pets):
    Image.fromarray(photo(12, 20)).save(pets / "ant" / "wide.png")
    message = (
        "^--image-size must be given where images differ in size or are not square. "
        "Received: .*ant/wide.png of 20 by 12 pixels"
    )
    with pytest.raises(ValueError, match=message) as error:
        folder.load(pets)
    assert "Cat/0.png of 8 by 8 pixels" in str(error.value)
    data = folder.load(pets, 10)
    assert data.image_shape == (10, 10, 3)
    assert data.train[np.arange(3)].shape == (3, 10, 10, 3)


def test_images_of_one_size_that_are_not_square(tmp_path):
    write_classes(tmp_path, {"a": 2, "b": 2}, size=(6, 9))
    with pytest.raises(
        ValueError, match=r"square. Received: a/0.png of 6 by 9 pixels$"
    ):
        folder.load(tmp_path)


def test_files_that_cannot_be_read(pets):
    (pets / "dog" / "text.png").write_bytes(b"not a picture")
    (pets / "ant" / "half.JPG").write_bytes((pets / "ant" / "0.png").read_bytes()[:60])
    (pets / "ant" / "link.png").symlink_to(pets / "ant" / "0.png")
    data = folder.load(pets)
    assert [line.partition(":")[0] for line in data.problems] == [
        "pets/ant/half.JPG is skipped",
        "pets/ant/link.png is skipped",
        "pets/dog/text.png is skipped",
    ]
    assert len(data.train) + len(data.test) == 30


def classes(**counts):
    return lambda root: write_classes(root, counts)


def unreadable(root):
    write_classes(root, {"a": 2, "b": 2})
    for path in (root / "b").iterdir():
        path.write_bytes(b"text")


def linked(root):
    write_classes(root, {"a": 2, "b": 2})
    (root / "c").symlink_to(root / "a")


def other_suffix(root):
    write_classes(root, {"a": 1, "b": 0})
    (root / "a" / "0.png").rename(root / "a" / "0.tiff")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "which does not exist"),
        (lambda root: root.write_text(""), "which is a file"),
        (lambda root: root.mkdir(), "at least two classes. .*, with none"),
        (classes(cat=5), "at least two classes. .*, with cat"),
        (classes(cat=5, dog=0), "two images .* with too few in dog"),
        (classes(cat=5, dog=1), "one for validation.* with too few in dog"),
        (classes(cat=0, dog=0), r"end in .jpg, .*with none in cat, dog"),
        (other_suffix, "with none in a, b"),
        (unreadable, "with too few in b"),
        (linked, "where c is a link"),
    ],
)
def test_folders_that_are_refused(make, message, tmp_path):
    make(tmp_path / "images")
    with pytest.raises(ValueError, match=message) as error:
        folder.load(tmp_path / "images")
    assert "Received: " in str(error.value)
    assert "\n" not in str(error.value)


def test_folder_that_cannot_be_listed(pets, monkeypatch):
    listdir = os.listdir

    def refused(path):
        if path == pets / "ant":
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(ValueError, match=r"pets must .* be read.*ant \(Permission den"):
        folder.load(pets)
