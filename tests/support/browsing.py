"""A real browser, without a window, for tests that look at a page as a reader does."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager

import pytest

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

HOW_TO_GET_ONE = (
    "this test looks at a page with Chromium, and none could be started ({}): run `make unit`, "
    "which gets one, or install the package chromium, or name one by the environment variable "
    "CHROME, or run `playwright install chromium` in the tests' environment"
)


def installed():
    """The browser that is there already; None: playwright's own, if it has been fetched."""
    if os.environ.get("CHROME"):
        return os.environ["CHROME"]
    return next(filter(None, map(shutil.which, COMMANDS)), None)


@contextmanager
def started():
    """Start a browser, and end it.

    As long as it is there, this thread counts as one in which an event loop runs: that is how
    playwright waits. So no browser outlives its test, or ``asyncio.run`` would fail in others.
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
    """Opens pages, each in a context of its own, and hears what they complain of.

    Attributes
    ----------
    complaints : list of str
        Errors and warnings of the consoles, exceptions that no script caught, requests that failed.
    requests : list of str
        The URL of everything that was asked for.
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
