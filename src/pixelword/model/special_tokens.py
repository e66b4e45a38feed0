"""The tokens that a NEO model gives a meaning, and how a user's text is kept from writing them.

A tokenizer matches its added tokens wherever they stand, so `<|im_end|>` inside a question would end the turn, and
`<IMG_CONTEXT>` would claim a place for pixels that do not exist. Text is therefore changed before it meets a
template: an invisible U+2060 (word joiner) goes behind the first character of every such literal. The broken literal
looks the same, tokenises as ordinary text, and is the same string for every tokeniser and every caller, whether the
prompt travels as a string or as ids.

Three groups of literals:

| group | example | in user and system text | in assistant text |
|---|---|---|---|
| structure | `<|im_end|>`, `<img>`, every other added token | never obeyed | never obeyed |
| markup: the model's own words | `<think>`, `<box>` | obeyed if markup="everywhere" | obeyed unless "nowhere" |
| the image tag | `<image>` | a picture, in plain strings of a user | never obeyed |

The tokeniser must be able to write U+2060 as ordinary tokens, as byte-level ones do; `SpecialTokens.of` checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pixelword.errors import CheckpointError, ConfigError, PromptError

IMAGE_TAG = "<image>"
CONTEXT = "<IMG_CONTEXT>"
IMAGE_START = "<img>"
IMAGE_END = "</img>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
IMAGE_TOKENS = (CONTEXT, IMAGE_START, IMAGE_END)

NEO_TOKENS = (
    *(CONTEXT, IMAGE_START, IMAGE_END, "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"),
    *(TURN_START, TURN_END, "<|action_start|>", "<|action_end|>", "<|plugin|>", "<|interpreter|>"),
)
"""In the order in which training added them, which fixes their ids. Qwen3 already has the two of a turn."""

MARKUP = (
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
    *("<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"),
)

BREAK = "\u2060"

Policy = Literal["escape", "reject"]
MarkupRule = Literal["assistant", "everywhere", "nowhere"]


@dataclass(frozen=True)
class TokenIds:
    """Ids of the tokens that the model and its prompts are built from."""

    context: int
    image_start: int
    image_end: int
    turn_start: int
    turn_end: int

    @classmethod
    def of(cls, tokenizer: Any) -> TokenIds:
        """Read them from a tokenizer; the numbers are never assumed.

        Raises:
            CheckpointError: a token is missing, or is no token of its own.
        """
        tokens = (CONTEXT, IMAGE_START, IMAGE_END, TURN_START, TURN_END)
        ids = [tokenizer.convert_tokens_to_ids(token) for token in tokens]
        missing = [
            token
            for token, index in zip(tokens, ids, strict=True)
            if index is None or tokenizer.convert_ids_to_tokens(index) != token
        ]
        if missing:
            raise CheckpointError(
                "the tokenizer lacks tokens that NEO needs",
                got=f"no {', '.join(missing)}",
                fix="use the tokenizer of the NEO folder, or pixelword.model.special_tokens.add_neo_tokens(tokenizer)",
            )
        return cls(*ids)


def add_neo_tokens(tokenizer: Any) -> int:
    """Add NEO's tokens to a plain Qwen3 tokenizer, in the order that gives the released ids (151669 to 151681).

    Args:
        tokenizer: a transformers tokenizer; changed in place. Tokens it already has keep their ids.

    Returns:
        How many tokens were added: 13 for Qwen3, 0 when called again.
    """
    known = tokenizer.get_added_vocab()
    return int(tokenizer.add_tokens([token for token in NEO_TOKENS if token not in known], special_tokens=True))


@dataclass(frozen=True)
class SpecialTokens:
    """What must not be obeyed in text, and how strictly.

    Attributes:
        literals: every added token of the tokenizer.
        policy: "escape" breaks a literal invisibly, "reject" raises.
        markup: where the markup group is obeyed (see the module's table).
    """

    literals: tuple[str, ...] = tuple(dict.fromkeys((*NEO_TOKENS, *MARKUP, "<|endoftext|>")))
    policy: Policy = "escape"
    markup: MarkupRule = "assistant"

    def __post_init__(self) -> None:
        if self.policy not in ("escape", "reject"):
            raise ConfigError("special_tokens must be 'escape' or 'reject'", got=repr(self.policy), fix="use 'escape'")
        if self.markup not in ("assistant", "everywhere", "nowhere"):
            raise ConfigError(
                "markup must be 'assistant', 'everywhere' or 'nowhere'", got=repr(self.markup), fix="use 'assistant'"
            )

    @classmethod
    def of(cls, tokenizer: Any, policy: Policy = "escape", markup: MarkupRule = "assistant") -> SpecialTokens:
        """All literals of a tokenizer.

        Raises:
            CheckpointError: a literal cannot be broken: the tokenizer would obey it all the same.
        """
        added = {str(token): index for token, index in tokenizer.get_added_vocab().items()}
        for literal, index in added.items():
            broken = broken_literal(literal)
            if _has_border(literal) or index in tokenizer.encode(broken, add_special_tokens=False):
                raise CheckpointError(
                    "the tokenizer obeys a special token even when an invisible character stands inside it",
                    got=repr(literal),
                    fix="use a byte-level tokenizer, whose special tokens have at least two characters",
                )
        return cls(tuple(sorted(added)), policy, markup)

    def forbidden(self, role: str, tag: bool) -> tuple[str, ...]:
        """The literals that text of a role may not write; `tag` says whether `<image>` is one of them."""
        obeyed = self.markup == "everywhere" or (self.markup == "assistant" and role == "assistant")
        literals = (literal for literal in self.literals if not (obeyed and literal in MARKUP))
        return (*literals, IMAGE_TAG) if tag else tuple(literals)

    def clean(self, text: str, role: str, *, tag: bool, where: str) -> str:
        """Text with which nothing can be commanded.

        Args:
            text: what someone wrote.
            role: whose text it is.
            tag: whether `<image>` is ordinary text here (True) or stands for a picture (False).
            where: how errors call the text.

        Raises:
            PromptError: it is no text, or holds a literal while the policy is "reject".
        """
        return self.broken(self.text(text, where), self.forbidden(role, tag), where)

    @staticmethod
    def text(text: str, where: str) -> str:
        """`text` itself, or `PromptError` if no tokenizer can read it."""
        if not isinstance(text, str):
            raise PromptError(f"{where} must be text", got=type(text).__name__, fix="pass a string")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PromptError(
                f"{where} holds half a character (a lone surrogate)",
                got=error,
                fix="decode the text with errors='replace'",
            ) from error
        return text

    def broken(self, text: str, literals: tuple[str, ...], where: str) -> str:
        """`text` with every one of `literals` broken, or `PromptError` if the policy is "reject" and there is one."""
        for literal in literals:
            if literal not in text:
                continue
            if self.policy == "reject":
                raise PromptError(
                    f"{where} holds a special token",
                    got=literal,
                    fix="remove it, or set special_tokens='escape' to have it read as ordinary text",
                )
            text = text.replace(literal, broken_literal(literal))
        return text


def broken_literal(literal: str) -> str:
    return literal[:1] + BREAK + literal[1:]


def _has_border(literal: str) -> bool:
    """Whether a literal can overlap itself, so that breaking separate occurrences may leave one: "aba" in "ababa"."""
    return len(literal) < 2 or any(literal[:size] == literal[-size:] for size in range(1, len(literal)))
