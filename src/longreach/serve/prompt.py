"""The prompt of a conversation: its text by the model's template, its tokens, what lies where."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longreach.serve.auth import Identity
from longreach.serve.context import ServerContext
from longreach.serve.conversation import Conversation, gather
from longreach.serve.documents.library import Attachment
from longreach.serve.errors import bad_request, to_api_error
from longreach.serve.marks import Mark, find_marks
from longreach.serve.schema.caching import Breakpoint
from longreach.serve.schema.chat import ConversationFields
from longreach.text import ChatTemplate, RenderedChat, Tokenizer
from longreach.text.offsets import tokens_before

TokenSpan = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class RenderedPrompt:
    """A prompt as text. question: the last turn's own text. places: of each mark, in the text."""

    chat: RenderedChat
    question: str = ""
    marks: Sequence[Mark] = ()
    places: Sequence[int] = ()

    @property
    def text(self) -> str:
        """All of it, markup included."""
        return self.chat.text


@dataclass(frozen=True, kw_only=True)
class PromptBreakpoint:
    """The end of a prefix that is worth keeping. ttl: a duration; None: as the request says."""

    num_tokens: int
    ttl: str | None = None


@dataclass(frozen=True, kw_only=True)
class PromptDocument:
    """A document in a prompt. end: tokens up to its end. pages: tokens [start, end) of each page.

    pages: in the order of the document's own; empty where the template changed its text.
    """

    attachment: Attachment
    end: int
    pages: tuple[TokenSpan, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt as tokens."""

    token_ids: Sequence[int]
    breakpoints: tuple[PromptBreakpoint, ...] = ()
    documents: tuple[PromptDocument, ...] = ()


async def prompt_of(
    context: ServerContext,
    caller: Identity,
    body: ConversationFields,
    *,
    tools: Sequence[Mapping[str, Any]] | None,
) -> Prompt:
    """The prompt of a body whose answer nobody asks for; raises as `render` and `encode` do."""
    return await encode(context, await render(context, caller, body, tools=tools))


async def render(
    context: ServerContext,
    caller: Identity,
    body: ConversationFields,
    *,
    tools: Sequence[Mapping[str, Any]] | None,
    variables: Mapping[str, Any] | None = None,
) -> RenderedPrompt:
    """The prompt as text with its special tokens marked, made in a thread.

    Raises ApiError: 400 for what the template refuses, and as `gather` does.
    """
    conversation = await gather(context, caller, body)
    wanted = body.add_generation_prompt
    options = {
        **template_variables(context, body),
        **(variables or {}),
        "tools": tools or None,
        "add_generation_prompt": not body.continue_final_message if wanted is None else wanted,
        "continue_final_message": body.continue_final_message,
    }
    try:
        return await asyncio.to_thread(_render, context.engine.chat_template, conversation, options)
    except ValueError as error:
        raise to_api_error(error) from error


def _render(
    template: ChatTemplate, conversation: Conversation, options: Mapping[str, Any]
) -> RenderedPrompt:
    def render_turns(turns: Sequence[Mapping[str, Any]]) -> RenderedChat:
        return template.render(turns, **options)

    chat = render_turns(conversation.turns)
    marks = conversation.marks
    places = find_marks(render_turns, conversation.turns, marks, chat) if marks else ()
    return RenderedPrompt(chat=chat, question=conversation.question, marks=marks, places=places)


def template_variables(context: ServerContext, body: ConversationFields) -> dict[str, Any]:
    """What a template is told beside the conversation: the server's, then the request's."""
    given = {**context.settings.default_chat_template_kwargs, **(body.chat_template_kwargs or {})}
    if body.enable_thinking is not None:
        given["enable_thinking"] = body.enable_thinking
    taken = given.keys() & _TAKEN
    if taken:
        name = min(taken)
        raise bad_request(f"chat_template_kwargs cannot set {name}.", "chat_template_kwargs")
    return given


_TAKEN = {
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "continue_final_message",
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "self",  # Python's own name for whom a method is called on, here and in Jinja
}


async def encode(context: ServerContext, rendered: RenderedPrompt) -> Prompt:
    """The tokens, made in a thread: a million take a second. Raises ApiError 400."""
    try:
        return await asyncio.to_thread(_encode, context.engine.tokenizer, rendered)
    except ValueError as error:
        raise to_api_error(error) from error


def _encode(tokenizer: Tokenizer, rendered: RenderedPrompt) -> Prompt:
    token_ids = tokenizer.encode_segments(rendered.chat.segments)
    if not rendered.marks:
        return Prompt(token_ids=token_ids)
    text = rendered.text
    offsets = [_offsets(mark, place, text) for mark, place in _placed(rendered)]
    flat = [offset for each in offsets for offset in each]
    counts = iter(tokens_before(tokenizer, token_ids, text, flat))
    breakpoints, documents = [], []
    for (mark, _), each in zip(_placed(rendered), offsets, strict=True):
        found = [next(counts) for _ in each]
        if isinstance(mark.what, Breakpoint):
            breakpoints.append(PromptBreakpoint(num_tokens=found[0], ttl=mark.what.ttl))
        else:
            documents.append(_document(mark.what, found))
    return Prompt(token_ids=token_ids, breakpoints=tuple(breakpoints), documents=tuple(documents))


def _placed(rendered: RenderedPrompt) -> list[tuple[Mark, int]]:
    return list(zip(rendered.marks, rendered.places, strict=True))


def _offsets(mark: Mark, place: int, text: str) -> list[int]:
    """Characters of the prompt that a mark asks about: its place, or a document's end and pages."""
    if isinstance(mark.what, Breakpoint):
        return [place]
    document = mark.what.document
    end = place + len(document.text)
    if text[place:end] != document.text:
        return [place]
    return [end, *(place + offset for span in document.spans for offset in span)]


def _document(attachment: Attachment, found: Sequence[int]) -> PromptDocument:
    end, *edges = found
    pages = tuple(zip(edges[::2], edges[1::2], strict=True))
    return PromptDocument(attachment=attachment, end=end, pages=pages)
