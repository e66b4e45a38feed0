"""`pixelword plan`: what a recipe will cost, before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelword.cli.extras import needs, refuse_folder

if TYPE_CHECKING:
    from rich.table import Table

    from pixelword.train.plan import Lengths, Plan

BAR = 40
BUSY = 0.8
"""Share of the time that a process has a processor on a machine of its own."""


def plan(
    recipe: Annotated[Path, typer.Argument(help="YAML file of the stage.")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A value of the recipe, as a.b=c; may be repeated.")
    ] = None,
    ranks: Annotated[int, typer.Option(min=1, help="Processes of the real run; their exchange is not measured.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Steps to measure.")] = 10,
    samples: Annotated[int, typer.Option(min=1, help="Samples to read for the histogram.")] = 4000,
    seconds: Annotated[float, typer.Option(min=1, help="Most seconds to spend on steps.")] = 60.0,
    out: Annotated[Path, typer.Option(help="File for all numbers.")] = Path("plan.json"),
) -> None:
    """Plan a training run.

    Reads some samples, runs a few steps and throws them away. Says how long samples are and how full the rows, tokens
    per second, MFU, memory, hours and disk of the whole run.
    """
    with needs("train"):
        from rich.console import Console

        from pixelword.recipe import load_recipe
        from pixelword.train import write_json
        from pixelword.train.lengths import said_end
        from pixelword.train.plan import plan_recipe

    refuse_folder(out)
    settings = load_recipe(recipe, setting or [])
    planned = plan_recipe(settings, where=out.parent, ranks=ranks, steps=steps, samples=samples, seconds=seconds)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, planned.as_json())
    console = Console()
    console.print(histogram(planned.lengths))
    console.print(numbers(planned))
    if planned.disk_bytes > planned.free_bytes:
        console.print("the disk is too small for this run", style="bold red")
    if planned.steps < planned.wanted_steps:
        console.print(said_end(settings, planned.steps), style="bold red")
    typer.echo(f"\nall numbers: {out}")


def histogram(lengths: Lengths) -> Table:
    """Tokens of a sample, one line per bin."""
    from rich.table import Table

    table = Table(box=None, title=f"tokens of a sample, {lengths.samples:,} read", title_justify="left")
    table.add_column("tokens", justify="right")
    table.add_column("samples", justify="right")
    table.add_column("")
    most = max(lengths.counts)
    filled = [place for place, count in enumerate(lengths.counts) if count]
    for place in range(filled[0], filled[-1] + 1):
        count = lengths.counts[place]
        bar = "\u2588" * round(BAR * count / most) or ("\u258f" if count else "")
        table.add_row(f"{lengths.edges[place] + 1:,} to {lengths.edges[place + 1]:,}", f"{count:,}", bar)
    return table


def numbers(planned: Plan) -> Table:
    """Everything else, one line per number."""
    from rich.table import Table

    lengths, probe = planned.lengths, planned.probe
    saved = "not measured" if probe.save_seconds is None else f"{probe.save_seconds:.1f} s each"
    rows = {
        "samples": f"{lengths.mean:,.0f} tokens in the mean, median {lengths.quantiles['median']:,},"
        f" longest {lengths.longest:,}, {lengths.images_per_sample:.2f} pictures",
        "tokens": f"{lengths.pictures:.0%} of pictures, {lengths.learned:.0%} learned",
        "rows": f"{lengths.packed:.1%} full, {lengths.samples_per_row:.1f} samples each",
        "bad rows": ", ".join(f"{name}: {sum(why.values())}" for name, why in lengths.bad.items() if why) or "none",
        "measured on": f"{probe.device}, {probe.steps} steps",
        "step": f"{planned.step_seconds:.3g} s{shared(planned)}",
        "speed": f"{planned.tokens_per_second:,.0f} tokens/s, {planned.images_per_second:.3g} images/s",
        "MFU": f"{planned.use:.1%}",
        "peak memory": f"{size(planned.memory)} of the process"
        + (f", {size(planned.gpu_memory)} on the GPU" if planned.gpu_memory else ""),
        "whole run": f"{planned.steps:,} steps, {duration(planned.hours)},"
        f" {planned.tokens:,.0f} tokens, {planned.samples:,.0f} samples",
        "checkpoints": f"{size(planned.checkpoint_bytes)} each; writing: {saved}",
        "disk": f"{size(planned.disk_bytes)} at most, {size(planned.free_bytes)} free",
    }
    table = Table(box=None, show_header=False)
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def shared(planned: Plan) -> str:
    """A warning where others used the processor too, so that times are too long."""
    probe = planned.probe
    probed = probe.micro_batches * probe.micro_seconds + probe.other_seconds
    if not probe.device.startswith("CPU") or probe.processor_seconds > BUSY * probed:
        return ""
    return f" ({probe.processor_seconds:.3g} s of processor time: others use this machine too)"


def size(count: float) -> str:
    """Bytes for a reader."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} TiB"


def duration(hours: float) -> str:
    """Hours for a reader."""
    if hours < 1:
        return f"{hours * 60:.1f} minutes"
    return f"{hours:.1f} hours" if hours < 100 else f"{hours / 24:.1f} days"
