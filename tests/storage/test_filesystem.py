"""Listings are complete, and globs match as in fsspec."""

import errno

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from paninifs.storage.filesystems.filesystem import files_below, files_matching

FILES = [
    "a.txt",
    "b/a.txt",
    "b/c/a.txt",
    "b/c/d.csv",
    "b.txt",
    "b2/a.txt",
    "[x]/a.txt",
    "b/.h/a.txt",
]
PATTERNS = [
    "*",
    "*.txt",
    "?.txt",
    "[ab].txt",
    "b/*.txt",
    "b*/*",
    "*/*/a.txt",
    "**",
    "**/*.txt",
    "b/**",
    "b/**/a.txt",
    "**/c/*",
    "b/c/d.*",
    "[[]x]/*",
    "absent/*",
    "a.txt",
    "absent.txt",
]


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path):
    fs = fsspec.filesystem("file" if request.param == "local" else "memory")
    root = str(tmp_path)
    for name in FILES:
        fs.makedirs(f"{root}/{name}".rsplit("/", 1)[0], exist_ok=True)
        fs.pipe_file(f"{root}/{name}", name.encode())
    yield fs, root
    if request.param == "memory":
        fs.rm(root, recursive=True)


def test_all_files_and_nothing_else_are_listed(place):
    fs, root = place
    found = files_below(fs, root)
    assert list(found) == sorted(f"{root}/{name}" for name in FILES)
    assert {info["size"] for info in found.values()} == {len(name) for name in FILES}
    assert files_below(fs, f"{root}/absent") == {}
    assert sorted(files_below(fs, root, 1)) == [f"{root}/a.txt", f"{root}/b.txt"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_globs_match_as_in_fsspec(place, pattern):
    fs, root = place
    expected = [
        n for n, i in fs.glob(f"{root}/{pattern}", detail=True).items() if i["type"] == "file"
    ]
    if not fsspec.core.has_magic(pattern):
        expected = []  # what is named is not looked for here
    assert list(files_matching(fs, f"{root}/{pattern}")) == sorted(expected)


def test_a_glob_lists_no_deeper_than_needed(place, monkeypatch):
    fs, root = place
    listed = []
    ls = type(fs).ls
    monkeypatch.setattr(
        type(fs), "ls", lambda self, path, **kw: [listed.append(path), ls(self, path, **kw)][1]
    )
    files_matching(fs, f"{root}/b/*.txt")
    assert listed == [f"{root}/b"]


@pytest.mark.slow("waits for retries")
@pytest.mark.parametrize("at", ["", "/b", "/b/c"])
def test_an_unlistable_folder_at_any_depth_raises(tmp_path, monkeypatch, at):
    (tmp_path / "b/c").mkdir(parents=True)
    (tmp_path / "b/c/a.txt").write_text("a")
    ls = LocalFileSystem.ls

    def failing(self, path, **options):
        if path == f"{tmp_path}{at}":
            raise OSError(errno.EIO, "Input/output error", path)
        return ls(self, path, **options)

    monkeypatch.setattr(LocalFileSystem, "ls", failing)
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.1")
    fs = fsspec.filesystem("file")
    with pytest.raises(OSError, match="Input/output error"):
        files_below(fs, str(tmp_path))
    with pytest.raises(OSError, match="Input/output error"):
        files_matching(fs, f"{tmp_path}/**/*.txt")
    assert fs.find(str(tmp_path)) == []  # what fsspec itself makes of it


def test_inconsistent_drive_listings_are_retried(drive, monkeypatch):
    import gdrive_fsspec.core

    from paninifs import open_corpus
    from paninifs.storage.targets.open import open_target

    options = drive.storage_options
    open_target("gdrive://here", options).put("corpus/a.txt", b"un\ndeux\n")
    info, times = gdrive_fsspec.core.GoogleDriveFileSystem.info, []

    def unsettled(self, path, **more):
        times.append(path)
        if len(times) in (2, 5, 9):
            raise KeyError("id")
        return info(self, path, **more)

    monkeypatch.setattr(gdrive_fsspec.core.GoogleDriveFileSystem, "info", unsettled)
    assert open_corpus("gdrive://here/corpus", storage_options=options).index.rows == 2
    assert len(times) > 9
