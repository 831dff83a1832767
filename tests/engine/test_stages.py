"""Graphs of several stages: reductions, what later blocks take, and blocks added to a store."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr

import paninifs as pf
from paninifs.storage.errors import BlockError, GraphError, ResultsMismatch, RunFailed, UsageError

LANGUAGES = ("fr", "en", "sa")
ROWS, DONE = 300, 292


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(7)
    words = ["le", "mot", "dit", "racine", "sens", "un", "autre", "texte"]
    return [
        {
            "id": f"t{n}",
            "text": None if n % 37 == 5 else " ".join(rng.choice(words, rng.integers(1, 9))),
            "lang": None if n % 50 == 9 else LANGUAGES[n % 3],
            "year": None if n % 11 == 3 else 1900 + n % 100,
            "score": None if n % 13 == 2 else n / 7,
            "checked": n % 2 == 0,
        }
        for n in range(ROWS)
    ]


@pytest.fixture(scope="module")
def path(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def corpus(path):
    return pf.open_corpus(path, keep=["lang", "year", "score", "checked"])


@pytest.fixture
def submit(inline, corpus, tmp_path):
    def begin(graph, store="out.zarr", **options):
        options = {"client": inline, "progress": False, "shard_rows": 64, **options}
        return pf.submit(graph, options.pop("corpus", corpus), tmp_path / store, **options)

    return begin


@pytest.fixture
def store(tmp_path):
    return tmp_path / "out.zarr"


def snapshot(store):
    """Time and digest of every object, except those that any run replaces."""
    return {
        str(file.relative_to(store)): (file.stat().st_mtime_ns, hashlib.sha256(data).hexdigest())
        for file in sorted(store.rglob("*"))
        if file.is_file() and (data := file.read_bytes()) is not None
    }


REPLACED = {"zarr.json", "_run/manifest.json"}
"""Objects that list what a store has."""


def objects_of(store):
    return {
        key: value
        for key, value in snapshot(store).items()
        if key not in REPLACED and not key.startswith(("_run/lease/", "_run/timeline-"))
    }


def block(function=None, /, *, fields, **options):
    options.setdefault("name", fields[0].name)
    return pf.map_block(function, fields=fields, **options)


@pf.map_block(fields=[pf.Field("n_bytes", "int32"), pf.Field("is_long", "bool")])
def n_bytes(text):
    lengths = np.diff(text.offsets).astype("int32")
    return lengths, lengths > 20


@pf.reduce_block
def profile(results):
    """The mean weights of every language."""
    known = results.lang.where(results.lang_valid, "")
    means = [results.dhatu.where(known == one).mean("text") for one in LANGUAGES]
    return xr.Dataset(
        {"mean": xr.concat(means, "language").assign_coords(language=list(LANGUAGES))}
    )


@pf.map_block(fields=[pf.Field("distance", "float32")])
def distance(dhatu, lang, profile):
    means = dict(zip(profile.language.values.tolist(), profile["mean"].values, strict=True))
    nearest = np.array([means.get(one, np.zeros(9, "float32")) for one in lang])
    return np.abs(dhatu - nearest).sum(axis=1, dtype="float32")


@pf.reduce_block
def spread(results):
    return results.distance.max("text")


FIVE = pf.default_graph() + n_bytes + profile + distance + spread


def expected(rows, store):
    """The results of `FIVE`, with plain NumPy over the finished arrays."""
    found = pf.open_results(store).load()
    valid = found.valid.values
    dhatu = found.dhatu.values
    lang = np.array([row["lang"] or "" for row in rows], object)
    means = {
        one: np.mean(dhatu[valid & (lang == one)], axis=0, dtype=np.float64) for one in LANGUAGES
    }
    return valid, dhatu, lang, means


@pytest.mark.slow("several runs of several stages")
def test_a_graph_of_five_stages(submit, store, rows):
    summary = submit(FIVE).result()
    assert (summary.rows, summary.done) == (ROWS, DONE)
    valid, dhatu, lang, means = expected(rows, store)
    found = pf.open_results(store).load()
    stored = pf.open_reduction(store, "profile")
    for one in LANGUAGES:
        np.testing.assert_allclose(stored["mean"].sel(language=one), means[one], rtol=1e-5)
    mean = stored["mean"].values
    near = np.array([dict(zip(LANGUAGES, mean, strict=True)).get(one, 0 * mean[0]) for one in lang])
    wanted = np.where(valid, np.abs(dhatu - near).sum(axis=1, dtype="float32"), 0)
    np.testing.assert_array_equal(found.distance.values, wanted)
    np.testing.assert_array_equal(found.valid_distance.values, valid)
    assert pf.open_reduction(store, "spread").item() == wanted.max()
    assert found.attrs["reductions"] == "profile, spread"


@pytest.mark.slow("several runs of several stages")
def test_a_finished_graph_has_nothing_to_do(submit, store):
    submit(FIVE).result()
    before = objects_of(store)
    assert submit(FIVE).result().done == DONE
    assert objects_of(store) == before


@pytest.mark.slow("several runs of several stages")
@pytest.mark.filterwarnings("error")
def test_a_plain_reader_sees_the_stages(submit, store):
    submit(FIVE).result()
    plain = xr.open_zarr(store)
    assert {"distance", "valid_distance", "n_bytes"} <= set(plain.data_vars)
    group = xr.open_zarr(store, group="reductions/profile")
    assert group["mean"].dims == ("language", "dhatu_name")


# --- what blocks take -----------------------------------------------------------------------------


def test_columns_ids_and_lengths_are_inputs(submit, store, rows):
    def take(id, length, lang, lang_valid, year, year_valid, score, checked):
        assert {type(one) for one in (*id, *lang)} <= {str, type(None)}
        assert (length.dtype, year.dtype, score.dtype) == (np.int64, np.int64, np.float64)
        return (
            np.array([f"{a} {b}" for a, b in zip(id, lang, strict=True)], object),
            length.astype("int32"),
            np.where(np.isnan(score), -1, score).astype("float32"),
            (year + checked).astype("int32"),
            lang_valid & year_valid,
        )

    fields = [
        pf.Field("both", "string"),
        pf.Field("bytes", "int32"),
        pf.Field("s", "float32"),
        pf.Field("y", "int32"),
        pf.Field("known", "bool"),
    ]
    submit(block(take, fields=fields, name="take", version="1")).result()
    found = pf.open_results(store).load()
    for row in (0, 3, 9, 11, 15, 298):
        given = rows[row]
        got = found.isel(text=row)
        assert got.both.item() == f"{given['id']} {given['lang']}"
        assert got.bytes.item() == len(given["text"])
        assert got.s.item() == np.float32(-1 if given["score"] is None else given["score"])
        assert got.y.item() == (given["year"] or 0) + given["checked"]
        assert got.known.item() == (given["lang"] is not None and given["year"] is not None)


def test_inputs_from_a_store_are_those_from_a_corpus(submit, store):
    def take(id, length, lang, lang_valid, year, score, checked):
        return np.array(
            [
                repr(one)
                for one in zip(id, length, lang, lang_valid, year, score, checked, strict=True)
            ],
            object,
        )

    first = block(take, fields=[pf.Field("first", "string")], version="1")
    later = block(take, fields=[pf.Field("later", "string")], version="1")

    def again(first, later):
        assert first.dtype == later.dtype == object
        assert {type(one) for one in (*first, *later)} == {str}
        return first == later

    submit(first).result()
    submit(first + later + block(again, fields=[pf.Field("same", "bool")], version="1")).result()
    found = pf.open_results(store).load()
    np.testing.assert_array_equal(found["first"].values, found["later"].values)
    np.testing.assert_array_equal(found.same.values, found.valid.values)


@pytest.mark.documented("unknown-input")
def test_an_unknown_input_is_refused_with_the_column_to_keep(submit):
    needy = block(lambda autor: autor, fields=[pf.Field("x", "int32")])
    with pytest.raises(
        GraphError, match=r"needs 'autor'.*keep it: open_corpus\(\.\.\., keep=\['au"
    ):
        submit(needy)
    close = block(lambda lagn: lagn, fields=[pf.Field("x", "int32")])
    with pytest.raises(GraphError, match=r"Did you mean 'lang'\?"):
        submit(close)


# --- conditions -----------------------------------------------------------------------------------


def test_a_block_runs_only_where_its_condition_is_true(submit, store):
    given = []

    def half(n_bytes, text):
        given.append(len(text))
        assert (n_bytes > 20).all()
        assert [len(one) for one in text] == n_bytes.tolist()
        return (n_bytes / 2).astype("float32")

    conditional = block(half, fields=[pf.Field("half", "float32")], when="is_long", version="1")
    summary = submit(n_bytes + conditional).result()
    found = pf.open_results(store).load()
    chosen = found.is_long.values
    np.testing.assert_array_equal(found.half.values, np.where(chosen, found.n_bytes / 2, 0))
    assert summary.ran == {"half": chosen.sum()}
    assert 0 < chosen.sum() < DONE


def test_a_condition_may_be_a_kept_column(submit, store, rows):
    conditional = block(
        lambda length: length, fields=[pf.Field("bytes", "int64")], when="checked", version="1"
    )
    assert submit(conditional).result().ran == {
        "bytes": sum(row["checked"] and row["text"] is not None for row in rows)
    }
    assert not pf.open_results(store)["bytes"].values[1::2].any()


@pytest.mark.documented("condition-kind")
@pytest.mark.parametrize("when", ["lang", "year"])
def test_a_condition_of_another_kind_is_refused(submit, when):
    conditional = block(lambda length: length, fields=[pf.Field("b", "int64")], when=when)
    with pytest.raises(BlockError, match=f"when='{when}' must be a bool"):
        submit(conditional).result()


def test_a_text_that_a_conditional_block_fails_for_is_quarantined(submit, store):
    def fails(text):
        for one in text.to_strings():
            if one.startswith("racine") and len(one) > 40:
                raise ValueError(one)
        return np.ones(len(text), "int32")

    conditional = block(fails, fields=[pf.Field("x", "int32")], when="is_long", version="1")
    summary = submit(n_bytes + conditional).result()
    found = pf.open_results(store).load()
    failed = summary.quarantined - (ROWS - DONE)
    assert failed > 0
    assert found["x"].values.sum() == found.is_long.values.sum()
    assert len(pf.quarantine(store)) >= failed


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
@pytest.mark.usefixtures("cuda_on_host")
def test_conditions_and_inputs_are_the_same_on_a_device(submit, store, rows, backend):
    def sizes(text, year, lang):
        assert len(text) == len(year) == len(lang)
        lengths = text.offsets[1:] - text.offsets[:-1]
        return (lengths * 2 + year % 2).astype("int32")

    def words(text, lang):
        return np.array(
            [f"{one} {tag}" for one, tag in zip(text.to_strings(), lang, strict=True)], object
        )

    fields = [pf.Field("size", "int32")], [pf.Field("words", "string")]
    options = {"when": "is_long", "version": "1"}
    graph = n_bytes + block(sizes, fields=fields[0], **options)
    graph = graph + block(words, fields=fields[1], **options)
    submit(graph, backend=backend).result()
    found = pf.open_results(store).load()
    chosen = found.is_long.values
    wanted = np.where(chosen, 2 * found.n_bytes.values + found.year.values % 2, 0)
    np.testing.assert_array_equal(found["size"].values, wanted)
    texts = [f"{row['text']} {row['lang']}" for row in rows]
    assert found.words.values.tolist() == [
        text if long else "" for text, long in zip(texts, chosen, strict=True)
    ]


# --- reductions -----------------------------------------------------------------------------------


def test_a_reduction_has_no_quarantined_rows_and_a_chunk_per_shard(submit, store):
    @pf.reduce_block
    def look(results):
        (chunks,) = results.n_bytes.chunks
        known = {"chunks": list(chunks), "names": sorted(results), "id": str(results.id.values[0])}
        return results.n_bytes.sum("text").assign_attrs(known)

    submit(n_bytes + look).result()
    seen = pf.open_reduction(store, "look").attrs
    assert (sum(seen["chunks"]), len(seen["chunks"])) == (DONE, 5)
    assert max(seen["chunks"]) <= 64
    assert {"lang", "lang_valid", "year", "n_bytes", "is_long"} <= set(seen["names"])
    assert seen["id"] == "t0"


def test_an_array_is_given_as_an_array(submit, store):
    @pf.reduce_block
    def mean_bytes(results):
        return results.n_bytes.mean("text")

    def relative(n_bytes, mean_bytes):
        assert type(mean_bytes) is np.ndarray
        return (n_bytes / mean_bytes).astype("float32")

    submit(
        n_bytes + mean_bytes + block(relative, fields=[pf.Field("r", "float32")], version="1")
    ).result()
    found = pf.open_results(store).load()
    np.testing.assert_allclose(found.r.values[found.valid.values].mean(), 1, rtol=1e-4)


def test_a_graph_may_consist_of_a_reduction(submit, store):
    @pf.reduce_block
    def newest(results):
        return results.year.where(results.year_valid).max("text")

    assert submit(newest).result().done == DONE
    assert pf.open_reduction(store, "newest").item() == 1999


BAD = {
    "a number": (lambda results: 3, r"returned int; return a DataArray or a Dataset"),
    "one per text": (lambda results: results.n_bytes + 1, r"along the dimension 'text', one per"),
    "an exception": (lambda results: results.nothing, r"raised AttributeError"),
    "nothing in it": (lambda results: xr.Dataset(), r"without variables"),
    "too large": (
        lambda results: results.n_bytes.sum("text").expand_dims(x=1 << 27),
        r"returned 1\.00 GiB, and a result has at most 256",
    ),
}


@pytest.mark.documented("reduction-result")
@pytest.mark.parametrize(("function", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_a_result_is_refused(submit, function, message):
    bad = pf.reduce_block(function, name="bad", version="1")
    with pytest.raises((BlockError, RunFailed), match=message):
        submit(n_bytes + bad).result()


@pytest.mark.documented("reduction-gathers")
def test_a_reduction_that_gathers_every_row_is_refused(submit, tmp_path, monkeypatch):
    from paninifs.engine.run.stages import growth

    many = tmp_path / "many.txt"
    many.write_text("un mot\n" * 20_000)

    @pf.reduce_block
    def median(results):
        return results.dhatu.chunk(text=-1).quantile(0.5, "text")

    @pf.reduce_block
    def mean(results):
        return results.dhatu.mean("text")

    monkeypatch.setattr(growth, "USABLE_SHARE", 1e-5)
    corpus = pf.open_corpus(many)
    submit(pf.default_graph() + mean, "a.zarr", corpus=corpus, shard_rows=4096).result()
    with pytest.raises(RunFailed, match=r"'median' gathers about .* in one worker, which has"):
        submit(pf.default_graph() + median, "b.zarr", corpus=corpus, shard_rows=4096).result()


# --- adding to a store ----------------------------------------------------------------------------


def words(text):
    return np.array([len(one.split()) for one in text.to_strings()], "int32")


WORDS = block(words, fields=[pf.Field("words", "int32")])


def test_a_block_is_added_and_nothing_else_is_touched(submit, store, rows):
    submit(pf.default_graph()).result()
    before = snapshot(store)
    submit(pf.default_graph() + WORDS).result()
    after = snapshot(store)
    changed = {key for key in before if after.get(key) != before[key]}
    assert {key for key in changed if not key.startswith("_run/lease/")} == REPLACED
    found = pf.open_results(store).load()
    wanted = [0 if row["text"] is None else len(row["text"].split()) for row in rows]
    assert found.words.values.tolist() == wanted
    assert pf.verify(store)


def test_the_corpus_is_not_read_for_a_block_that_takes_no_text(submit, store, path, monkeypatch):
    submit(pf.default_graph()).result()
    later = block(lambda dhatu: dhatu.max(axis=1), fields=[pf.Field("top", "float32")], version="1")
    monkeypatch.setattr("paninifs.engine.worker.compute.read_stretches", None)
    submit(pf.default_graph() + later).result()
    found = pf.open_results(store).load()
    np.testing.assert_array_equal(found.top.values, found.dhatu.values.max(axis=1))


def test_readers_see_a_new_block_only_once_it_is_complete(submit, store, monkeypatch):
    submit(pf.default_graph()).result()

    def stops(text):
        raise OSError(5, "the service is down")

    failing = block(stops, fields=[pf.Field("words", "int32")], version="1", name="words")
    with pytest.raises(BlockError):
        submit(pf.default_graph() + failing).result()
    assert not (store / "words" / "zarr.json").exists()
    found = pf.open_results(store)  # complete, without a warning
    assert "words" not in found


@pytest.mark.documented("later-edited")
@pytest.mark.slow("several runs of several stages")
def test_what_failed_before_it_made_anything_may_be_mended(submit, store):
    def added(largest, last):
        largest = pf.reduce_block(name="largest")(largest)
        last = pf.map_block(fields=[pf.Field("last", "float32")], name="last")(last)
        return pf.default_graph() + largest + last

    def typo(results):
        return results.entropi.max("text")

    def mended(results):
        return results.entropy.max("text")

    def wrong(entropy, largest):
        return entropy / nothing  # noqa: F821

    def right(entropy, largest):
        return entropy / largest

    for graph in (added(typo, wrong), added(mended, wrong)):
        with pytest.raises(BlockError):
            submit(graph).result()
    submit(added(mended, right)).result()
    assert pf.open_results(store)["last"].values.max() == 1


def test_an_edited_block_is_refused_by_name(submit):
    submit(pf.default_graph() + WORDS, "new.zarr").result()
    submit(pf.default_graph()).result()
    submit(pf.default_graph() + WORDS).result()
    edited = block(lambda text: words(text) + 1, fields=[pf.Field("words", "int32")], name="words")
    with pytest.raises(
        ResultsMismatch, match=r"has another words: .*--add.*drop .* words.*--fresh"
    ):
        submit(pf.default_graph() + edited)
    with pytest.raises(ResultsMismatch, match=r"also has words, which this graph lacks: add it"):
        submit(pf.default_graph())
    with pytest.raises(ResultsMismatch, match=r"graph → words → code.*--add"):
        submit(pf.default_graph() + edited, "new.zarr")


@pytest.mark.slow("several runs of several stages")
def test_drop_and_add_give_the_same_store(submit, store):
    submit(pf.default_graph()).result()
    base = objects_of(store)
    submit(pf.default_graph() + WORDS).result()
    added = {key: digest for key, (_, digest) in objects_of(store).items()}
    assert pf.drop(store, "words") == ["words", "valid_words"]
    assert objects_of(store) == base
    assert "words" not in pf.open_results(store)
    submit(pf.default_graph() + WORDS).result()
    assert {key: digest for key, (_, digest) in objects_of(store).items()} == added


def test_a_lost_object_of_a_later_stage_is_computed_again(submit, store):
    submit(pf.default_graph()).result()
    submit(pf.default_graph() + WORDS).result()
    sound = {key: digest for key, (_, digest) in objects_of(store).items()}
    (store / "words" / "c" / "2").unlink()
    submit(pf.default_graph() + WORDS).result()
    assert {key: digest for key, (_, digest) in objects_of(store).items()} == sound


@pytest.mark.slow("several runs of several stages")
def test_what_others_need_is_not_dropped(submit, store):
    submit(FIVE).result()
    with pytest.raises(UsageError, match=r"distance.* depends on .*profile.*drop all in one call"):
        pf.drop(store, "profile")
    with pytest.raises(UsageError, match=r"'dhatu' .* belongs to its first stage"):
        pf.drop(store, "dhatu")
    with pytest.raises(UsageError, match=r"no block 'spred'.*did you mean 'spread'"):
        pf.drop(store, "spred")
    assert pf.drop(store, "profile", "distance", "spread") == [
        "spread",
        "distance",
        "valid_distance",
        "profile",
    ]
    assert not (store / "reductions" / "profile").exists()
    assert pf.verify(store)
    submit(FIVE).result()
    assert pf.open_reduction(store, "spread").item() > 0


# --- failures of later stages ---------------------------------------------------------------------


@pytest.mark.documented("later-row")
@pytest.mark.slow("several runs of several stages")
def test_rows_that_a_later_block_fails_for_lack_its_values_alone(submit, store):
    def picky(text):
        bad = [one for one in text.to_strings() if one.startswith("autre texte")]
        if bad:
            raise ValueError(bad[0])
        return np.ones(len(text), "int32")

    submit(pf.default_graph()).result()
    later = block(picky, fields=[pf.Field("x", "int32")], version="1")
    summary = submit(pf.default_graph() + later).result()
    found = pf.open_results(store).load()
    lacking = found.valid.values & ~found.valid_x.values
    assert summary.missing == {"x": lacking.sum()}
    assert 0 < lacking.sum() < 10
    np.testing.assert_array_equal(found["x"].values, found.valid_x.values)
    entries = pf.quarantine(store)
    assert (entries.block == "x").sum() == lacking.sum()
    assert pf.export(store)["x"].isna().sum() == (~found.valid_x.values).sum()

    @pf.reduce_block
    def total(results):
        return results["x"].sum("text")

    submit(pf.default_graph() + later + total).result()
    assert pf.open_reduction(store, "total").item() == found.valid_x.values.sum()


@pytest.mark.slow("several runs of several stages")
def test_an_extended_store_computes_what_depends_on_all_texts_again(submit, store, tmp_path, rows):
    folder = tmp_path / "corpus"
    folder.mkdir()

    def write(name, some):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in some))

    def opened():
        return pf.open_corpus(folder, keep=["lang"])

    write("a.jsonl", rows[:150])
    graph = pf.default_graph() + WORDS + profile + distance
    submit(pf.default_graph(), corpus=opened()).result()
    submit(graph, corpus=opened()).result()
    words_before = objects_of(store)
    mean = pf.open_reduction(store, "profile")["mean"].values
    write("b.jsonl", rows[150:])
    submit(graph, corpus=opened(), extend=True).result()
    after = objects_of(store)
    assert (pf.open_reduction(store, "profile")["mean"].values != mean).any()
    assert after["words/c/0"] == words_before["words/c/0"]
    assert after["distance/c/0"] != words_before["distance/c/0"]
    submit(graph, "whole.zarr", corpus=opened()).result()
    one, other = pf.open_results(store).load(), pf.open_results(tmp_path / "whole.zarr").load()
    for name in ("distance", "words", "dhatu"):
        np.testing.assert_array_equal(one[name].values, other[name].values)


@pytest.mark.slow("several runs of several stages")
def test_a_mirror_has_every_stage(submit, store, tmp_path):
    submit(FIVE, mirror=tmp_path / "mirror.zarr").result()
    one, other = objects_of(store), objects_of(tmp_path / "mirror.zarr")
    assert {key: digest for key, (_, digest) in one.items()} == {
        key: digest for key, (_, digest) in other.items()
    }
    submit(FIVE, "third.zarr", mirror=tmp_path / "mirror.zarr").result()
    third = objects_of(tmp_path / "third.zarr")
    assert {key: digest for key, (_, digest) in one.items()} == {
        key: digest for key, (_, digest) in third.items()
    }


@pytest.mark.slow("several runs of several stages")
def test_damage_of_a_later_stage_is_found_and_repaired(submit, store):
    submit(FIVE).result()
    sound = {key: digest for key, (_, digest) in objects_of(store).items()}
    (store / "distance" / "c" / "3").write_bytes(b"damaged")
    (store / "reductions" / "spread" / "spread" / "c").write_bytes(b"x")
    problems = pf.verify(store).problems
    assert any("distance/c/3" in one for one in problems)
    assert any("reductions/spread" in one for one in problems)
    assert pf.repair(store) == [("distance", 3), ("spread", 0)]
    submit(FIVE).result()
    assert {key: digest for key, (_, digest) in objects_of(store).items()} == sound
