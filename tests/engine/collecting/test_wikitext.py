"""Wikitext to text: what is kept and dropped, against another parser, and on hostile input."""

from __future__ import annotations

import re
import time

import mwparserfromhell
import pytest

from paninifs.engine.collecting.sources.wikitext import wikitext_to_text

ARTICLE = """{{Infobox Linguiste
 | nom = Pāṇini
 | image = [[Fichier:Panini.jpg|200px]]
 | liste = {| class="x"
 | a
 |}
}}
'''Pāṇini''' ({{lang-sa|पाणिनि}} ; {{API|x}}) est un
[[grammairien]] de l'[[Inde ancienne|Inde]]<ref name="a">{{Y|t=[[Z]]}}</ref>,<ref name="a" />
né vers {{formatnum:520}} av. J.-C.<!-- à vérifier -->

[[Fichier:Timbre.jpg|thumb|Un [[timbre-poste|timbre]] {{nobr|à Pāṇini}}.]]
Il est l'auteur de l{{'}}''[[Aṣṭādhyāyī]]''&nbsp;: voir [http://example.org/a le site ''officiel''].

== Œuvre ==
{{Article détaillé|Aṣṭādhyāyī}}
=== Les ''sūtra'' ===
* premier [[livre]] ;
** second : <math>a < b</math> fin ;
# troisième.

{| class="wikitable"
|+ Titre
! a !! b
|-
| 1 || {{x|y}}
|}

Un appel f() reste, 5 < 6 & <b>gras</b>, L<sup>2</sup>.
<gallery>
Fichier:a.jpg|légende
</gallery>
<nowiki>'''pas [[gras]]'''</nowiki>

== Notes ==
{{Références}}
[[Catégorie:Grammairien]]
[[en:Pāṇini]]
__NOTOC__
"""


def test_an_article_becomes_its_prose():
    assert (
        wikitext_to_text(ARTICLE)
        == """\
Pāṇini est un
grammairien de l'Inde,
né vers 520 av. J.-C.

Il est l'auteur de l’Aṣṭādhyāyī\u00a0: voir le site officiel.

Œuvre
Les sūtra
premier livre ;
second : fin ;
troisième.

Un appel f() reste, 5 < 6 & gras, L2.
'''pas [[gras]]'''

Notes"""
    )


CASES = {
    "[[a]]s [[b|c]] [[d#e|f]] [[:Category:G|h]]": "as c f h",
    "[[File:a.png|thumb|of [[b]] and [[c|d]]]] after": "after",
    "[[Datei:a.png|mini]]x[[Файл:a.png|b]]y[[画像:a.png]]z": "xyz",
    "[[Xyz:photo.JPG|thumb|in a language of which no name is known]]x": "x",
    "[[Star Wars: Episode IV]] [[2001: a|b]]": "Star Wars: Episode IV b",
    "[[Category:A|*]]\n[[Catégorie:B]]\ntext": "text",
    "[[de:A]][[zh-yue:B]][[simple:C]]text [[wikt:d|d]]": "text d",
    "[[Sanskrit (language)|]] [[Help:Sanskrit|]]": "Sanskrit Sanskrit",
    "a {{b|c={{d|[[e]]}}|f}} g": "a g",
    "a{{b}}, c {{d}}.": "a, c .",
    "a ({{b}}) c ({{d}}, {{e}}) f ({{g}} ; h) i ()": "a c f (h) i ()",
    "{{{parameter|default}}}x": "x",
    "{{{{a}}|b}}x": "x",
    "{{lang|la|veritas}} {{nobr|1 000}} {{unité|12|km}}": "veritas 1 000 12 km",
    "'''''a''''' '''b''' ''c'' l''''d''' e": "a b c l'd e",
    "a<ref>b</ref>c<ref name=d/>e<ref name=\"f\" >g [[h]]</ref>i": "acei",
    "a<ref name=b>c<ref>d</ref>e": "ae",
    "a<!-- b -->c<!-- d": "ac",
    "a\n<!-- b -->\nc": "a\nc",
    "a<br>b<br />c<BR/>d": "a\nb\nc\nd",
    "<div class=\"x\">a</div><span>b</span> c <d> e < f": "a\nb c <d> e < f",
    "[http://a.b/c d e] [https://a.b] [//a.b f] http://a.b [x]": "d e f http://a.b [x]",
    "&eacute;&#233;&#xe9; &amp;lt; AT&T &copy=1 &nosuch;": "ééé &lt; AT&T &copy=1 &nosuch;",
    "== a ==\n=== b === \n====== c ======\n= d =\n==": "a\nb\nc\nd\n==",
    "* a\n** b\n*# c\n; d : e\n: f\n----\ng": "a\nb\nc\nd : e\nf\n\ng",
    "{|\n! a\n|-\n| b || c {{d}}\n{|\n| e\n|}\n|}\nf": "f",
    ":{| class=x\n| a\n|}\nb": "b",
    "{{a|\n|}}b": "b",
    "<nowiki>[[a]] {{b}}</nowiki> <pre>'''c'''</pre>": "[[a]] {{b}} '''c'''",
    "<math>\\frac{a}{b}</math>x<syntaxhighlight lang=c>if (a) {{</syntaxhighlight>y": "xy",
    "<gallery>\na.jpg|[[b]]\n</gallery>c": "c",
    "<noinclude>a</noinclude><includeonly>b</includeonly><onlyinclude>c</onlyinclude>": "ac",
    "__NOTOC__a __AUCUNSOMMAIRE__b __init__ __c": "a b __init__ __c",
    "-{zh-hans:计算机; zh-hant:電腦}-x -{A}-": "计算机x A",
    "a\r\nb\r\n": "a\nb",
    "a\n\n\n\n{{b}}\n\nc": "a\n\nc",
    # Brackets that are not closed cost no more than themselves.
    "a {{b [[c]] d": "a {{b c d",
    "a [[b {{c}} d": "a [[b d",
    "{{a|[[b}} c": "c",
    "a ]] b }} c |} d": "a ]] b }} c |} d",
    "a [[b\nc]] d": "a [[b\nc]] d",
    "{|\n| a\nb": "b",
    "a <ref>b": "a b",
    "\x00\x01\x021\x00": "1",
    "": "",
}  # fmt: skip


@pytest.mark.parametrize("wikitext", CASES)
def test_kept_and_dropped(wikitext):
    assert wikitext_to_text(wikitext) == CASES[wikitext]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_another_parser_finds_the_same_words_where_it_is_right():
    # Where it is wrong (captions of files, tables, the other wikis), the text has none of them.
    article = re.sub(r"\[\[(Fichier|Catégorie|en):.*|<gallery>(.|\n)*</gallery>", "", ARTICLE)
    article = re.sub(
        r"(?m)^\{\|(.|\n)*?^\|\}|\{\{(formatnum|').*?\}\}|<math>.*</math>", "", article
    )
    article = article.replace("__NOTOC__", "").replace("<nowiki>", "").replace("</nowiki>", "")
    article = article.replace("'''pas [[gras]]'''", "")
    theirs = mwparserfromhell.parse(article).strip_code()
    assert _words(wikitext_to_text(article)) == _words(theirs)


HOSTILE = """
[[ {{ }} ]] {|~ [http:// <ref> <!-- ''' ( \x01 ((\x01 {{a| [[a| == <nowiki> & -{ __A <ref
<b [[a]] {{[[ {{{ [[File:a| ~|} &amp; <ref></ref> {{a}} {|~|}~ {{lang|a| *~ ~== ~~ <!--~
[[a|]]{{ <nowiki></nowiki> (\x01, }}}} [[]] {{}} ({{a}} <a <ref/> <ref <ref> ''''' -{a}-
[[a|b|c
"""


def _cost(text: str) -> float:
    best = float("inf")
    for _ in range(2):
        begun = time.process_time()
        wikitext_to_text(text)
        best = min(best, time.process_time() - begun)
    return best


@pytest.mark.parametrize("piece", HOSTILE.split())
def test_time_grows_with_the_length_only(piece):
    piece = piece.replace("~", "\n")
    short, long = (piece * (length // len(piece)) for length in (20_000, 80_000))
    # Four times the text costs four times as much, or sixteen times if anything is quadratic.
    assert _cost(long) < 10 * _cost(short) + 0.002


def test_links_in_links_are_not_copied_once_per_level():
    opening = f"[[a|{'b' * 200}"
    short, long = (opening * n + "]]" * n for n in (2_000, 16_000))
    assert _cost(long) < 20 * _cost(short)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("[[a|", "]]"), ("{{a|", "}}"), ("{|\n", "\n|}"), ("{{lang|a|", "}}"), ("[[File:a|", "]]")],
)
def test_depth_is_bounded(opening, closing):
    text = f"x {opening * 50_000}{closing * 50_000} y"
    assert wikitext_to_text(text).startswith("x")


@pytest.mark.slow("compares processor time with a parser of 0.3 MB per second")
def test_it_is_several_times_as_fast_as_the_other_parser():
    def cost(convert) -> float:
        begun = time.process_time()
        for _ in range(20):
            convert(ARTICLE)
        return time.process_time() - begun

    ours = min(cost(wikitext_to_text) for _ in range(3))
    theirs = min(cost(lambda text: mwparserfromhell.parse(text).strip_code()) for _ in range(3))
    assert 3 * ours < theirs
