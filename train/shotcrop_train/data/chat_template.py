"""Chat templates for training: a built-in one, templates from files, and the check that one keeps answers as they are.

A model must learn the answer word by word. Some templates rewrite it: those of thinking models take the reasoning out
of an answer and set it with other line breaks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from transformers import ProcessorMixin
from trl.data_utils import apply_chat_template, prepare_multimodal_messages

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.large.answer import render
from shotcrop_cli.model.large.prompts import instruction
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Composition, Reasoning, Shot

CHATML = "chatml"
"""The word that names the built-in template."""

CHATML_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Messages as the Qwen families mark them, each written as it is."""

_TOKENS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<|vision_end|>")


def set_chat_template(processor: ProcessorMixin, choice: str) -> None:
    """Give a processor another chat template. Every checkpoint keeps it, for later stages and `shotcrop crop`.

    Args:
        processor: The processor.
        choice: `chatml`, the path of a file in Jinja, or empty for the processor's own.

    Raises:
        ModelError: The file cannot be read, or the tokenizer lacks the built-in template's tokens.
    """
    if not choice:
        return
    if choice != CHATML:
        try:
            processor.chat_template = Path(choice).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(
                f"the chat template {choice} cannot be read: {error}", hint=f"name a Jinja file, or {CHATML}"
            ) from None
        return
    vocabulary = processor.tokenizer.get_vocab()
    if missing := [token for token in _TOKENS if token not in vocabulary]:
        raise ModelError(
            f"the chat template {CHATML} needs tokens that this model lacks: {', '.join(missing)}",
            hint="name a Jinja file with the tokens of this model",
        )
    processor.chat_template = CHATML_TEMPLATE


def check_chat_template(processor: ProcessorMixin, name: str, *, think: bool) -> None:
    """Check that a processor's chat template writes an answer as it is, and only adds to its ends.

    Args:
        processor: The processor.
        name: The model's name in messages.
        think: Whether answers hold reasoning.

    Raises:
        ModelError: It does not.
    """
    shots = tuple(Shot(kind, FULL_FRAME, f"A caption of the {kind} shot") for kind in SHOT_TYPES)
    answer = render(Composition(shots, Reasoning("A field.", "A figure.", "It stands.")), think=think)
    messages: dict[str, Any] = {
        "prompt": [{"role": "user", "content": instruction(think=think)}],
        "completion": [{"role": "assistant", "content": answer}],
    }
    image = Image.new("RGB", (64, 64))
    hint = f"--chat-template {CHATML} for Qwen models, or --chat-template FILE; see docs/training.md#chat-templates"
    try:
        written = apply_chat_template(
            {
                "prompt": prepare_multimodal_messages(messages["prompt"], images=[image]),
                "completion": prepare_multimodal_messages(messages["completion"]),
            },
            processor,
        )
    except Exception as error:  # Jinja, and what templates raise themselves
        raise ModelError(f"{name}: the chat template cannot write a conversation: {error}", hint=hint) from error
    whole = written["prompt"] + written["completion"]
    if answer in whole:
        return
    kept = next(length for length in range(len(answer), -1, -1) if answer[:length] in whole)
    raise ModelError(
        f"{name}: the chat template changes the answer that the model should learn, after {answer[:kept][-30:]!r}",
        hint=hint,
    )
