"""A monitor of GRPO runs that knows how they fail, and says what helps. No torch.

    monitor = Monitor()
    for vitals in log:
        for finding in monitor.watch(vitals):
            print(finding)

The failures are those that users of Visual Jigsaw report (issues 4, 7 and 8 of its repository) and that group
rewards invite. Each test looks at means over a window, needs `patience` generations in a row, and is told once until
it has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Literal

Failure = Literal[
    "format_only", "no_format", "entropy_collapse", "entropy_explosion", "length_drift", "flat_groups", "copied_answer"
]

MEANINGS: dict[Failure, str] = {
    "format_only": "the form is learned and nothing else: the reward rests at the chance line",
    "no_format": "most responses lack the form that the reward needs",
    "entropy_collapse": "responses to a prompt have become the same before the puzzle was learned",
    "entropy_explosion": "sampling is drifting towards noise",
    "length_drift": "responses grow towards the limit or shrink to nothing",
    "flat_groups": "most groups give no gradient, because all their responses earn the same",
    "copied_answer": "most responses give the same answer whatever the puzzle: often the prompt's example",
}
REMEDIES: dict[Failure, str] = {
    "format_only": "start from an SFT model that solves a tenth or more, use an easier level or a curriculum, and "
    "keep the partial reward from five pieces on",
    "no_format": "train a few steps of SFT first, or ask for a form that the model knows (rule.container, rule.think)",
    "entropy_collapse": "raise grpo.clip_high (0.28), set grpo.entropy_bonus, lower the rate, or raise the temperature",
    "entropy_explosion": "lower the rate or grpo.entropy_bonus, add grpo.kl, or lower grpo.clip_high",
    "length_drift": "shorten grpo.max_tokens, use algorithm dr_grpo (no division by length), or set the answer's form "
    "so that it ends",
    "flat_groups": "change the difficulty (a curriculum), set grpo.flat_groups: refill, or raise grpo.group",
    "copied_answer": "set example: random or none, which the model cannot copy, and start from a better SFT model",
}


@dataclass(frozen=True)
class Vitals:
    """What is known of one generation.

    Args:
        step: optimiser step.
        reward: mean total reward.
        form: share of responses in the form that the prompt asks for, whatever their answer: those that the format
            reward pays; without thoughts, where it pays nothing, those whose answer is a list of numbers.
        exact: share of responses that solve their puzzle.
        places: share of right places, unreadable answers with none.
        chance_places: the same for a random permutation.
        entropy: mean of a token, in nats.
        length: mean tokens of a response.
        longest: limit of tokens.
        cut: share of responses that the limit ended.
        flat: share of groups without variance.
        same_answer: share of the readable answers that are the most frequent one, or the prompt's example.
        pieces: to order, on average.
        readable: share of responses whose answer is a permutation; None, in logs that do not have it, is the form's.
    """

    step: int
    reward: float
    form: float
    exact: float
    places: float
    chance_places: float
    entropy: float
    length: float
    longest: int
    cut: float
    flat: float
    same_answer: float
    pieces: float
    readable: float | None = None

    @property
    def permutations(self) -> float:
        """Share of responses whose answer is a permutation."""
        return self.form if self.readable is None else self.readable

    @property
    def lift(self) -> float:
        """Share of right places beyond that of the same permutations, drawn at random."""
        return self.places - self.chance_places * self.permutations


@dataclass(frozen=True)
class Finding:
    """A failure, seen.

    Args:
        failure: which.
        step: when it was told.
        evidence: the numbers.
    """

    failure: Failure
    step: int
    evidence: str

    @property
    def meaning(self) -> str:
        return MEANINGS[self.failure]

    @property
    def remedy(self) -> str:
        return REMEDIES[self.failure]

    def __str__(self) -> str:
        return f"step {self.step}: {self.meaning} ({self.evidence}). What helps: {self.remedy}"


@dataclass
class Monitor:
    """Watches a run.

    Args:
        window: generations that are averaged.
        patience: generations in a row for which a failure has to hold before it is told.
        grace: generations before format_only and no_format are looked for, because learning may start late, and over
            which what they look at must have risen, because learning may be slow.
        history: everything seen so far.
    """

    window: int = 10
    patience: int = 5
    grace: int = 40
    history: list[Vitals] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    held: dict[Failure, int] = field(default_factory=dict)

    def watch(self, vitals: Vitals) -> list[Finding]:
        """Take a generation; what has just become certain."""
        self.history.append(vitals)
        told = []
        for failure, test in TESTS.items():
            evidence = test(self)
            self.held[failure] = self.held.get(failure, 0) + 1 if evidence else 0
            if evidence and self.held[failure] == self.patience:
                told.append(Finding(failure, vitals.step, evidence))
        self.findings += told
        return told

    def recent(self, name: str) -> float:
        """Mean of a vital sign over the window."""
        return fmean(getattr(one, name) for one in self.history[-self.window :])

    def early(self, name: str) -> float:
        """Its mean over the first window."""
        return fmean(getattr(one, name) for one in self.history[: self.window])

    def rise(self, name: str) -> float:
        """How much more it is, in the mean of a window, than `grace` generations ago, or than in the first window."""
        start = max(0, len(self.history) - self.grace - self.window)
        return self.recent(name) - fmean(getattr(one, name) for one in self.history[start : start + self.window])

    @property
    def ill(self) -> list[Failure]:
        """Failures that hold now."""
        return [failure for failure, count in self.held.items() if count >= self.patience]

    @property
    def verdict(self) -> str:
        """One sentence on the whole run."""
        if not self.history:
            return "nothing was watched"
        if self.ill:
            return "ill: " + "; ".join(MEANINGS[failure] for failure in self.ill)
        passed = [finding.failure for finding in self.findings]
        names = ", ".join(dict.fromkeys(passed))
        return f"healthy now; passed: {names}" if passed else "healthy"

    def as_json(self) -> dict[str, Any]:
        """Verdict, findings and all vital signs, for a page."""
        return {
            "verdict": self.verdict,
            "ill": self.ill,
            "findings": [
                {**asdict(finding), "meaning": finding.meaning, "remedy": finding.remedy} for finding in self.findings
            ],
            "vitals": [asdict(one) for one in self.history],
        }


def format_only(monitor: Monitor) -> str:
    """The form is there, the order is a guess or no permutation at all, and it is not getting better.

    Guesses are judged beside guesses: a run that learns the form rises to the chance line, and no farther.
    """
    if len(monitor.history) < monitor.grace or monitor.recent("form") < 0.5:
        return ""
    margin = 0.04 * (1 - monitor.recent("chance_places"))  # of thousands of responses, far beyond their noise
    if monitor.recent("lift") > margin or monitor.rise("lift") > margin / 2:
        return ""
    return (
        f"reward {monitor.recent('reward'):.2f}, form {monitor.recent('form'):.0%}, permutations "
        f"{monitor.recent('permutations'):.0%}, places {monitor.recent('places'):.2f}, "
        f"chance {monitor.recent('chance_places'):.2f}"
    )


def no_format(monitor: Monitor) -> str:
    """Less than half have the form, and their share does not grow."""
    form = monitor.recent("form")
    if len(monitor.history) < monitor.grace or form >= 0.5 or monitor.rise("form") > 0.05:
        return ""
    return f"form {form:.0%}"


def entropy_collapse(monitor: Monitor) -> str:
    """Nearly nothing left, or a tenth of the start, while the puzzles are not solved; then sameness is no virtue."""
    now, start = monitor.recent("entropy"), monitor.early("entropy")
    if len(monitor.history) < monitor.window or monitor.recent("exact") > 0.7:
        return ""
    low = now < 0.01 or (now < 0.1 * start and now < 0.1)
    return f"entropy {start:.3f} -> {now:.3f}, exact {monitor.recent('exact'):.2f}" if low else ""


def entropy_explosion(monitor: Monitor) -> str:
    """Three times the start and half a nat above it: noise, not search."""
    now, start = monitor.recent("entropy"), monitor.early("entropy")
    high = len(monitor.history) > monitor.window and now > 3 * start and now > start + 0.5
    return f"entropy {start:.2f} -> {now:.2f}" if high else ""


def length_drift(monitor: Monitor) -> str:
    """Half of the responses cut off, or a length four times or a quarter of the start's while the form gets worse."""
    if len(monitor.history) < monitor.window:
        return ""
    now, start, cut = monitor.recent("length"), monitor.early("length"), monitor.recent("cut")
    if cut > 0.5 and now > 0.8 * monitor.recent("longest"):
        return f"{cut:.0%} cut off at {now:.0f} tokens"
    grown = now > 4 * start and now > 0.5 * monitor.recent("longest")
    shrunk = now < start / 4 and monitor.recent("form") < monitor.early("form")
    return f"length {start:.0f} -> {now:.0f} tokens" if grown or shrunk else ""


def flat_groups(monitor: Monitor) -> str:
    """Four of five groups; where most puzzles are solved, groups are flat because they are, and this is not told."""
    flat, exact = monitor.recent("flat"), monitor.recent("exact")
    if len(monitor.history) < monitor.window or flat < 0.8 or exact > 0.7:
        return ""
    return f"{flat:.0%} of groups, exact {exact:.2f}"


def copied_answer(monitor: Monitor) -> str:
    """Half of all answers the same, although every order is as likely to be right, and they are not right.

    A generation of one or two puzzles, solved, has answers that are the same.
    """
    same = monitor.recent("same_answer")
    readable = len(monitor.history) >= monitor.window and monitor.recent("permutations") > 0.2
    if not readable or monitor.recent("pieces") <= 2 or same <= 0.5 or monitor.recent("exact") > 0.5 * same:
        return ""
    return f"{same:.0%} of answers are the same, exact {monitor.recent('exact'):.2f}"


TESTS: Mapping[Failure, Callable[[Monitor], str]] = {
    "format_only": format_only,
    "no_format": no_format,
    "entropy_collapse": entropy_collapse,
    "entropy_explosion": entropy_explosion,
    "length_drift": length_drift,
    "flat_groups": flat_groups,
    "copied_answer": copied_answer,
}


def watch_log(rows: Sequence[Mapping[str, Any]]) -> Monitor:
    """A monitor that has seen the `vitals` of a log."""
    monitor = Monitor()
    for row in rows:
        monitor.watch(Vitals(**row))
    return monitor
