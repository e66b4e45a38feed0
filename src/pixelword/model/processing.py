"""`NeoProcessor`: prompts with pictures to model inputs, and answers back to text.

    messages --chat template--> prompt with <image> tags --pictures--> ids with one <IMG_CONTEXT> per image token

`processor(images=[[...]], text=[...])` and `processor.apply_chat_template(messages, tokenize=True)` meet in the same
`__call__`, so they give the same ids. Placeholders and patches are counted by `image_tokens` alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, BatchFeature, PreTrainedConfig
from transformers.processing_utils import MultiModalData, ProcessorMixin
from transformers.utils.chat_template_utils import render_jinja_template

from pixelword.errors import CheckpointError, ConfigError, InputError, PixelWordError, PromptError, nearest
from pixelword.model.chat import Message, expand, read_turns
from pixelword.model.chat import chat_template as neo1_0
from pixelword.model.image_grid import image_tokens
from pixelword.model.image_processing import NeoImageProcessor
from pixelword.model.image_settings import IMAGE_SETTINGS
from pixelword.model.matching import deal, fill, read_conversations, read_prompts
from pixelword.model.processing_options import CallOptions, pad_rows
from pixelword.model.special_tokens import (
    CONTEXT,
    IMAGE_TOKENS,
    TURN_END,
    MarkupRule,
    Policy,
    SpecialTokens,
    TokenIds,
)

NO_LIMIT = 1_000_000_000
"""Tokenizers without a limit say so with a number beyond this."""

PROCESSOR_SETTINGS = ("max_length", "padding_side", "special_tokens", "markup")
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")


class NeoProcessor(ProcessorMixin):
    """Pictures and text in, model inputs out.

    Args:
        image_processor: reads and cuts the pictures.
        tokenizer: a byte-level tokenizer with NEO's tokens; its chat template is set to this processor's.
        chat_template: a Jinja template; neo1_0 when not given.
        max_length: longest prompt in tokens; the tokenizer's own limit when not given. A longer prompt is an error.
        padding_side: "left", as generation needs, or "right".
        special_tokens: what happens to literal special tokens in a message: "escape" or "reject".
        markup: where words like `<think>` and `<box>` are obeyed: "assistant", "everywhere" or "nowhere".

    Attributes:
        token_ids: ids of the tokens of pictures and turns.
        special: what text may not command; see `pixelword.model.special_tokens`.

    Raises:
        CheckpointError: the tokenizer lacks NEO's tokens, or would obey them against our will.
        ConfigError: a setting that does not exist.
    """

    def __init__(
        self,
        image_processor: NeoImageProcessor,
        tokenizer: Any,
        *,
        chat_template: str | None = None,
        max_length: int | None = None,
        padding_side: str = "left",
        special_tokens: Policy = "escape",
        markup: MarkupRule = "assistant",
    ) -> None:
        self.token_ids = TokenIds.of(tokenizer)
        self.special = SpecialTokens.of(tokenizer, special_tokens, markup)
        CallOptions(max_length=max_length, padding_side=padding_side)
        template = chat_template or neo1_0(self.special)
        super().__init__(image_processor, tokenizer, chat_template=template)
        tokenizer.chat_template, tokenizer.padding_side = self.chat_template, padding_side
        self.max_length, self.padding_side = max_length, padding_side
        self.special_tokens, self.markup = special_tokens, markup
        self.image_token, self.image_token_id = CONTEXT, self.token_ids.context

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "pixel_values", "image_grid_thw"]

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        videos: Any = None,
        audio: Any = None,
        **options: Any,
    ) -> BatchFeature:
        """Model inputs of a batch.

        Args:
            images: a picture, a list of them, or a list per sample (None for a sample without). A flat list is
                dealt out over the prompts' tags in order.
            text: a prompt or several, with `<image>` where a picture stands. A prompt is a program: its turns are
                obeyed. Put what a user typed into messages and let `apply_chat_template` write the prompt. Image
                tokens are never obeyed, not even here: only tags stand for pictures.
            options: see `CallOptions`; settings of the image processor can stand among them.

        Returns:
            `input_ids`, `attention_mask` (batch, length) if there is text; `pixel_values` (P, C * patch²) and
            `image_grid_thw` (images, 3) if there are pictures.

        Raises:
            PromptError: tags and pictures of a sample differ in number, or a prompt is too long.
            ImageError: a picture cannot be read.
        """
        ask = CallOptions.read(options)
        if not (videos is None and audio is None):
            raise InputError("NEO 1.0 reads pictures and words", got="videos or audio", fix="pass frames as images")
        if text is None and images is None:
            raise InputError("nothing to process", got="neither text nor images", fix="pass text=, images= or both")
        processor = self.image_processor.with_settings(**ask.images)
        if text is None:
            return processor(images, return_tensors=ask.return_tensors)
        prompts = read_prompts(text)
        samples = deal(images, prompts)
        pictures = dict(processor(samples)) if any(samples) else {}
        tokens = image_tokens(pictures["image_grid_thw"], processor.merge_size) if pictures else []
        rows = self._encode(prompts, [len(sample) for sample in samples], tokens, ask)
        mask = [[1] * len(row) for row in rows]
        if ask.pads:
            rows, mask = self._pad(rows, ask)
        return BatchFeature({"input_ids": rows, "attention_mask": mask, **pictures}, tensor_type=ask.return_tensors)

    def _encode(self, prompts: list[str], images: list[int], tokens: list[int], ask: CallOptions) -> list[list[int]]:
        """Token ids of each prompt, its pictures expanded; `images` counts them per prompt."""
        special = self._special(ask.special_tokens)
        rows, start = [], 0
        for at, (prompt, count) in enumerate(zip(prompts, images, strict=True)):
            name, here = f"sample {at}", tokens[start : start + count]
            start += count
            expanded = expand(special.broken(special.text(prompt, name), IMAGE_TOKENS, name), here, name)
            row = self.tokenizer(expanded, add_special_tokens=False, verbose=False)["input_ids"]
            assert row.count(self.token_ids.context) == sum(here), "every placeholder comes from a picture"
            rows.append(self._fit(row, ask, name))
        return rows

    def _fit(self, row: list[int], ask: CallOptions, name: str) -> list[int]:
        limit = self._limit(ask)
        if limit is None or len(row) <= limit:
            return row
        ids, kept, cut = self.token_ids, row[:limit], row[limit:]
        if ask.truncates and ids.context not in cut and ids.image_end not in cut:
            return kept
        cannot = ", and cutting it there would cut a picture" if ask.truncates else ""
        raise PromptError(
            f"{name} is longer than max_length = {limit} tokens{cannot}",
            got=f"{len(row)} tokens, {row.count(ids.context)} of them of pictures",
            fix="shorten the text, lower max_pixels, leave pictures out, or raise max_length",
        )

    def _limit(self, ask: CallOptions) -> int | None:
        own: int = self.tokenizer.model_max_length
        return ask.max_length or self.max_length or (own if own < NO_LIMIT else None)

    def _pad(self, rows: list[list[int]], ask: CallOptions) -> tuple[list[list[int]], list[list[int]]]:
        length = self._limit(ask) if ask.padding == "max_length" else 0
        if length is None:
            raise ConfigError("padding='max_length' needs a max_length", fix="pass max_length=")
        pad_id = self.tokenizer.pad_token_id
        return pad_rows(
            rows,
            self.token_ids.turn_end if pad_id is None else pad_id,
            side=ask.padding_side or self.padding_side,
            length=length,
            multiple=ask.pad_to_multiple_of,
        )

    def _special(self, policy: Policy | None) -> SpecialTokens:
        return self.special if policy is None else SpecialTokens(self.special.literals, policy, self.special.markup)

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Sequence[Message] | Sequence[Sequence[Message]],
        chat_template: str | None = None,
        *,
        tools: Any = None,
        documents: Any = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        return_assistant_tokens_mask: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        images: Any = None,
        special_tokens: Policy | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """A conversation, or a list of them, as a prompt or as model inputs.

        Args:
            conversation: messages as in `pixelword.model.chat`, pictures in their parts or passed as `images`.
            chat_template: a Jinja template instead of this processor's; it gets messages whose content is a safe
                string with `<image>` tags.
            tools, documents: for templates that know them; neo1_0 does not.
            add_generation_prompt: end with the head of an assistant's turn.
            continue_final_message: leave the last message open, for the model to continue it.
            return_assistant_tokens_mask: not offered; see `pixelword.model.chat_labels`.
            tokenize: return ids instead of strings; always batched, also for one conversation.
            return_dict: with tokenize, return everything `__call__` does.
            images: pictures for the places that hold none, in order; a list per conversation if there are several.
            special_tokens: overrides the policy for literal special tokens.
            processor_kwargs, options: for `__call__`.

        Raises:
            PromptError: a message that cannot be read, a picture missing or left over, a rejected special token.
        """
        template = chat_template or str(self.chat_template)
        if return_assistant_tokens_mask:
            raise ConfigError("assistant masks are not offered", fix="use pixelword.model.chat_labels.encode_turns")
        for name, value in (("tools", tools), ("documents", documents)):
            if value and name not in template:
                raise PromptError(f"the chat template has no place for {name}", fix="describe them in a message")
        conversations, batched = read_conversations(conversation)
        special = self._special(special_tokens)
        turns = [read_turns(messages, special, f"conversation {at}") for at, messages in enumerate(conversations)]
        rendered: Any = render_jinja_template(
            conversations=[[{"role": turn.role, "content": turn.text} for turn in one] for one in turns],
            tools=tools,
            documents=documents,
            chat_template=template,
            continue_final_message=continue_final_message,
            add_generation_prompt=add_generation_prompt,
            **self.tokenizer.special_tokens_map,
        )
        prompts, _ = rendered
        if not tokenize:
            return prompts if batched else prompts[0]
        options = {"special_tokens": special_tokens, **(processor_kwargs or {}), **options}
        samples = fill(turns, options.pop("images", None) if images is None else images)
        inputs = self(samples if any(samples) else None, prompts, **options)
        return inputs if return_dict else inputs["input_ids"]

    def decode_answer(self, ids: Any) -> str:
        """The text of an answer's ids: special tokens skipped, cut at a literal `<|im_end|>`, stripped."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text.split(TURN_END, maxsplit=1)[0].strip()

    def _get_num_multimodal_tokens(
        self, image_sizes: Iterable[tuple[int, int]] | None = None, **settings: Any
    ) -> MultiModalData:
        """Tokens and patches of pictures of these (height, width), for engines that plan memory ahead."""
        if image_sizes is None:
            return MultiModalData()
        processor = self.image_processor.with_settings(**settings)
        grids = [processor.token_grid(height, width) for height, width in image_sizes]
        patches = [rows * columns for _, rows, columns in grids]
        return MultiModalData(num_image_tokens=image_tokens(grids, processor.merge_size), num_image_patches=patches)

    @classmethod
    def from_config(cls, config: PreTrainedConfig | Mapping[str, Any], tokenizer: Any, **settings: Any) -> NeoProcessor:
        """The processor that a model's configuration describes.

        Args:
            config: a `NeoConfig`, or the contents of a released config.json.
            tokenizer: with NEO's tokens.
            settings: of the image processor and of this class; they override the configuration.
        """
        images = {key: settings.pop(key) for key in IMAGE_SETTINGS if key in settings}
        contents = config.to_dict() if isinstance(config, PreTrainedConfig) else config
        settings.setdefault("max_length", _context(contents, tokenizer))
        return cls(NeoImageProcessor.from_config(contents, **images), tokenizer, **settings)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: Any, **options: Any
    ) -> NeoProcessor:
        """Load from a folder or the hub: one that we saved, or a released one.

        A released folder has only config.json and tokenizer files; everything is derived from these, and its
        tokenizer's chat template (Qwen3's) is not used. Remote code is never run.

        Args:
            pretrained_model_name_or_path: a folder, or a name on the hub.
            options: options of the hub, settings of the image processor and of this class; the rest goes to the
                tokenizer.

        Raises:
            CheckpointError: the folder does not describe a NEO model.
        """
        options = {key: value for key, value in options.items() if key != "trust_remote_code" and key[:1] != "_"}
        hub = {key: options.pop(key) for key in HUB_OPTIONS if options.get(key) is not None}
        given = {key: options.pop(key) for key in PROCESSOR_SETTINGS if key in options}
        images = {key: options.pop(key) for key in IMAGE_SETTINGS if key in options}
        _no_typing_errors(options)
        name = pretrained_model_name_or_path
        with _loading("processor settings", name, "restore or remove processor_config.json"):
            saved, _ = cls.get_processor_dict(name, **hub)
        with _loading("tokenizer", name, "put the tokenizer's files (tokenizer.json, ...) beside config.json"):
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **hub, **options)
        if saved.get("processor_class") == cls.__name__:
            own = {key: saved[key] for key in (*PROCESSOR_SETTINGS, "chat_template") if key in saved}
            return cls(NeoImageProcessor.from_pretrained(name, **hub, **images), tokenizer, **(own | given))
        with _loading("config.json", name, "pass the folder of a NEO model"):
            contents, _ = PreTrainedConfig.get_config_dict(name, **hub)
        return cls.from_config(contents, tokenizer, **images, **given)


def register_processors(config_class: type[PreTrainedConfig]) -> None:
    """Make `AutoProcessor` and `AutoImageProcessor` know NEO by its configuration class."""
    AutoProcessor.register(config_class, NeoProcessor, exist_ok=True)
    # Under both names, so that nothing is said about a missing torchvision variant where torchvision is installed.
    both: dict[str, type] = {"pil": NeoImageProcessor, "torchvision": NeoImageProcessor}
    AutoImageProcessor.register(config_class, image_processor_classes=both, exist_ok=True)


def _context(contents: Mapping[str, Any], tokenizer: Any) -> int | None:
    """The smaller of what the decoder and the tokenizer were made for."""
    decoder = contents.get("llm_config") or {}
    limits = [decoder.get("max_position_embeddings"), tokenizer.model_max_length]
    return min((int(limit) for limit in limits if isinstance(limit, (int, float)) and limit < NO_LIMIT), default=None)


def _no_typing_errors(options: Iterable[str]) -> None:
    """The tokenizer would swallow a misspelt setting of ours without a word."""
    ours = (*IMAGE_SETTINGS, *PROCESSOR_SETTINGS)
    for key in options:
        if difflib.get_close_matches(key, ours, cutoff=0.85):
            raise ConfigError(f"unknown setting {key!r}", fix=nearest(key, ours))


@contextmanager
def _loading(what: str, name: Any, fix: str) -> Iterator[None]:
    """Turn what transformers raises about a folder into a `CheckpointError`."""
    try:
        yield
    except PixelWordError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"no usable {what} in {name}", got=str(error).strip(), fix=fix) from error
