"""Items of an answer while they are written, and the stream events that tell of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from longreach.serve.responses.items import KeptItem, make_id
from longreach.text.tools import make_call_id

StreamEvent: TypeAlias = dict[str, Any]
"""An event without its number in the stream."""
Status = Literal["completed", "incomplete"]


class OpenItem:
    """An item that grows. item: as it stands. index: its place in the output."""

    def __init__(self, index: int, kind: str, **fields: Any) -> None:
        self.index = index
        self.item: KeptItem = {
            "id": make_id(kind),
            "type": kind,
            "status": "in_progress",
            **fields,
        }

    def begin(self) -> Iterator[StreamEvent]:
        """It is there."""
        yield self._of_item("added")

    def end(self, status: Status) -> Iterator[StreamEvent]:
        """It grows no more."""
        self.item["status"] = status
        yield self._of_item("done")

    def _of_item(self, what: str) -> StreamEvent:
        kind = f"response.output_item.{what}"
        return {"type": kind, "output_index": self.index, "item": self.item}

    def _event(self, kind: str, **fields: Any) -> StreamEvent:
        where = {"item_id": self.item["id"], "output_index": self.index}
        return {"type": f"response.{kind}", **where, **fields}


class TextItem(OpenItem):
    """An item with one part of text."""

    part_type: str

    def __init__(self, index: int, kind: str, **fields: Any) -> None:
        super().__init__(index, kind, content=[], **fields)
        self.part = self._new_part()

    def _new_part(self) -> dict[str, Any]:
        return {"type": self.part_type, "text": ""}

    def begin(self) -> Iterator[StreamEvent]:
        """The item, then its part."""
        yield from super().begin()
        self.item["content"].append(self.part)
        yield self._of_part("content_part.added", part=self.part)

    def end(self, status: Status) -> Iterator[StreamEvent]:
        """The text, the part, then the item."""
        text = self.part["text"]
        yield self._of_part(f"{self.part_type}.done", text=text, **self._more())
        yield self._of_part("content_part.done", part=self.part)
        yield from super().end(status)

    def add(self, text: str) -> Iterator[StreamEvent]:
        """More text."""
        self.part["text"] += text
        yield self._of_part(f"{self.part_type}.delta", delta=text, **self._more())

    def _of_part(self, kind: str, **fields: Any) -> StreamEvent:
        return self._event(kind, content_index=0, **fields)

    def _more(self) -> dict[str, Any]:
        return {}


class ReasoningOutput(TextItem):
    """What the model thinks."""

    part_type = "reasoning_text"

    def __init__(self, index: int) -> None:
        super().__init__(index, "reasoning", summary=[])


class MessageOutput(TextItem):
    """What the model says. Log-probabilities are those of the tokens since the last text."""

    part_type = "output_text"

    def __init__(self, index: int) -> None:
        super().__init__(index, "message", role="assistant")

    def _new_part(self) -> dict[str, Any]:
        return {**super()._new_part(), "annotations": [], "logprobs": []}

    def add(self, text: str, logprobs: list[dict[str, Any]] | None = None) -> Iterator[StreamEvent]:
        """More text, and the tokens that it is made of."""
        self.part["text"] += text
        self.part["logprobs"] += logprobs or []
        kind = "output_text.delta"
        yield self._of_part(kind, delta=text, logprobs=[_brief(each) for each in logprobs or ()])

    def _more(self) -> dict[str, Any]:
        return {"logprobs": [_brief(each) for each in self.part["logprobs"]]}


def _brief(entry: dict[str, Any]) -> dict[str, Any]:
    """Events tell tokens without their bytes."""
    top = [{"token": each["token"], "logprob": each["logprob"]} for each in entry["top_logprobs"]]
    return {"token": entry["token"], "logprob": entry["logprob"], "top_logprobs": top}


class CallOutput(OpenItem):
    """A call that the model makes."""

    def __init__(self, index: int, name: str) -> None:
        call_id = make_call_id()
        super().__init__(index, "function_call", call_id=call_id, name=name, arguments="")

    def add(self, arguments: str) -> Iterator[StreamEvent]:
        """More of its arguments."""
        self.item["arguments"] += arguments
        yield self._event("function_call_arguments.delta", delta=arguments)

    def end(self, status: Status) -> Iterator[StreamEvent]:
        """The arguments, then the item."""
        arguments, name = self.item["arguments"], self.item["name"]
        yield self._event("function_call_arguments.done", name=name, arguments=arguments)
        yield from super().end(status)
