"""What all routes of one server share: its settings, its engine once there is one, who is running.

The engine comes late: the socket opens at once, the model loads in a thread.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Depends
from starlette.requests import Request

from longreach import __version__
from longreach.serve.errors import ErrorBody, openai_body, unavailable, unknown_model

if TYPE_CHECKING:
    from longreach.engine.protocol import AsyncTextEngine
    from longreach.serve.running import RunningRequest
    from longreach.serve.settings import ServerSettings
    from longreach.text import ChatTemplate

Phase = Literal["loading", "ready", "draining"]
_WHILE_LOADING_S = 2


@dataclass(eq=False)
class ServerContext:
    """The state of one server.

    error_bodies: path prefix -> how errors are written below it; OpenAI's shape elsewhere.
    running: requests that the engine works on, by id. created: Unix time of the start.
    """

    settings: ServerSettings
    error_bodies: Mapping[str, ErrorBody] = field(default_factory=dict)
    running: dict[str, RunningRequest] = field(default_factory=dict)
    created: int = field(default_factory=lambda: int(time.time()))
    phase: Phase = "loading"
    _engine: AsyncTextEngine | None = None
    _template: ChatTemplate | None = None

    @property
    def engine(self) -> AsyncTextEngine:
        """The engine. Raises ApiError 503 while the model loads."""
        if self._engine is None:
            raise unavailable("The model is loading.", "model_loading", _WHILE_LOADING_S)
        return self._engine

    @property
    def chat_template(self) -> ChatTemplate:
        """The template of --chat-template, else the model's own."""
        return self._template or self.engine.chat_template

    def start(self, engine: AsyncTextEngine, template: ChatTemplate | None = None) -> None:
        """The model is loaded."""
        self._engine, self._template = engine, template
        self.phase = "ready"

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


Context = Annotated[ServerContext, Depends(context_of)]
