"""A real headless browser, for tests that check a page as a reader sees it."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager

import pytest

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

HOW_TO_GET_ONE = (
    "this test opens a page in Chromium, but no Chromium could be started ({}): run `make test`, "
    "which installs one, or install the package chromium, or set the environment variable CHROME "
    "to its path, or run `playwright install chromium` in the tests' environment"
)


def installed():
    """Return the path of an installed browser, or None for playwright's own if it has one."""
    if os.environ.get("CHROME"):
        return os.environ["CHROME"]
    return next(filter(None, map(shutil.which, COMMANDS)), None)


@contextmanager
def started():
    """Start a browser, and stop it at the end.

    While it runs, asyncio considers an event loop to be running in this thread, because that is how
    playwright waits. So no browser may outlive its test, or ``asyncio.run`` would fail in others.
    """
    from playwright.sync_api import Error, sync_playwright

    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=installed(), args=["--no-sandbox"] if as_root else []
            )
        except Error as error:
            pytest.fail(HOW_TO_GET_ONE.format(str(error).splitlines()[0]), pytrace=False)
        with browser:
            yield browser


class Looking:
    """Opens pages, each in its own context, and records their errors and requests.

    Attributes
    ----------
    complaints : list of str
        Console errors and warnings, uncaught exceptions, and failed requests.
    requests : list of str
        The URL of every request.
    """

    def __init__(self, browser):
        self._browser = browser
        self.complaints, self.requests = [], []

    def __call__(self, url, **context):
        """Open a page; `context` goes to playwright's ``Browser.new_context``."""
        page = self._browser.new_context(**context).new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", lambda one: self.complaints.append(f"{one.url}: {one.failure}"))
        page.goto(str(url))
        return page

    def _console(self, message):
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")
