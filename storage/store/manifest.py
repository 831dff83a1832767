"""The manifest: what the results in a store were computed from.

Its *facts* are everything that could change any bit of the results. They are compared one by one,
so that an error names those that differ. Which runs may write to a store is decided in `extension`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os.path import commonprefix
from typing import Any

from ..corpus.corpus import Corpus
from ..corpus.identity import UNREAD
from ..corpus.index import CorpusIndex
from ..errors import ResultsMismatch, ResultsNotFound
from ..field import Field
from ..messages.names import storable
from ..rows import SourceFile
from ..targets.target import Target
from .history import RunRecord
from .keys import MANIFEST_KEY, RUN_FOLDER, SPARE_MANIFEST_KEY, index_key, is_index
from .layout import LAYOUT_VERSION, array_names, stored_fields
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
    chunk_bytes: int = 0  # see `encoding.chunk_rows`; 0: all rows are narrow, or the store is older

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
        return StoreLayout(
            fields,
            self.rows,
            self.shard_rows,
            self.fingerprint,
            earlier=earlier,
            chunk_bytes=self.chunk_bytes,
        )

    @property
    def arrays(self) -> frozenset[str]:
        """Names of the arrays that the store may have; others in its folder are the user's own."""
        return array_names(self.fields, self.facts["corpus"]["kept columns"])

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
            **({"chunk_bytes": self.chunk_bytes} if self.chunk_bytes else {}),
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
        values["chunk_bytes"] = document.get("chunk_bytes", 0)
        return cls(fields=fields, stages=stages, index_digest=digest, runs=runs, **values)


def facts_of(corpus: Corpus, graph: Mapping[str, Any], numeric_version: int) -> dict[str, Any]:
    """Return everything that could change any bit of the results, as JSON.

    Files are known by their names within the corpus, and by their sizes and digests, so a corpus
    may move as a whole, and be copied. The digests are known once the files were counted.
    """
    dialect = corpus.dialect.describe()
    return {
        "layout version": LAYOUT_VERSION,
        "numeric version": numeric_version,
        "corpus": {
            "text column": corpus.text,
            "id column": corpus.id,
            "kept columns": list(corpus.keep),
            "cleaning": corpus.cleaning.describe(),
            **({"dialect": dialect} if dialect else {}),
            "files": file_facts(corpus.files),
        },
        "graph": dict(graph),
    }


def file_facts(
    files: Sequence[SourceFile], known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what identifies each file of a corpus, by name; see `_FILE`.

    Parameters
    ----------
    known : mapping, optional
        The facts that a store has of files whose content is still the same. They stay as they are:
        stores of earlier versions know the time of a file in place of its digest.
    """
    facts = {}
    for number, file in enumerate(files):
        before = _FILE.fullmatch((known or {}).get(file.name, ""))
        identity = before["identity"] if before else file.digest or file.version
        facts[file.name] = f"{file.size} bytes, {identity}, {file.format}, file {number}"
    return facts


_FILE = re.compile(
    r"(?P<size>\d+) bytes, (?P<identity>.*?), (?P<format>.*), file (?P<number>\d+)", re.DOTALL
)
"""The facts of a file: its size, what identifies its content, its format, its place in the order.
"""


def with_files(facts: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Return facts with others about the files of the corpus."""
    return {**facts, "corpus": {**facts["corpus"], "files": files}}


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
    keys = [key for key in target.sizes(RUN_FOLDER) if is_index(key)]
    return [key for key in keys if key != manifest.index_key]


def require_same(target: Target, manifest: Manifest, facts: Mapping[str, Any]) -> None:
    """Raise `ResultsMismatch`, naming the differences, unless a store has these facts."""
    differing = list(differences(manifest.facts, facts))
    if differing:
        more = f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""
        beside = (
            ", or give the block another name= to add it beside (--add)"
            if all(one.startswith("graph ") for one in differing)
            else ""
        )
        raise ResultsMismatch(
            f"{target.url} was begun with a different corpus, graph or version: "
            f"{'; '.join(differing[:3])}{more}. "
            f"Write to another path{beside}, or start over with --fresh (fresh=True)"
        )


_FILES = ["corpus", "files"]


def differences(facts: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences between a store's facts and others, one phrase per difference."""
    yield from _differences(facts, json.loads(json.dumps(others)))


def _differing_files(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """Yield how the files of a corpus differ, one phrase per file that does."""
    yield from (f"{name} is gone" for name in old if name not in new)
    yield from (f"{name} is new" for name in new if name not in old)
    for name in old:
        was, now = _FILE.fullmatch(old[name]), _FILE.fullmatch(new.get(name, ""))
        if was is None or now is None:
            continue
        if was["size"] != now["size"]:
            yield f"{name} has changed: {int(was['size']):,} bytes then, {int(now['size']):,} now"
        elif was["identity"] != now["identity"]:
            yield _other_content(name, was["identity"], now["identity"])
        elif was["format"] != now["format"]:
            yield f"{name} was read as {was['format']}, and now as {now['format']}"
    orders = [[name for name in some if name in old and name in new] for some in (old, new)]
    moved = next((pair for pair in zip(*orders, strict=True) if pair[0] != pair[1]), None)
    if moved:
        yield f"the files come in another order: {moved[1]} where {moved[0]} was"


def _other_content(name: str, was: str, now: str) -> str:
    if was == UNREAD:
        return f"{name} could not be read when the store was begun"
    if "=" not in was:
        return f"{name} has changed: as many bytes, but others"
    return (
        f"{name} may have changed: {was} then, {now} now (an earlier version began this store, and "
        "knows files by their times alone; if the content is the same, give the file that time)"
    )


def _differences(old: Any, new: Any, path: Sequence[str] = ()) -> Iterator[str]:
    if old == new:
        return
    if path == _FILES and isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _differing_files(old, new)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), [*path, key])
    else:
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
