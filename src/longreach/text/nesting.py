"""How deep a client's data may be nested: templates and schemas are walked by recursion."""

from __future__ import annotations

from typing import Any

MAX_NESTING = 100
"""Far more than tools and their arguments need, far less than any stack between here and C."""


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects stand in each other more than MAX_NESTING times.

    Level by level: what is made to exhaust a stack must not exhaust this one.
    """
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_NESTING):
        if not level:
            return False
        level = [part for each in level for part in _parts(each) if isinstance(part, dict | list)]
    return bool(level)


def _parts(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value
