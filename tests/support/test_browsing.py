"""The browser with which tests check pages."""

from __future__ import annotations

import asyncio
import threading

import browsing
import pytest


def test_a_page_and_its_errors_are_read(look, tmp_path):
    (tmp_path / "page.html").write_text(
        "<title>a page</title><script>console.error('no'); nowhere()</script><img src=gone.png>"
    )
    page = look((tmp_path / "page.html").as_uri())
    assert page.title() == "a page"
    kinds = {one.split(":")[0] for one in look.complaints}
    assert kinds == {"error", "exception", "file"}  # the last for the picture
    assert [url.rsplit("/", 1)[1] for url in look.requests] == ["page.html", "gone.png"]


def test_the_browser_works_beside_other_event_loops(look):
    told = []
    other = threading.Thread(target=lambda: told.append(asyncio.run(asyncio.sleep(0, "slept"))))
    page = look("data:text/html,<h1>here</h1>")
    other.start()
    other.join()
    assert (told, page.inner_text("h1")) == (["slept"], "here")


def test_event_loops_run_again_after_the_browser():
    with browsing.started():
        pass
    assert asyncio.run(asyncio.sleep(0, "slept")) == "slept"


def test_a_missing_browser_fails_with_advice(monkeypatch, tmp_path):
    monkeypatch.setenv("CHROME", str(tmp_path / "nothing here"))
    failed = pytest.raises(pytest.fail.Exception, match="install the package chromium")
    with failed, browsing.started():
        pass
