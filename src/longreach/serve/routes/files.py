"""Files: upload, list, read, delete."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import FileResponse

from longreach.serve.auth import Caller
from longreach.serve.context import Context, Files
from longreach.serve.documents.shelf import PURPOSES, DocumentShelf
from longreach.serve.files.storage import Order
from longreach.serve.files.upload import OPENAPI_BODY, read_upload
from longreach.serve.http import JsonResponse
from longreach.serve.listing import listing
from longreach.serve.schema.files import DAY_S

MAX_LIMIT = 10_000
BATCH_DAYS = 30

router = APIRouter(tags=["files"])


@router.post("/v1/files", openapi_extra=OPENAPI_BODY)
async def create_file(
    request: Request, context: Context, caller: Caller, files: Files
) -> JsonResponse:
    """Keep a file. Those for batches expire after thirty days unless they say otherwise."""
    async with read_upload(request, context.settings.max_file_bytes) as upload:
        purpose, expiry = upload.fields.purpose, upload.fields.expires_after
        usual = BATCH_DAYS * DAY_S if purpose == "batch" else None
        stored = await asyncio.to_thread(
            files.add,
            caller.owner,
            upload.content,
            filename=upload.filename,
            purpose=purpose,
            expires_after_s=usual if expiry is None else expiry.seconds,
        )
    return JsonResponse(stored.as_object())


@router.get("/v1/files")
async def list_files(
    caller: Caller,
    files: Files,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = MAX_LIMIT,
    order: Order = "desc",
    purpose: str | None = None,
) -> JsonResponse:
    """The caller's files, the newest first."""
    page = await asyncio.to_thread(
        files.page, caller.owner, after=after, limit=limit, order=order, purpose=purpose
    )
    return JsonResponse(listing([file.as_object() for file in page.files], page.has_more))


@router.get("/v1/files/{file_id}")
async def get_file(caller: Caller, files: Files, file_id: str) -> JsonResponse:
    """What is known of a file."""
    file = await asyncio.to_thread(files.get, caller.owner, file_id)
    return JsonResponse(file.as_object())


@router.get("/v1/files/{file_id}/content", response_class=FileResponse)
async def get_content(caller: Caller, files: Files, file_id: str) -> FileResponse:
    """Its bytes."""
    file = await asyncio.to_thread(files.get, caller.owner, file_id)
    return FileResponse(
        files.path_of(file.id), media_type="application/octet-stream", filename=file.filename
    )


@router.delete("/v1/files/{file_id}")
async def delete_file(context: Context, caller: Caller, files: Files, file_id: str) -> JsonResponse:
    """Forget it, and what was pinned of it as a document."""
    file = await asyncio.to_thread(files.get, caller.owner, file_id)
    if file.purpose in PURPOSES:
        await DocumentShelf(context, caller).forget(file)
    await asyncio.to_thread(files.delete, caller.owner, file_id)
    return JsonResponse({"id": file_id, "object": "file", "deleted": True})
