"""A judge that knows the mini's truth and errs as often as it is told; it needs no network and no Inspect."""

from __future__ import annotations

import hashlib
import json
import re
from random import Random

from PIL import Image

from pixelword.realunify.judge import Attempt
from pixelword.realunify.mini import exact_verdict
from pixelword.realunify.records import Call, Outcome, Usage

NEGATED = re.compile(r'Somebody answers "no" to this question: (.*) Is that answer correct\?')


def call(text: str | None, outcome: Outcome = Outcome.REPLY, prompt: str = "", model: str = "simulated") -> Call:
    usage = Usage(input_tokens=1000, output_tokens=40)
    return Call(
        key=hashlib.sha256(prompt.encode()).hexdigest()[:12],
        role="judge",
        operation="understand",
        model=model,
        prompt=prompt,
        outcome=outcome,
        text=text,
        usage=usage,
        seconds=0.5,
    )


class SimulatedJudge:
    """Answers by the exact checker and errs with set probabilities, fixed for a picture, a question and a vote.

    Args:
        false_no, false_yes: how often a true yes becomes a no, and the reverse.
        lost: how often a request fails on the way; the next try may succeed.
        garbled: how often a reply cannot be read.
    """

    def __init__(
        self,
        false_no: float = 0.0,
        false_yes: float = 0.0,
        lost: float = 0.0,
        garbled: float = 0.0,
        name: str = "simulated",
        seed: int = 0,
    ) -> None:
        self.false_no, self.false_yes, self.lost, self.garbled = false_no, false_yes, lost, garbled
        self.name, self.seed, self.asked = name, seed, 0
        self.truths: dict[tuple[str, str], str] = {}

    async def __call__(self, picture: Image.Image, request: str, attempt: Attempt) -> Call:
        self.asked += 1
        shown = hashlib.sha256(picture.tobytes()).hexdigest()
        random = Random(f"{self.seed} {self.name} {shown} {request} {attempt}")
        if random.random() < self.lost:
            return call(None, Outcome.FAILED, request, self.name)
        if random.random() < self.garbled:
            return call("I would rather describe the image.", prompt=request, model=self.name)
        said = [self.verdict(picture, shown, question, attempt.vote) for question in questions_in(request)]
        if "JSON" not in request:
            text = said[0]
        elif '"answers"' in request:
            entries = [{"question": n, "evidence": "seen", "answer": v} for n, v in enumerate(said, start=1)]
            text = json.dumps({"answers": entries})
        else:
            text = json.dumps({"evidence": "seen", "answer": said[0]})
        return call(text, prompt=request, model=self.name)

    def verdict(self, picture: Image.Image, shown: str, question: str, vote: int) -> str:
        turned = NEGATED.fullmatch(question)
        plain = turned[1] if turned else question
        if (shown, plain) not in self.truths:
            self.truths[shown, plain] = exact_verdict(picture, plain)
        truth = self.truths[shown, plain]
        truth = {"yes": "no", "no": "yes"}[truth] if turned else truth
        errs = Random(f"{self.seed} {self.name} {shown} {question} {vote}").random()
        if truth == "yes":
            return "no" if errs < self.false_no else "yes"
        return "yes" if errs < self.false_yes else "no"


def questions_in(request: str) -> list[str]:
    """The questions of a request of any of the three wordings."""
    if '"answers"' in request:
        return re.findall(r"^\d+\. (.*)$", request, re.MULTILINE)
    return re.findall(r"^Question: (.*)$", request, re.MULTILINE)
