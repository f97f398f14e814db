"""The one folder that knows Hugging Face names: config keys and tensor names, there and back."""

from longreach.models.hf.config import CONFIG_FILE, TABLE_FILE, config_from_hf, token_ids
from longreach.models.hf.export import config_to_hf, table_to_hf
from longreach.models.hf.tensors import Part, is_redundant, tensor_map

__all__ = [
    "CONFIG_FILE",
    "TABLE_FILE",
    "Part",
    "config_from_hf",
    "config_to_hf",
    "is_redundant",
    "table_to_hf",
    "tensor_map",
    "token_ids",
]
