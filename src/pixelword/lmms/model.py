"""The model class that lmms-eval loads. Only lmms-eval imports this file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from PIL.Image import Image, Resampling
from PIL.Image import open as open_image

from pixelword.answering.devices import dtype_named
from pixelword.convert import load_released
from pixelword.errors import BackendError, ConfigError, InputError
from pixelword.lmms.prompts import DIRECT, MAX_PIXELS, MOST_TOKENS, PLAIN, Manner, lists_options, manner_of, neo_text
from pixelword.model.chat import numbered_question

GREEDY: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "num_beams": 1}


class PixelWordNeo(lmms):  # type: ignore[misc]
    """A NEO of ours or a released one, asked as in its own evaluation: greedy, one at a time, no system message.

    Tasks that NEO's evaluation has no rule for are asked as lmms-eval words them, with the same pixel bounds.

    Args:
        pretrained: a folder or hub repository.
        device: such as `cuda`; of several processes, each takes its own.
        dtype: of the weights.
        batch_size: 1.
        max_new_tokens: longest answer of every task, as in the released evaluation, which has no shorter ones; 0 takes
            each task's own.
        min_pixels, max_pixels: area of a picture, for all tasks.

    Raises:
        ConfigError: another batch size, or an argument that does not exist.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        device: str = "",
        dtype: str = "bfloat16",
        batch_size: int | str = 1,
        max_new_tokens: int = MOST_TOKENS,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        if unknown or str(batch_size) != "1":
            raise ConfigError(
                "pixelword_neo answers one question at a time and knows its arguments",
                got=unknown or f"batch_size={batch_size}",
                fix="use --batch_size 1; more GPUs by accelerate launch",
            )
        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        alone = self._world_size == 1 and device
        self._device = torch.device(device) if alone else self.accelerator.device
        self._model, self.processor = load_released(pretrained, dtype=dtype_named(dtype))
        self._model.to(self._device)  # type: ignore[arg-type]
        self.max_new_tokens = int(max_new_tokens)
        self.bounds = min_pixels and int(min_pixels), max_pixels and int(max_pixels)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answers, in the order of the requests."""
        answers = []
        for request in requests:
            context, to_messages, settings, number, task, split = request.args
            messages = ChatMessages(messages=to_messages(self.task_dict[task][split][number]))
            answer = self.answer(task, parts_of(messages), settings)
            answers.append(answer)
            self.cache_hook.add_partial("generate_until", (context, settings), answer)
        return answers

    def answer(self, task: str, parts: Sequence[str | Image], settings: dict[str, Any]) -> str:
        """One answer.

        Args:
            parts: texts and pictures in order.
            settings: the task's own of generation; of them `until` holds, and with `max_new_tokens=0` its length.
        """
        inputs = self.inputs(task, parts)
        most = self.max_new_tokens or int(settings.get("max_new_tokens", MOST_TOKENS))
        end = self.processor.token_ids.turn_end
        with torch.inference_mode():
            made = self._model.generate(**inputs, **GREEDY, max_new_tokens=most, eos_token_id=end, pad_token_id=end)
        text = self.processor.decode_answer(made[0, inputs["input_ids"].shape[1] :].tolist())
        stops = settings.get("until") or []
        for stop in [stops] if isinstance(stops, str) else stops:
            text = text.partition(stop)[0] if stop else text
        return text

    def inputs(self, task: str, parts: Sequence[str | Image]) -> dict[str, Any]:
        """Model inputs of a question as NEO asks it."""
        manner = manner_of(task)
        images = [part for part in parts if not isinstance(part, str)]
        if manner is not None and manner.doubled and images:
            first = images[0]
            images[0] = first.resize((2 * first.width, 2 * first.height), Resampling.BILINEAR)
        question = numbered_question(
            [part if isinstance(part, str) else None for part in worded(parts, manner)], self.processor.special
        )
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        least, most = self.bounds
        area = {"min_pixels": least or (manner or PLAIN).min_pixels, "max_pixels": most or MAX_PIXELS}
        made = self.processor(images=images or None, text=[prompt], return_tensors="pt", **(area if images else {}))
        return {name: value.to(self._device) for name, value in made.items()}

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Not offered."""
        raise BackendError(
            "pixelword_neo answers questions and does not score given answers",
            got=f"{len(requests)} requests",
            fix="choose tasks with output_type generate_until",
        )

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not offered."""
        raise BackendError(
            "pixelword_neo answers one turn", got=f"{len(requests)} requests", fix="choose tasks of one turn"
        )


def worded(parts: Sequence[str | Image], manner: Manner | None) -> list[str | Image]:
    """The parts with NEO's ending on the last text."""
    places = [place for place, part in enumerate(parts) if isinstance(part, str)]
    if manner is None or not places:
        return list(parts)
    texts = [part for part in parts if isinstance(part, str)]
    if manner.options and not any(map(lists_options, texts)):
        manner = replace(manner, ending=DIRECT, options=False)
    last = places[-1]
    ending = replace(manner, options=False) if manner.options and not lists_options(texts[-1]) else manner
    return [*parts[:last], neo_text(texts[-1], ending), *parts[last + 1 :]]


def parts_of(messages: ChatMessages) -> list[str | Image]:
    """Texts and pictures of the user's turn, in order. A system message of a task is not sent, as NEO sends none.

    Raises:
        InputError: films or sounds, or more than one turn.
    """
    spoken = [message for message in messages.messages if message.role != "system"]
    parts: list[str | Image] = []
    for content in (content for message in spoken for content in message.content):
        if content.type == "text":
            parts.append(content.text)
        elif content.type == "image" and len(spoken) == 1:
            parts.append(open_image(content.url) if isinstance(content.url, str | Path) else content.url)
        else:
            raise InputError(
                "NEO 1.0 is asked once, with pictures",
                got=f"{content.type} in {len(spoken)} turns",
                fix="choose tasks with pictures",
            )
    return parts
