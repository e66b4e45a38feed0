"""Checks of one row of the benchmark's files: fields, types, answers. Unknown fields stay."""

from __future__ import annotations

from typing import Any

from pixelword.realunify.findings import Findings
from pixelword.realunify.taxonomy import ItemId, Track

Row = dict[str, Any] | None
"""A row that can be used, or None for one that cannot."""

TEXTS = {
    "UEG_direct.json": ("prompt",),
    "UEG_step.json": ("new_prompt",),
    "GEU_direct.json": ("input_image", "question", "evaluation_prompt", "answer"),
    "GEU_step.json": ("input_image", "question", "evaluation_prompt", "answer", "edit_prompt"),
}
OTHER_NAMES = {"option": "options", "image": "input_image"}


def check_row(name: str, item: ItemId, row: dict[str, Any], findings: Findings) -> Row:
    """The row with one name for each field, or None after a finding."""
    row = {**row, **{new: row[old] for old, new in OTHER_NAMES.items() if old in row and new not in row}}
    for field in TEXTS[name]:
        if not isinstance(row.get(field), str) or not row[field].strip():
            findings.add(name, f"{field} is missing or no text", item)
            return None
    return row if (good_polling if item.track == Track.UEG else good_choice)(name, item, row, findings) else None


def good_polling(name: str, item: ItemId, row: dict[str, Any], findings: Findings) -> bool:
    questions = row.get("question_list")
    if not isinstance(questions, list) or not questions:
        findings.add(name, "question_list is missing or empty", item)
        return False
    for asked in questions:
        if not isinstance(asked, dict) or not isinstance(asked.get("question"), str):
            findings.add(name, "a question without text", item)
            return False
        if asked.get("answer") not in ("yes", "no"):
            findings.add(name, "an expected answer other than yes and no", item)
            return False
    return True


def good_choice(name: str, item: ItemId, row: dict[str, Any], findings: Findings) -> bool:
    options = row.get("options")
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        findings.add(name, "option is missing or no list of texts", item)
        return False
    if len(options) != 4:
        findings.add(name, "another number of options than four", item)
    if row["answer"] not in tuple("ABCD"[: len(options)]):
        findings.add(name, "an answer that is no letter of the options", item)
        return False
    return True
