"""What learns: a stage names the parameters it trains by patterns, and every pattern has to mean something.

A pattern is a regular expression for a parameter's whole name. One that matches nothing is an error, so a renamed or
misspelt part can never silently stay frozen (or train).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from pixelword.errors import ConfigError
from pixelword.model import NeoConfig

EVERYTHING: tuple[str, ...] = (r".*",)

SPATIAL = r".*\.self_attn\.(q_proj_hw|k_proj_hw|q_norm_h|q_norm_w|k_norm_h|k_norm_w)\.weight"
"""The height and width weights of every block: what surgery adds to a language model's layers."""


def first_stage(config: NeoConfig) -> tuple[str, ...]:
    """Patterns of what NEO's first stage trains: patch embedding, pre-Buffer, and all height and width weights.

    Source: NEO, section 3.2 and figure 4. The released training code means the same and selects something else.
    """
    depth = config.llm_config.extra_num_layers
    layers = "|".join(str(number) for number in range(depth))
    pre_buffer = (rf"model\.language_model\.layers\.({layers})\..*",) if depth else ()
    return (r"model\.vision_model\..*", *pre_buffer, SPATIAL)


PARTS = (
    ("encoder", r"model\.vision_model\.encoder\..*"),
    ("projector", r"model\.vision_model\.projector\..*"),
    ("patch embedding", r"model\.vision_model\..*"),
    ("pre-Buffer", ""),
    ("height and width of the LLM's layers", SPATIAL),
    ("LLM layers", r"model\.(language_model\.)?layers\..*"),
    ("word embedding", r".*embed_tokens\.weight"),
    ("final norm", r"model\.(language_model\.)?norm\.weight"),
    ("head", r"lm_head\.weight"),
    ("adapters", r".*\.lora_.*"),
)
"""The parts of a model in the order they are looked for; the pre-Buffer's pattern depends on the model."""


@dataclass(frozen=True)
class PartLearns:
    """One line of the table of what learns.

    Attributes:
        part: name of a part of the model.
        trains, frozen: numbers of its parameters (single weights, not tensors).
        rates: peak learning rate per optimiser, such as `Muon 0.003`; empty where nothing trains.
    """

    part: str
    trains: int
    frozen: int
    rates: str


def select(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Let exactly the parameters train that a pattern matches whole; returns their names.

    Raises:
        ConfigError: no pattern at all, one that is no regular expression, or one that matches no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    if not patterns:
        raise ConfigError("a stage must train something", got="no pattern", fix='use ".*" for everything')
    chosen: set[str] = set()
    for pattern in patterns:
        chosen.update(matched(pattern, names, "a pattern of what learns", "parameter"))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    return [name for name in names if name in chosen]


def matched(pattern: str, names: Sequence[str], what: str, thing: str) -> list[str]:
    """The names that a pattern matches whole.

    Args:
        pattern: regular expression.
        names: to look through.
        what, thing: of the error: what the pattern is, and what the names are of.

    Raises:
        ConfigError: it is no regular expression, or matches none.
    """
    try:
        found = [name for name in names if re.fullmatch(pattern, name)]
    except re.error as error:
        raise ConfigError(
            f"{what} is no regular expression",
            got=f"{pattern}: {error}",
            fix="write it as for Python's re, with points escaped",
        ) from error
    if not found:
        raise ConfigError(f"{what} matches no {thing}", got=pattern, fix=nearest_part(pattern, names))
    return found


def nearest_part(pattern: str, names: Iterable[str]) -> str:
    """A sentence that suggests what a pattern may have meant: a whole name, its beginning, or one word of it."""
    known = {re.sub(r"\.\d+", ".0", name) for name in names}
    words = {".".join(name.split(".")[:depth]) for name in known for depth in range(1, name.count(".") + 2)}
    words |= {word for name in known for word in name.split(".")}
    meant = re.sub(r"\(.*?\)|\[.*?\]|\d+", "0", pattern.replace("\\", "")).replace(".*", "").strip(".^$")
    close = difflib.get_close_matches(meant, sorted(words), n=1)
    beginnings = sorted({".".join(name.split(".")[:2]) for name in known})
    return f"did you mean {close[0]!r}?" if close else f"names begin with {', '.join(beginnings[:12])}"


def part_of(name: str, pre_buffer_layers: int = 0) -> str:
    """The part of the model a parameter belongs to; adapters are a part of their own."""
    if ".lora_" in name:
        return "adapters"
    name = name.replace(".base_layer.", ".")
    layer = re.match(r"model\.language_model\.layers\.(\d+)\.", name)
    if layer and int(layer.group(1)) < pre_buffer_layers:
        return "pre-Buffer"
    return next(part for part, pattern in PARTS if pattern and re.fullmatch(pattern, name))


def table(model: nn.Module, optimiser_of: dict[str, str]) -> list[PartLearns]:
    """What trains and what is frozen, part by part.

    Args:
        model: after `select`.
        optimiser_of: per trained parameter the optimiser and its rate, such as `Muon 0.003`.
    """
    config = getattr(model, "config", None)
    depth = config.llm_config.extra_num_layers if isinstance(config, NeoConfig) else 0
    lines = []
    parameters = list(model.named_parameters())
    for part, _ in PARTS:
        inside = [(name, parameter) for name, parameter in parameters if part_of(name, depth) == part]
        if not inside:
            continue
        trained = [(name, parameter) for name, parameter in inside if parameter.requires_grad]
        lines.append(
            PartLearns(
                part=part,
                trains=sum(parameter.numel() for _, parameter in trained),
                frozen=sum(parameter.numel() for _, parameter in inside if not parameter.requires_grad),
                rates=", ".join(dict.fromkeys(optimiser_of[name] for name, _ in trained)),
            )
        )
    return lines


def as_text(lines: Iterable[PartLearns]) -> str:
    """The table in plain text, for the terminal and the run folder."""
    rows = [("part", "trains", "frozen", "peak rate")]
    rows += [(line.part, f"{line.trains:,}", f"{line.frozen:,}", line.rates or "-") for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{part:<{widths[0]}}  {trains:>{widths[1]}}  {frozen:>{widths[2]}}  {rates}".rstrip()
        for part, trains, frozen, rates in rows
    )
