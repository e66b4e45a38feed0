"""A conversation that keeps its cache: every turn computes only what is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pixelword.errors import PromptError

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache

    from pixelword.model import NeoForConditionalGeneration, NeoProcessor

Show = Callable[[str], None]


@dataclass(frozen=True)
class Manner:
    """How answers are written.

    Attributes:
        max_new_tokens: longest answer.
        temperature: 0 takes the likeliest token each time.
        top_p: with a temperature, sample among the likeliest tokens that hold this share.
        system: a system message before the first turn; empty for none.
    """

    max_new_tokens: int = 1024
    temperature: float = 0.0
    top_p: float = 1.0
    system: str = ""


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        text: without special tokens.
        end: why it ended: the model ended its turn, it grew too long, or someone interrupted it.
    """

    text: str
    end: Literal["turn", "length", "interrupt"]


class Conversation:
    """Turns with a model; the cache of one turn is where the next one starts.

    An answer goes on as the very tokens that the model wrote, not as their text tokenised again, so that what is cached
    is what is meant. An interrupted answer stays in the conversation as far as it came; a turn that fails leaves no
    trace.

    Args:
        model: on its device.
        processor: the model's own.
        manner: how answers are written.
    """

    def __init__(self, model: NeoForConditionalGeneration, processor: NeoProcessor, manner: Manner) -> None:
        self.model, self.processor, self.manner = model, processor, manner
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        from transformers import DynamicCache

        self.cache: DynamicCache = DynamicCache()
        self.ids: list[int] = []
        self.grids: list[list[int]] = []

    def ask(self, question: str, images: Sequence[Any] = (), show: Show = lambda _: None) -> Reply:
        """Ask, and have the answer shown while it is written.

        Args:
            question: the text of a turn; special tokens in it are not obeyed.
            images: pictures before the question: paths, bytes or Pillow images.
            show: called with each piece of the answer.

        Raises:
            PromptError, ImageError, BackendError: the turn cannot be taken; the conversation is as before.
        """
        turn = self._turn(question, images)
        prompt = [*self.ids, *self._closing(), *turn["input_ids"]]
        grids = [*self.grids, *turn.get("image_grid_thw", [])]
        inputs = self._inputs(prompt, grids, turn.get("pixel_values"))
        listener = _listener(self.processor.tokenizer, show)
        kept, end = len(self.ids) - 1, "turn"
        try:
            try:
                self.model.generate(**inputs, streamer=listener, **self._generation(len(prompt)))
            except KeyboardInterrupt:
                end = "interrupt"
            said: list[int] = listener.said
            if said:
                self.ids, self.grids = [*prompt, *said], grids
                kept = len(self.ids) - 1  # the last token is written but not read yet
        finally:
            self._keep(kept)
        if end == "turn" and said[-1] != self.processor.token_ids.turn_end:
            end = "length"
        return Reply(self.processor.decode_answer(said), end)  # type: ignore[arg-type]

    def _turn(self, question: str, images: Sequence[Any]) -> dict[str, Any]:
        """The new turn alone: ids, and pixels of its pictures."""
        parts = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": question}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": parts}]
        if self.manner.system and not self.ids:
            messages.insert(0, {"role": "system", "content": self.manner.system})
        turn = dict(
            self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
        )
        turn["input_ids"] = list(turn["input_ids"][0])
        return turn

    def _closing(self) -> list[int]:
        """What ends the answer before: `<|im_end|>` unless the model wrote it, and a line break."""
        if not self.ids:
            return []
        written = self.ids[-1] == self.processor.token_ids.turn_end
        text = "\n" if written else "<|im_end|>\n"
        return list(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _inputs(self, prompt: list[int], grids: list[list[int]], pixels: Any) -> dict[str, Any]:
        import torch

        context = self.model.config.llm_config.max_position_embeddings
        if len(prompt) >= context:
            raise PromptError(
                "the conversation is longer than the context",
                got=f"{len(prompt)} tokens, the context holds {context}",
                fix="type /reset to start anew, or lower --max-pixels",
            )
        device = self.model.device
        ids = torch.tensor([prompt], device=device)
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        inputs["past_key_values"] = self.cache
        if grids:
            inputs["image_grid_thw"] = torch.tensor([list(grid) for grid in grids], device=device)
        if pixels is not None:
            inputs["pixel_values"] = torch.as_tensor(pixels, device=device)
        return inputs

    def _generation(self, prompt: int) -> dict[str, Any]:
        manner, ids = self.manner, self.processor.token_ids
        room = self.model.config.llm_config.max_position_embeddings - prompt
        sampling = manner.temperature > 0
        return {
            "max_new_tokens": min(manner.max_new_tokens, room),
            "do_sample": sampling,
            "temperature": manner.temperature if sampling else None,
            "top_p": manner.top_p if sampling else None,
            "top_k": 0 if sampling else None,
            "num_beams": 1,
            "eos_token_id": ids.turn_end,
            "pad_token_id": ids.turn_end,
        }

    def _keep(self, tokens: int) -> None:
        """Cut the cache to its first tokens."""
        from transformers import DynamicCache

        if tokens <= 0:
            self.cache = DynamicCache()
            return
        layers: Any = self.cache.layers
        for layer in layers:
            # Not `crop`, which takes a number of tokens off: an interrupt can leave keys a token longer than values,
            # and some layers longer than others.
            layer.keys, layer.values = layer.keys[..., :tokens, :], layer.values[..., :tokens, :]


def _listener(tokenizer: Any, show: Show) -> Any:
    """A streamer that shows the text and remembers the tokens."""
    from transformers import TextStreamer

    class Listener(TextStreamer):
        def __init__(self) -> None:
            super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
            self.said: list[int] = []

        def put(self, value: torch.Tensor) -> None:
            if not self.next_tokens_are_prompt:
                self.said += value.flatten().tolist()
            super().put(value)  # type: ignore[no-untyped-call]

        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            if text:
                show(text)

    return Listener()
