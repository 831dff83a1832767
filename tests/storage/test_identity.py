"""Digests of files, and names of files that are found again."""

import io
from dataclasses import replace
from itertools import pairwise

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paninifs import open_corpus
from paninifs.storage.corpus import identity
from paninifs.storage.corpus.identity import (
    BLOCK_BYTES,
    SAMPLED,
    UNREAD,
    WHOLE,
    WHOLE_BYTES,
    digest_of,
    kind_for,
    kind_of,
    listed_digest,
    sampled_blocks,
)
from paninifs.storage.corpus.relocation import recognized, under_known_names
from paninifs.storage.errors import CorpusChanged
from paninifs.storage.filesystems.versions import same_version
from paninifs.storage.rows import SourceFile


def file_of(name="a.txt", size=9, **more):
    common = {"url": f"file:///c/{name}", "version": "mtime=1.5", "format": "text"}
    return SourceFile(name=name, size=size, **{**common, "compression": None, **more})


@given(st.integers(0, 1 << 50))
@settings(deadline=None, database=None)
def test_blocks_are_ordered_and_hold_both_ends(size):
    blocks = list(sampled_blocks(size))
    assert blocks[0][0] == 0
    assert blocks[-1][1] == size
    assert sum(stop - start for start, stop in blocks) == min(size, WHOLE_BYTES)
    assert all(first[1] <= second[0] for first, second in pairwise(blocks))


def test_every_sampled_byte_counts():
    size = WHOLE_BYTES + BLOCK_BYTES
    data = bytearray(size)
    plain = digest_of(io.BytesIO(data), size, SAMPLED)
    for start, stop in sampled_blocks(size):
        for at in (start, stop - 1):
            changed = bytearray(data)
            changed[at] = 1
            assert digest_of(io.BytesIO(changed), size, SAMPLED) != plain


def test_a_file_that_ends_early_has_no_digest():
    with pytest.raises(OSError, match="no data at byte 3 of 4"):
        digest_of(io.BytesIO(b"abc"), 4, WHOLE)


def test_small_files_and_exact_digests_are_of_all_bytes():
    assert kind_for(file_of(size=WHOLE_BYTES), exact=False) == WHOLE
    assert kind_for(file_of(size=WHOLE_BYTES + 1), exact=False) == SAMPLED
    assert kind_for(file_of(size=1 << 40), exact=True) == WHOLE


@pytest.mark.parametrize(
    "info",
    [
        {"md5Hash": "kAFQmDzST7DWlj99KOF/cg=="},
        {"md5Checksum": "900150983cd24fb0d6963f7d28e17f72"},
    ],
    ids=["Cloud Storage", "Drive"],
)
def test_checksums_of_object_stores_are_taken(info):
    assert listed_digest(info) == digest_of(io.BytesIO(b"abc"), 3, WHOLE)


@pytest.mark.parametrize(
    "info",
    [{}, {"ETag": '"900150983cd24fb0d6963f7d28e17f72"'}, {"md5Hash": "?"}, {"md5Hash": "AAAA"}],
    ids=str,
)
def test_other_headers_are_no_digest(info):
    assert listed_digest(info) is None


# --- recognized -----------------------------------------------------------------------------------


class Reader:
    """An opener that computes a digest, or may not be asked for one."""

    def __init__(self, digest=None):
        self.answer, self.asked = digest, []

    def digest(self, file, kind):
        self.asked.append((file.name, kind))
        return self.answer


KNOWN = file_of(digest="md5:aa")
SAME = {
    "same time": (file_of(), None),
    "other time, same digest": (file_of(version="mtime=2.5"), "md5:aa"),
    "listed with the digest": (file_of(version="generation=7", digest="md5:aa"), None),
    "elsewhere at the same fraction of a second": (file_of(url="file:///d/a.txt"), None),
}
OTHER = {
    "other digest": (file_of(version="mtime=2.5"), "md5:bb"),
    "listed with another digest": (file_of(digest="md5:bb"), None),
    "other size": (file_of(size=8), None),
    "cannot be opened": (file_of(problem="it is a socket"), None),
}


@pytest.mark.parametrize("case", [*SAME, *OTHER])
def test_content_is_compared_with_as_few_reads_as_possible(case):
    file, digest = (SAME | OTHER)[case]
    reader = Reader(digest)
    (found,), same = recognized([file], {KNOWN.name: KNOWN}, reader)
    assert same == ({"a.txt"} if case in SAME else set())
    assert found.digest == ("md5:aa" if case in SAME else file.digest)
    assert reader.asked == ([("a.txt", "md5")] if digest else [])


def test_whole_seconds_are_no_proof_elsewhere():
    known = replace(KNOWN, version="mtime=1767225600.0")
    reader = Reader("md5:bb")
    file = replace(known, digest=None)
    assert recognized([file], {"a.txt": known}, reader)[1] == {"a.txt"}
    assert not reader.asked
    assert not recognized([replace(file, url="file:///d/a.txt")], {"a.txt": known}, reader)[1]


@pytest.mark.parametrize(("version", "same"), [("mtime=1.5", True), ("mtime=2.5", False)])
def test_a_store_without_digests_goes_by_time(version, same):
    known = replace(KNOWN, digest=None)
    found = recognized([file_of(version=version)], {"a.txt": known}, Reader())[1]
    assert bool(found) is same
    nothing = replace(known, version="")  # of a web server that said nothing
    assert recognized([file_of(version=version)], {"a.txt": nothing}, Reader())[1]


def test_a_file_that_could_not_be_read_stays_so_by_its_time():
    known = replace(KNOWN, digest=UNREAD)
    assert recognized([file_of()], {"a.txt": known}, Reader())[1]
    assert not recognized([file_of(version="mtime=2.5")], {"a.txt": known}, Reader())[1]
    assert kind_of(UNREAD) not in (WHOLE, SAMPLED)


CREATED = "created=1795977717.961971"
FORMER = "created=2026-11-29 18:41:57.961971+00:00"  # of earlier versions, from the same listing


@pytest.mark.parametrize("known_digest", [None, UNREAD, "md5:aa"])
def test_a_time_is_the_same_in_either_form(known_digest):
    known = file_of(version=FORMER, digest=known_digest)
    assert recognized([file_of(version=CREATED)], {"a.txt": known}, Reader())[1]
    assert same_version(FORMER.replace("+00:00", ""), CREATED)
    assert not same_version(FORMER.replace(":57.", ":58."), CREATED)
    assert not same_version(FORMER.replace("created", "mtime"), CREATED)
    assert not same_version("etag=1", "etag=1.0")


@pytest.mark.parametrize("location", ["listed", "listed/*.txt"])
def test_a_listing_and_a_description_in_different_forms_agree(location):
    memory = fsspec.filesystem("memory")
    memory.pipe("/listed/a.txt", b"un\ndeux\n")
    corpus = open_corpus(f"memory://{location}")
    assert corpus.index.rows == 2
    stored = replace(corpus.files[0], version=f"created={memory.info('/listed/a.txt')['created']}")
    corpus.opener.check(stored)  # as a store of an earlier version may know it
    memory.pipe("/listed/a.txt", b"un\nsept\n")
    with pytest.raises(CorpusChanged):
        corpus.opener.check(stored)


NAMES = {
    "the same": (["a", "b"], ["a", "b"], ["a", "b"]),
    "one more above": (["x/a", "x/b", "y"], ["a", "b"], ["a", "b", "../y"]),
    "one less above": (["a", "b"], ["x/a", "x/b", "y"], ["x/a", "x/b"]),
    "one gone, one more above": (["x/b", "y"], ["a", "b"], ["b", "../y"]),
    "nothing in common": (["c"], ["a", "b"], ["c"]),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_are_relative_to_the_folder_of_the_store(case):
    names, known, expected = NAMES[case]
    found = under_known_names([file_of(name) for name in names], known)
    assert [file.name for file in found] == expected


def test_counting_makes_the_digests(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(b"abc")
    (tmp_path / "b.txt").write_bytes(b"x\n" * WHOLE_BYTES)
    index = open_corpus(tmp_path).index
    small, large = (one.file.digest for one in index.files)
    assert small == "md5:900150983cd24fb0d6963f7d28e17f72"
    assert kind_of(large) == SAMPLED
    again = type(index).from_json(index.to_json())
    assert [one.file.digest for one in again.files] == [small, large]
    monkeypatch.setattr(identity, "_PIECE", 1000)  # however they are read
    assert open_corpus(tmp_path).index.files[1].file.digest == large
