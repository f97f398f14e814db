"""GET /metrics, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from longreach.serve.context import Context

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request, context: Context) -> Response:
    """All figures of this server, in the text format that the reader asks for."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    text = encode(context.metrics.registry)
    return Response(text, headers={"Content-Type": content_type})
