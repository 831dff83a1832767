"""Both extractors of pages, on pages made here: what is kept, what is dropped, and the cost."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pyarrow.parquet as pq
import pytest
import trafilatura  # noqa: F401 (urllib3, which it imports, binds a socket then; no unit test may)
from made_documents import page

from paninifs.engine.collecting.collect import collect
from paninifs.engine.collecting.extraction.documents.html_pages.html_extractors import (
    HTML_EXTRACTORS,
)
from paninifs.engine.collecting.extraction.extract import extract
from paninifs.engine.collecting.extraction.pool import ExtractionPool
from paninifs.storage.errors import BackendUnavailable, UsageError

PARAGRAPHS = (
    "Ducks are birds that live on water, and eat what they find there: plants, insects and snails.",
    "In winter many of them leave the lakes of the north, and fly to rivers that do not freeze.",
    "Their feathers are kept dry by an oil, which they spread over them with their flat bills.",
)
CELLS = ("mallard", "teal", "fifty centimetres", "thirty-five centimetres")
STEPS = ("watch them from a distance", "bring no bread for them", "keep dogs on a lead")
MENU = ("Startpage", "Shop", "Newsletter", "Imprint")
NOTICE = "We use cookies to improve your experience. Accept all cookies or manage preferences."
REMARK = "First! Great article, I never knew this about them, thanks for sharing it with us."

CHROME = (
    f"<header><nav class='menu'><ul>{''.join(f'<li><a href=/{m}>{m}</a>' for m in MENU)}</ul></nav>"
    f"</header><div id='cookie-banner' class='cookie-consent' role='dialog'><p>{NOTICE}</p>"
    "<button>Accept</button></div>"
)
LIST = f"<ul>{''.join(f'<li>If you can, {step}, please.</li>' for step in STEPS)}</ul>"
TABLE = (
    "<table><tr><th>Bird</th><th>Length</th></tr>"
    f"<tr><td>{CELLS[0]}</td><td>{CELLS[2]}</td></tr>"
    f"<tr><td>{CELLS[1]}</td><td>{CELLS[3]}</td></tr></table>"
)
ARTICLE = (
    f"<main><article><h1>Ducks</h1><p>{PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p>{TABLE}"
    f"<p>{PARAGRAPHS[2]}</p>{LIST}</article></main>"
)
AFTER = (
    f"<section id='comments' class='comments'><h2>Comments</h2><div class='comment'><p>{REMARK}</p>"
    "</div></section><footer class='footer'><p>All rights reserved by the makers.</p></footer>"
)
HEAD = "<title>Of ducks</title><script>var shown = 'script'</script><style>p{color:red}</style>"

both = pytest.mark.parametrize("html", HTML_EXTRACTORS)


def text_of(body: str, html: str, head: str = HEAD) -> str:
    return extract(page(body, head).encode(), media_type="text/html", html=html).text


@both
def test_the_article_is_kept_and_what_surrounds_it_is_dropped(html: str) -> None:
    text = text_of(CHROME + ARTICLE + AFTER, html)
    for wanted in (*PARAGRAPHS, *CELLS, *STEPS):
        assert wanted in text
    for dropped in (*MENU, NOTICE, REMARK, "Accept", "rights reserved", "var shown", "color:red"):
        assert dropped not in text


@both
def test_paragraphs_and_items_are_on_lines_of_their_own(html: str) -> None:
    lines = [line.strip() for line in text_of(ARTICLE, html).split("\n")]
    assert set(PARAGRAPHS) <= set(lines)
    assert sum(line.endswith("please.") for line in lines) == len(STEPS)


def test_what_a_page_says_of_itself_does_not_depend_on_the_extractor() -> None:
    """Title, language, licence, and how its bytes are decoded."""
    licence = '<a rel="license" href="https://example.org/by">terms</a>'
    head = "<meta charset='cp1252'><meta property='og:title' content='Où ça ?'>"
    made = page(f"<article><p>{PARAGRAPHS[0]} L’œuf, déjà.</p></article>{licence}", head, "fr")
    found = [extract(made.encode("cp1252"), media_type="text/html", html=html)
             for html in HTML_EXTRACTORS]  # fmt: skip
    for one in found:
        assert (one.title, one.lang, one.licence) == ("Où ça ?", "fr", "https://example.org/by")
        assert "L’œuf, déjà." in one.text


def test_a_list_of_links_is_a_menu_and_one_of_sentences_is_not() -> None:
    """Resiliparse itself drops both."""
    menu = "".join(f"<li><a href=/{step[:5]}>{step}</a></li>" for step in STEPS)
    nested = f"<ul><li>Above all:<ul><li>{STEPS[0]}</li></ul></li></ul>"
    body = f"<article><p>{PARAGRAPHS[0]}</p>{nested}</article><ul>{menu}</ul>"
    text = text_of(body, "resiliparse")
    assert text.split("\n")[-2:] == ["Above all:", STEPS[0]]


@both
def test_entities_are_not_expanded_by_declarations(html: str) -> None:
    declared = f"<!DOCTYPE html [<!ENTITY a '{'ha' * 50}'><!ENTITY b '{'&a;' * 50}'>]>"
    made = page(f"<article><p>{PARAGRAPHS[0]}</p>{'<p>so &b; it is</p>' * 50}</article>")
    content = (declared + made.removeprefix("<!DOCTYPE html>")).encode()
    found = extract(content, media_type="text/html", html=html)
    assert len(found.text) < len(content)
    assert PARAGRAPHS[0] in found.text


@both
def test_entities_are_characters(html: str) -> None:
    body = (
        f"<article><p>{PARAGRAPHS[0]} 1 &lt; 2 &amp;&amp; &eacute;t&#233; &lt;b&gt;.</p></article>"
    )
    assert "1 < 2 && été <b>." in text_of(body, html)


@pytest.mark.parametrize(
    "repeated",
    [
        "<p><b id=n{n}>ducks and other birds ",  # HTML 5 opens each again in all others
        "<option>ducks" * 20,
    ],
)
def test_the_time_of_resiliparse_grows_as_a_page_does(repeated: str) -> None:
    """With what makes it grow with the square of the page, beside as much of simple paragraphs."""

    def seconds(body: str) -> float:
        made = page(f"<article><p>{PARAGRAPHS[0]}</p>{body}</article>").encode()
        began = time.process_time()
        extract(made, media_type="text/html", html="resiliparse")
        return time.process_time() - began

    hostile = "<select>" * repeated.startswith("<option") + "".join(
        repeated.format(n=number) for number in range(1500)
    )
    plain = "<p>ducks and other birds </p>" * (len(hostile) // 29)
    assert min(seconds(hostile) for _ in range(2)) < 5 * min(seconds(plain) for _ in range(3))


@pytest.mark.parametrize("wrong", ["lynx", "", None, 3])
def test_an_unknown_extractor_lists_the_choices(tmp_path: Any, wrong: Any) -> None:
    with pytest.raises(UsageError, match="html must be 'trafilatura' or 'resiliparse', not"):
        ExtractionPool(1, html=wrong)
    with pytest.raises(UsageError, match="html must be 'trafilatura' or 'resiliparse', not"):
        collect(str(tmp_path), tmp_path / "corpus", html=wrong, progress=False)
    assert not (tmp_path / "corpus").exists()


@both
def test_a_missing_package_names_the_extra(html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trafilatura", "resiliparse.extract.html2text"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendUnavailable, match=rf"{html}.*paninifs\[collect\]"):
        text_of(ARTICLE, html)


def test_a_collection_uses_the_extractor_and_says_so(tmp_path: Any) -> None:
    """Its texts, its data card, and the record of its session, in a folder of pages."""
    pages, corpus = tmp_path / "pages", tmp_path / "corpus"
    pages.mkdir()
    (pages / "ducks.html").write_text(page(ARTICLE, HEAD), "utf-8")
    options: dict[str, Any] = {"progress": False, "cache": tmp_path / "cache"}
    collect(str(pages), corpus, html="resiliparse", **options)
    (row,) = pq.read_table(corpus / "part-000000.parquet").to_pylist()
    assert row["text"] == text_of(ARTICLE, "resiliparse") != text_of(ARTICLE, "trafilatura")
    command = f"paninifs collect {pages} corpus --html resiliparse\npaninifs run"
    assert command in (corpus / "_collection" / "card.md").read_text("utf-8")
    (record,) = (corpus / "_collection" / "records").iterdir()
    assert json.loads(record.read_text("utf-8"))["settings"]["html"] == "resiliparse"
    with pytest.raises(UsageError, match="other settings: html='resiliparse', now 'trafilatura'"):
        collect(str(pages), corpus, **options)
