"""A whole run of a simulated unified model on the mini, in a run's folder: pictures, replies, judge, failures.

    python -m tests.realunify.simulated_run FOLDER [--per-category 100] [--side 128] [--seed 0] [--name simulated]

What the model gets right follows from its three skills (`mini.simulate`); the pictures and replies are made to fit.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from pixelword.realunify.judge import JudgeSettings, Prices, decide, poll_panel
from pixelword.realunify.mini import (
    MiniChoice,
    MiniDrawing,
    Simulated,
    Skills,
    faults_of,
    mini_choices,
    mini_drawings,
    simulate,
)
from pixelword.realunify.records import Call, ItemRecord, Outcome, StoredPicture, Usage, text_sha256
from pixelword.realunify.results import score_choice
from pixelword.realunify.store import DataRecord, RunRecord, Store
from pixelword.realunify.taxonomy import Protocol, Status, Track
from tests.realunify.simulated_judge import SimulatedJudge

PROTOCOLS = (Protocol.DIRECT, Protocol.STEPWISE, Protocol.ORACLE_INTERMEDIATE)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \x00\ud800 \u202eevil"
FAILURES = (Status.REFUSED, Status.TIMEOUT, Status.STAGE2_FAILED, Status.IMAGE_UNREADABLE)


class SimulatedRun:
    """Writes one run into a folder.

    Args:
        side: of the pictures; the mini draws at most 512, larger ones are enlarged and get a grain.
        failing: share of items that end in a failure.
        judges: how many judges poll each picture.
    """

    def __init__(
        self,
        folder: Path,
        skills: Skills,
        *,
        name: str = "simulated",
        per_category: int = 100,
        side: int = 128,
        seed: int = 0,
        failing: float = 0.02,
        judges: int = 1,
    ) -> None:
        self.store, self.skills, self.name = Store(folder), skills, name
        self.per_category, self.side, self.seed, self.failing = per_category, side, seed, failing
        self.random = Random(f"{name} {seed}")
        rates = [(0.02, 0.05), (0.01, 0.12), (0.2, 0.01)][:judges]
        self.judges = [SimulatedJudge(no, yes, name=f"judge-{n}", seed=seed) for n, (no, yes) in enumerate(rates)]
        prices = Prices(input_per_million=0.3, output_per_million=2.5)
        self.judge_settings = [JudgeSettings(model=judge.name, prices=prices) for judge in self.judges]

    def write(self) -> Path:
        numbers = np.random.default_rng([self.seed, len(self.name)])
        with self.store:
            drawings = list(mini_drawings(self.per_category))
            choices = list(mini_choices(self.per_category, side=min(self.side, 512)))
            ueg = simulate(Track.UEG, self.skills, len(drawings), numbers)
            geu = simulate(Track.GEU, self.skills, len(choices), numbers)
            for protocol in PROTOCOLS:
                self.start(protocol, Track.UEG, [str(item.id) for item in drawings])
                self.start(protocol, Track.GEU, [str(item.id) for item in choices])
                for place, item in enumerate(drawings):
                    self.store.keep_item(self.drawn(item, protocol, ueg, place))
                for place, choice in enumerate(choices):
                    self.store.keep_item(self.chosen(choice, protocol, geu, place))
        return self.store.folder

    def start(self, protocol: Protocol, track: Track, items: list[str]) -> None:
        judge = ", ".join(judge.name for judge in self.judges)
        self.store.keep_run(
            RunRecord(
                started="2026-11-21T12:00:00Z",
                track=track,
                protocol=protocol,
                models={"understander": self.name, "generator": self.name, "judge": judge},
                data=DataRecord(
                    source="mini",
                    folder="",
                    mini={"seed": 0, "per_category": self.per_category, "side": self.side},
                ),
                expected=tuple(items),
                settings={"seed": self.seed},
                versions={"pixelword": "0.1.0"},
            )
        )

    def keep(self, picture: Image.Image) -> StoredPicture:
        if self.side > picture.width:
            picture = picture.resize((self.side, self.side), Image.Resampling.BICUBIC)
            grain = np.random.default_rng(0).integers(-3, 4, (self.side, self.side, 3))
            picture = Image.fromarray((np.asarray(picture).astype(int) + grain).clip(0, 255).astype(np.uint8))
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        return self.store.keep_picture(stream.getvalue())

    def call(self, operation: str, prompt: str, text: str | None = None, **values: object) -> Call:
        return Call.model_validate(
            {
                "key": hashlib.sha256(
                    f"{self.name} {operation} {prompt} {values}".encode(errors="replace")
                ).hexdigest(),
                "role": "understander" if operation == "understand" else "generator",
                "operation": operation,
                "model": self.name,
                "prompt": prompt,
                "outcome": Outcome.REPLY,
                "text": text,
                "text_sha256": text_sha256(text) if text is not None else None,
                "usage": Usage(input_tokens=100, output_tokens=20),
                "seconds": 1.5,
                **values,
            }
        )

    def drawn(self, item: MiniDrawing, protocol: Protocol, model: Simulated, place: int) -> ItemRecord:
        base = {"item": str(item.id), "category": item.id.category, "track": "UEG", "protocol": protocol}
        base |= {"prompt": item.prompt, "subtask": f"template {item.template % 3}"}
        calls, prompt = [], item.prompt
        if protocol != Protocol.DIRECT:
            right = bool(model.stage_one[place]) or protocol == Protocol.ORACLE_INTERMEDIATE
            prompt = item.gold_prompt if right else item.prompt.split(".")[0] + "."
            base |= {"rewritten": prompt}
        if protocol == Protocol.STEPWISE:
            calls.append(self.call("understand", item.new_prompt, prompt))
            base |= {"stage_one_right": bool(model.stage_one[place])}
        if self.random.random() < self.failing:
            status = self.random.choice(FAILURES)
            failed = self.call("generate", prompt, outcome=Outcome.REFUSED, error=HOSTILE)
            return ItemRecord(**base, status=status, calls=(*calls, failed), note=f"no picture: {HOSTILE}")
        column = {Protocol.DIRECT: model.direct, Protocol.STEPWISE: model.stepwise}.get(protocol, model.oracle)
        picture = item.picture(min(self.side, 512))
        if not column[place]:
            picture = item.faulty_picture(self.random.choice(faults_of(item.target)), min(self.side, 512))
        stored = self.keep(picture)
        calls.append(self.call("generate", prompt, picture=stored))
        polled = asyncio.run(poll_panel(self.judges, picture, item.questions, self.judge_settings))
        status, solved = decide(polled)
        return ItemRecord(**base, status=status, right=solved, picture=stored, calls=tuple(calls), polled=polled)

    def chosen(self, item: MiniChoice, protocol: Protocol, model: Simulated, place: int) -> ItemRecord:
        source = self.keep(item.puzzle.picture)
        base = {"item": str(item.id), "category": item.id.category, "track": "GEU", "protocol": protocol}
        base |= {"prompt": item.evaluation_prompt, "options": item.options, "answer": item.answer, "source": source}
        base |= {"subtask": item.puzzle.subtask}
        calls, shown = [], source
        if protocol != Protocol.DIRECT:
            good = bool(model.stage_one[place]) or protocol == Protocol.ORACLE_INTERMEDIATE
            shown = self.keep(item.puzzle.gold if good else self.spoiled(item))
            base |= {"intermediate": shown}
        if protocol == Protocol.STEPWISE:
            calls.append(self.call("edit", item.edit_prompt, pictures_in=(source,), picture=shown))
            base |= {"stage_one_right": bool(model.stage_one[place])}
        if self.random.random() < self.failing:
            return ItemRecord(**base, status=Status.TIMEOUT, calls=tuple(calls), note="no reply within 120 s")
        column = {Protocol.DIRECT: model.direct, Protocol.STEPWISE: model.stepwise}.get(protocol, model.oracle)
        letter = item.answer if column[place] else self.random.choice([c for c in "ABCD" if c != item.answer])
        form = self.random.choice(["{}", "{}.", "The best answer is {}", "**{}**", "I think it is ({})."])
        reply = form.format(letter)
        if self.random.random() < self.failing:
            reply = f"I cannot decide between them. {HOSTILE}"
        calls.append(self.call("understand", item.evaluation_prompt, reply, pictures_in=(shown,)))
        reading = score_choice(reply, item.answer, options=item.options)
        return ItemRecord(**base, status=reading.status, right=reading.right, read=reading.read[0], calls=tuple(calls))

    def spoiled(self, item: MiniChoice) -> Image.Image:
        """An edit that went wrong: nothing changed, everything blurred, or an empty sheet."""
        kind = self.random.randrange(3)
        if kind == 0:
            return item.puzzle.picture
        if kind == 1:
            return item.puzzle.picture.filter(ImageFilter.GaussianBlur(item.puzzle.picture.width / 12))
        return Image.new("RGB", item.puzzle.picture.size, "white")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name, default in (("per-category", 100), ("side", 128), ("seed", 0), ("judges", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--name", default="simulated")
    parser.add_argument("--skills", type=float, nargs=3, default=(0.8, 0.6, 0.7))
    chosen = vars(parser.parse_args())
    skills = Skills(*chosen.pop("skills"))
    SimulatedRun(chosen.pop("folder"), skills, **chosen).write()


if __name__ == "__main__":
    main()
