"""Collections that try failures again, or list everything once more."""

from __future__ import annotations

import asyncio

import pytest
from collecting import MemoryWeb, Pages, collected, rows, toolbox
from cutting import Cut, Scissors

from paninifs.engine.collecting.collector import Collector, CollectSpec
from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.source import Source
from paninifs.engine.monitoring.collect_progress import CollectProgress
from paninifs.storage.targets.open import open_target


def counts(corpus):
    return Ledger.read(corpus).state.sources[0].counts


def test_figures_of_failures_that_are_tried_again(tmp_path):
    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb()
    web.broken = {4, 8, 10}
    collected(Pages(20), "", tmp_path / "cache", web, target=corpus)
    web.broken, progress = {8}, CollectProgress()
    spec = CollectSpec(
        source=Pages(20), target=corpus, folder=tmp_path / "cache", retry_failed=True
    )
    asyncio.run(Collector(spec, toolbox(web), progress).run())
    figures = progress.snapshot()
    assert (figures.listed, figures.decided, figures.pending) == (20, 20, 0)


def test_what_a_source_refuses_itself_is_not_tried_again(tmp_path):
    class Archive(Source):
        name = "archive"

        async def pages(self, web, cursor):
            if cursor is None:
                torn = Item(key="a", url="http://host.test/1", refusal=("truncated", "record"))
                yield Page(items=(torn,), cursor="end")

    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb()
    for _ in range(2):
        collected(Archive(), "", tmp_path / "cache", web, target=corpus, retry_failed=True)
    assert counts(corpus).reasons == {"truncated": 1}
    assert not web.asked
    assert rows(corpus) == []


@pytest.mark.parametrize("after", [16, 22])
def test_a_refresh_that_is_killed_goes_on_where_it_was(tmp_path, after):
    corpus, web = open_target(tmp_path / "corpus"), MemoryWeb()
    collected(Pages(60), "", tmp_path / "cache", web, target=corpus)
    web.asked.clear()
    scissors = Scissors(after)
    with pytest.raises(Cut):
        collected(
            Pages(60),
            "",
            tmp_path / "cache",
            web,
            target=scissors.target(corpus),
            connect=scissors.connect,
            refresh=True,
        )
    before = sum(web.asked.values())
    collected(Pages(60), "", tmp_path / "cache", web, target=corpus, refresh=True)
    assert counts(corpus).decided == 120
    assert before > 0
    # What was in the air on its two connections to each of three hosts.
    assert sum(web.asked.values()) - len(web.asked) <= 6
