"""The closed vocabulary of the ablations: the words of the drawn world and NEO's tokens, one token per word.

It is not the demo's, which grows with the demo's chapters: a folder of runs must stay readable.
"""

from __future__ import annotations

from hashlib import sha256

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pixelword.demo.vocabulary import CONTEXT, IMAGE_END, IMAGE_START, PAD, SPECIAL, TURN_END, TURN_START, UNKNOWN
from pixelword.world import WORDS

VOCABULARY = {word: number for number, word in enumerate((*SPECIAL, UNKNOWN, *WORDS))}
FINGERPRINT = sha256(" ".join(VOCABULARY).encode()).hexdigest()[:12]
"""Of the words in their order; runs with another one cannot be continued."""


def world_tokenizer() -> PreTrainedTokenizerFast:
    """Splits at white space and looks words up."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=TURN_END,
        additional_special_tokens=[TURN_START, CONTEXT, IMAGE_START, IMAGE_END],
    )
