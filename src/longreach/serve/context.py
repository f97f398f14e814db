"""What all routes of one server share: its settings, its engine once there is one, who is running.

The engine comes late: the socket opens at once, the model loads in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Depends
from starlette.requests import Request

from longreach import __version__
from longreach.documents import Limits
from longreach.serve.detached import DetachedRuns
from longreach.serve.documents.library import DocumentLibrary
from longreach.serve.documents.prefixes import DocumentPrefixes
from longreach.serve.errors import ErrorBody, openai_body, unavailable, unknown_model
from longreach.serve.files.storage import FileStore
from longreach.serve.limits import PrefillLimits
from longreach.serve.metrics import ServerMetrics
from longreach.serve.store import ObjectStore

if TYPE_CHECKING:
    from longreach.engine.protocol import AsyncTextEngine, EngineStatus
    from longreach.serve.conversations import ConversationStream
    from longreach.serve.running import RunningRequest
    from longreach.serve.settings import ServerSettings

Phase = Literal["loading", "ready", "draining"]
_WHILE_LOADING_S = 2


@dataclass(eq=False)
class ServerContext:
    """The state of one server.

    error_bodies: path prefix -> how errors are written below it; OpenAI's shape elsewhere.
    running: requests that the engine works on, by id. created: Unix time of the start.
    detached: work that outlives its connection.
    conversations: streams that can be taken up again, by owner and id.
    prefixes: tokens of uploaded documents.
    loaded: set once there is an engine.
    """

    settings: ServerSettings
    error_bodies: Mapping[str, ErrorBody] = field(default_factory=dict)
    running: dict[str, RunningRequest] = field(default_factory=dict)
    created: int = field(default_factory=lambda: int(time.time()))
    phase: Phase = "loading"
    detached: DetachedRuns = field(default_factory=DetachedRuns)
    conversations: dict[tuple[str, str], ConversationStream] = field(default_factory=dict)
    prefixes: DocumentPrefixes = field(default_factory=DocumentPrefixes)
    loaded: asyncio.Event = field(default_factory=asyncio.Event)
    _engine: AsyncTextEngine | None = None

    @property
    def engine(self) -> AsyncTextEngine:
        """The engine. Raises ApiError 503 while the model loads."""
        if self._engine is None:
            raise unavailable("The model is loading.", "model_loading", _WHILE_LOADING_S)
        return self._engine

    @cached_property
    def state_dir(self) -> Path:
        """Where things are kept that outlive a request; without a setting, no longer than this."""
        given = self.settings.state_dir
        if given is None:
            given = Path(tempfile.mkdtemp(prefix="longreach-"))
            weakref.finalize(self, shutil.rmtree, given, ignore_errors=True)
        given.mkdir(mode=0o700, parents=True, exist_ok=True)
        return given

    @cached_property
    def store(self) -> ObjectStore:
        """Where responses are kept."""
        return ObjectStore(self.state_dir / "responses.db", ttl_s=self.settings.stored_ttl)

    @cached_property
    def files(self) -> FileStore:
        """Where uploaded files are kept."""
        return FileStore(self.state_dir / "files")

    @cached_property
    def documents(self) -> DocumentLibrary:
        """Files as documents."""
        return DocumentLibrary(self.files, Limits(max_bytes=self.settings.max_file_bytes))

    @cached_property
    def metrics(self) -> ServerMetrics:
        """What Prometheus reads of this server."""
        settings = self.settings
        return ServerMetrics(settings.metrics_prefix, settings.model_name, self._status)

    @cached_property
    def limits(self) -> PrefillLimits:
        """What each key may have read."""
        return PrefillLimits(self.settings.max_prefill_tokens_per_minute)

    def _status(self) -> EngineStatus | None:
        return None if self._engine is None else self._engine.status

    def start(self, engine: AsyncTextEngine) -> None:
        """The model is loaded."""
        self._engine, self.phase = engine, "ready"
        self.loaded.set()

    def close(self) -> None:
        """Let go of what was opened on disk, once nothing runs any more."""
        for name in ("store", "files"):
            if name in vars(self):
                vars(self).pop(name).close()

    def error_body(self, path: str) -> ErrorBody:
        """How errors are written on this path."""
        found = [prefix for prefix in self.error_bodies if path.startswith(prefix)]
        return self.error_bodies[max(found, key=len)] if found else openai_body

    def check_model(self, name: str | None) -> str:
        """The name that the answer carries. Raises ApiError 404 for a model that is not served."""
        served = self.settings.served_model_names
        if name is None:
            return served[0]
        if name not in served:
            raise unknown_model(name, served)
        return name

    @property
    def fingerprint(self) -> str:
        """Changes when the same request and seed may give another answer."""
        what = f"{__version__}:{self.settings.model_name}"
        return f"fp_{hashlib.sha256(what.encode()).hexdigest()[:10]}"


def context_of(request: Request) -> ServerContext:
    """The context of the app that got a request."""
    return request.app.state.context


# Dependencies are coroutines: FastAPI would run a plain function in a thread.
async def _context_of(request: Request) -> ServerContext:
    return context_of(request)


async def _files_of(request: Request) -> FileStore:
    return context_of(request).files


Context = Annotated[ServerContext, Depends(_context_of)]
Files = Annotated[FileStore, Depends(_files_of)]
