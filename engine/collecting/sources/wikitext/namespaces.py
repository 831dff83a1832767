"""Names of the namespaces whose links are not text, in the languages of the larger Wikipedias.

The names are those that MediaWiki gives the namespaces File (6) and Category (14) in a language,
with their older forms. A file is also known by its ending, whatever its namespace is called.
"""

from __future__ import annotations

import re

_FILE = """
file image media fichier datei bild archivo imagen ficheiro arquivo imagem файл изображение immagine
bestand afbeelding plik grafika fil tiedosto kuva ファイル 画像 文件 檔案 图像 圖像 파일 그림 קובץ
תמונה ملف صورة پرونده تصویر tập_tin hình dosya resim berkas gambar soubor súbor obrázok fájl kép
fișier fişier imagine fitxer imatge датотека слика datoteka slika зображення файл выява चित्र फ़ाइल
fitxategi irudi dosiero αρχείο εικόνα картинка mynd vaizdas pilt attēls ไฟล์ ภาพ চিত্র படிமம் దస్త్రం
"""

_CATEGORY = """
category catégorie kategorie categoría categoria категория категорія kategoria categorie kategori
luokka カテゴリ 分类 分類 분류 קטגוריה تصنيف رده thể_loại kategória kategorija категорија
катэгорыя श्रेणी kategorio kategoriya κατηγορία flokkur kategooria หมวดหมู่ বিষয়শ্রেণী பகுப்பு వర్గం
"""

FILE_NAMES = frozenset(_FILE.split())
CATEGORY_NAMES = frozenset(_CATEGORY.split())

_MEDIA_ENDING = re.compile(
    r"\.(?:jpe?g|png|svg|gif|webp|tiff?|xcf|pdf|djvu|stl|og[agv]|opus|mp[34]|wav|flac|midi?|webm)$",
    re.IGNORECASE,
)
_LANGUAGE = re.compile(r"(?:[a-z]{2,3}|simple|be-x-old|zh-[a-z-]{3,12}|[a-z]{3}-[a-z]{3,4})$")
_SHOWN_INTERWIKI = frozenset({"doi", "rfc", "hdl", "mw", "voy", "wmf", "cc", "gs"})
"""Prefixes as short as a language's code whose links are shown in the text."""


def is_shown(target: str) -> bool:
    """Return whether a link to this page is text: not a file, a category or another language.

    >>> is_shown("Pāṇini"), is_shown("Datei:A.jpg"), is_shown(":Category:Grammarians")
    (True, False, True)
    >>> is_shown("de:Grammatik"), is_shown("Terminator 2: Le Jugement dernier")
    (False, True)
    """
    prefix, colon, rest = target.partition(":")
    prefix = prefix.strip().lower().replace(" ", "_")
    if not colon or not prefix:
        return True
    if prefix in FILE_NAMES or prefix in CATEGORY_NAMES or _MEDIA_ENDING.search(rest.rstrip()):
        return False
    return prefix in _SHOWN_INTERWIKI or not _LANGUAGE.match(target.partition(":")[0].strip())
