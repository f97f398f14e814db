"""Documents: uploaded files as they are read, their pages, and what stays cached of them."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from longreach.documents import Document, Limits, render_page
from longreach.errors import DocumentError
from longreach.serve.auth import Caller
from longreach.serve.context import Context
from longreach.serve.documents.shelf import DocumentShelf
from longreach.serve.errors import ApiError, to_api_error
from longreach.serve.files.storage import StoredFile
from longreach.serve.http import JsonResponse, JsonRoute
from longreach.serve.listing import listing
from longreach.serve.schema.caching import seconds_of
from longreach.serve.schema.documents import PinRequest

router = APIRouter(route_class=JsonRoute, tags=["documents"])
_PATH = "/v1/documents/{document_id}"
_MAX_SCALE = 4.0
_AGE_S = 3600


@router.get("/v1/documents")
async def list_documents(
    context: Context, caller: Caller, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JsonResponse:
    """The caller's documents, the newest first."""
    shelf = DocumentShelf(context, caller)
    shown = [await shelf.show(file) for file in await shelf.files(limit)]
    return JsonResponse(listing(shown, has_more=False))


@router.get(_PATH)
async def get_document(context: Context, caller: Caller, document_id: str) -> JsonResponse:
    """What is known of a document."""
    shelf = DocumentShelf(context, caller)
    return JsonResponse(await shelf.show(await shelf.file(document_id)))


@router.get(_PATH + "/pages")
async def get_pages(context: Context, caller: Caller, document_id: str) -> JsonResponse:
    """The text of its pages; citations count characters in it."""
    shelf = DocumentShelf(context, caller)
    document = await _read(shelf, await shelf.file(document_id))
    pages = [
        {"number": page.number, "label": page.label, "text": page.text} for page in document.pages
    ]
    return JsonResponse({"object": "document.pages", "id": document_id, "pages": pages})


@router.get(_PATH + "/pages/{number}/image", response_class=Response)
async def get_page_image(
    context: Context,
    caller: Caller,
    document_id: str,
    number: int,
    scale: Annotated[float, Query(gt=0, le=_MAX_SCALE)] = 1.5,
) -> Response:
    """A page of a PDF as PNG. scale: 1 is 72 dots per inch."""
    shelf = DocumentShelf(context, caller)
    file = await shelf.file(document_id)
    document = await _read(shelf, file)
    _check_page(document, number)
    try:
        image = await asyncio.to_thread(
            render_page,
            context.files.path_of(file.id),
            number,
            name=file.filename,
            scale=scale,
            limits=Limits(max_bytes=context.settings.max_file_bytes),
        )
    except DocumentError as error:
        raise to_api_error(error, prompt_field="document_id") from error
    headers = {"Cache-Control": f"private, max-age={_AGE_S}"}
    return Response(image, media_type="image/png", headers=headers)


@router.post(_PATH + "/pin")
async def pin(context: Context, caller: Caller, document_id: str, body: PinRequest) -> JsonResponse:
    """Keep what is read of it, for a time or until it is unpinned."""
    shelf = DocumentShelf(context, caller)
    file = await shelf.file(document_id)
    await _read(shelf, file)
    await shelf.pin(file, None if body.ttl is None else seconds_of(body.ttl))
    return JsonResponse(await shelf.show(file))


@router.delete(_PATH + "/pin")
async def unpin(context: Context, caller: Caller, document_id: str) -> JsonResponse:
    """Keep it no longer than others."""
    shelf = DocumentShelf(context, caller)
    file = await shelf.file(document_id)
    await _read(shelf, file)
    await shelf.unpin(file)
    return JsonResponse(await shelf.show(file))


async def _read(shelf: DocumentShelf, file: StoredFile) -> Document:
    """What was read of a file. Raises ApiError 400 where it cannot be read."""
    try:
        return await shelf.document(file)
    except DocumentError as error:
        raise to_api_error(error, prompt_field="document_id") from error


def _check_page(document: Document, number: int) -> None:
    """Raises ApiError 404 for a page that has no picture."""
    if document.kind != "pdf":
        message = f"{document.name} is no PDF: its pages have no pictures."
        raise ApiError(404, message, param="document_id")
    if number not in {page.number for page in document.pages}:
        message = f"{document.name} has {len(document.pages)} pages, and no page {number}."
        raise ApiError(404, message, param="number")
