"""The page in the browser: conversations, documents, keys, keyboard, languages, widths."""

from playwright.sync_api import expect

from support.browser import ScriptedServer, ask, chunks, citation, document
from support.fake_async_engine import FakeAsyncEngine
from support.serving import Gate, live_server

LANGUAGES = {
    "zh": ("zh-Hans", "输入问题", "新对话"),
    "de": ("de", "Stellen Sie eine Frage", "Neuer Chat"),
    "ja": ("ja", "質問を入力", "新しいチャット"),
    "en": ("en", "Ask a question", "New chat"),
}


def scripted(answer="It is ninety days.", **fields):
    return ScriptedServer(documents=[document()], pages=["One."], answer=chunks(answer), **fields)


def questions(page):
    return page.locator(".bubble")


# --- conversations


def test_a_conversation_survives_a_reload(url, open_page):
    """And stands in the list, from which it is opened and deleted."""
    page = open_page(url, server=scripted())
    ask(page, "How long?")
    page.reload()
    expect(questions(page)).to_have_text("How long?")
    expect(page.locator(".answer")).to_contain_text("ninety days")
    page.get_by_role("button", name="New chat").click()
    expect(questions(page)).to_have_count(0)
    page.get_by_role("button", name="How long?").click()
    expect(questions(page)).to_have_text("How long?")
    page.get_by_role("button", name="Delete chat").click()
    expect(page.get_by_role("heading", name="Read once, ask for ever")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Read once, ask for ever")).to_be_visible()


def test_a_question_is_edited_and_asked_anew(url, open_page):
    """What came after it is forgotten; Esc leaves the editor."""
    server = scripted()
    page = open_page(url, server=server)
    ask(page, "How long?")
    ask(page, "Who?")
    for key in ("Escape", "Enter"):
        questions(page).first.hover()
        page.get_by_role("button", name="Edit").first.click()
        page.get_by_role("textbox", name="Edit").fill("How much?")
        page.keyboard.press(key)
    expect(page.locator(".answer.is-done")).to_have_count(1)
    expect(questions(page)).to_have_text("How much?")
    assert [each["messages"][-1]["content"] for each in server.asked] == [
        "How long?",
        "Who?",
        "How much?",
    ]
    assert len(server.asked[-1]["messages"]) == 1


def test_stop_continue_and_answer_again(open_page):
    """Esc stops what is being written; it is continued from there, or begun anew."""
    gate = Gate()
    engine = FakeAsyncEngine(script="One two three four five.", gate=gate, free_pieces=2)
    with live_server(engine) as url:
        page = open_page(url)
        ask(page, "Count.", wait=False)
        expect(page.locator(".answer.is-running .markdown")).to_be_visible()
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".answer.is-stopped")).to_contain_text("Stopped.")
        begun = page.locator(".answer .markdown").inner_text()
        gate.open()
        page.get_by_role("button", name="Continue").click()
        expect(page.locator(".answer.is-done")).to_contain_text(f"{begun}One two three four five.")
        prompt = engine.tokenizer.decode(engine.requests[-1].prompt_token_ids)
        assert prompt.endswith(begun)
        page.get_by_role("button", name="Answer again").click()
        expect(page.locator(".answer.is-done .markdown")).to_have_text("One two three four five.")


# --- documents


def test_a_document_goes_first_and_its_cost_is_known_before(url, open_page):
    """Chosen from the list: tokens, fit and time are said, then the file stands before the text."""
    server = scripted(estimate={"cached_tokens": 148_000})
    page = open_page(url, server=server)
    page.get_by_role("button", name="Ask", exact=True).click()
    estimate = page.locator(".estimate")
    for words in ("148,230 tokens", "fits in 1.01M", "99% already read", "in about 1 min 14 sec"):
        expect(estimate).to_contain_text(words)
    ask(page, "How long?")
    (body,) = server.asked
    first, second = body["messages"][0]["content"]
    assert first == {"type": "file", "file": {"file_id": "file-1"}}
    assert second == {"type": "text", "text": "How long?"}
    assert body["return_progress"]
    assert body["longreach"] == {"attention": True}


def test_what_does_not_fit_is_not_sent(url, open_page):
    """It says both numbers and what to do, and the button is off."""
    server = scripted(estimate={"fits": False, "tokens": 1_500_000})
    page = open_page(url, server=server)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_label("Your question").fill("How long?")
    expect(page.locator(".estimate")).to_contain_text(
        "1,500,000 tokens do not fit: the model takes 1,010,000"
    )
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    page.keyboard.press("Enter")
    assert server.asked == []


def test_the_list_tells_and_changes_what_is_kept(url, open_page):
    """Size, cache, pin and its time; pinned for a while, unpinned, deleted by a second press."""
    server = scripted()
    page = open_page(url, server=server)
    card = page.locator(".document")
    expect(card).to_contain_text("212 pages · 148K tokens · 1.2 MB")
    expect(card).to_contain_text("Not read yet")
    server.documents = [
        document(cached_tokens=148_096, disk_tokens=148_096, cache_bytes=8_500_000_000, pinned=True)
    ]
    page.get_by_label("Pin").select_option("1h")
    expect(card).to_contain_text("On disk · 8.5 GB · pinned")
    page.get_by_role("button", name="Unpin").click()
    expect(card).to_contain_text("pinned")
    assert server.pins == [("POST", '{"ttl":"1h"}'), ("DELETE", None)]
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete?").click()
    expect(card).to_have_count(0)


DROPPED = """() => {
    const dropped = new DataTransfer();
    dropped.items.add(new File(["%PDF"], "secret.pdf"));
    return dropped;
}"""


def test_a_file_that_cannot_be_read_says_why(url, open_page):
    """Dropped on the page: the server's reason, beside the file's name."""
    error = {"code": "encrypted", "message": "It is encrypted: save it without a password."}
    server = scripted()
    server.documents = [document(error=error, pages=None, tokens=None, kind=None)]
    page = open_page(url, server=server)
    expect(page.locator(".document .failure")).to_contain_text("It is encrypted")
    dropped = page.evaluate_handle(DROPPED)
    page.dispatch_event("body", "dragover", {"dataTransfer": dropped})
    expect(page.locator(".drop-zone")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    expect(page.locator(".notice")).to_contain_text("contract.pdf: It is encrypted")
    expect(page.locator(".attachments")).to_have_count(0)


# --- keys, keyboard


def test_the_key_is_asked_for(open_page):
    """Once, again when it is wrong; it stays in this tab and nowhere else. Below a path, too."""
    with live_server(FakeAsyncEngine(), api_keys=("open sesame",), root_path="/lr") as url:
        page = open_page(f"{url}/lr/")
        dialog = page.get_by_role("dialog", name="API key needed")
        field = dialog.get_by_label("API key")
        expect(field).to_be_focused()
        page.keyboard.press("Escape")
        field.fill("wrong")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_have_text("The server does not know this key.")
        field.fill("open sesame")
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
        ask(page, "What is the pass key?")
        expect(page.locator(".answer")).to_contain_text("The pass key is 28884.")
        assert "sesame" not in page.evaluate("JSON.stringify(localStorage)")
        page.reload()
        expect(page.locator(".model")).to_contain_text("needle")
        expect(dialog).to_have_count(0)


def test_the_keyboard_is_enough(url, open_page):
    """/ and Ctrl+K go to the question, Shift+Enter begins a line, Enter sends."""
    server = scripted()
    page = open_page(url, server=server)
    question = page.get_by_label("Your question")
    expect(page.locator(".model")).to_be_visible()
    for key in ("/", "Control+k"):
        question.blur()
        page.keyboard.press(key)
        expect(question).to_be_focused()
    page.keyboard.type("How")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("long / far?")
    page.keyboard.press("Enter")
    expect(questions(page)).to_have_text("How\nlong / far?", use_inner_text=True)
    expect(page.get_by_role("status").filter(has_text="The answer is complete")).to_be_attached()


def test_everything_that_can_be_pressed_has_a_name(url, open_page):
    """Buttons, fields and lists, also those that are pictures."""
    page = open_page(url, server=scripted())
    ask(page, "How long?")
    page.locator(".document .name").click()
    names = page.locator("button, input:not([hidden]), select, textarea").evaluate_all(
        """all => all.map(each => each.ariaLabel || each.innerText.trim()
            || each.closest("label")?.innerText)"""
    )
    assert len(names) > 15
    assert all(names)


# --- looks


def test_a_phone_scrolls_in_one_direction(url, open_page):
    """At 360 pixels nothing is wider than the page: start, answer, drawer, document."""
    long = "word" * 60
    formula = "+".join(["x"] * 90)
    wide = f"{long}\n\n| a |\n| - |\n| {long} |\n\n```\n{long}\n```\n\n$${formula}$$"
    found = [citation(long, 1, start=0, end=4)]
    server = ScriptedServer(
        documents=[document(filename=f"{long}.pdf")],
        pages=[long],
        answer=chunks(
            wide, citations=found, pages=[{"file_id": "file-1", "page": 1, "share": 1.0}]
        ),
    )
    page = open_page(url, server=server, viewport={"width": 360, "height": 740}, has_touch=True)
    assert_no_wider(page)
    menu = page.get_by_role("button", name="Documents and chats")
    menu.click()
    expect(page.locator(".rail").get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    menu.click()
    assert_no_wider(page)
    page.get_by_role("button", name="Ask", exact=True).click()
    ask(page, long)
    expect(page.locator(".katex-html")).to_be_visible()
    assert_no_wider(page)
    page.locator(".citation").click()
    expect(page.locator("mark")).to_be_visible()
    assert_no_wider(page)
    page.keyboard.press("Escape")
    expect(page.locator(".citation")).to_be_focused()


PARTS = "html, body, .app, main, .turns, .composer, .pane, .rail"


def assert_no_wider(page):
    widths = page.locator(PARTS).evaluate_all("all => all.map(each => each.scrollWidth)")
    assert max(widths) <= 360


def test_it_speaks_the_readers_language(url, open_page):
    """The browser's language; the others by a switch, which is remembered."""
    page = open_page(url, server=scripted(), locale="ja-JP")
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    for code, (tag, placeholder, new) in LANGUAGES.items():
        page.locator(".rail footer select").select_option(code)
        expect(page.locator("html")).to_have_attribute("lang", tag)
        expect(page.locator(".composer textarea")).to_have_attribute("placeholder", placeholder)
        expect(page.get_by_role("button", name=new)).to_be_visible()
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_a_language_that_it_does_not_know(url, open_page):
    """English, then."""
    page = open_page(url, server=scripted(), locale="fr-FR")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_light_and_dark(url, open_page):
    """As the system has it, or as it is switched; remembered."""
    page = open_page(url, server=scripted(), color_scheme="dark")
    luminance = (
        "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)[0]"
    )
    assert page.evaluate(luminance) < 60
    page.get_by_role("button", name="Theme: as the system").click()
    assert page.evaluate(luminance) > 200
    page.reload()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert page.evaluate(luminance) > 200


def test_a_model_that_loads_is_waited_for(url, open_page):
    """It says so, and is ready by itself."""
    server = scripted()
    server.loading = True
    page = open_page(url, server=server)
    expect(page.get_by_text("The model is loading…")).to_be_visible()
    server.loading = False
    expect(page.locator(".model")).to_contain_text("Qwen2.5-7B-Instruct-1M")
    expect(page.get_by_text("The model is loading…")).to_have_count(0)


def test_a_server_that_went_is_found_again(url, open_page):
    """The answer that failed says so, the banner too, until it is there again."""
    server = scripted()
    page = open_page(url, server=server)
    expect(page.locator(".model")).to_be_visible()
    server.away = True
    ask(page, "How long?", wait=False)
    expect(page.locator(".answer.is-failed")).to_contain_text("Is it running?")
    banner = page.get_by_text("The server does not answer. Trying again…")
    expect(banner).to_be_visible()
    server.away = False
    expect(banner).to_have_count(0)
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".answer.is-done")).to_contain_text("ninety days")
