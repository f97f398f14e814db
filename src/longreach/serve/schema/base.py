"""What all bodies share: a field that nobody obeys is an error, but for the few that are inert."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

INERT = {
    "user": "who the end user is: nothing here depends on it",
    "safety_identifier": "the same, in its new name",
    "metadata": "labels for a dashboard",
    "store": "whether to keep the answer for a dashboard; /v1/responses has its own",
    "service_tier": "a price class",
    "prediction": "a draft that may speed an answer up, and never changes it",
    "spaces_between_special_tokens": "nothing, for byte-level tokens",
}
"""Fields that official clients send and that change no answer, with the reason."""


class Body(BaseModel):
    """A request's body. Types are taken strictly: "5" is no number, true is no 1."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    inert: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_inert(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not cls.inert:
            return data
        return {name: value for name, value in data.items() if name not in cls.inert}
