"""Names in messages: what cannot be seen or told apart is escaped, and every list is bounded."""

import pytest

from paninifs import open_corpus
from paninifs.storage.errors import ColumnNotFound
from paninifs.storage.messages.names import MOST_NAMES, did_you_mean, listed, quoted, storable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("text", "text"),
        ("Text of the speech", "Text of the speech"),
        ("texté", "texté"),
        ("पाठ", "पाठ"),
        ("", "''"),
        ("text ", "'text '"),
        ("text\xa0", r"'text\xa0'"),
        ("\ufefftext", r"'\ufefftext'"),
        ("te\u200bxt", r"'te\u200bxt'"),
        ("a\tb", r"'a\tb'"),
        ("a,b", "'a,b'"),
        ("t\u0435xt", r"'t\u0435xt'"),  # Cyrillic
        ("e\u0301te", r"'e\u0301te'"),  # decomposed
        ("pr\udce9nom", r"'pr\udce9nom'"),
        ("x" * 5000, "'" + "x" * 57 + "...'"),
    ],
)
def test_names_are_shown_as_they_can_be_told_apart(name, shown):
    assert listed([name]) == shown
    assert storable(shown) == shown


def test_long_lists_are_cut():
    shown = listed(f"column {n}" for n in range(8000))
    assert shown.endswith(f"column {MOST_NAMES - 1}, ... and 7,980 more")
    assert len(shown) < 300


@pytest.mark.parametrize(
    "close",
    ["text ", "Text", "TEXT", "\ufefftext", "te\u200bxt", "text\xa0", "texts", "txet", '"text"'],
)
def test_a_name_that_is_close_is_offered(close):
    assert did_you_mean("text", ["id", "lang", close]) == f"; did you mean {quoted(close)}?"


def test_names_that_are_not_close_are_not_offered():
    assert not did_you_mean("text", ["id", "body", "x" * 10_000])
    assert not did_you_mean("text", [])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("id,text \n1,un\n", r"are: id, 'text '; did you mean 'text '\?"),
        ("\ufeff\ufefftext,id\nun,1\n", r"id, '\\ufefftext'; did you mean '\\ufefftext'\?"),
        ("id,text\xa0\n1,un\n", r"are: id, 'text\\xa0'; did you mean 'text\\xa0'\?"),
        ("id\tbody\n1\tun\n", r"are: 'id\\tbody'"),
        (f"{'lorem ipsum ' * 400_000}\nx\n", r"are: 'lorem ipsum .{45}\.\.\.'"),
        (",".join(f"c{n}" for n in range(3000)) + "\n", r", \.\.\. and 2,980 more$"),
    ],
    ids=["space", "mark", "no-break space", "tab", "prose", "many"],
)
def test_a_missing_column_is_told_in_few_words(tmp_path, data, words):
    row = "" if data.endswith("x\n") else ",".join("x" * (data.partition("\n")[0].count(",") + 1))
    (tmp_path / "a.csv").write_text(f"{data}{row}\n")
    with pytest.raises(ColumnNotFound, match=words) as refused:
        open_corpus(tmp_path).index  # noqa: B018
    assert len(str(refused.value)) < 2000


def test_json_keys_and_kept_columns_are_told_likewise(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "un", "Lang ": "fr"}\n')
    with pytest.raises(ColumnNotFound, match=r"no column 'lang'; .* did you mean 'Lang '\?"):
        open_corpus(tmp_path, keep=["lang"]).index  # noqa: B018
