"""The browser that tests look at pages with."""

from __future__ import annotations

import asyncio
import threading

import browsing
import pytest


def test_page_is_read_and_what_it_complains_of_is_heard(look, tmp_path):
    (tmp_path / "page.html").write_text(
        "<title>a page</title><script>console.error('no'); nowhere()</script><img src=gone.png>"
    )
    page = look((tmp_path / "page.html").as_uri())
    assert page.title() == "a page"
    kinds = {one.split(":")[0] for one in look.complaints}
    assert kinds == {"error", "exception", "file"}  # the last for the picture
    assert [url.rsplit("/", 1)[1] for url in look.requests] == ["page.html", "gone.png"]


def test_browser_is_there_beside_event_loops_of_other_threads(look):
    told = []
    other = threading.Thread(target=lambda: told.append(asyncio.run(asyncio.sleep(0, "slept"))))
    page = look("data:text/html,<h1>here</h1>")
    other.start()
    other.join()
    assert (told, page.inner_text("h1")) == (["slept"], "here")


def test_thread_runs_event_loops_again_once_the_browser_is_gone():
    with browsing.started():
        pass
    assert asyncio.run(asyncio.sleep(0, "slept")) == "slept"


def test_missing_browser_fails_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("CHROME", str(tmp_path / "nothing here"))
    failed = pytest.raises(pytest.fail.Exception, match="install the package chromium")
    with failed, browsing.started():
        pass
