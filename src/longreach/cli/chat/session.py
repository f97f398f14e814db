"""A conversation: what was said, which documents it is about, and how answers are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from longreach.cli.chat.backend import Message, Usage
from longreach.cli.chat.config import Number
from longreach.cli.chat.documents import Document


@dataclass
class Turn:
    """A question, the documents that came with it, and its answer."""

    question: str
    documents: tuple[Document, ...] = ()
    answer: str = ""

    @property
    def prompt(self) -> str:
        """What the model is given. Documents come first, so that they stay cached."""
        return "\n\n".join([*(document.text for document in self.documents), self.question])


@dataclass
class Session:
    """The state of one conversation. It grows at its end only, so its prefix stays cached.

    system: the system message. settings: as the conversation began; `:reset-conf` returns to them.
    documents: all that were added, in order; those not shown yet go before the next question.
    """

    system: str | None = None
    settings: Mapping[str, Number] = field(default_factory=dict)
    documents: list[Document] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    usage: Usage | None = None

    def __post_init__(self) -> None:
        self.current_settings = dict(self.settings)
        self._num_shown = 0

    def ask(self, question: str) -> list[Message]:
        """Begin a turn; the messages to be answered."""
        waiting = tuple(self.documents[self._num_shown :])
        self.turns.append(Turn(question, waiting))
        self._num_shown = len(self.documents)
        return self.messages()

    def answered(self, text: str, usage: Usage | None) -> None:
        """End the turn. A turn without any answer is taken back, as if it was never asked."""
        if usage is not None:
            self.usage = usage
        if text:
            self.turns[-1].answer = text
        else:
            self._num_shown -= len(self.turns.pop().documents)

    def messages(self) -> list[Message]:
        """The conversation as a chat template takes it."""
        messages: list[Message] = []
        if self.system:
            messages.append({"role": "system", "content": self.system})
        for turn in self.turns:
            messages.append({"role": "user", "content": turn.prompt})
            if turn.answer:
                messages.append({"role": "assistant", "content": turn.answer})
        return messages

    def forget_turns(self) -> None:
        """Begin anew, about the same documents: they go before the next question again."""
        self.turns.clear()
        self._num_shown = 0
        self.usage = None

    def forget_documents(self) -> None:
        """No documents any more, in what was said before neither."""
        self.documents.clear()
        self._num_shown = 0
        for turn in self.turns:
            turn.documents = ()
