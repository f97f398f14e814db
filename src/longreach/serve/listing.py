"""Lists that come page by page, in OpenAI's shape."""

from __future__ import annotations

from typing import Any


def listing(objects: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    """One page. has_more: whether `after` the last id there are others."""
    return {
        "object": "list",
        "data": objects,
        "first_id": objects[0]["id"] if objects else None,
        "last_id": objects[-1]["id"] if objects else None,
        "has_more": has_more,
    }
