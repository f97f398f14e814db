"""Typed reading of a JSON object that somebody else wrote."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from longreach.errors import ConfigError, UnsupportedModelError

logger = logging.getLogger(__name__)


class Keys:
    """Typed reading of one JSON object; every error names the file and the key."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self._where = where

    def error(self, key: str, value: object, expected: str) -> ConfigError:
        """The error for a bad value of `key`."""
        return ConfigError(f"{self._where}: {key} is {value!r}: expected {expected}")

    def unsupported(self, key: str, value: object, advice: str) -> UnsupportedModelError:
        """The error for a valid value that we do not run."""
        return UnsupportedModelError(f"{self._where}: {key} is {value!r}, not supported: {advice}")

    def raw(self, key: str) -> Any:
        """The value as it stands, None where absent."""
        return self._values.get(key)

    def integer(self, key: str, default: int | None = None, minimum: int = 0) -> int:
        """An integer of at least `minimum`; required without a default."""
        value = self._present(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise self.error(key, value, f"an integer of at least {minimum}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A real number; required without a default."""
        value = self._present(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, value, "a number")
        try:
            return float(value)
        except OverflowError as error:
            raise self.error(key, value, "a number") from error

    def optional_number(self, key: str) -> float | None:
        """A real number or None."""
        return None if self._values.get(key) is None else self.number(key)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._present(key, default)
        if not isinstance(value, bool):
            raise self.error(key, value, "true or false")
        return value

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A JSON object; empty where absent or null."""
        value = self._values.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.error(key, value, "an object")
        return value

    def sub(self, key: str) -> Keys:
        """The reader of a nested object."""
        return Keys(self.mapping(key), f"{self._where}: {key}")

    def check_known(self, known: frozenset[str], *, strict: bool) -> None:
        """Warn of each key that is not known, or raise in strict mode."""
        for key in sorted(set(self._values) - known):
            message = f"{self._where}: unknown key {key!r}"
            if strict:
                raise ConfigError(f"{message} (strict_config)")
            logger.warning("%s is ignored", message)

    def _present(self, key: str, default: object) -> Any:
        value = self._values.get(key)
        value = default if value is None else value
        if value is None:
            raise ConfigError(f"{self._where}: {key} is missing")
        return value
