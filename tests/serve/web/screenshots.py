"""Makes the pictures of docs/web.md: a real server, the small model, a book of this project.

make web-shots
"""

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from playwright.sync_api import sync_playwright  # noqa: E402

from longreach.evals.needle.book import make_book  # noqa: E402
from support.browser import ARGUMENTS, ask  # noqa: E402
from support.serving import live_server  # noqa: E402

OUT = ROOT / "docs" / "images"
PAGES, FACTS = 120, 6
LENGTH = 65_536
HOUR_MS = 3_600_000


def main():
    """Read a book once, and take a picture of each step."""
    book = make_book(PAGES, seed=7, num_facts=FACTS)
    with server() as url, browser() as chromium, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "A book of 120 pages.pdf"
        path.write_bytes(book.pdf)
        page = open_page(chromium, url, color_scheme="dark")
        page.locator("input[type=file]").first.set_input_files(path)
        page.get_by_text("answer begins in about").wait_for()
        ask(page, book.facts[0].question.text, wait=False)
        page.wait_for_function(
            "() => document.querySelector('[role=progressbar]')?.ariaValueNow >= 40"
        )
        shoot(page, "reading")
        page.locator(".answer.is-done").wait_for()
        for fact in book.facts[1:3]:
            answered(page, fact)
        page.locator(".citation").last.click()
        show_pane(page)
        shoot(page, "dark")
        state = page.context.storage_state()
        page = open_page(chromium, url, storage_state=state, color_scheme="light")
        page.get_by_label("Pin").select_option("1d")
        page.locator(".citation").last.click()
        show_pane(page)
        shoot(page, "answer")
        phone = {"width": 360, "height": 740}
        page = open_page(chromium, url, storage_state=state, viewport=phone, has_touch=True)
        page.locator(".citation").last.wait_for()
        page.wait_for_timeout(500)
        shoot(page, "phone")


@contextmanager
def server():
    from longreach.engine.async_engine import AsyncEngine
    from longreach.engine.llm import LLM

    engine = AsyncEngine.from_llm(LLM("needle", max_model_len=LENGTH, num_kv_tokens=2 * LENGTH))
    with live_server(engine) as url:
        yield url


@contextmanager
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield chromium
        chromium.close()


def open_page(chromium, url, **options):
    options = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options}
    page = chromium.new_context(**options).new_page()
    page.set_default_timeout(HOUR_MS)
    page.goto(url)
    page.locator(".model").wait_for(state="attached")
    return page


def answered(page, fact):
    """Ask for a fact in a conversation of its own, which finds the book in the cache."""
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_text("already read").wait_for()
    ask(page, fact.question.text)


def show_pane(page):
    page.locator(".pane mark").wait_for()
    page.locator(".pane img").evaluate("image => image.decode()")
    page.wait_for_timeout(500)


def shoot(page, name):
    page.screenshot(path=OUT / f"web-{name}.png")


if __name__ == "__main__":
    main()
