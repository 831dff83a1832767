"""The pictures of the documentation, taken with a real browser: ``make screenshots``.

    python screenshots.py FOLDER

They show a run over repeated glosses of WordNet, with a block in Python: its tab on dask's
dashboard and its card in a notebook while it runs, and the report of its store, light and dark.
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
from pathlib import Path

from browsing import started
from paths import GLOSSES
from watched import n_words

import paninifs as pf

TIMES = 1000
WIDE, NARROW = {"width": 1360, "height": 780}, {"width": 720, "height": 420}


def corpus(folder: Path) -> pf.Corpus:
    folder.mkdir()
    first = folder / "0000.jsonl"
    first.write_bytes(gzip.decompress(GLOSSES.read_bytes()))
    for copy in range(1, TIMES):
        os.link(first, folder / f"{copy:04}.jsonl")
    return pf.open_corpus(folder)


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    os.environ.pop("COLAB_RELEASE_TAG", None)
    with (
        tempfile.TemporaryDirectory() as folder,
        pf.connect(workers=2, quiet=True) as client,
        started() as browser,
    ):
        os.chdir(folder)
        graph = pf.default_graph() + n_words
        run = pf.submit(
            graph, corpus(Path("glosses")), "results.zarr", progress=False, shard_rows=4096
        )
        tab = browser.new_page(viewport=WIDE)
        tab.goto(client.dashboard_link)
        card = browser.new_page(viewport=NARROW)
        while not run.done and run.figures.share < 0.7:
            tab.wait_for_timeout(500)
        card.set_content(f"<body style='font: 14px sans-serif'>{run._repr_html_()}")
        tab.screenshot(path=out / "tab.png")
        card.screenshot(path=out / "notebook.png")
        run.result()
        report = pf.report("results.zarr", "report.html")
        for scheme in ("light", "dark"):
            page = browser.new_context(color_scheme=scheme, viewport=WIDE).new_page()
            page.goto(report.path.resolve().as_uri())
            page.screenshot(path=out / f"report-{scheme}.png")
            page.locator("section:has(#numbers)").screenshot(
                path=out / f"report-numbers-{scheme}.png"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
