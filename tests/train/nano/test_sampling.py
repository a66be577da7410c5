from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.model.nano.grammar import END
from shotcrop_cli.shots import Composition, NoSubject
from shotcrop_train.data.contract import GrammarContract
from shotcrop_train.nano.sampling import GrammarMask, hold_to_grammar
from training import tiny_model

MODEL, PROCESSOR = tiny_model()


@pytest.mark.parametrize("think", [True, False])
@given(seed=st.integers(0, 2**31))
def test_whatever_is_sampled_is_an_answer(think: bool, seed: int) -> None:
    mask, contract = GrammarMask(PROCESSOR, think), GrammarContract(think)
    chance, answer = torch.Generator().manual_seed(seed), []
    while answer[-1:] != [mask.vocabulary.id(END)]:
        logits = 3.0 * torch.randn(len(mask.vocabulary), generator=chance)
        allowed = mask.following(answer)
        answer.append(int(torch.multinomial(logits.softmax(0) * allowed, 1, generator=chance)))
        assert len(answer) <= 110
    text = PROCESSOR.tokenizer.decode(answer, skip_special_tokens=True)
    assert isinstance(contract.read(text, (64, 64)), (Composition, NoSubject))


def test_a_held_model_generates_answers() -> None:
    hold_to_grammar(MODEL, PROCESSOR)
    text = "<|user|><image><aspect_7><|end|><|assistant|>"
    from PIL import Image

    inputs = PROCESSOR(images=[Image.new("RGB", (64, 64))] * 4, text=[text] * 4, return_tensors="pt")
    ids = MODEL.generate(**inputs, do_sample=True, max_new_tokens=110, eos_token_id=PROCESSOR.tokenizer.eos_token_id)
    texts = PROCESSOR.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert all(isinstance(GrammarContract().read(one, (64, 64)), (Composition, NoSubject)) for one in texts)
