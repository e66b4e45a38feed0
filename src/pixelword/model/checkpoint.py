"""Reading and writing the released layout of weights, exactly.

On disk a model has the released names (`vision_model.…`, `language_model.model.…`, `language_model.lm_head.weight`); in
memory it has the names that transformers and TRL expect (`model.vision_model.…`, `model.language_model.…`, `lm_head`).
`KEY_RENAMINGS` is the one table between the two; transformers applies it in both directions.

Loading is strict: before any tensor is read, names and shapes of the folder are compared with what the configuration
says. transformers alone would fill a missing tensor with random numbers and print a warning.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming

from pixelword.errors import CheckpointError, nearest
from pixelword.model.configuration import NeoConfig

logger = logging.getLogger(__name__)

KEY_RENAMINGS = {
    r"^language_model\.lm_head\.": "lm_head.",
    r"^language_model\.model\.": "model.language_model.",
    r"^vision_model\.": "model.vision_model.",
}
HEAD, WORDS = "language_model.lm_head.weight", "language_model.model.embed_tokens.weight"
INDEX_FILE, SINGLE_FILE = "model.safetensors.index.json", "model.safetensors"
FLOATS = ("F64", "F32", "F16", "BF16")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def register_renamings() -> None:
    """Tell transformers the table; called once, when `pixelword.model` is imported."""
    renamings: list[WeightConverter | WeightRenaming] = [
        WeightRenaming(source_patterns=old, target_patterns=new) for old, new in KEY_RENAMINGS.items()
    ]
    register_checkpoint_conversion_mapping("neo_chat", renamings, overwrite=True)


def released_name(name: str) -> str:
    """Our parameter name -> the name on disk."""
    for prefix, ours in (("language_model.lm_head.", "lm_head."), ("language_model.model.", "model.language_model.")):
        if name.startswith(ours):
            return prefix + name[len(ours) :]
    return name.removeprefix("model.")


def name_in_memory(name: str) -> str:
    """A name on disk -> our parameter name; our own names stay."""
    for old, new in KEY_RENAMINGS.items():
        name, changed = re.subn(old, new, name)
        if changed:
            break
    return name


def expected_shapes(config: NeoConfig) -> dict[str, tuple[int, ...]]:
    """Name on disk -> shape, of every tensor that a checkpoint of this configuration holds."""
    from pixelword.model.modeling import NeoForConditionalGeneration  # modeling imports this file

    with torch.device("meta"):
        model = NeoForConditionalGeneration(config)
    shapes = {released_name(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop(HEAD)
    return shapes


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in a folder, from the headers alone; never unpickles.

    Raises:
        CheckpointError: no safetensors, a missing or broken shard, an index that points nowhere, or other numbers than
            floating-point ones.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in weight_files(folder):
        try:
            with safe_open(file, framework="pt") as opened:
                slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  (not a mapping)
                kinds = {name: part.get_dtype() for name, part in slices.items()}
                shapes |= {name: tuple(part.get_shape()) for name, part in slices.items()}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{file.name} is not a whole safetensors file",
                got=f"{error} ({file.stat().st_size} bytes)",
                fix="download or save it again; a pickle under this name is never opened",
            ) from error
        odd = sorted(name for name, kind in kinds.items() if kind not in FLOATS)
        if odd:
            raise CheckpointError(
                f"{file.name}: weights must be {', '.join(FLOATS)}",
                got=f"{odd[0]} is {kinds[odd[0]]}, and {len(odd) - 1} others",
                fix="use weights that are not quantised",
            )
    return shapes


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, from the index if there is one."""
    if (folder / INDEX_FILE).is_file():
        try:
            shards = set(json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{INDEX_FILE} is not a shard index", got=error, fix="download or save the checkpoint again"
            ) from error
        if any(Path(shard).name != shard for shard in shards):
            raise CheckpointError(
                "the shard index names files outside its folder",
                got=sorted(shards),
                fix="do not use this checkpoint unless you trust where it came from",
            )
        missing = sorted(shard for shard in shards if not (folder / shard).is_file())
        if missing:
            raise CheckpointError(
                "shards of the checkpoint are missing", got=", ".join(missing), fix="download the missing files"
            )
        return [folder / shard for shard in sorted(shards)]
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
    raise CheckpointError(
        f"no {SINGLE_FILE} in {folder.name}",
        got=f"pickled weights {', '.join(pickles)}, which are never opened" if pickles else "no weights at all",
        fix="save the model as safetensors" if pickles else "check the path",
    )


def compare(expected: Mapping[str, tuple[int, ...]], stored: Mapping[str, tuple[int, ...]]) -> None:
    """Raise CheckpointError on the first kind of difference: missing names, extra names, other shapes."""
    missing = sorted(expected.keys() - stored.keys())
    extra = sorted(stored.keys() - expected.keys())
    if any("_mot_gen" in name or "_norm_hw" in name for name in extra):
        raise CheckpointError(
            "these are weights of a successor of NEO 1.0, whose blocks differ",
            got=f"{len(extra)} unknown tensors such as {extra[0]}",
            fix="use a NEO1_0 checkpoint",
        )
    if missing:
        raise CheckpointError(
            f"{len(missing)} of {len(expected)} tensors are missing",
            got=f"first missing {missing[0]}; {nearest(missing[0], extra) if extra else 'no unknown tensors'}",
            fix="the files are incomplete, or config.json describes another model",
        )
    if extra:
        raise CheckpointError(
            f"{len(extra)} tensors belong to no part of this model",
            got=", ".join(extra[:3]),
            fix="config.json describes another model (too few layers?)",
        )
    wrong = [(name, expected[name], stored[name]) for name in expected if tuple(expected[name]) != tuple(stored[name])]
    if wrong:
        name, right, found = wrong[0]
        raise CheckpointError(
            f"{len(wrong)} tensors have another shape than config.json says",
            got=f"{name}: {found} in the file, {right} by the configuration",
            fix="use the config.json that was saved with these weights",
        )


def read_tensor(folder: Path, name: str) -> torch.Tensor:
    """One tensor of a folder by its name on disk."""
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as opened:
            if name in opened.keys():  # noqa: SIM118  (not a mapping)
                tensor: torch.Tensor = opened.get_tensor(name)
                return tensor
    raise CheckpointError("a tensor is missing", got=name, fix="download or save the checkpoint again")


def check_folder(folder: Path, config: NeoConfig) -> None:
    """Compare a folder with its configuration; a head that contradicts `tie_word_embeddings` unties it.

    Released checkpoints may say "tied" and still carry a head. If its values are those of the word embedding it is
    ignored; if they differ, the file is right and the flag is wrong.
    """
    stored = stored_shapes(folder)
    if config.tie_word_embeddings and HEAD in stored:
        if WORDS in stored and torch.equal(read_tensor(folder, HEAD), read_tensor(folder, WORDS)):
            stored.pop(HEAD)
        else:
            logger.warning("config.json ties the head to the word embedding, but their weights differ: not tied")
            config.tie_word_embeddings = False
            config.llm_config.tie_word_embeddings = False
    compare(expected_shapes(config), stored)


class StrictCheckpoint:
    """Mixin before `PreTrainedModel`: loads and saves everything, exactly, or raises CheckpointError."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str] | None, *args: Any, **kwargs: Any
    ) -> Any:
        """Load a folder or a hub repository in the released layout; arguments as in transformers.

        Raises:
            CheckpointError: pickled, truncated, missing, unknown or misshapen weights.
        """
        for refused in ("trust_remote_code", "use_safetensors"):
            kwargs.pop(refused, None)
        wants_info = kwargs.pop("output_loading_info", False)
        folder = Path(pretrained_model_name_or_path or "", kwargs.get("subfolder", ""))
        if pretrained_model_name_or_path is not None and folder.is_dir():  # None: the weights come as state_dict
            config = kwargs.pop("config", None)
            if not isinstance(config, NeoConfig):
                config = NeoConfig.from_pretrained(folder)
            check_folder(folder, config)
            kwargs["config"] = config
        model, info = super().from_pretrained(  # type: ignore[misc]
            pretrained_model_name_or_path, *args, use_safetensors=True, output_loading_info=True, **kwargs
        )
        problems = {
            name: sorted(str(key) for key in info[name])
            for name in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
            if info.get(name)
        }
        if problems:
            raise CheckpointError(
                "the weights do not fit the model",
                got=problems,
                fix="use the config.json that was saved with these weights",
            )
        return (model, info) if wants_info else model

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As in torch; released names are taken too. The Trainer hands them over when it continues a run: without
        this it would find no name that fits, say so in a warning, and go on with the weights it has.
        """
        if hasattr(self, "lm_head"):
            state_dict = {name_in_memory(name): tensor for name, tensor in state_dict.items()}
        return super().load_state_dict(state_dict, *args, **kwargs)  # type: ignore[misc]

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write the released layout; arguments as in transformers.

        Raises:
            CheckpointError: this is the backbone alone; a folder without a head is in nobody's layout.
        """
        if not hasattr(self, "lm_head"):
            raise CheckpointError(
                "the backbone alone cannot be saved",
                got=type(self).__name__,
                fix="call save_pretrained of the NeoForConditionalGeneration around it",
            )
        super().save_pretrained(save_directory, *args, **kwargs)  # type: ignore[misc]
