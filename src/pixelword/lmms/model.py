"""The model class that lmms-eval loads. Only lmms-eval imports this file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from pixelword.lmms.bounds import PictureBounds
from pixelword.lmms.prompts import MOST_TOKENS, manner_of, worded
from pixelword.model.chat import numbered_question

GREEDY: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "num_beams": 1}
BLANK_LINE = "\n\n"
"""The stop string that lmms-eval gives every task without one: it separates examples, and would cut long answers."""


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
        bounds: `neo` sizes pictures as NEO's evaluation does, `own` as the model's folder says. The default is `neo`;
            for a model of smaller pictures one of them must be said.
        min_pixels, max_pixels: area of a picture, for all tasks, instead.

    Raises:
        ConfigError: another batch size, an argument that does not exist, or bounds that contradict each other.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        device: str = "",
        dtype: str = "bfloat16",
        batch_size: int | str = 1,
        max_new_tokens: int = MOST_TOKENS,
        bounds: str = "",
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
        pictures = self.processor.image_processor
        least, most = (None if area is None else int(area) for area in (min_pixels, max_pixels))
        self.bounds = PictureBounds((pictures.min_pixels, pictures.max_pixels), bounds, least, most)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answers, in the order of the requests."""
        answers = []
        for request in requests:
            context, to_messages, settings, number, task, split = request.args
            doc = self.task_dict[task][split][number]
            answer = self.answer(task, parts_of(ChatMessages(messages=to_messages(doc))), settings, doc)
            answers.append(answer)
            self.cache_hook.add_partial("generate_until", (context, settings), answer)
        return answers

    def answer(self, task: str, parts: Sequence[str | Image], settings: dict[str, Any], doc: object = None) -> str:
        """One answer.

        Args:
            parts: texts and pictures in order.
            settings: the task's own of generation. With `max_new_tokens=0` its length holds. Its stop strings hold for
                tasks without a rule of NEO, whose evaluation has none, and a blank line is never one.
            doc: the row of the dataset.
        """
        inputs = self.inputs(task, parts, doc)
        most = self.max_new_tokens or int(settings.get("max_new_tokens", MOST_TOKENS))
        end = self.processor.token_ids.turn_end
        with torch.inference_mode():
            made = self._model.generate(**inputs, **GREEDY, max_new_tokens=most, eos_token_id=end, pad_token_id=end)
        text = self.processor.decode_answer(made[0, inputs["input_ids"].shape[1] :].tolist())
        return text if manner_of(task) is not None else stopped(text, settings.get("until") or ())

    def inputs(self, task: str, parts: Sequence[str | Image], doc: object = None) -> dict[str, Any]:
        """Model inputs of a question as NEO asks it."""
        manner = manner_of(task)
        images = [part for part in parts if not isinstance(part, str)]
        if manner is not None and manner.doubled and images:
            first = images[0]
            images[0] = first.resize((2 * first.width, 2 * first.height), Resampling.BILINEAR)
        question = numbered_question(
            [part if isinstance(part, str) else None for part in worded(parts, manner, doc)], self.processor.special
        )
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        area = dict(zip(("min_pixels", "max_pixels"), self.bounds.of(manner), strict=True))
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


def stopped(text: str, stops: str | Iterable[str]) -> str:
    """The text up to the first stop string of a task; a blank line is none."""
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop and stop != BLANK_LINE else text
    return text


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
