import pytest

from support.small_pdf import small_pdf

PAGES = (
    "The grass is green.\nThe sky is blue.",
    "The pass key is 28884. Remember it.",
    "There and back again.\nThe sun is yellow.",
)


@pytest.fixture(scope="session")
def pdf():
    """A book of three pages; the second has the pass key."""
    return small_pdf(*PAGES)


@pytest.fixture
def upload(client, pdf):
    """Upload a file (the book, unless said otherwise); its id."""

    def send(content=None, name="book.pdf", purpose="user_data", headers=None):
        file = {"file": (name, pdf if content is None else content)}
        answer = client.post("/v1/files", files=file, data={"purpose": purpose}, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    return send
