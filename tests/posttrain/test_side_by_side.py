"""Responses that grow side by side are those that the plain model would have given, one by one."""

from __future__ import annotations

import torch

from pixelword.posttrain.prompts import Prompts, read_prompt
from pixelword.posttrain.side_by_side import Sampling, is_worth_it, own_keys, sample_side_by_side
from pixelword.posttrain.stream import PuzzleStream

from .test_stream import TASK, DrawnPictures
from .tiny_models import ours


def prompts_of(processor, sides=((2, 2), (1, 2), (2, 2))) -> Prompts:
    """Of different lengths, so that some are padded."""
    made = Prompts()
    for number, (rows, columns) in enumerate(sides):
        task = TASK.model_copy(update={"rows": rows, "columns": columns})
        made.add(read_prompt(processor, PuzzleStream(DrawnPictures(9), [task], seed=0, wording="short").puzzle(number)))
    return made


def test_log_probabilities_are_those_of_the_plain_model_for_the_same_tokens():
    model, processor = ours()
    prompts, rows = prompts_of(processor), [2, 0, 0, 1, 2, 1, 2, 0]
    ends = [processor.tokenizer.eos_token_id]
    words = processor.tokenizer.get_vocab()
    pictures = [words[name] for name in ("<img>", "</img>", "<IMG_CONTEXT>")]  # would move what follows them
    how = Sampling(6, 0.7, ends, never=pictures, pad=0)
    ids, logps, mask = sample_side_by_side(model, prompts, rows, how)
    assert ids.shape == logps.shape == mask.shape and not torch.isin(ids, torch.tensor(pictures)).any()
    for row, number in enumerate(rows):
        prompt, length = prompts.known[number], int(mask[row].sum())
        whole = torch.tensor([prompt.ids + ids[row, :length].tolist()])
        with torch.no_grad():
            logits = model(input_ids=whole, **prompt.media).logits[0, len(prompt.ids) - 1 : -1]
        plain = torch.log_softmax(logits / 0.7, -1).gather(-1, ids[row, :length, None])[:, 0]
        torch.testing.assert_close(logps[row, :length], plain, atol=1e-4, rtol=1e-4)
        assert not (ids[row, : length - 1] == ends[0]).any() and (ids[row, length:] == 0).all()


def test_a_cold_temperature_gives_the_greedy_answer_and_an_end_stops_it():
    model, processor = ours()
    prompts = prompts_of(processor)
    inputs = prompts.padded([0, 1, 2], 0, model.device)
    greedy = model.generate(**inputs, max_new_tokens=5, do_sample=False, eos_token_id=[-1])
    wanted = greedy[:, inputs["input_ids"].shape[1] :]
    ids, _, mask = sample_side_by_side(model, prompts, [0, 1, 2], Sampling(5, 1e-4, [-1]))
    assert torch.equal(ids, wanted) and bool(mask.all())
    stop = int(wanted[0, 2])
    first = wanted[0].tolist().index(stop)
    _, _, cut = sample_side_by_side(model, prompts, [0, 1, 2], Sampling(5, 1e-4, [stop]))
    assert cut[0].tolist() == [1] * (first + 1) + [0] * (cut.shape[1] - first - 1)


def test_a_response_sees_its_prompt_and_itself():
    real = torch.tensor([[False, True, True]])
    allowed = own_keys(real, 2, 2)[0, 0]
    assert allowed.tolist() == [
        [False, True, True, True, False, True, False],
        [False, True, True, False, True, False, True],
    ]


def test_long_answers_are_left_to_generate():
    model, processor = ours()
    prompts = prompts_of(processor)
    assert is_worth_it(model, prompts, [0] * 4, 8) and not is_worth_it(model, prompts, [0] * 16, 2048)
