"""Every exception that longreach raises on purpose.

LongreachError
├── ModelError                 a checkpoint that cannot be used; names the file and the key
│   ├── ModelNotFoundError     no such directory or hub id
│   ├── CheckpointError        missing, corrupt or truncated files, wrong shapes
│   ├── ConfigError            config.json: unknown key (strict), bad or contradicting values
│   └── UnsupportedModelError  an architecture, rope type or quantisation that we do not run
├── ContextLengthError         the prompt (plus max_tokens) is longer than the limit
│   └── DocumentsTooLongError  documents that no single prompt holds; names the ways around
├── MemoryPlanError            the plan does not fit; carries the plan
├── InvalidRequestError        (ValueError) a field out of range; carries field and value
├── TemplateError              (ValueError) a chat template that fails or misbehaves
├── ShapeError                 (ValueError) tensors that do not fit together
├── UnsupportedError           no twin of an op can run these arguments; lists every reason
├── DocumentError              (ValueError) a file that cannot be read as a document; names it
│   ├── DocumentNotFoundError      no such file, an empty folder, a pattern without a match
│   ├── UnsupportedDocumentError   a kind of file that is not read, or a URL
│   ├── EncryptedDocumentError     a password is needed, or was wrong
│   ├── NoTextLayerError           pictures of pages (a scan); carries their numbers
│   ├── EmptyDocumentError         no bytes, or no text in them
│   ├── BrokenDocumentError        damaged, cut off, or not what it says it is
│   └── DocumentTooLargeError      above a limit; carries what, its size and the limit
├── CacheFileError             a file of the disk cache that is torn, altered or not ours
├── EngineBusyError            the queue is full; try again after retry_after_s
├── EngineClosedError          the engine drains or has stopped
└── RequestAborted             the caller stopped the request; finished pages stay cached
"""

from __future__ import annotations

from collections.abc import Callable

MAX_SHOWN = 500
"""Characters of a wrong value in a message."""


class LongreachError(Exception):
    """Base of every error that longreach raises on purpose.

    It can be pickled, so that it comes out of a worker process: arguments of the children's
    constructors are not their `args`.
    """

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...], dict[str, object]]:
        return _unpickled, (type(self), self.args), self.__dict__


def _unpickled(kind: type[LongreachError], args: tuple[object, ...]) -> LongreachError:
    error = kind.__new__(kind)
    error.args = args
    return error


class ModelError(LongreachError):
    """A checkpoint that cannot be used. The message names the file and the key."""


class ModelNotFoundError(ModelError):
    """Neither a directory nor a known hub id."""


class CheckpointError(ModelError):
    """Missing, corrupt or truncated weight files, or tensors of the wrong shape."""


class ConfigError(ModelError):
    """config.json holds a bad, contradicting or (in strict mode) unknown key."""


class UnsupportedModelError(ModelError):
    """A valid checkpoint of a kind that longreach does not run."""


class ContextLengthError(LongreachError):
    """The prompt does not fit the context.

    Attributes: num_prompt_tokens, max_tokens (asked for), max_model_len.
    """

    def __init__(self, num_prompt_tokens: int, max_tokens: int, max_model_len: int) -> None:
        self.num_prompt_tokens = num_prompt_tokens
        self.max_tokens = max_tokens
        self.max_model_len = max_model_len
        super().__init__(
            f"the prompt has {num_prompt_tokens} tokens and asks for {max_tokens} more, "
            f"but max_model_len is {max_model_len}: shorten the prompt, lower max_tokens, "
            f"or load the model with a larger max_model_len"
        )


class DocumentsTooLongError(ContextLengthError):
    """Documents and a question about them do not fit the context together."""

    def __init__(
        self, num_prompt_tokens: int, max_tokens: int, max_model_len: int, advice: str
    ) -> None:
        super().__init__(num_prompt_tokens, max_tokens, max_model_len)
        self.advice = advice
        message = (
            f"the documents and the question have {num_prompt_tokens:,} tokens and the answer may "
            f"take {max_tokens:,} more, but the context holds {max_model_len:,}: {advice}"
        )
        self.args = (message,)


class MemoryPlanError(LongreachError):
    """The planned memory is more than there is.

    Attributes: needed, available (bytes), plan (name -> bytes).
    """

    def __init__(self, needed: int, available: int, plan: dict[str, int], hint: str = "") -> None:
        self.needed = needed
        self.available = available
        self.plan = dict(plan)
        parts = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in plan.items())
        super().__init__(
            f"needs {needed / 2**20:.0f} MiB ({parts}) but {available / 2**20:.0f} MiB "
            f"are available{': ' + hint if hint else ''}"
        )


class InvalidRequestError(LongreachError, ValueError):
    """A request field with a value that cannot be obeyed.

    Attributes: field, value, expected (in words).
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field = field
        self.value = value
        self.expected = expected
        super().__init__(f"{field} is {_shown(value)}: expected {expected}")


def _shown(value: object) -> str:
    """As Python writes it, cut where it is long; some values (huge integers) cannot be written."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"of type {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


class TemplateError(LongreachError, ValueError):
    """A chat template that cannot be rendered for these messages."""


class ShapeError(LongreachError, ValueError):
    """Tensors whose shapes or dtypes do not fit together."""


class UnsupportedError(LongreachError):
    """No twin of an op can run these arguments. The message lists every twin's reason."""


class CacheFileError(LongreachError):
    """A file of the disk cache that cannot be used. The message names it and says why."""


class EngineBusyError(LongreachError):
    """The queue is full: nothing was queued. Attributes: retry_after_s, and what is full."""

    def __init__(self, what: str, retry_after_s: float) -> None:
        self.what = what
        self.retry_after_s = retry_after_s
        super().__init__(f"{what}: try again in {retry_after_s:.0f} s")


class EngineClosedError(LongreachError):
    """The engine drains or has stopped, and takes no new requests."""


class RequestAborted(LongreachError):
    """The caller stopped the request. Pages finished before the stop stay cached."""


class DocumentError(LongreachError, ValueError):
    """A file that cannot be read as a document. The message says what to do next.

    Attributes: name (of the file, without its folder), problem, advice (both in words).
    """

    def __init__(self, name: str, problem: str, advice: str) -> None:
        self.name = name
        self.problem = problem
        self.advice = advice
        super().__init__(f"{name}: {problem}; {advice}")


class DocumentNotFoundError(DocumentError):
    """No such file, a folder with nothing to read in it, or a pattern that matches nothing."""


class UnsupportedDocumentError(DocumentError):
    """A kind of file that is not read, or a URL."""


class EncryptedDocumentError(DocumentError):
    """The file opens with a password only: none was given, or a wrong one."""


class NoTextLayerError(DocumentError):
    """Pages without a text layer, as scanners make them. Attributes: pages (numbers from 1)."""

    def __init__(self, name: str, pages: tuple[int, ...], problem: str, advice: str) -> None:
        self.pages = pages
        super().__init__(name, problem, advice)


class EmptyDocumentError(DocumentError):
    """No bytes, or bytes without any text in them."""


class BrokenDocumentError(DocumentError):
    """Damaged, cut off, or not what its name says."""


class DocumentTooLargeError(DocumentError):
    """Above a limit on what is read. Attributes: what (in words), size, limit (in one unit)."""

    def __init__(self, name: str, what: str, size: int, limit: int, advice: str) -> None:
        self.what = what
        self.size = size
        self.limit = limit
        super().__init__(name, f"{what} {size:,} is above the limit of {limit:,}", advice)
