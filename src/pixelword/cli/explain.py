"""`pixelword explain`: one sample as the model reads it, as text and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelword.cli.extras import needs


def explain(
    model: Annotated[str, typer.Argument(help="A folder, or owner/name on the hub; weights are not needed.")],
    image: Annotated[list[Path] | None, typer.Option(help="A picture; may be given several times.")] = None,
    question: Annotated[str, typer.Option(help="The question behind the pictures.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write a page too, e.g. sample.html.")] = None,
    rule_only: Annotated[bool, typer.Option("--rule-only", help="Do not run the model, even if it is there.")] = False,
    min_pixels: Annotated[int | None, typer.Option(min=1, help="Enlarge smaller pictures to this area.")] = None,
    max_pixels: Annotated[int | None, typer.Option(min=1, help="Shrink larger pictures to this area.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; the best there is by default.")] = "",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16; that of the files by default.")] = "",
) -> None:
    """Show how a sample is read.

    Its tokens with their T, H and W indices, who attends to whom, and, where the folder has weights, where the model
    looks as it starts to answer. Long runs are folded in the terminal; the page has every token.
    """
    with needs("model"):
        from rich.console import Console

        from pixelword.answering.devices import device_named, dtype_named
        from pixelword.convert import load_released, local_folder, read_config
        from pixelword.explain import SampleText, look, sample_page, take_apart
        from pixelword.model import NeoProcessor

    place, kind = device_named(device), dtype_named(dtype)
    folder = local_folder(model)
    bounds = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    settings = {name: value for name, value in bounds.items() if value is not None}
    network, seen = None, None
    if rule_only or not any(folder.glob("*.safetensors*")):
        config, processor = read_config(folder), NeoProcessor.from_pretrained(folder, **settings)
    else:
        network, processor = load_released(folder, dtype=kind, **settings)
        config = network.config
    sample = take_apart(config, processor, [str(path) for path in image or []], question)
    if network is not None:
        network.to(place)  # type: ignore[arg-type]
        seen = look(network, processor, sample)
    Console().print(SampleText(sample, seen))
    if out is not None:
        path = sample_page(sample, question, seen, footer=f"model: {model}").write(out)
        typer.echo(f"\npage: {path}")
