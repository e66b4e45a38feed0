"""The closed word tokenizer of the demo: one token per word, and NEO's tokens for pictures and turns."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pixelword.realunify.mini.words import CHOICE_WORDS
from pixelword.world import WORDS

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTEXT, IMAGE_START, IMAGE_END = "<IMG_CONTEXT>", "<img>", "</img>"
SPECIAL = (PAD, TURN_START, TURN_END, CONTEXT, IMAGE_START, IMAGE_END)
UNKNOWN = "<unknown>"
"""What any other word becomes; an ordinary token, which no text can command."""


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Splits at white space and around signs, and looks words up.

    Line breaks, which the chat template writes, are white space too. The words are those of the drawn world and those
    of RealUnify-mini's choices.
    """
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, UNKNOWN, *WORDS, *CHOICE_WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    signs = pre_tokenizers.Split(Regex(r"[.,:;?()]"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), signs])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=TURN_END,
        additional_special_tokens=[TURN_START, CONTEXT, IMAGE_START, IMAGE_END],
    )
