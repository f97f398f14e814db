"""Uploaded files as documents of their owner: what they are, what is cached of them, their pins.

A document's prefix is the prompt of one user's turn that begins with it, up to the document's end:
without a system message, and without tools. What is asked about it in this way finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from longreach.documents import Document
from longreach.errors import DocumentError
from longreach.serve.auth import Identity
from longreach.serve.context import ServerContext
from longreach.serve.errors import ApiError, document_code, echo
from longreach.serve.files.storage import StoredFile
from longreach.serve.prompt import prompt_of
from longreach.serve.schema.chat import ConversationFields, Message

_QUESTION = "?"
PURPOSES = frozenset({"user_data", "assistants"})
"""Of files that are documents."""


class DocumentShelf:
    """The documents of one caller."""

    def __init__(self, context: ServerContext, caller: Identity) -> None:
        self._context = context
        self._caller = caller

    async def files(self, limit: int) -> list[StoredFile]:
        """The caller's files that may be documents, the newest first."""
        page = await asyncio.to_thread(self._context.files.page, self._caller.owner)
        return [file for file in page.files if file.purpose in PURPOSES][:limit]

    async def file(self, file_id: str) -> StoredFile:
        """One of them. Raises ApiError 404."""
        file = await asyncio.to_thread(
            self._context.files.get, self._caller.owner, file_id, param="document_id"
        )
        if file.purpose not in PURPOSES:
            message = f"No such Document object: {echo(file_id)} is a file for {file.purpose}."
            raise ApiError(404, message, param="document_id")
        return file

    async def document(self, file: StoredFile) -> Document:
        """What was read of it. Raises DocumentError."""
        return (await self._context.documents.of_file(file)).document

    async def show(self, file: StoredFile) -> dict[str, Any]:
        """Everything that is known of it; a file that cannot be read has an `error`."""
        shown = {
            "id": file.id,
            "object": "document",
            "filename": file.filename,
            "bytes": file.num_bytes,
            "created_at": file.created_at,
            "kind": None,
            "pages": None,
            "tokens": None,
            "error": None,
        }
        try:
            document = await self.document(file)
        except DocumentError as error:
            problem = {"code": document_code(error), "message": str(error)}
            return {**shown, **_NOTHING_CACHED, "error": problem}
        prefix = await self.prefix(file)
        read = {"kind": document.kind, "pages": len(document.pages), "tokens": len(prefix)}
        return {**shown, **read, **await self._cached(prefix)}

    async def _cached(self, prefix: Sequence[int]) -> dict[str, Any]:
        """What the caller has of it in the cache, and what reading the rest would take."""
        engine, salt = self._context.engine, self._caller.cache_salt
        state = await engine.prefix_state(prefix, cache_salt=salt)
        estimate = await engine.estimate(prefix, cache_salt=salt)
        return {
            "cached_tokens": max(state.num_memory_tokens, state.num_disk_tokens),
            "disk_tokens": state.num_disk_tokens,
            "cache_bytes": state.num_bytes,
            "pinned": state.pinned,
            "pinned_until": state.pinned_until,
            "fits": estimate.fits,
            "seconds": estimate.seconds,
        }

    async def pin(self, file: StoredFile, ttl_s: float | None) -> None:
        """Keep its prefix: now, or once it is read. ttl_s: None until unpinned."""
        await self._context.engine.pin(
            await self.prefix(file),
            cache_salt=self._caller.cache_salt,
            ttl_s=ttl_s,
            label=file.filename,
        )

    async def unpin(self, file: StoredFile) -> None:
        """Keep it no longer than others."""
        prefix = await self.prefix(file)
        await self._context.engine.unpin(prefix, cache_salt=self._caller.cache_salt)

    async def forget(self, file: StoredFile) -> None:
        """The file goes: nothing of it stays longer than other prompts do."""
        with suppress(DocumentError, ApiError):
            await self.unpin(file)
        self._context.prefixes.forget(file.id)
        self._context.documents.forget(file)

    async def prefix(self, file: StoredFile) -> list[int]:
        """Its tokens with all that stands before them. Raises DocumentError."""
        known = self._context.prefixes.get(file.id)
        if known is None:
            # With something behind it: a token over the document's end is none of it.
            part = {"type": "file", "file": {"file_id": file.id}}
            parts: list[dict[str, Any] | str] = [part, _QUESTION]
            body = ConversationFields(messages=[Message(role="user", content=parts)])
            prompt = await prompt_of(self._context, self._caller, body, tools=None)
            known = np.asarray(prompt.token_ids[: prompt.documents[0].end], np.int32)
            self._context.prefixes.put(file.id, known)
        return known.tolist()


_NOTHING_CACHED = {
    "cached_tokens": 0,
    "disk_tokens": 0,
    "cache_bytes": 0,
    "pinned": False,
    "pinned_until": None,
    "fits": None,
    "seconds": None,
}
