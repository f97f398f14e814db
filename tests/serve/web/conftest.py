import shutil
from contextlib import contextmanager

import pytest

from longreach.serve.routes.web import POLICY
from support.browser import ARGUMENTS, Watch
from support.fake_async_engine import FakeAsyncEngine
from support.serving import live_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TIMEOUT_MS = 60_000
"""Long, because machines that test are busy. Nothing waits for it when all is well."""


@pytest.fixture(scope="session")
def chromium():
    """A headless browser of this worker's own."""
    if CHROMIUM is None:
        pytest.skip("NO BROWSER: chromium is not installed, so the web page is not tested")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def url():
    """A server that has the page; what it answers is mostly scripted."""
    with live_server(FakeAsyncEngine()) as address:
        yield address


@contextmanager
def profile(chromium):
    """See `open_page`."""
    watches = []

    def open_at(url, *, server=None, **options):
        options = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options}
        context = chromium.new_context(**options)
        context.set_default_timeout(TIMEOUT_MS)
        watch = Watch(context.new_page())
        watches.append(watch)
        for pattern, handler in server.routes if server else ():
            watch.page.route(pattern, handler)
        answer = watch.page.goto(url)
        assert answer.headers["content-security-policy"] == POLICY
        return watch.page

    yield open_at
    for watch in watches:
        watch.page.context.close()
    assert [error for watch in watches for error in watch.errors] == []


@pytest.fixture
def open_page(chromium):
    """A new profile with the page of a server: `open_page(url, **options of the profile)`.

    server: a ScriptedServer that answers in place of the real one. At the end, nothing may have
    broken the page's policy or thrown an error.
    """
    with profile(chromium) as open_at:
        yield open_at


@pytest.fixture(scope="module")
def open_shared_page(chromium):
    """As `open_page`, for tests of a module that only look."""
    with profile(chromium) as open_at:
        yield open_at
