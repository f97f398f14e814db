"""Question after question about the same documents, which are read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from longreach.cli.ask.answers import Answer
from longreach.cli.ask.asker import Asker
from longreach.cli.ask.asking import ask_question
from longreach.cli.ask.prompts import Message
from longreach.cli.ask.show import documents_line, show_answer
from longreach.cli.ask.view import View
from longreach.cli.chat.meter import short_count
from longreach.cli.chat.screen import Screen
from longreach.cli.errors import say_error
from longreach.errors import InvalidRequestError, LongreachError

HELP = """\
/docs    what the questions are about
/forget  begin a new conversation about the same documents
/help    show this
/exit    leave (also Ctrl-D)
A question may refer to the ones before it. Ctrl-C stops an answer."""
COMMANDS = ("docs", "forget", "help", "exit")


@dataclass
class DocumentSession:
    """A conversation about documents. last: the latest answer, for the meter below the prompt."""

    asker: Asker
    view: View
    screen: Screen
    history: list[Message] = field(default_factory=list)
    last: Answer | None = None

    def run(self, read: Callable[[], str]) -> None:
        """Read lines and answer them. read: raises EOFError at the end."""
        while True:
            try:
                line = read().strip()
            except KeyboardInterrupt:
                self.screen.note("Ctrl-D or /exit leaves")
                continue
            except EOFError:
                return
            try:
                if not self._handle(line):
                    return
            except (LongreachError, OSError) as error:
                say_error(error)

    def meter(self) -> str:
        """How full the context is, and how much of the last prompt was cached."""
        limit = short_count(self.asker.llm.max_model_len)
        if self.last is None:
            return f"ctx 0/{limit}"
        used, cached = self.last.num_prompt_tokens, self.last.num_cached_tokens
        return f"ctx {short_count(used)}/{limit} · cached {short_count(cached)}"

    def _handle(self, line: str) -> bool:
        """Do what a line asks for; False to leave."""
        if line in ("/exit", "/quit", "/q"):
            return False
        if line.startswith("/"):
            self.screen.note(self._command(line[1:]))
        elif line:
            self._ask(line)
        return True

    def _command(self, name: str) -> str:
        match name:
            case "docs":
                return documents_line(self.asker.documents)
            case "forget":
                self.history.clear()
                return "a new conversation; the documents stay cached"
            case "help":
                return HELP
        raise InvalidRequestError("command", f"/{name}", "a command of /help")

    def _ask(self, question: str) -> None:
        try:
            answer = ask_question(self.asker, question, self.view, self.history)
        except KeyboardInterrupt:
            self.screen.note("stopped; what was read stays cached")
            return
        show_answer(self.screen.out, self.screen.err, answer)
        self.screen.out.print()
        self.last = answer
        if answer.over_length is None and answer.text:
            self.history += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer.text},
            ]
