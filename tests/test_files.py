import pytest

from keras_wgd import files

pytestmark = pytest.mark.any_backend


def test_atomic_write(tmp_path):
    path = tmp_path / "model.keras"
    drafts = set()
    for text in ("one", "two"):
        with files.atomic(path) as draft:
            drafts.add(draft)
            assert draft.parent == tmp_path
            assert draft.suffix == path.suffix
            draft.write_text(text)
        assert path.read_text() == text
    assert len(drafts) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_permissions(tmp_path):
    (tmp_path / "any").write_text("")
    files.write_text(tmp_path / "ours", "")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_links_are_not_followed(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    place = tmp_path / "place"
    place.symlink_to(elsewhere)
    files.write_text(place, "ours")
    assert not place.is_symlink()
    # As if the name could be guessed.
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "0")
    (tmp_path / ".draft-0-place").symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        files.write_text(place, "again")
    assert place.read_text() == "ours"
    assert elsewhere.read_text() == "mine"


def test_remove_drafts(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    (tmp_path / ".draft-1-model.keras").write_text("half")
    (tmp_path / ".draft-2").mkdir()
    (tmp_path / ".draft-2" / "events").write_text("half")
    (tmp_path / ".draft-3").symlink_to(elsewhere)
    files.remove_drafts(tmp_path)
    assert list(tmp_path.iterdir()) == [elsewhere]
    assert (elsewhere / "file").exists()
