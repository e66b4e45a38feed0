"""Models in and out: surgery on a Qwen3, released NEO folders, and pre-Buffers that change hosts.

    model = neo_from_qwen3("Qwen/Qwen3-1.7B-Base", pre_buffer_layers=12)
    model, processor = load_released("NEO1_0-2B-SFT")
    save_released(model, processor, "out")
    extract_pre_buffer("NEO1_0-2B-PT", "pb1")
    model = graft_pre_buffer("pb1", "Qwen/Qwen3-1.7B")
    model = modular_from("openai/clip-vit-large-patch14", "Qwen/Qwen3-1.7B")

No remote code is run and nothing is unpickled. A folder is written whole or not at all.
"""

from pixelword.convert.folders import check_new, local_folder
from pixelword.convert.modular import modular_from, modular_processor
from pixelword.convert.parts import parameter_counts
from pixelword.convert.prebuffer import extract_pre_buffer, graft_pre_buffer
from pixelword.convert.qwen3 import neo_from_qwen3
from pixelword.convert.released import load_released, read_config, save_released
from pixelword.convert.tokens import fitting_processor, neo_tokenizer, token_settings

__all__ = [
    "check_new",
    "extract_pre_buffer",
    "fitting_processor",
    "graft_pre_buffer",
    "load_released",
    "local_folder",
    "modular_from",
    "modular_processor",
    "neo_from_qwen3",
    "neo_tokenizer",
    "parameter_counts",
    "read_config",
    "save_released",
    "token_settings",
]
