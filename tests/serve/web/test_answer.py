"""Answers in the browser: what is drawn, where it comes from, and what never runs."""

import re

import pytest
from playwright.sync_api import expect

from support.browser import ScriptedServer, ask, chunks, citation, document

TEXT = "12.1 Either party may 🖋 terminate this agreement with ninety days' notice. Nothing else."
QUOTE = "terminate this agreement"
AT = TEXT.index(QUOTE)
ANSWER = r"""It is **ninety days**, as [the law](https://example.org) has it:

> terminate this agreement

| who | days |
| --- | ---: |
| both | 90 |

Interest is \(r_0 + 2\), for $5 and $10:

\[
a = b
\]

```python
def owed(): return "90"
```
"""
SHARES = [
    {"file_id": "file-1", "page": 2, "share": 0.7},
    {"file_id": "file-1", "page": 1, "share": 0.2},
]


PLACE = {"start": AT, "end": AT + len(QUOTE)}
CITATIONS = [
    citation(QUOTE, 2, **PLACE),
    citation(QUOTE, 2, kind="located", verified=False, **PLACE),
    citation(QUOTE, 2, verified=False, **PLACE),
    citation("never said", None, file_id=None, filename=None, verified=False),
]


@pytest.fixture(scope="module")
def answered(url, open_shared_page):
    """The page with an answer that has everything; nothing else is open."""
    server = ScriptedServer(
        documents=[document(pages=3)],
        pages=["One.", TEXT, "Three."],
        answer=chunks(ANSWER, citations=CITATIONS, pages=SHARES),
    )
    permissions = ["clipboard-read", "clipboard-write"]
    page = open_shared_page(url, server=server, permissions=permissions)
    ask(page, "How long?")
    return page


def test_markdown_code_and_formulas_are_drawn(answered):
    """As elements: bold, links, quotes, tables, code in colours, formulas, and no money as one."""
    answer = answered.locator(".answer .markdown")
    expect(answer.locator("strong")).to_have_text("ninety days")
    expect(answer.locator("a")).to_have_attribute("rel", "noopener noreferrer")
    expect(answer.locator("blockquote")).to_have_text(QUOTE)
    expect(answer.locator("td.align-right")).to_have_text("90")
    expect(answer.locator(".formula .katex-html")).to_have_count(2)
    expect(answer).to_contain_text("for $5 and $10:")
    expect(answer.locator("code .hljs-keyword").first).to_have_text("def")


def test_code_is_copied(answered):
    """The button copies the block as it was written, and says so."""
    code = answered.locator("figure.code")
    code.get_by_role("button", name="Copy").click()
    expect(code.get_by_role("button", name="Copied")).to_be_visible()
    assert answered.evaluate("navigator.clipboard.readText()") == 'def owed(): return "90"'


def test_citations_say_how_sure_they_are(answered):
    """Verified, found, elsewhere, nowhere: four different things, in words."""
    elsewhere = "stands here, not where the answer says"
    words = ["quote verified", "found here", elsewhere, "quote not found"]
    expect(answered.locator(".citation .state")).to_have_text(words)
    expect(answered.locator(".citation").last).to_be_disabled()


def test_a_citation_opens_its_page(answered):
    """With the quote marked (counted in characters), the focus in it; Esc gives the focus back."""
    opener = answered.locator(".citation").first
    opener.click()
    pane = answered.get_by_role("complementary", name="Document contract.pdf")
    expect(pane.locator("mark")).to_have_text(QUOTE)
    expect(pane.get_by_role("heading", name="contract.pdf")).to_be_focused()
    expect(pane.get_by_role("spinbutton")).to_have_value("2")
    answered.keyboard.press("ArrowRight")
    expect(pane.get_by_text("Three.")).to_be_visible()
    expect(pane.locator("mark")).to_have_count(0)
    answered.keyboard.press("Escape")
    expect(pane).to_have_count(0)
    expect(opener).to_be_focused()


def test_where_the_answer_looked(answered):
    """A strip with a cell for each page, and its best pages as buttons that open them."""
    expect(answered.locator(".looked .heat span")).to_have_count(3)
    answered.get_by_role("button", name="p. 2 (70%)").click()
    expect(answered.locator(".pane .heat .is-here")).to_have_attribute("title", "p. 2: 70%")
    answered.keyboard.press("Escape")


def test_what_it_took(answered):
    """Tokens, the cached share of them (never rounded up), the time, the recall; the context."""
    figures = ["148,230 tokens", "99% from the cache", "read in 0.6 sec", "recall 97.8%"]
    expect(answered.locator(".answer .figures span")).to_have_text(figures)
    meter = answered.get_by_role("meter", name="Context used")
    expect(meter).to_have_attribute("aria-valuenow", "148290")


HACK = "window.hacked = 1"
ATTACKS = [
    f"<script>{HACK}</script>",
    f"<img src=x onerror='{HACK}'>",
    f"[click](javascript:{HACK})",
    f"![picture](javascript:{HACK})",
    "![picture](https://example.org/track.png)",
    f'<a href="javascript:{HACK}">x</a>',
    f"[x](data:text/html,<script>{HACK}</script>)",
    rf"\(\href{{javascript:{HACK}}}{{x}}\)",
    rf"$$\htmlData{{x={HACK}}}{{y}}\includegraphics{{https://example.org/x.png}}$$",
    f"```html\n<svg onload='{HACK}'>\n```",
    f"<svg/onload={HACK}>",
    f"`<iframe srcdoc='<script>{HACK}</script>'>`",
    f"| <img src=x onerror='{HACK}'> |\n| --- |\n| <b>x</b> |",
]


def test_nothing_of_an_answer_ever_runs(url, open_page):
    """Tags, handlers and addresses in an answer, a name, a quote or a page are text."""
    evil = f"<img src=x onerror='{HACK}'>"
    server = ScriptedServer(
        documents=[document(filename=f"{evil}.pdf", pages=1)],
        pages=[evil],
        answer=chunks(
            "\n\n".join(ATTACKS),
            citations=[citation(evil, 1, filename=f"{evil}.pdf", start=0, end=len(evil))],
            pages=[{"file_id": "file-1", "page": 1, "share": 1.0}],
        ),
    )
    asked = []
    page = open_page(url, server=server)
    page.on("request", lambda request: asked.append(request.url))
    ask(page, evil)
    expect(page.locator(".citation q")).to_have_text(evil)
    expect(page.locator(".answer")).to_contain_text(f"<script>{HACK}</script>")
    page.locator(".citation").click()
    expect(page.locator("mark")).to_have_text(evil)
    assert page.evaluate("window.hacked") is None
    assert (
        page.locator(":is(.turns, .pane, .rail) :is(script, img, iframe, svg[onload])").count() == 0
    )
    for address in page.locator(".answer a").evaluate_all("all => all.map(a => a.href)"):
        assert re.match("https?://", address)
    assert all(each.startswith((url, "blob:")) for each in asked)


def test_errors_say_what_to_do(url, open_page):
    """The server's words, then ours; and the question can be asked again."""
    server = ScriptedServer(answer=chunks("Ninety days."))
    page = open_page(url, server=server)
    server.failure = (400, {"message": "This cannot be.", "code": "context_length_exceeded"})
    ask(page, "How long?", wait=False)
    failure = page.locator(".answer").get_by_role("alert")
    expect(failure).to_contain_text("This cannot be. Take a document away, or start a new chat.")
    server.failure = (503, {"message": "Too many wait.", "code": "queue_full"})
    page.get_by_role("button", name="Answer again").click()
    expect(failure).to_contain_text("Too many wait. Try again in 7 seconds.")
    server.failure = None
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".answer.is-done")).to_contain_text("Ninety days.")
