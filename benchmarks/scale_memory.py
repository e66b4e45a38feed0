"""Memory of a process by arithmetic, for NEO-2B and NEO-9B and any number of processes: the table of docs/scale.md.

    python benchmarks/scale_memory.py

Nothing is allocated: parameters are counted on the meta device, from the recipes. Legend: P parameters, 2 bytes are
bfloat16, 4 float32.

    state     (16 P trained + 2 P frozen) / n      weights 4, gradients 4, AdamW's two averages 8; frozen weights 2
    middle    activations + 4 P head + 10 P block  in the middle of the backward pass: the head and its gradient, two
                                                   blocks gathered, a block's gradient and its sum in float32
    end       8 P head + 8 P words                 at its end: weights, gradients and float32 sums of both
    total     state + max(middle, end)

One process is not spread: instead of gathered weights it holds a copy of what trains for the products, 2 P trained, and
where the word embedding trains, the inputs of blocks are float32: 4 D bytes.

Activations, with checkpointing: the input of every block, 2 D bytes per token and block, and twice what one block keeps
for its backward pass. That was counted with saved-tensor hooks on one block in bfloat16 on a CPU (torch 2.13).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from pixelword.model import NeoForConditionalGeneration, neo_2b, neo_9b
from pixelword.recipe import Recipe, load_recipe
from pixelword.train import select

RECIPES = Path(__file__).parent.parent / "recipes"
BLOCK_BYTES_PER_TOKEN = {"neo-2b": 148_328, "neo-9b": 275_560}
PROCESSES = (1, 8, 16, 32, 64)


@dataclass(frozen=True)
class Sizes:
    """Parameters of a model under a recipe."""

    trained: int
    frozen: int
    head: int
    words: int
    block: int
    blocks: int
    width: int


def sizes_of(name: str, recipe: Recipe) -> Sizes:
    with torch.device("meta"):
        model = NeoForConditionalGeneration({"neo-2b": neo_2b, "neo-9b": neo_9b}[name]())
    select(model, recipe.learns)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    config, layers = model.config.llm_config, model.model.language_model.layers
    return Sizes(
        trained=trained,
        frozen=sum(parameter.numel() for parameter in model.parameters()) - trained,
        head=model.lm_head.weight.numel(),
        words=model.get_input_embeddings().weight.numel(),
        block=sum(parameter.numel() for parameter in layers[0].parameters()),
        blocks=config.num_hidden_layers,
        width=config.hidden_size,
    )


def gigabytes(name: str, sizes: Sizes, tokens: int, processes: int) -> float:
    """Of one process, in 10^9 bytes."""
    state = (16 * sizes.trained + 2 * sizes.frozen) / processes
    if processes == 1:
        inputs = (2 if sizes.frozen else 4) * sizes.width * sizes.blocks
        return (state + 2 * sizes.trained + tokens * (inputs + 2 * BLOCK_BYTES_PER_TOKEN[name])) / 1e9
    activations = tokens * (2 * sizes.width * sizes.blocks + 2 * BLOCK_BYTES_PER_TOKEN[name])
    middle = activations + 4 * sizes.head + 10 * sizes.block
    end = 8 * sizes.head + 8 * sizes.words
    return (state + max(middle, end)) / 1e9


def main() -> None:
    print("| model, stage | trained | frozen | tokens of a row | a checkpoint |", end="")
    print("".join(f" n = {number} |" for number in PROCESSES))
    print("|" + " --- |" * (5 + len(PROCESSES)))
    for name in ("neo-2b", "neo-9b"):
        for stage in ("pretrain", "midtrain", "sft"):
            recipe = load_recipe(RECIPES / name / f"{stage}.yaml")
            sizes, tokens = sizes_of(name, recipe), recipe.packing.budget * recipe.rows_per_batch
            saved = (12 * sizes.trained + 2 * sizes.frozen) / 1e9
            found = "".join(f" {gigabytes(name, sizes, tokens, number):.0f} |" for number in PROCESSES)
            print(
                f"| {name}, {stage} | {sizes.trained / 1e9:.2f} G | {sizes.frozen / 1e9:.2f} G | {tokens:,} |"
                f" {saved:.0f} GB |{found}"
            )


if __name__ == "__main__":
    main()
