"""A collector that is cut off at any write, and goes on: the same rows, and nothing asked twice."""

from __future__ import annotations

import shutil

import pytest
from collecting import MemoryWeb, Pages, collected, rows
from cutting import Cut, Scissors

from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.engine.collecting.parts.part_writer import PartSize
from paninifs.engine.collecting.pipeline.session import Pace
from paninifs.storage.targets.open import open_target

HOSTS = 3
PACE = Pace(size=PartSize(part_rows=9, group_rows=4), most_entries=16, extracting=2)


def source():
    return Pages(60, hosts=HOSTS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    scissors = Scissors(None)
    target = scissors.target(open_target(folder / "corpus"))
    collected(source(), "", folder / "cache", target=target, connect=scissors.connect, pace=PACE)
    return rows(target), scissors.writes


def cut_and_resumed(folder, at, after, lose_database=False):
    """Collect, cut at a write, and go on; return the corpus and what was asked."""
    web, corpus = MemoryWeb(), open_target(folder / "corpus")
    scissors = Scissors(at, after)
    try:
        collected(
            source(),
            "",
            folder / "cache",
            web,
            target=scissors.target(corpus),
            connect=scissors.connect,
            pace=PACE,
        )
    except Cut:
        assert scissors.dead
    if lose_database:
        shutil.rmtree(folder / "cache", ignore_errors=True)
    flow = collected(source(), "", folder / "cache", web, target=corpus, pace=PACE)
    assert flow.ending == "finished"
    return corpus, web


def check(folder, expected, at, after):
    corpus, web = cut_and_resumed(folder, at, after)
    assert rows(corpus) == expected
    assert Ledger.read(corpus).state.sources[0].counts.decided == 60
    again = sum(web.asked.values()) - len(web.asked)
    assert again <= 2 * HOSTS, "only what was in the air is asked for again"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_cut_at_a_write(undisturbed, tmp_path, share, after):
    expected, writes = undisturbed
    check(tmp_path, expected, 1 + int(share * writes), after)


@pytest.mark.soak("cuts at every write")
@pytest.mark.parametrize("after", [False, True])
def test_cut_at_every_write(undisturbed, tmp_path, after):
    expected, writes = undisturbed
    for at in range(1, writes + 5):
        check(tmp_path / str(at), expected, at, after)


@pytest.mark.slow("cuts at many writes")
def test_cut_and_moved_to_another_machine(undisturbed, tmp_path):
    expected, writes = undisturbed
    for at in range(1, writes, 7):
        corpus, web = cut_and_resumed(tmp_path / str(at), at, after=True, lose_database=True)
        assert rows(corpus) == expected
        # What the ledger has is not asked for again.
        assert max(web.asked.values()) <= 2
