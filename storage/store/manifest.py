"""The manifest: what the results in a store were computed from.

Its *facts* are everything that could change any bit of the results. They are compared one by one,
so that an error names those that differ. Which runs may write to a store is decided in `extension`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os.path import commonprefix
from typing import Any

from ..corpus.corpus import Corpus
from ..corpus.index import CorpusIndex
from ..errors import ResultsMismatch, ResultsNotFound
from ..field import Field
from ..names import storable
from ..targets.target import Target
from .history import RunRecord
from .keys import INDEXES, MANIFEST_KEY, RUN_FOLDER, SPARE_MANIFEST_KEY, index_key
from .layout import LAYOUT_VERSION, stored_fields
from .shards import StoreLayout


@dataclass(frozen=True)
class Stage:
    """The size and identity of a store before it was extended."""

    fingerprint: str
    rows: int
    files: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the results in a store were computed from. `facts` is JSON; see `facts_of`."""

    facts: Mapping[str, Any]
    fields: tuple[Field, ...]  # those that the graph computes
    shard_rows: int
    rows: int
    created: str  # ISO 8601, UTC
    versions: Mapping[str, str]  # of the packages that began the store; not facts
    stages: tuple[Stage, ...] = ()  # before each extension, the oldest first
    index_digest: str = ""  # of the contents of the files; see `CorpusIndex.digest`
    runs: tuple[RunRecord, ...] = ()  # that finished, the oldest first; not facts
    summary: Mapping[str, Any] | None = None  # what the store held when last complete

    @property
    def fingerprint(self) -> str:
        """A digest of the facts, of the contents of the files, and of the rows per shard."""
        canonical = json.dumps([self.facts, self.shard_rows, self.index_digest], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def index_key(self) -> str:
        """Key of the index: it changes with each extension, so that the two always match."""
        return index_key(self.fingerprint)

    def layout(self, index: CorpusIndex) -> StoreLayout:
        """Return the store's layout."""
        fields = stored_fields(index.id, index.keep, self.fields)
        earlier = {stage.fingerprint: stage.rows for stage in self.stages}
        return StoreLayout(fields, self.rows, self.shard_rows, self.fingerprint, earlier)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the store's root while it is not complete."""
        return {
            "complete": False,
            "created": self.created,
            "fingerprint": self.fingerprint,
            "rows": self.rows,
            "shards": -(-self.rows // self.shard_rows),
            "versions": dict(self.versions),
        }

    def to_json(self) -> bytes:
        """Encode the manifest."""
        document = {
            "facts": self.facts,
            "fields": [field.describe() for field in self.fields],
            "shard_rows": self.shard_rows,
            "rows": self.rows,
            "created": self.created,
            "versions": self.versions,
            "stages": [asdict(stage) for stage in self.stages],
            "index_digest": self.index_digest,
            "runs": [run.to_json() for run in self.runs],
            "summary": self.summary,
        }
        return storable(json.dumps(document, indent=1, ensure_ascii=False)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Decode what `to_json` wrote."""
        document = json.loads(data)
        fields = tuple(Field.described(f) for f in document["fields"])
        names = ("facts", "shard_rows", "rows", "created", "versions")
        stages = tuple(Stage(**stage) for stage in document.get("stages", ()))  # from layout 3 on
        digest = document.get("index_digest", "")
        runs = tuple(map(RunRecord.from_json, document.get("runs", ())))
        values = {name: document[name] for name in names}
        values["summary"] = document.get("summary")
        return cls(fields=fields, stages=stages, index_digest=digest, runs=runs, **values)


def facts_of(corpus: Corpus, graph: Mapping[str, Any], numeric_version: int) -> dict[str, Any]:
    """Return everything that could change any bit of the results, as JSON.

    Files are identified by their names within the corpus, so a corpus may move as a whole.
    """
    return {
        "layout version": LAYOUT_VERSION,
        "numeric version": numeric_version,
        "corpus": {
            "text column": corpus.text,
            "id column": corpus.id,
            "kept columns": list(corpus.keep),
            "cleaning": corpus.cleaning.describe(),
            "files": {
                f.name: f"{f.size} bytes, {f.version}, {f.format}, file {n}"
                for n, f in enumerate(corpus.files)
            },
        },
        "graph": dict(graph),
    }


def read_manifest(target: Target) -> Manifest | None:
    """Return a store's manifest, or None if none has been written in full yet."""
    return _decoded(target.get(MANIFEST_KEY)) or _decoded(target.get(SPARE_MANIFEST_KEY))


def _decoded(data: bytes | None) -> Manifest | None:
    try:
        return Manifest.from_json(data or b"")
    except ValueError:
        return None


def replace_manifest(target: Target, data: bytes) -> None:
    """Replace a manifest so that a stop at any moment leaves one that can be read."""
    target.put(SPARE_MANIFEST_KEY, data)
    target.put(MANIFEST_KEY, data)
    target.delete([SPARE_MANIFEST_KEY])


def finish_replacement(target: Target) -> None:
    """Finish a `replace_manifest` that was stopped halfway."""
    spare = target.get(SPARE_MANIFEST_KEY)
    if spare is None:
        return
    if _decoded(spare) is not None:
        target.put(MANIFEST_KEY, spare)
    target.delete([SPARE_MANIFEST_KEY])


def require_manifest(target: Target) -> Manifest:
    """Return a store's manifest, or raise `ResultsNotFound`."""
    manifest = read_manifest(target)
    if manifest is None:
        raise ResultsNotFound(f"no results store of this engine at {target.url}")
    return manifest


def read_index(target: Target, manifest: Manifest) -> CorpusIndex:
    """Return the index that belongs to a manifest."""
    data = target.get(manifest.index_key)
    if data is None:
        raise ResultsNotFound(f"{target.url} is damaged: its index {manifest.index_key} is missing")
    return CorpusIndex.from_json(json.loads(data))


def write_index(target: Target, manifest: Manifest, index: CorpusIndex) -> None:
    """Write the index that belongs to a manifest. The manifest itself must be written later."""
    # In JSON, what `storable` writes for half a surrogate pair is that half.
    text = storable(json.dumps(index.to_json(), ensure_ascii=False))
    target.put(manifest.index_key, text.encode())


def stale_indexes(target: Target, manifest: Manifest) -> list[str]:
    """Return the keys of the indexes of other stages."""
    keys = [key for key in target.sizes(RUN_FOLDER) if key.startswith(INDEXES)]
    return [key for key in keys if key != manifest.index_key]


def require_same(target: Target, manifest: Manifest, facts: Mapping[str, Any]) -> None:
    """Raise `ResultsMismatch`, naming the differences, unless a store has these facts."""
    differing = list(differences(manifest.facts, facts))
    if differing:
        more = f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""
        raise ResultsMismatch(
            f"{target.url} was begun with a different corpus, graph or version: "
            f"{'; '.join(differing[:3])}{more}. "
            "Write to another path, or start over with --fresh (fresh=True)"
        )


def differences(facts: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences between a store's facts and others, one phrase per difference."""
    yield from _differences(facts, json.loads(json.dumps(others)))


def _differences(old: Any, new: Any, path: Sequence[str] = ()) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), [*path, key])
    elif old != new:
        texts = [_text(old), _text(new)]
        shared = len(commonprefix(texts))  # noqa: RUF071 (of characters, as intended)
        was, now = (_short(text, shared) for text in texts)
        yield f"{' → '.join(path)} was {was} and is {now}"


def _text(value: Any) -> str:
    if value is None:
        return "absent"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split()) or text


def _short(text: str, shared: int) -> str:
    """Return at most 80 characters of a text, including those after the first `shared` ones."""
    if len(text) <= 80:
        return text
    start = max(0, shared - 20) if shared > 60 else 0
    return f"{'...' if start else ''}{text[start : start + 74]}..."
