"""Random sources, answers, orders of answers and cuts: the rows and counts of a simple model."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from collecting import InlinePool, rows, toolbox
from cutting import Cut, Scissors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paninifs.engine.collecting.collect_limits import Limits
from paninifs.engine.collecting.collector import Collector, CollectSpec
from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.outcome import FAILED, TRANSIENT, NotKept
from paninifs.engine.collecting.parts.part_writer import PartSize
from paninifs.engine.collecting.pipeline.session import Pace
from paninifs.engine.collecting.source import Source
from paninifs.engine.collecting.web.answer import Answer, Validators
from paninifs.engine.monitoring.collect_progress import CollectProgress
from paninifs.storage.targets.open import open_target

PACE = Pace(size=PartSize(part_rows=4, group_rows=2), most_entries=6, extracting=2, at_once=5)

TEXTS = [f"text {letter}" for letter in "abcdefg"]
REASONS = ["not-found", "busy", "timeout", "damaged", "no-text"]
HOSTS = 3


@dataclass(frozen=True)
class Thing:
    """An item as a source lists it, and what becomes of it in each of the three acts."""

    key: int
    how: str  # "text", "content", "url" or "refusal"
    outcomes: tuple[str, str, str]
    delay: int

    def item(self, act: int) -> Item:
        key, outcome = f"key-{self.key}", self.outcomes[act]
        if outcome in REASONS and self.how != "url":
            return Item(key=key, refusal=(outcome, ""))
        if self.how == "text":
            return Item(key=key, text=outcome)
        if self.how == "content":
            return Item(key=key, content=outcome.encode(), media_type="text/plain")
        return Item(key=key, url=f"http://host{self.key % HOSTS}.test/{self.key}")


class Random(Source):
    name = "random"

    def __init__(self, things, act, page, forgetful) -> None:
        self.things, self.act, self.page, self.forgetful = things, act, page, forgetful

    def settings(self):
        return {}

    async def pages(self, web, cursor):
        start = 0 if self.forgetful else int(cursor or 0)
        for at in range(start, len(self.things), self.page):
            some = self.things[at : at + self.page]
            yield Page(items=tuple(one.item(self.act) for one in some), cursor=str(at + len(some)))


class RandomWeb:
    def __init__(self, things) -> None:
        self.things: dict[int, Thing] = {}
        for one in things:
            self.things.setdefault(one.key, one)
        self.act = 0
        self.asked: Counter[int] = Counter()

    async def get(self, url, *, params=None, validators=None, most_bytes=None, robots=True):
        number = int(url.rsplit("/", 1)[1])
        self.asked[number] += 1
        thing = self.things[number]
        for _ in range(thing.delay):
            await asyncio.sleep(0)
        outcome = thing.outcomes[self.act]
        if outcome in REASONS:
            raise NotKept(outcome)
        same = validators is not None and validators.etag == outcome
        return Answer(
            url=url,
            status=304 if same else 200,
            body=b"" if same else outcome.encode(),
            media_type="text/plain",
            validators=Validators(etag=outcome),
            retrieved=datetime.now(UTC),
            received_bytes=len(outcome),
        )


@dataclass
class Model:
    """What a collection is to be, without any machinery."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    last: dict[int, str] = field(default_factory=dict)  # the last text of a key
    failed: dict[int, str] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)

    def decide(self, key: int, outcome: str) -> None:
        self.failed.pop(key, None)
        if outcome in REASONS:
            self.reasons[outcome] += 1
            if outcome in FAILED:
                self.failed[key] = outcome
        elif self.last.get(key) == outcome:
            self.reasons["unchanged"] += 1
        elif any(text == outcome for _, text in self.rows):
            self.reasons["duplicate"] += 1
        else:
            self.rows.append((f"key-{key}", outcome))
        if outcome not in REASONS:
            self.last[key] = outcome

    def list(self, things, act) -> None:
        seen = set()
        for one in things:
            if one.key not in seen:
                seen.add(one.key)
                self.decide(one.key, one.outcomes[act])

    def retry(self, things, act) -> None:
        by_key = {one.key: one for one in reversed(things)}
        for key, reason in list(self.failed.items()):
            # A refusal of the source's own is not tried again.
            if reason in TRANSIENT and by_key[key].how == "url":
                self.reasons[reason] -= 1
                self.retried += 1
                self.decide(key, by_key[key].outcomes[act])


OUTCOMES = st.one_of(st.sampled_from(TEXTS), st.sampled_from(REASONS))
THINGS = st.lists(
    st.builds(
        Thing,
        key=st.integers(0, 24),
        how=st.sampled_from(["text", "content", "url", "url", "url"]),
        outcomes=st.tuples(OUTCOMES, OUTCOMES, OUTCOMES),
        delay=st.integers(0, 6),
    ),
    min_size=1,
    max_size=40,
)
CUTS = st.lists(
    st.tuples(st.integers(1, 60), st.booleans(), st.sampled_from([False, False, True])), max_size=3
)


class Rig:
    """A corpus, and collectors of it that may be cut."""

    def __init__(self, folder: str, things) -> None:
        self.cache, self.corpus = Path(folder, "cache"), open_target(f"{folder}/corpus")
        self.web = RandomWeb(things)
        self.cuts = 0

    def act(self, source, cuts, **spec) -> None:
        """Collect, cut some times, and to the end."""
        self.web.act = source.act
        before = Ledger.read(self.corpus)
        for at, after, lose in cuts:
            scissors = Scissors(at, after)
            try:
                self.collect(source, scissors.target(self.corpus), connect=scissors.connect, **spec)
            except Cut:
                assert scissors.dead
            self.cuts += 1
            if lose:
                shutil.rmtree(self.cache, ignore_errors=True)
            if spec.get("refresh") and self.refreshed(before):
                spec.pop("refresh")  # or it would begin once more
        progress = CollectProgress()
        flow = self.collect(source, self.corpus, progress, **spec)
        assert flow.ending == "finished"
        self.check(progress.snapshot())

    def refreshed(self, before) -> bool:
        """Whether everything was listed again since, though the session was cut."""
        state = Ledger.read(self.corpus).state.sources[0]
        return state.complete and state.first != before.state.sources[0].first

    def collect(self, source, target, progress=None, limits=None, connect=None, **spec):
        spec = CollectSpec(
            source=source,
            target=target,
            folder=self.cache,
            pace=PACE,
            limits=limits or Limits(),
            **spec,
        )
        extra = {} if connect is None else {"connect": connect}
        tools = toolbox(self.web, InlinePool())
        return asyncio.run(Collector(spec, tools, progress or CollectProgress(), **extra).run())

    def check(self, figures) -> None:
        """The figures that are shown are those of the ledger, and nothing is left."""
        state = Ledger.read(self.corpus).state.sources[0]
        assert state.complete
        assert (figures.kept, figures.skipped, figures.failed) == (
            state.counts.kept,
            state.counts.skipped,
            state.counts.failed,
        )
        assert figures.reasons == {name: n for name, n in state.counts.reasons.items() if n}
        assert figures.listed == figures.decided
        assert figures.rows_committed == state.counts.kept

    def agrees(self, model: Model) -> None:
        assert [(row["id"], row["text"]) for row in rows(self.corpus)] == model.rows
        counts = Ledger.read(self.corpus).state.sources[0].counts
        assert {n: c for n, c in counts.reasons.items() if c} == +model.reasons
        assert counts.kept == len(model.rows)


@pytest.mark.slow("collects some hundred times")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    things=THINGS,
    page=st.integers(1, 9),
    forgetful=st.booleans(),
    grown=st.integers(0, 40),
    cuts=st.tuples(CUTS, CUTS, CUTS, CUTS),
)
def test_any_collection_is_that_of_the_model(things, page, forgetful, grown, cuts):
    with TemporaryDirectory() as folder:
        rig, model = Rig(folder, things), Model()
        for count, some in ((min(grown, len(things)), cuts[0]), (len(things), cuts[1])):
            rig.act(Random(things[:count], 0, page, forgetful), some)
        model.list(things, 0)
        rig.agrees(model)
        again = sum(rig.web.asked.values()) - len(rig.web.asked)
        assert again <= PACE.at_once * rig.cuts or any(cut[2] for one in cuts for cut in one)
        rig.act(Random(things, 1, page, forgetful), cuts[2], retry_failed=True)
        model.retry(things, 1)
        rig.agrees(model)
        rig.act(Random(things, 2, page, forgetful), cuts[3], refresh=True)
        model.list(things, 2)
        rig.agrees(model)
