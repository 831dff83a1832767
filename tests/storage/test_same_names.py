"""Names that storage takes for one another, as disks of macOS and Windows do."""

import unicodedata

import pytest

from paninifs.storage.targets.local import LocalTarget
from paninifs.storage.targets.same_names import taken_for_one


class Folding(LocalTarget):
    """A disk that tells some names apart only by what `fold` leaves of them."""

    def __init__(self, path, fold):
        super().__init__(path)
        self.fold = fold

    def _path(self, key):
        return super()._path("/".join(map(self.fold, key.split("/"))))


def composed(name):
    return unicodedata.normalize("NFC", name)


E, DECOMPOSED = "\u00e9", "e\u0301"
FOLDS = {
    "upper": (str.casefold, ("N", "n"), ("n", "m")),
    "sharp s": (str.casefold, ("STRASSE", "stra\u00dfe"), ("strase", "strazze")),
    "nfc": (composed, (DECOMPOSED, E), ("e", E)),
    "both": (lambda name: composed(name).casefold(), (f"N{DECOMPOSED}", f"n{E}"), ("n", "ne")),
}


@pytest.mark.parametrize(("fold", "same", "others"), FOLDS.values(), ids=FOLDS)
def test_names_that_are_one_to_the_disk_are_found(tmp_path, fold, same, others):
    disk = Folding(tmp_path, fold)
    assert set(taken_for_one(disk, ["a", *same, *others])) == set(same)
    assert taken_for_one(disk, others) is None
    assert disk.sizes() == {}


@pytest.mark.parametrize(("fold", "same", "others"), FOLDS.values(), ids=FOLDS)
def test_a_disk_that_tells_them_apart_takes_them(tmp_path, fold, same, others):
    assert taken_for_one(LocalTarget(tmp_path), [*same, *others]) is None


def test_nothing_is_written_for_names_that_nobody_confuses(tmp_path):
    class Untouched(LocalTarget):
        def put(self, key, data):
            raise AssertionError(key)

    assert taken_for_one(Untouched(tmp_path), ["n", "words", "n_words"]) is None
