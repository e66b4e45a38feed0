"""The wordings of RealUnify (paper, tables 7 to 13; the judge's line breaks from the released code)."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

JUDGE = (
    "Please answer the following question based on the image:\nQuestion: {question}\n"
    "You should only reply yes or no, and do not provide any other extra content."
)

REFINE_OPENING = "Here is the prompt for image generation:"
REFINE_REQUEST = (
    "Please refine it into a simple, direct, and unambiguous form to ensure the generated image fully aligns with the "
    "given description and conditions. Respond only with the refined prompt, without adding anything else."
)

CHOICE_OPENING = (
    "Select the best answer to the following multiple-option question based on the image. "
    "Respond with only the letter (A, B, C, or D) of the correct option."
)

EDIT_REQUESTS = MappingProxyType(
    {
        "mental_reconstruction": "Please restore the image that has been shuffled by patches, without adding extra "
        "content or altering the original image.",
        "mental_tracking": "Please apply the corresponding transformations and modifications to the contents of the "
        "image according to the question.",
        "attentional_focusing": "Please highlight the regions of the image that are relevant to the question.",
        "cognitive_navigation": "Please mark the path(s) in the image that are relevant to the question.",
    }
)


def judge_prompt(question: str) -> str:
    """The paper's request for one yes or no. Filled by replacement, because a question may hold braces."""
    return JUDGE.replace("{question}", question)


def refine_prompt(prompt: str) -> str:
    """The first stage of stepwise UEG."""
    return f"{REFINE_OPENING}\n{prompt}\n\n{REFINE_REQUEST}"


def prompt_inside(new_prompt: str) -> str | None:
    """The original prompt that a rewrite request holds, or None when it has another form."""
    head, opening, rest = new_prompt.partition(REFINE_OPENING)
    if not opening or head.strip():
        return None
    # The stored line breaks differ between copies, and a prompt (a program) may hold blank lines itself.
    return rest.rpartition(REFINE_REQUEST)[0].strip() or rest.partition("\n\n")[0].strip() or None


def choice_prompt(question: str, options: Sequence[str]) -> str:
    """The multiple-choice request of GEU."""
    lines = [f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=False)]
    return "\n".join([CHOICE_OPENING, f"Question: {question}", "Option:", *lines, "The best answer is:"])


def edit_prompt(category: str, question: str) -> str:
    """The first stage of stepwise GEU; restoring shuffled patches needs no question."""
    request = EDIT_REQUESTS[category]
    return request if category == "mental_reconstruction" else f"Here is the question: {question}\n{request}"
