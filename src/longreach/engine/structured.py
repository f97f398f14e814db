"""What an answer must look like: a JSON schema, any JSON object, a regex, a choice, a grammar."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longreach.errors import InvalidRequestError

if TYPE_CHECKING:
    from torch import Tensor

    from longreach.text.grammar import GrammarCompiler, GrammarKind, GrammarMatcher

ANY_OBJECT = '{"type": "object"}'
MAX_CHOICES = 10_000
MAX_CHOICE_CHARS = 2**16
"""Of all texts together: compiling them, and their first mask, takes time that grows with them."""
_FORMS = "exactly one of json, json_object, regex, choice, grammar"


@dataclass(frozen=True, kw_only=True)
class StructuredOutputs:
    """A form that every answer has, whatever the model would rather say. Exactly one is given.

    json: a JSON schema, as a mapping or as text. json_object: any JSON object.
    regex: in Rust's syntax, matched from the first character to the last.
    choice: one of these texts, of at most MAX_CHOICE_CHARS in all. grammar: Lark, as llguidance
    reads it.

    An answer cut by max_tokens or a stop string may end before its form is complete: only
    finish_reason "stop" without a stop_reason promises it. Raises InvalidRequestError for another
    number of forms or a wrong type; what the forms say is checked at admission.
    """

    json: Mapping[str, Any] | str | None = None
    json_object: bool = False
    regex: str | None = None
    choice: Sequence[str] | None = None
    grammar: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.json_object, bool):
            raise _invalid({"json_object": self.json_object}, "json_object True or False")
        given = [name for name in ("json", "regex", "choice", "grammar") if self._is_given(name)]
        given += ["json_object"] * self.json_object
        if len(given) != 1:
            raise _invalid(given, _FORMS)
        for name in ("regex", "grammar"):
            if self._is_given(name) and not isinstance(getattr(self, name), str):
                raise _invalid({name: getattr(self, name)}, f"a text as {name}")
        self._check_json()
        self._check_choice()

    def _is_given(self, name: str) -> bool:
        return getattr(self, name) is not None

    def _check_json(self) -> None:
        if self.json is not None and not isinstance(self.json, str | Mapping):
            raise _invalid({"json": self.json}, "a JSON schema: a mapping, or a text")

    def _check_choice(self) -> None:
        if self.choice is None:
            return
        texts = self.choice
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise _invalid({"choice": texts}, "a list of texts")
        if not 0 < len(texts) <= MAX_CHOICES or not all(isinstance(text, str) for text in texts):
            raise _invalid({"choice": list(texts)[:3]}, f"1 to {MAX_CHOICES} texts")
        if (length := sum(map(len, texts))) > MAX_CHOICE_CHARS:
            expected = f"at most {MAX_CHOICE_CHARS} characters in all choices together"
            raise _invalid(f"{length} characters", expected)

    @property
    def source(self) -> tuple[GrammarKind, str]:
        """The form as a kind and a text. Raises InvalidRequestError for what JSON cannot hold."""
        if self.regex is not None:
            return "regex", self.regex
        if self.grammar is not None:
            return "grammar", self.grammar
        if self.choice is not None:
            return "choice", _dump(list(self.choice))
        if self.json is None:
            return "json", ANY_OBJECT
        return "json", self.json if isinstance(self.json, str) else _dump(dict(self.json))


class GrammarMask:
    """A grammar's matcher as the sampler's `TokenMask`."""

    def __init__(self, matcher: GrammarMatcher) -> None:
        self._matcher = matcher

    def bitmask(self) -> Tensor:
        """int32 words on the CPU. Raises LongreachError when the grammar cannot go on."""
        import torch

        return torch.from_numpy(self._matcher.bitmask())

    def advance(self, token_id: int) -> None:
        """Take the token that was drawn."""
        self._matcher.advance(token_id)

    @property
    def is_finished(self) -> bool:
        """Whether the form is complete and nothing can follow."""
        return self._matcher.is_finished


def make_mask(
    wanted: StructuredOutputs, compiler: GrammarCompiler, *, ignore_eos: bool
) -> GrammarMask:
    """The mask of one answer. Raises InvalidRequestError when its form is not valid."""
    kind, source = wanted.source
    return GrammarMask(compiler.matcher(kind, source, avoid_end=ignore_eos))


def _dump(value: object) -> str:
    """JSON in the given order (which is the order of an object's keys in the answer)."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise _invalid(type(value).__name__, f"what JSON can hold ({error})") from error
    return text


def _invalid(value: object, expected: str) -> InvalidRequestError:
    return InvalidRequestError("structured_outputs", value, expected)
