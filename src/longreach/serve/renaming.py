"""Errors of the chat body in the words of another family's body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from longreach.serve.errors import ApiError


@contextmanager
def fields_renamed(names: Mapping[str, str]) -> Iterator[None]:
    """Within, an ApiError that names a field of `names` leaves with the name it has there.

    A family turns its body into a chat body, and its client knows nothing of that one.
    """
    try:
        yield
    except ApiError as error:
        for old, new in names.items():
            if error.param is not None and _is_field(error.param, old):
                error.message = error.message.replace(error.param, new + error.param[len(old) :])
                error.param = new + error.param[len(old) :]
                break
        raise


def _is_field(path: str, name: str) -> bool:
    """Whether a path is this field or leads into it."""
    return path == name or path.startswith((f"{name}.", f"{name}["))
