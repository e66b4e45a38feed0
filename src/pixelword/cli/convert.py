"""`pixelword convert`: language models to NEO, released NEO folders in and out, pre-Buffers taken out and put in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pixelword.cli.extras import needs
from pixelword.errors import ConfigError

if TYPE_CHECKING:
    from pixelword.model import NeoForConditionalGeneration
    from pixelword.model.modular import ModularForConditionalGeneration

convert = typer.Typer(help="Turn models into other models. Folders are written whole or not at all.")

Source = Annotated[str, typer.Argument(help="A folder, or owner/name on the hub.")]
Target = Annotated[Path, typer.Argument(help="A new folder.")]
Shard = Annotated[str, typer.Option("--max-shard-size", help="Of one safetensors file.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A key of the new configuration; vision.KEY for the pixel side."),
]


@convert.command("qwen3")
def from_qwen3(
    source: Source,
    target: Target,
    layers: Annotated[int, typer.Option(min=0, help="Depth of the pre-Buffer: 12 for NEO-2B, 6 for NEO-9B.")] = 12,
    seed: Annotated[int, typer.Option(help="Of the new random weights.")] = 0,
    scaled_output: Annotated[
        bool, typer.Option("--scaled-output", help="Draw the pre-Buffer's output matrices narrower with depth.")
    ] = False,
    tokenizer: Annotated[str, typer.Option(help="Where the tokenizer is, if not with the model.")] = "",
    changes: Changes = None,
    max_shard_size: Shard = "5GB",
) -> None:
    """A Qwen3 to a new NEO that has not seen yet.

    The pre-Buffer is random; the height and width weights of Qwen3's own layers change nothing yet.
    """
    with needs("model"):
        from pixelword.convert import (
            check_new,
            fitting_processor,
            neo_from_qwen3,
            neo_tokenizer,
            save_released,
            token_settings,
        )

    check_new(target)
    vision, others = read_changes(changes or [])
    words = neo_tokenizer(tokenizer or source)
    model = neo_from_qwen3(
        source,
        pre_buffer_layers=layers,
        vision=vision,
        seed=seed,
        scaled_output=scaled_output,
        **(token_settings(words) | others),
    )
    save_released(model, fitting_processor(model, words), target, max_shard_size=max_shard_size)
    tell(model, target)


@convert.command("neo")
def released_neo(
    source: Source,
    target: Target,
    layers: Annotated[int | None, typer.Option(min=0, help="Depth of the pre-Buffer, if the folder is silent.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16; unchanged by default.")] = "",
    max_shard_size: Shard = "5GB",
) -> None:
    """A NEO folder to one in good order.

    Reads released folders and ours, puts right what is odd or missing in config.json, and writes the released layout.
    No tensor changes unless --dtype says so.
    """
    with needs("model"):
        from pixelword.answering.devices import dtype_named
        from pixelword.convert import check_new, load_released, save_released

    check_new(target)
    model, processor = load_released(source, pre_buffer_layers=layers, dtype=dtype_named(dtype))
    save_released(model, processor, target, max_shard_size=max_shard_size)
    tell(model, target)


@convert.command("prebuffer-extract")
def extract(
    source: Source,
    target: Target,
    layers: Annotated[int | None, typer.Option(min=1, help="Its depth, if the folder is silent.")] = None,
) -> None:
    """The pre-Buffer of a NEO as a folder of its own."""
    with needs("model"):
        from pixelword.convert import extract_pre_buffer

    folder = extract_pre_buffer(source, target, pre_buffer_layers=layers)
    size = json.loads((folder / "pre_buffer.json").read_text(encoding="utf-8"))
    typer.echo(f"pre-Buffer: {size['layers']} layers, {size['parameters']:,} parameters, {size['dtype']}")
    list_files(folder)


@convert.command("prebuffer-graft")
def graft(
    pre_buffer: Annotated[Path, typer.Argument(help="A folder that prebuffer-extract wrote.")],
    source: Source,
    target: Target,
    tokenizer: Annotated[str, typer.Option(help="Where the tokenizer is, if not with the model.")] = "",
    max_shard_size: Shard = "5GB",
) -> None:
    """A pre-Buffer in front of another Qwen3.

    Both must have the same width, heads and vocabulary. Nothing is random.
    """
    with needs("model"):
        from pixelword.convert import (
            check_new,
            fitting_processor,
            graft_pre_buffer,
            neo_tokenizer,
            save_released,
            token_settings,
        )

    check_new(target)
    words = neo_tokenizer(tokenizer or source)
    model = graft_pre_buffer(pre_buffer, source, **token_settings(words))
    save_released(model, fitting_processor(model, words), target, max_shard_size=max_shard_size)
    tell(model, target)


@convert.command("modular")
def modular(
    encoder: Annotated[str, typer.Argument(help="A CLIP, SigLIP or InternVL: a folder, or owner/name on the hub.")],
    source: Annotated[str, typer.Argument(help="A Qwen3: a folder, or owner/name on the hub.")],
    target: Target,
    native: Annotated[
        bool, typer.Option("--native", help="Give the Qwen3 NEO's height and width weights and its mask.")
    ] = False,
    dropped_layers: Annotated[
        int | None,
        typer.Option("--drop-layers", min=0, help="Last encoder layers to leave out. Default: 1 for CLIP, else 0."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the projector.")] = 0,
    tokenizer: Annotated[str, typer.Option(help="Where the tokenizer is, if not with the model.")] = "",
    changes: Changes = None,
    max_shard_size: Shard = "5GB",
) -> None:
    """An encoder, a new projector and a Qwen3: the modular design, for comparison.

    It trains by the same recipes, data and packing as a NEO; recipes/modular/ has the talk's comparison.
    """
    with needs("model"):
        from pixelword.convert import check_new, modular_from, modular_processor, neo_tokenizer, save_released
        from pixelword.convert import token_settings as settings_of

    check_new(target)
    vision, others = read_changes(changes or [])
    if vision:
        raise ConfigError(
            "the encoder decides how pictures are cut",
            got=", ".join(f"vision.{key}" for key in vision),
            fix="set images.min_pixels and images.max_pixels in the recipe",
        )
    words = neo_tokenizer(tokenizer or source)
    language: Literal["native", "plain"] = "native" if native else "plain"
    model = modular_from(
        encoder,
        source,
        language=language,
        dropped_layers=dropped_layers,
        seed=seed,
        **(settings_of(words) | others),
    )
    save_released(model, modular_processor(model, words, encoder), target, max_shard_size=max_shard_size)
    tell_modular(model)
    list_files(target)


def read_changes(words: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keys of the vision configuration, and the others; values are JSON, or text where they are not.

    Raises:
        ConfigError: a word that is not KEY=VALUE.
    """
    vision: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise ConfigError("--set takes KEY=VALUE", got=word, fix="for example --set rope_theta_hw=10000")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        section = vision if key.startswith("vision.") else others
        section[key.removeprefix("vision.")] = value
    return vision, others


def tell(model: NeoForConditionalGeneration, folder: Path) -> None:
    """What was made, and where it is."""
    from pixelword.convert import parameter_counts

    text, counts = model.config.llm_config, parameter_counts(model)
    kind = str(model.dtype).removeprefix("torch.")
    behind = text.num_hidden_layers - text.extra_num_layers
    typer.echo(f"NEO: {text.num_hidden_layers} layers ({text.extra_num_layers} pre-Buffer, {behind} behind it), {kind}")
    for part, count in {**counts, "parameters in all": sum(counts.values())}.items():
        typer.echo(f"  {part:<26}{count:>16,}")
    list_files(folder)


def tell_modular(model: ModularForConditionalGeneration) -> None:
    """What was made, part by part."""
    config, seeing = model.config, model.model.vision_model
    encoder, projector = (
        seeing.encoder.num_parameters(),
        sum(weight.numel() for weight in seeing.projector.parameters()),
    )
    every = model.num_parameters()
    layers = config.llm_config.num_hidden_layers
    typer.echo(f"modular: {config.encoder().model_type} before {layers} {config.language} layers")
    parts = {"encoder": encoder, "projector": projector, "language model": every - encoder - projector}
    for part, count in {**parts, "parameters in all": every}.items():
        typer.echo(f"  {part:<26}{count:>16,}")
    pixels = config.vision_config.pixels_per_token
    typer.echo(f"one token per {pixels} x {pixels} pixels; tiles of at most {seeing.side} x {seeing.side} patches")


def list_files(folder: Path) -> None:
    typer.echo(f"written to {folder}")
    for file in sorted(folder.iterdir()):
        typer.echo(f"  {file.name:<34}{readable(file.stat().st_size):>8}")


def readable(size: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point."""
    number, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
