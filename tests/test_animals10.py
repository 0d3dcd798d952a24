import os

import numpy as np
import pytest
from PIL import Image
from support.images import encoded, photo, write_animals

from keras_wgd.tasks import datasets
from keras_wgd.tasks.datasets import animals10, photos

pytestmark = pytest.mark.any_backend

# Training and test images of each class in the paper's Table 2. It prints 186 test
# images of sheep, which would make 26,183 images of the 26,179 that there are.
TABLE_2 = {
    "cane": (4376, 487),
    "cavallo": (2361, 262),
    "elefante": (1301, 145),
    "farfalla": (1901, 211),
    "gallina": (2789, 309),
    "gatto": (1502, 166),
    "mucca": (1680, 186),
    "pecora": (1638, 182),
    "ragno": (4339, 482),
    "scoiattolo": (1676, 186),
}


def one_color(label, number):
    return Image.new("RGB", (9, 11), (20 * label, number, 0))


def file_names(images, root):
    return [os.path.relpath(path, root) for path in images.paths]


@pytest.fixture
def animals(tmp_path):
    write_animals(tmp_path / "raw-img", one_color)
    return tmp_path


@pytest.mark.parametrize("name", TABLE_2)
def test_split_of_the_whole_set_is_that_of_table_2(name):
    images = sum(TABLE_2[name])
    names = [f"{name}{i}.jpeg" for i in range(images)]
    train, test = photos.split(names)
    assert sorted(train + test) == sorted(names)
    assert (len(train), len(test)) == pytest.approx(TABLE_2[name], abs=1)
    assert len(test) == images // 10
    shuffled = np.random.default_rng(1).permutation(names).tolist()
    assert photos.split(shuffled) == (train, test)


def test_split_is_fixed():
    names = [f"{i:02}" for i in range(40)]
    assert photos.split(names)[1] == ["04", "11", "24", "27"]
    assert photos.split(["a"]) == ([], ["a"])
    assert photos.split(["a", "b"]) == (["b"], ["a"])


def test_labels_are_those_of_the_folders(animals):
    (animals / "raw-img" / "cane" / ".hidden.jpeg").write_bytes(b"")
    (animals / "raw-img" / "cane" / "notes.txt").write_bytes(b"")
    (animals / "raw-img" / "other").mkdir()
    data = datasets.load("animals10", str(animals))
    assert data.image_shape == (224, 224, 3)
    assert data.class_names[:3] == ("Dog", "Horse", "Elephant")
    assert data.class_names[3:7] == ("Butterfly", "Chicken", "Cat", "Cow")
    assert data.class_names[7:] == ("Sheep", "Spider", "Squirrel")
    assert data.problems == ()
    assert np.bincount(data.y_train).tolist() == [11] * 10
    assert np.bincount(data.y_test).tolist() == [1] * 10
    for images, labels in ((data.train, data.y_train), (data.test, data.y_test)):
        folders = [
            name.split("/")[0] for name in file_names(images, animals / "raw-img")
        ]
        assert folders == [list(TABLE_2)[label] for label in labels]
        red = images[np.arange(len(images))][..., 0].mean(axis=(1, 2))
        np.testing.assert_allclose(red, 20 * labels, atol=4)
    pixels = data.preprocess(np.full((1, 1, 1, 3), 255, "uint8"))
    expected = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(pixels[0, 0, 0], expected, rtol=1e-5)


def test_folder_animals10(tmp_path):
    write_animals(tmp_path / "animals10" / "raw-img", one_color, count=2)
    data = datasets.load(
        "animals10", str(tmp_path), train_size=10, test_size=5, image_size=8
    )
    assert data.image_shape == (8, 8, 3)
    assert data.y_train.tolist() == list(range(10))
    assert data.train[np.arange(10)].shape == (10, 8, 8, 3)
    assert len(data.test) == 5


def test_classes_are_split_independently(animals):
    def tested():
        data = animals10.load(str(animals), 8)
        names = file_names(data.test, animals / "raw-img")
        return [name for name in names if name.startswith("gatto")]

    before = tested()
    (animals / "raw-img" / "cane" / "00.jpeg").unlink()
    (animals / "raw-img" / "ragno" / "new.png").write_bytes(
        encoded(Image.new("RGB", (8, 8)), "PNG")
    )
    assert tested() == before


def test_class_with_one_image(animals):
    for path in sorted((animals / "raw-img" / "cane").iterdir())[1:]:
        path.unlink()
    data = animals10.load(str(animals), 8)
    assert (np.sum(data.y_train == 0), np.sum(data.y_test == 0)) == (0, 1)


WHOLE = encoded(Image.fromarray(photo(64, 64)))
PNG = encoded(Image.fromarray(photo(64, 64)), "PNG")
BAD = {
    "text.jpeg": (b"not a picture", "not an image"),
    "program.png": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "not an image",
    ),
    "empty.bmp": (b"", "empty"),
    "half.jpg": (WHOLE[: len(WHOLE) // 2], "truncated"),
    "start.JPG": (WHOLE[:30], ""),
    "half.png": (PNG[: len(PNG) // 2], "truncated"),
    "damaged.png": (PNG[:20] + b"\xff" + PNG[21:], ""),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_images_are_skipped(animals, bad):
    content, reason = BAD[bad]
    (animals / "raw-img" / "pecora" / bad).write_bytes(content)
    data = animals10.load(str(animals), 8)
    (problem,) = data.problems
    assert problem.startswith(f"raw-img/pecora/{bad} is skipped: {reason}")
    assert len(problem) < 80
    assert str(animals) not in problem
    assert len(data.train) + len(data.test) == 120


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied", "/secret"), "permission denied"),
        (OSError("broken data stream in /secret"), "cannot be decoded (OSError)"),
        (RecursionError("/secret"), "cannot be decoded (RecursionError)"),
    ],
)
def test_errors_of_decoding_are_shortened(animals, monkeypatch, error, reason):
    def check(path, size):
        if path.endswith("farfalla/04.jpeg"):
            raise error
        return "", (size, size)

    monkeypatch.setattr(photos, "check", check)
    data = animals10.load(str(animals))
    assert data.problems == (f"raw-img/farfalla/04.jpeg is skipped: {reason}",)


def test_bad_images_do_not_change_the_split(animals):
    root = animals / "raw-img"
    before = animals10.load(str(animals), 8)
    bad = ["gatto/05.jpeg", "pecora/03.jpeg", file_names(before.test, root)[0]]
    for name in bad:
        (root / name).write_bytes(b"")
    after = animals10.load(str(animals), 8)
    assert after.problems == tuple(
        f"raw-img/{name} is skipped: empty" for name in sorted(bad)
    )
    for part in ("train", "test"):
        names = file_names(getattr(before, part), root)
        kept = [i for i, name in enumerate(names) if name not in bad]
        assert file_names(getattr(after, part), root) == [names[i] for i in kept]
        np.testing.assert_array_equal(
            getattr(after, f"y_{part}"), getattr(before, f"y_{part}")[kept]
        )
    assert len(after.test) == 9


@pytest.mark.parametrize("pixels", [100, 300])
def test_images_with_too_many_pixels_are_skipped(animals, monkeypatch, pixels):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    large = encoded(Image.new("RGB", (10, pixels // 10)), "PNG")
    (animals / "raw-img" / "cane" / "large.png").write_bytes(large)
    data = animals10.load(str(animals), 8)
    assert data.problems == ("raw-img/cane/large.png is skipped: too many pixels",)


def test_links_folders_and_pipes_are_skipped(animals, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_bytes(PNG)
    folder = animals / "raw-img" / "mucca"
    (folder / "link.png").symlink_to(outside)
    (folder / "lost.png").symlink_to("nowhere")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    data = animals10.load(str(animals), 8)
    assert data.problems == (
        "raw-img/mucca/folder.png is skipped: not a file",
        "raw-img/mucca/link.png is skipped: a link",
        "raw-img/mucca/lost.png is skipped: a link",
        "raw-img/mucca/pipe.png is skipped: not a file",
    )


@pytest.mark.parametrize(
    "name",
    [
        "a\nb.jpeg",
        "\x1b[31mred\x07.png",
        "\u202egnp.png",
        "\udcff.gif",
        "\u2028'\".png",
        "[bold]\\.png",
    ],
)
def test_hostile_names_are_escaped(animals, name):
    (animals / "raw-img" / "ragno" / name).write_bytes(b"")
    (problem,) = animals10.load(str(animals), 8).problems
    assert problem.isprintable()
    assert problem.encode()
    assert problem.startswith("raw-img/ragno/")
    assert problem.endswith(" is skipped: empty")


def test_missing_folder(tmp_path):
    with pytest.raises(ValueError, match=r"animals10 needs --data-dir: .* no folder$"):
        datasets.load("animals10")
    with pytest.raises(ValueError, match=r"Received: .*nowhere, which is no folder"):
        datasets.load("animals10", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"raw-img or animals10/raw-img.*without it"):
        datasets.load("animals10", str(tmp_path))


def test_missing_classes(animals, tmp_path_factory):
    root = animals / "raw-img"
    (root / "ragno").rename(root / "spider")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "gatto"
    (root / "gatto").rename(elsewhere)
    (root / "gatto").symlink_to(elsewhere)
    with pytest.raises(ValueError, match=r"Received: .*raw-img, without gatto, ragno$"):
        datasets.load("animals10", str(animals))


def test_link_to_the_folder_is_not_followed(animals, tmp_path_factory):
    link = tmp_path_factory.mktemp("link")
    (link / "raw-img").symlink_to(animals / "raw-img")
    with pytest.raises(ValueError, match="where raw-img is a link"):
        datasets.load("animals10", str(link))


@pytest.mark.parametrize("content", [None, b"text"])
def test_classes_without_usable_images(animals, content):
    for name in ("cane", "pecora"):
        for path in (animals / "raw-img" / name).iterdir():
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
    with pytest.raises(ValueError, match=r"with none in cane, pecora$"):
        datasets.load("animals10", str(animals), image_size=8)
