"""The main job: a tiny language model learns words, surgery gives it eyes, three stages teach it to see, an exam asks.

The folder of a run holds
    run.json            seed, plan, machine and versions
    log.txt             what was said while it ran
    1-words/ ... 4-answer/   the stages, see `pixelword.train.stages`
    model/              the model and its processor, ready for `pixelword chat`, and their card
    exam.json, blind.json, new-pairs.json   every reply
    jigsaw/, jigsaw.json      the lesson in jigsaws, and what came of it
    5-mini/, mini.json  the model after it learnt RealUnify-mini's choices, and its replies
    seconds.json        wall and CPU seconds of each part
    report.html         the page
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Qwen3ForCausalLM

from pixelword.convert import neo_from_qwen3, token_settings
from pixelword.demo.card import write_model_card
from pixelword.demo.exam import Reply, prompts_of, sit_exam
from pixelword.demo.folder import begin, quiet_transformers, said_in
from pixelword.demo.jigsaw import learn_jigsaw
from pixelword.demo.language import WordCollator, small_qwen3
from pixelword.demo.mini import PROTOCOLS, MiniRows, answer_choices
from pixelword.demo.page import write_page
from pixelword.demo.photos import find_photos, read_photos
from pixelword.demo.plan import Lesson, Plan, the_plan
from pixelword.demo.progress import Bars, Probe, Watch
from pixelword.demo.rows import RowWriter, WorldRows
from pixelword.demo.vocabulary import word_tokenizer
from pixelword.locks import alone_in
from pixelword.model import NeoForConditionalGeneration, neo_tiny
from pixelword.model.processing import NeoProcessor
from pixelword.realunify import Track
from pixelword.realunify.taxonomy import categories_of
from pixelword.train import (
    BranchCollator,
    Machine,
    Row,
    first_stage,
    is_finished,
    look_at_machine,
    run_stage,
    write_json,
)
from pixelword.train.stages import load_weights
from pixelword.world import examples

PARTS = {
    "learn words": 12.0,
    "stage 1: see": 22.0,
    "stage 2: join": 32.0,
    "stage 3: answer": 54.0,
    "exam": 12.0,
    "blind": 6.0,
    "new pairs": 6.0,
    "jigsaw": 30.0,
    "stage 4: choices": 24.0,
    "RealUnify-mini": 8.0,
    "photographs and page": 3.0,
}
"""What is done, with its share of the time."""


def run(out: Path, photos: Path | None, fast: bool, seed: int) -> None:
    """See `pixelword.demo.run_demo`."""
    pictures = find_photos(photos)
    out.mkdir(parents=True, exist_ok=True)
    with alone_in(out), Bars(PARTS) as bars, said_in(out, bars), quiet_transformers():
        plan = the_plan(first_stage(neo_tiny()), fast=fast)
        machine = look_at_machine(short=fast)
        begin(out, plan, machine, fast, seed)
        demo = Demo(out, plan, machine, seed, bars)
        model = demo.model()
        demo.exams(model)
        write_model_card(out)
        demo.jigsaw(model)
        demo.mini(model)
        with demo.timed("photographs and page"):
            bars.part("photographs and page", 2)
            read_photos(model, demo.processor, pictures, out)
            bars.reach("photographs and page", 1)
        write_page(out)
        bars.reach("photographs and page", 2)


class Demo:
    """A run: its folder, plan and machine, and the parts of the job."""

    def __init__(self, out: Path, plan: Plan, machine: Machine, seed: int, bars: Bars) -> None:
        self.out, self.plan, self.machine, self.seed, self.bars = out, plan, machine, seed, bars
        self.tokenizer: PreTrainedTokenizerBase = word_tokenizer()
        self.processor = NeoProcessor.from_config(neo_tiny(**token_settings(self.tokenizer)), self.tokenizer)
        self.image_tokens = 64

    def model(self) -> NeoForConditionalGeneration:
        """The model after all stages; finished ones are not repeated."""
        plan, folders = self.plan, {name: self.out / name for name in ("1-words", "2-see", "3-join", "4-answer")}
        neo = self.surgery(self.language_model(folders["1-words"]))
        compile_layers(neo, self.machine)
        for number, (part, lesson, folder) in enumerate(
            (
                ("stage 1: see", plan.see, folders["2-see"]),
                ("stage 2: join", plan.join, folders["3-join"]),
                ("stage 3: answer", plan.answer, folders["4-answer"]),
            )
        ):
            self.stage(part, lesson, folder, neo, number + 1)
        neo.train(False)
        if not (self.out / "model").exists():
            beside = self.out / "model.partial"
            shutil.rmtree(beside, ignore_errors=True)
            neo.save_pretrained(beside)
            self.processor.save_pretrained(beside)
            beside.replace(self.out / "model")
        return neo

    def language_model(self, folder: Path) -> Qwen3ForCausalLM:
        qwen3 = small_qwen3(self.tokenizer, self.seed)
        compile_layers(qwen3, self.machine)
        lesson = self.plan.words
        write = RowWriter(self.tokenizer, 0, lesson.captions, lesson.questions > 0)
        collate = WordCollator(self.collator(lesson), self.tokenizer)
        self.run("learn words", lesson, folder, qwen3, self.rows(lesson, 0, write), collate)
        return qwen3

    def surgery(self, qwen3: Qwen3ForCausalLM) -> NeoForConditionalGeneration:
        """A NEO around the language model, with the small numbers of `neo_tiny`."""
        tiny = neo_tiny()
        vision = tiny.vision_config
        keys = ("patch_size", "hidden_size", "min_pixels", "max_pixels")
        settings = token_settings(self.tokenizer)
        neo = neo_from_qwen3(
            qwen3,
            pre_buffer_layers=tiny.llm_config.extra_num_layers,
            vision={key: getattr(vision, key) for key in keys},
            seed=self.seed,
            rope_theta_hw=tiny.llm_config.rope_theta_hw,
            **settings,
        )
        # Compiled, the plain formula is a third faster to train than the fused kernel at these widths.
        neo.set_attn_implementation("eager")
        return neo

    def stage(self, part: str, lesson: Lesson, folder: Path, neo: NeoForConditionalGeneration, number: int) -> None:
        write = RowWriter(self.tokenizer, self.image_tokens, lesson.captions, lesson.questions > 0)
        probes = [self.probe(lesson)] if lesson.questions else []
        self.run(part, lesson, folder, neo, self.rows(lesson, number, write), self.collator(lesson), probes)

    def rows(self, lesson: Lesson, number: int, write: RowWriter) -> WorldRows:
        """What a lesson sees of the world; each has scenes of its own."""
        return WorldRows(
            "train",
            self.seed * 10 + number,
            write,
            lesson.stage.steps * lesson.stage.rows,
            questions=max(lesson.questions, 1),
            weights=lesson.weights,
        )

    def run(
        self,
        part: str,
        lesson: Lesson,
        folder: Path,
        model: PreTrainedModel,
        rows: Dataset[Row],
        collate: Any,
        probes: Sequence[Probe] = (),
    ) -> None:
        stage = lesson.stage
        self.bars.part(part, stage.steps, stage.steps if is_finished(folder) else 0)
        callbacks = [Watch(self.bars, part), *probes]
        with self.timed(part):
            run_stage(stage, model, rows, collate, folder, machine=self.machine, seed=self.seed, callbacks=callbacks)
        self.bars.reach(part, stage.steps)

    def probe(self, lesson: Lesson) -> Probe:
        drawn = list(islice(examples("test", self.seed + 1), self.plan.probe_scenes))
        write, collate = RowWriter(self.tokenizer, self.image_tokens, captions=0), self.collator(lesson)
        rows = [write(example) for example in drawn]
        batches = [collate(rows[start : start + 16]) for start in range(0, len(rows), 16)]
        return Probe(drawn, batches, self.plan.probe_every, self.machine)

    def collator(self, lesson: Lesson) -> BranchCollator:
        pad = self.processor.tokenizer.pad_token_id
        return BranchCollator(lesson.stage.length, pad, self.processor.image_processor)

    def exams(self, model: NeoForConditionalGeneration) -> None:
        """The exam proper, with captions; the blind one; the one about pairs that were never trained."""
        plan = self.plan
        self.exam("exam", model, "test", plan.exam_scenes, captions=plan.captions)
        self.exam("blind", model, "test", plan.blind_scenes, blind=True)
        self.exam("new pairs", model, "new", plan.new_scenes)

    def exam(
        self,
        part: str,
        model: NeoForConditionalGeneration,
        split: str,
        scenes: int,
        captions: int = 0,
        blind: bool = False,
    ) -> list[Reply]:
        file = self.out / f"{part.replace(' ', '-')}.json"
        prompts = prompts_of(split, self.seed, scenes, captions)
        self.bars.part(part, len(prompts), len(prompts) if file.exists() else 0)
        if file.exists():
            return [Reply(**reply) for reply in json.loads(file.read_text(encoding="utf-8"))]
        with self.timed(part):
            replies = sit_exam(
                model,
                self.processor,
                prompts,
                split,
                blind=blind,
                advance=lambda more: self.bars.advance(part, more),
            )
        write_json(file, [asdict(reply) for reply in replies])
        return replies

    def jigsaw(self, model: NeoForConditionalGeneration) -> None:
        """A lesson in jigsaws; afterwards the weights are those of stage 3 again."""
        part, plan, file = "jigsaw", self.plan, self.out / "jigsaw.json"
        total = plan.jigsaw_sft_steps + plan.jigsaw_grpo_steps
        self.bars.part(part, total, total if file.exists() else 0)
        if file.exists():
            return
        with self.timed(part):
            learnt = learn_jigsaw(
                model,
                self.processor,
                self.out / "jigsaw",
                plan,
                self.machine,
                self.seed,
                advance=lambda more: self.bars.advance(part, more),
            )
        write_json(file, learnt)
        load_weights(model, self.out / "4-answer" / "model")
        self.bars.reach(part, total)

    def mini(self, model: NeoForConditionalGeneration) -> None:
        """RealUnify-mini: learn how its choices are asked, answer held-out ones; the saved model stays as it was."""
        part, lesson, file = "RealUnify-mini", self.plan.mini, self.out / "mini.json"
        write = RowWriter(self.tokenizer, self.image_tokens, lesson.captions, lesson.questions > 0)
        world = self.rows(lesson, 4, write)
        rows = MiniRows(world, self.tokenizer, self.image_tokens, self.seed, len(world))
        self.run("stage 4: choices", lesson, self.out / "5-mini", model, rows, self.collator(lesson))
        model.train(False)
        total = len(PROTOCOLS) * len(categories_of(Track.GEU)) * self.plan.mini_items
        self.bars.part(part, total, total if file.exists() else 0)
        if not file.exists():
            with self.timed(part):
                replies = answer_choices(
                    model,
                    self.processor,
                    self.plan.mini_items,
                    self.seed,
                    advance=lambda more: self.bars.advance(part, more),
                )
            write_json(file, replies)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds of a part to those of earlier runs of the same folder."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        file = self.out / "seconds.json"
        seconds = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        before = seconds.get(part, {"wall": 0.0, "cpu": 0.0})
        seconds[part] = {
            "wall": round(before["wall"] + time.perf_counter() - wall, 2),
            "cpu": round(before["cpu"] + time.process_time() - cpu, 2),
        }
        write_json(file, seconds)


def compile_layers(model: PreTrainedModel, machine: Machine) -> None:
    """Compile each block of the decoder in place; names of parameters do not change."""
    if machine.compiled:
        decoder = model.model if isinstance(model, Qwen3ForCausalLM) else model.model.language_model
        for layer in decoder.layers:
            layer.compile(dynamic=False)
