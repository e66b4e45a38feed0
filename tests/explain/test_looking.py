"""Where a model looks, against the attention of one whole run that returns every weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelword.explain import look, take_apart


@pytest.mark.parametrize("images", [0, 1, 2])
def test_the_attention_is_that_of_a_whole_run(make_model, pictures, images):
    model, processor = make_model()
    sample = take_apart(model.config, processor, pictures[:images], "what is it?")
    found = look(model, processor, sample)
    assert model.config.llm_config._attn_implementation == "sdpa", "the kernel is put back"
    model.set_attn_implementation("eager")
    with torch.no_grad():
        whole = model(**sample.inputs, output_attentions=True)
    for layer, weights in enumerate(whole.attentions):
        np.testing.assert_allclose(found.attention[layer], weights[0, :, -1].mean(0), atol=1e-5)
    np.testing.assert_allclose(found.attention.sum(1), 1, atol=1e-5)
    logits = whole.logits[0, -1]
    logits[[261, 262, 263]] = -torch.inf
    shares = logits.softmax(-1)
    assert [share for _, share in found.likely] == pytest.approx(shares.topk(5).values.tolist(), abs=1e-5)
    best = int(shares.argmax())
    assert found.likely[0][0] in (processor.tokenizer.decode([best]), processor.tokenizer.convert_ids_to_tokens(best))


def test_stages_split_at_the_pre_buffer(make_model):
    for depth, names in ((0, ["all layers"]), (2, ["pre-Buffer", "layers behind it"]), (3, ["all layers"])):
        model, processor = make_model(extra_num_layers=depth)
        sample = take_apart(model.config, processor, [], "hi")
        stages = look(model, processor, sample).stages
        assert [name for name, _ in stages] == names
        for _, attention in stages:
            assert attention.sum() == pytest.approx(1, abs=1e-5)
