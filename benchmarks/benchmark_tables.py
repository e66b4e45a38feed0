"""Writes docs/jigsaw_benchmarks.md and docs/neo_benchmarks.md from the figures in docs/data.

python benchmarks/benchmark_tables.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parents[1] / "docs"

Data = dict[str, Any]

JIGSAW_HEAD = """# The benchmarks of Visual Jigsaw

Made by `python benchmarks/benchmark_tables.py` from `docs/data/visual_jigsaw.yaml`; a test recomputes the means.

One row for each column of the paper's three result tables: what it measures, the figures that were published, and the
command that runs it today on a checkpoint, or what is missing. Nothing here was run: names of tasks were read in the
sources of [lmms-eval](https://github.com/EvolvingLMMs-Lab/lmms-eval) and
[VLMEvalKit](https://github.com/open-compass/VLMEvalKit). Both run in an environment of their own.

For the puzzles themselves there is `pixelword jigsaw eval`, which needs neither.

## The paper's settings

- Direct answers, without thoughts (but for Video-R1); greedy; at most 1024 new tokens; one question at a time;
  bfloat16; the model's default system message.
- Pictures: at most 12,845,056 pixels, divided by their number where there are several.
- Films: 2 frames per second, at most 16, 32 or 64 frames; a frame from 128 x 28 x 28 to 256 x 28 x 28 pixels.
- Answers are cleaned loosely: the first Latin letter anywhere counts, so that "The answer is B" counts as T. The
  harnesses read answers in their own ways, so a point or two of difference says little.

The commands below name a checkpoint of the paper; put yours in its place. Where lmms-eval is asked for films, it takes
exactly so many frames, the paper 2 per second up to so many.

For VLMEvalKit, first add the checkpoint to `vlmeval/config.py` beside `Qwen2.5-VL-7B-Instruct`, with `max_pixels` as
above and `use_custom_prompt=False`, here under the name `jigsaw`.
"""

JIGSAW_TAIL = """
## What to know about the figures

- MMVP was computed on shuffled pairs. After the paper's correction: base 50.00, Image Jigsaw 57.33. A third party had
  54.66 and 60.00 before the correction, and 50.00 and 57.33 after it.
- V*: the table prints a gain of 3.66; its two figures differ by 3.67.
- Means over a table are ours. The paper prints five: 58.9 and 62.1 (images), 44.0 and 46.2 (films, 16 frames), 59.69
  (ThinkLite-VL). Recomputed, the third is 44.06 and the last 59.70.
- The frames of the stronger base's table are not said.
- What the SFT run was trained on, for how long and at which rate is not said.
"""

NEO_HEAD = """# The benchmarks of NEO

Made by `python benchmarks/benchmark_tables.py` from `docs/data/neo.yaml`; a test recomputes the means.

Every benchmark of NEO's two result tables: the published figures, those of an independent re-run where there is one,
and the command. lmms-eval runs in an environment of its own, in which this package is installed too: `pip install
lmms-eval`, and in a checkout of this project `pip install -e ".[model]"`. A version that loads models through the entry
point group `lmms_eval.models` finds `pixelword_neo` by itself. The class is tested against a stub of that
interface; nothing here was run on the released weights. With several GPUs: `accelerate launch --num_processes 8 -m
lmms_eval ...`.

The commands are for NEO-2B. For the 9B write `pretrained=Paranioar/NEO1_0-9B-SFT`, and nothing else: the prompts, the
bounds and the longest answer are the same. Its weights take 20.5 GB in bfloat16, so it wants a GPU of more than 24 GB.

## How NEO is asked

bfloat16, greedy, at most 4096 new tokens, one question at a time, no system message, no stop strings. Pictures from
1,310,720 to 4,194,304 pixels, for OCRBench from 65,536 on. What lmms-eval writes around a question (a request to think
first, a header before the options, its own ending) is taken off, options get a line each, and NEO's ending is put in
its place: `pixelword.lmms.prompts` has the rule by task, `pixelword.lmms.wording` what is taken off. A test holds the
form of each of the 13 tasks below and the prompt that NEO's rules give for it, written by hand.

Stop strings: lmms-eval gives a task without any of its own a blank line as one, which would cut long answers. It is
never applied. Other stop strings hold only for tasks without a rule of NEO.

Picture bounds: `bounds=neo`, the default, is right for the released models and for one that continues them. A model
trained on small pictures, by a tiny recipe say, would have every picture enlarged to 1,310,720 pixels, sizes that it
never saw: for it add `bounds=own` to `--model_args`, which takes the bounds of its own folder for all tasks. Where the
folder's largest picture is below NEO's smallest, one of the two must be said. `min_pixels=` and `max_pixels=` set a
bound for all tasks, whatever `bounds` says.

## What differs from the released evaluation

The released evaluation is VLMEvalKit. What still differs, as far as known:

- Scoring is lmms-eval's. MMStar and SEED-I take the first letter of an answer. POPE is asked without a request for one
  word, as NEO does, and lmms-eval counts nothing but a bare yes or no: count again from the logged samples (`yes` or
  `no` anywhere) if answers are longer. HallusionBench, MMVet and MMBench ask a judge; which judge the published
  figures had is not known.
- The rows are those of the data sets that lmms-eval names; those of VLMEvalKit were not compared with them.
- MMStar: rows that come from MathVista begin with `Hint: ... Question: ...`, which stays; VLMEvalKit's rows were not
  seen.
- MMMU: between texts and pictures the spaces are lmms-eval's. Its older versions do not say where pictures stand.
- The smaller bound for OCRBench does not stick to the tasks after it, as it does in the released code.
- MathVerse's wording for direct answers and MUIRBench's own layout are not taken over.
- VizWiz, OK-VQA and MMLongBench-Doc say in lmms-eval what to answer when there is no answer. NEO's rule has no such
  sentence, so it is taken off.
- Tasks without a rule of NEO are asked as lmms-eval words them, without a system message. So are those that ask for
  thoughts (`_reasoning`, `_thinking`, `_cot`), which need theirs: their scores say nothing here.
"""


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def figure(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def row_of(rows: list[Data], model: str, frames: int | None = None) -> Data:
    return next(row for row in rows if row["model"] == model and row.get("frames") == frames)


def jigsaw_command(name: str, known: Data, one: Data, frames: int | None) -> str:
    """The command of one column, or what is missing."""
    if "missing" in known:
        return f"not available: {known['missing']}"
    task = known["task"].format(frames=frames)
    if known["harness"] == "VLMEvalKit":
        return f"`python run.py --data {task} --model jigsaw --work-dir results`"
    pixels = f"min_pixels=100352,max_pixels=200704,max_num_frames={frames}" if frames else "max_pixels=12845056"
    model = f"pretrained={one['checkpoint']},{pixels},attn_implementation=flash_attention_2"
    return (
        f"`python -m lmms_eval --model qwen2_5_vl --model_args {model} --tasks {task} --batch_size 1 "
        "--gen_kwargs max_new_tokens=1024,temperature=0 --log_samples --output_path results`"
    )


def jigsaw_page(data: Data) -> str:
    parts = [JIGSAW_HEAD]
    for one in data["tables"]:
        if "checkpoint" not in one:
            continue
        frames = 16 if any("frames" in row for row in one["rows"]) else None
        base, trained = (row_of(one["rows"], one[name], frames) for name in ("base", "trained"))
        rows = []
        for place, name in enumerate(one["columns"]):
            known = data["benchmarks"][name]
            before, after = base["scores"][place], trained["scores"][place]
            told = jigsaw_command(name, known, one, frames)
            note = f" ({known['note']})" if "note" in known else ""
            rows.append([name, known["metric"], figure(before), figure(after), f"{after - before:+.2f}", told + note])
        with_frames = f", {frames} frames" if frames else ""
        parts.append(f"\n## {one['name'][:1].upper() + one['name'][1:]} ({one['source']}{with_frames})\n\n")
        parts.append(table(["benchmark", "metric", one["base"], one["trained"], "gain", "command"], rows))
    parts.append("\n## All figures\n")
    for one in data["tables"]:
        parts.append(f"\n### {one['name'][:1].upper() + one['name'][1:]} ({one['source']})\n\n")
        rows = []
        for row in one["rows"]:
            name = row["model"] + (f", {row['frames']} frames" if "frames" in row else "")
            rows.append([name, *map(figure, row["scores"]), figure(row["mean"])])
        parts.append(table(["model", *one["columns"], "mean"], rows))
    return "".join([*parts, JIGSAW_TAIL])


def neo_page(data: Data) -> str:
    parts = [NEO_HEAD, "\n## The benchmarks\n\n"]
    rows = []
    for one in data["tables"]:
        ours = {row["model"]: row for row in one["rows"]}
        for place, name in enumerate(one["columns"]):
            known, again = data["benchmarks"][name], data["rerun"]["scores"].get(name)
            command = (
                "`python -m lmms_eval --model pixelword_neo --model_args pretrained=Paranioar/NEO1_0-2B-SFT "
                f"--tasks {known['task']} --batch_size 1 --log_samples --output_path results`"
            )
            scores = [figure(ours[model]["scores"][place], 1) for model in ("NEO-2B", "NEO-9B")]
            note = f" ({known['note']})" if "note" in known else ""
            rows.append([name, known["metric"], *scores, figure(again), command + note])
    parts.append(table(["benchmark", "metric", "NEO-2B", "NEO-9B", "2B, re-run", "command"], rows))
    others = ", ".join(f"{name} {value:g}" for name, value in data["rerun"]["others"].items())
    parts.append(
        "\nThe re-run was made by a third party with the released kit. It also has: "
        f"{others}. OCRBench v2 did not finish: greedy answers of 4096 tokens fell into repetition.\n"
        "The 9B is below the 2B on DocVQA and InfoVQA; its authors blame the training data.\n"
    )
    parts.append("\n## The other systems\n\n" + systems(data))
    for one in data["tables"]:
        parts.append(f"\n## All figures, {one['name']} ({one['source']})\n\n")
        cells = [
            [row["model"], row["size"], *(figure(value, 1) for value in row["scores"]), figure(row["mean"])]
            for row in one["rows"]
        ]
        parts.append(table(["model", "size", *one["columns"], "mean"], cells))
    return "".join(parts)


HOW = {
    "transformers": "in this process, by transformers",
    "harness": "by lmms-eval, in an environment of its own",
    "worker": "by a worker: its own code in its own environment",
    "none": "not",
}


WORKERS = """
### By a worker

`NAME_worker.py` is a copy of `pixelword/realunify/backends/worker_template.py` with the system's own code in
`understand` and `can = ("understand",)`: these systems do not draw, so what needs drawing ends as not supported.
`/envs/NAME` is the environment that the system's repository asks for. The command was tried with the template, which
answers A to everything; none of these systems was met here.

"""

REPLIES = """
For puzzles the same file answers into a file of replies. In the system's environment, `python replies.py held_out >
replies.jsonl` with the script below as `replies.py`, then here `pixelword jigsaw eval held_out --replies
replies.jsonl`:

<!-- not run: it runs in the system's environment; tests/test_benchmark_docs.py runs it with the template -->
```python
import json
import sys
from pathlib import Path

from hovle_worker import Model

folder, model = Path(sys.argv[1]), Model()
with (folder / "puzzles.jsonl").open(encoding="utf-8") as lines:
    for line in lines:
        puzzle = json.loads(line)
        prompt = "".join(part if isinstance(part, str) else "<image>" for part in puzzle["prompt"])
        pictures = [str(folder / file["image"]) for file in puzzle["media"]]
        print(json.dumps({"id": puzzle["id"], "reply": model.understand(prompt, pictures, None, {})}))
```

The 13 benchmarks themselves cannot be asked of these systems from here: lmms-eval has no class for them, so use the
scripts of their own repositories and compare with the published figures below.
"""


def systems(data: Data) -> str:
    """How each other system is run beside ours."""
    told = (
        "In transformers: `pixelword jigsaw eval PUZZLES --model WEIGHTS` and `pixelword realunify` take them as they "
        "take ours. For the tables, lmms-eval has the class that is named: take the commands above with `--model NAME "
        "--model_args pretrained=WEIGHTS`. By a worker: the system's own code answers in its own environment, with the "
        "commands below. This package runs no code out of a folder of weights.\n\n"
    )
    rows = [
        [
            name,
            HOW[known["how"]],
            known.get("weights", "-"),
            f"`--model {known['harness']}`" if "harness" in known else "-",
            known.get("why", ""),
        ]
        for name, known in data["systems"].items()
    ]
    parts = [told, table(["system", "how", "weights", "in lmms-eval", "why, or what to know"], rows), WORKERS]
    commands = [[name, f"`{worker_command(known)}`"] for name, known in data["systems"].items() if "worker" in known]
    return "".join([*parts, table(["system", "command"], commands), REPLIES])


def worker_command(known: Data) -> str:
    """The command that asks a system's own code."""
    name = known["worker"]
    return (
        f"pixelword realunify run runs/{name} --data hub --accept-data-license --judge JUDGE --judge-url URL "
        f"--understander pixelword-worker/{known.get('served', known['weights'])} "
        f'--set models.understander.args.command="/envs/{name}/bin/python {name}_worker.py"'
    )


def read(name: str) -> Data:
    data: Data = yaml.safe_load((DOCS / "data" / name).read_text(encoding="utf-8"))
    return data


def pages() -> dict[str, str]:
    """File name below docs -> its text."""
    return {
        "jigsaw_benchmarks.md": jigsaw_page(read("visual_jigsaw.yaml")),
        "neo_benchmarks.md": neo_page(read("neo.yaml")),
    }


def main() -> None:
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"written: docs/{name}")


if __name__ == "__main__":
    main()
