"""Reading a tokenizer and its chat template from a Hugging Face model directory.

Two layouts: `tokenizer.json`, or the older `vocab.json` with `merges.txt` (as Qwen's first
repositories have). In both, `tokenizer_config.json` names the end-of-sequence token and may list
added tokens, whose ids are checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers
from tokenizers import Tokenizer as CoreTokenizer
from tokenizers.models import BPE

from longreach.errors import CheckpointError, UnsupportedModelError

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NAMED = ("bos_token", "eos_token", "pad_token")
_QWEN2_CLASSES = (None, "Qwen2Tokenizer", "Qwen2TokenizerFast")


def read_tokenizer(directory: Path) -> tuple[CoreTokenizer, dict[str, str]]:
    """The core of a model directory's tokenizer, and its named tokens ("eos_token" -> the token).

    Raises CheckpointError for missing, corrupt or contradicting files, UnsupportedModelError for
    another kind.
    """
    config = read_tokenizer_config(directory)
    if (directory / "tokenizer.json").is_file():
        core = _from_json(directory / "tokenizer.json")
    elif (directory / "vocab.json").is_file() and (directory / "merges.txt").is_file():
        core = _from_vocab_and_merges(directory, config)
    else:
        raise CheckpointError(f"{directory}: neither tokenizer.json nor vocab.json with merges.txt")
    _add_tokens(core, config, directory)
    return core, _special_names(core, config, directory)


def read_tokenizer_config(directory: Path) -> dict[str, Any]:
    """tokenizer_config.json, {} where there is none."""
    return _read_json(directory / "tokenizer_config.json", required=False)


def read_chat_templates(directory: Path) -> dict[str, str]:
    """Name -> Jinja source of a model's chat templates; the usual one is named "default".

    chat_template.jinja (with additional_chat_templates/NAME.jinja) comes before
    chat_template.json, and that before the key `chat_template` of tokenizer_config.json, as in
    transformers.
    """
    single = directory / "chat_template.jinja"
    if single.is_file():
        more = sorted((directory / "additional_chat_templates").glob("*.jinja"))
        return {"default": _read_text(single)} | {path.stem: _read_text(path) for path in more}
    for name in ("chat_template.json", "tokenizer_config.json"):
        value = _read_json(directory / name, required=False).get("chat_template")
        if value is not None:
            return _named_templates(value, directory / name)
    return {}


def _named_templates(value: Any, path: Path) -> dict[str, str]:
    match value:
        case str():
            return {"default": value}
        case dict() if all(isinstance(source, str) for source in value.values()):
            return dict(value)
        case [*entries]:
            try:
                return {entry["name"]: str(entry["template"]) for entry in entries}
            except (TypeError, KeyError):
                pass
    raise CheckpointError(f"{path}: chat_template is neither text nor a list of named templates")


def _from_json(path: Path) -> CoreTokenizer:
    try:
        return CoreTokenizer.from_file(str(path))
    except Exception as error:  # `tokenizers` raises bare Exception for every fault of the file
        raise CheckpointError(f"{path}: not a tokenizer file: {error}") from error


def _from_vocab_and_merges(directory: Path, config: Mapping[str, Any]) -> CoreTokenizer:
    """The byte-level BPE of Qwen2, built from its parts as transformers does."""
    kind = config.get("tokenizer_class")
    if kind not in _QWEN2_CLASSES:
        raise UnsupportedModelError(
            f"{directory}: tokenizer_class {kind!r} without tokenizer.json; "
            "only Qwen2Tokenizer is built from vocab.json"
        )
    if config.get("add_prefix_space"):
        raise UnsupportedModelError(f"{directory}/tokenizer_config.json: add_prefix_space is true")
    try:
        model = BPE.from_file(str(directory / "vocab.json"), str(directory / "merges.txt"))
    except Exception as error:  # see _from_json
        raise CheckpointError(f"{directory}: vocab.json or merges.txt: {error}") from error
    core = CoreTokenizer(model)
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    return core


def _add_tokens(core: CoreTokenizer, config: Mapping[str, Any], directory: Path) -> None:
    """Add the tokens that only the configuration lists, and check the ids of all."""
    for token_id, token in sorted(_listed_tokens(config, directory).items()):
        if core.token_to_id(token.content) is None or not _is_added(core, token_id):
            core.add_tokens([token])
        found = core.token_to_id(token.content)
        if found != token_id:
            raise CheckpointError(
                f"{directory}/tokenizer_config.json: token {token.content!r} has id {token_id}, "
                f"but the vocabulary gives it {found}"
            )


def _is_added(core: CoreTokenizer, token_id: int) -> bool:
    return token_id in core.get_added_tokens_decoder()


def _listed_tokens(config: Mapping[str, Any], directory: Path) -> dict[int, AddedToken]:
    listed = config.get("added_tokens_decoder") or {}
    try:
        tokens = {int(token_id): _added_token(entry) for token_id, entry in listed.items()}
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        message = f"{directory}/tokenizer_config.json: added_tokens_decoder: {error!r}"
        raise CheckpointError(message) from error
    more = config.get("additional_special_tokens") or []
    if not isinstance(more, list):
        raise CheckpointError(
            f"{directory}/tokenizer_config.json: additional_special_tokens is {more!r}: "
            "expected a list"
        )
    named = [_content(config[name], directory) for name in _NAMED if config.get(name)]
    specials = {*named, *(_content(token, directory) for token in more)}
    path = directory / "added_tokens.json"
    for content, token_id in _read_json(path, required=False).items():
        if not isinstance(token_id, int):
            raise CheckpointError(f"{path}: token {content!r} has id {token_id!r}, no integer")
        is_special = content in specials
        tokens.setdefault(
            token_id, AddedToken(content, special=is_special, normalized=not is_special)
        )
    return tokens


def _added_token(entry: Mapping[str, Any]) -> AddedToken:
    keys = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(entry["content"], **{key: bool(entry[key]) for key in keys if key in entry})


def _special_names(
    core: CoreTokenizer, config: Mapping[str, Any], directory: Path
) -> dict[str, str]:
    names = {name: _content(config[name], directory) for name in _NAMED if config.get(name)}
    for name, token in names.items():
        if core.token_to_id(token) is None:
            raise CheckpointError(
                f"{directory}/tokenizer_config.json: {name} {token!r} is not in the vocabulary"
            )
    return names


def _content(token: object, directory: Path) -> str:
    """A special token is written as text, or as a mapping that holds it under "content"."""
    match token:
        case str(text) | {"content": str(text)}:
            return text
    raise CheckpointError(
        f"{directory}/tokenizer_config.json: the special token {token!r} is neither text nor an "
        'object with "content"'
    )


def _read_json(path: Path, *, required: bool) -> dict[str, Any]:
    if not required and not path.is_file():
        return {}
    try:
        value = json.loads(_read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a {type(value).__name__}, expected an object")
    return value


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
