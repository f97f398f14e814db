"""The whole way with the small model: a PDF, a question, its page, a reload, the cache."""

import re

import pytest
from playwright.sync_api import expect

from longreach.cli.defaults import sampling_defaults
from longreach.evals.needle.book import make_book
from longreach.models.registry import resolve_model
from support.browser import ask
from support.serving import live_server

pytestmark = pytest.mark.slow

PAGES, LENGTH = 4, 4096


@pytest.fixture(scope="module")
def needle_url():
    from longreach.engine.async_engine import AsyncEngine
    from longreach.engine.llm import LLM

    engine = AsyncEngine.from_llm(LLM("needle", max_model_len=LENGTH, num_kv_tokens=2 * LENGTH))
    with live_server(engine, sampling_defaults=sampling_defaults(resolve_model("needle"))) as url:
        yield url


def test_from_a_file_to_the_page_that_answers(needle_url, open_page):
    """Upload, estimate, question, progress, answer, its page; reload, and again from the cache."""
    book = make_book(PAGES, seed=3, num_facts=1)
    (fact,) = book.facts
    page = open_page(needle_url)
    file = {"name": "book.pdf", "mimeType": "application/pdf", "buffer": book.pdf}
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.locator(".attachments")).to_contain_text(f"{PAGES} pages")
    expect(page.locator(".estimate")).to_contain_text("answer begins in about")

    watch_progress(page)
    ask(page, fact.question.text)
    expect(page.locator(".answer")).to_contain_text(str(fact.needle.value))
    assert page.evaluate("window.progress") >= 1
    expect(page.locator(".answer .figures")).not_to_contain_text("from the cache")

    page.locator(".citation").first.click()
    pane = page.get_by_role("complementary", name="Document book.pdf")
    expect(pane.get_by_role("spinbutton")).to_have_value(str(fact.page))
    expect(pane.locator("mark")).to_contain_text(str(fact.needle.value))
    picture = pane.get_by_role("img", name=f"Picture of page {fact.page}")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    expect(page.locator(".looked .link").first).to_have_text(re.compile(r"p\. \d \(\d+%\)"))

    page.reload()
    expect(page.locator(".answer")).to_contain_text(str(fact.needle.value))
    expect(page.locator(".document")).to_contain_text("In memory")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".estimate")).to_contain_text("already read")
    ask(page, fact.question.text)
    expect(page.locator(".answer .figures")).to_contain_text("from the cache")


def watch_progress(page):
    """Count the bars that are seen: a fast machine shows one for a moment only."""
    page.evaluate(
        """() => {
            window.progress = 0;
            const seen = () => document.querySelector('[role=progressbar]') && window.progress++;
            new MutationObserver(seen).observe(document.body, { subtree: true, childList: true });
        }"""
    )
