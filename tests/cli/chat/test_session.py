"""What a model is given as a conversation goes on."""

from hypothesis import given
from hypothesis import strategies as st

from longreach.cli.chat.backend import Usage
from longreach.cli.chat.documents import Document
from longreach.cli.chat.session import Session

BOOK = Document("book.txt", "It was a dark night.")
NOTES = Document("notes.txt", "The key is 3.")


def contents(session):
    return [message["content"] for message in session.messages()]


def test_a_conversation_as_messages():
    """System, questions and answers in order; the last question has no answer yet."""
    session = Session(system="Be brief.")
    session.ask("One?")
    session.answered("1", None)
    assert session.ask("Two?") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
    ]


def test_documents_go_before_the_next_question():
    """A document is shown once, before the question that follows it."""
    session = Session(documents=[BOOK])
    session.ask("Who?")
    session.answered("He", None)
    session.documents.append(NOTES)
    session.ask("Which?")
    session.answered("3", None)
    session.ask("Sure?")
    assert contents(session) == [
        f"{BOOK.text}\n\nWho?",
        "He",
        f"{NOTES.text}\n\nWhich?",
        "3",
        "Sure?",
    ]


def test_a_turn_without_an_answer_was_never_asked():
    """After a failure the question is gone, and its documents wait for the next one."""
    session = Session(documents=[BOOK])
    session.ask("Who?")
    session.answered("", None)
    assert session.messages() == []
    assert session.ask("Where?")[0]["content"] == f"{BOOK.text}\n\nWhere?"


def test_documents_outlive_the_history():
    """After the history is cleared, the first prompt begins with the same text as before."""
    session = Session(documents=[BOOK, NOTES], usage=Usage(num_prompt_tokens=3))
    texts = f"{BOOK.text}\n\n{NOTES.text}\n\n"
    assert session.ask("Who?")[0]["content"] == f"{texts}Who?"
    session.answered("He", None)
    session.forget_turns()
    assert (session.turns, session.usage) == ([], None)
    assert session.ask("Whose?")[0]["content"] == f"{texts}Whose?"


def test_forgotten_documents_are_gone_everywhere():
    """After `/doc clear` no message holds a document, and what was said stays."""
    session = Session(documents=[BOOK])
    session.ask("Who?")
    session.answered("He", None)
    session.forget_documents()
    session.ask("Where?")
    assert contents(session) == ["Who?", "He", "Where?"]


@given(
    st.lists(st.tuples(st.sampled_from(["ask", "fail", "add"]), st.text(min_size=1)), max_size=9)
)
def test_a_prompt_continues_the_one_before(steps):
    """Every prompt begins with all messages that were answered before it: the cache serves them."""
    session = Session(system="Be brief.")
    before = session.messages()
    for step, text in steps:
        if step == "add":
            session.documents.append(Document("d", text))
            continue
        asked = session.ask(text)
        assert asked[: len(before)] == before
        session.answered("ok" if step == "ask" else "", None)
        before = session.messages()
