"""The compact model as a base: photos are squashed to a square, and answers follow a grammar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from peft import LoraConfig
from PIL import Image

from shotcrop_cli.captions.rules import verbalise
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.model.nano import grammar
from shotcrop_cli.model.nano.generate import Draft
from shotcrop_cli.model.nano.preprocess import pixel_values, squash
from shotcrop_cli.shots import SHOT_TYPES, Answer, Composition, NoSubject, Shot
from shotcrop_train.base import Base
from shotcrop_train.data.contract import GrammarContract
from shotcrop_train.nano import NanoConfig, NanoForConditionalGeneration, NanoImageProcessor, NanoProcessor
from shotcrop_train.nano.configuration import default_text_config
from shotcrop_train.nano.processing import train_tokenizer
from shotcrop_train.nano.sampling import GrammarMask, hold_to_grammar
from shotcrop_train.nano.torch_network import TorchNetwork, decoder_of, vocabulary_of
from shotcrop_train.recipe import ModelRecipe, SftRecipe

if TYPE_CHECKING:
    from trl import SFTTrainer


class NanoBase(Base):
    """The compact model, trained whole; its configuration says whether it thinks before it answers."""

    validation_batch: ClassVar[int] = 32

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that photos are squashed to."""
        return int(self.model.config.image_size)

    @property
    def max_side(self) -> None:
        """None: no photo keeps its shape."""
        return None

    def configured(self, recipe: ModelRecipe) -> NanoBase:
        """Return the same model, set to think or not; see `Base`."""
        self.model.config.think = recipe.think
        return NanoBase(self.model, self.processor, GrammarContract(recipe.think))

    def lora(self, recipe: ModelRecipe) -> LoraConfig | None:
        """Return None: all weights are trained."""
        return None

    def check(self, recipe: ModelRecipe) -> None:
        """Refuse the options of large models; see `Base`."""
        if recipe.lora_rank or recipe.micro_batch or recipe.location_tokens or recipe.gradient_checkpointing:
            raise ShotcropError(
                "the compact model trains all weights on whole batches",
                hint="remove every key but `think` from the recipe's [model]",
            )

    def sft_trainer(self, recipe: SftRecipe, common: Mapping[str, Any]) -> SFTTrainer:
        """Return the trainer with the compact model's loss; see `Base`."""
        from shotcrop_train.nano.collator import NanoCollator
        from shotcrop_train.nano.trainer import GroundedTrainer

        self.model.model.tower.freeze(recipe.optimisation.freeze_stages)
        self.model.config.words = recipe.augmentation.caption_dropout == 0.0
        self.model.to(memory_format=torch.channels_last)
        return GroundedTrainer(
            model=self.model,
            data_collator=NanoCollator(self.processor, recipe.augmentation.location_noise, recipe.optimisation.seed),
            processing_class=self.processor,
            loss_weights=recipe.loss,
            tower_learning_rate=recipe.optimisation.tower_learning_rate,
            **common,
        )

    def prepare_stage_3(self, recipe: ModelRecipe) -> GrammarMask:
        """Freeze tower and neck, since no reward trains them, and sample within the grammar; see `Base`."""
        self.model.model.tower.requires_grad_(False)
        self.model.model.neck.requires_grad_(False)
        # trl ends an answer at every end token that a checkpoint names; this one names a token of text among them.
        self.model.generation_config.eos_token_id = self.processor.tokenizer.eos_token_id
        return hold_to_grammar(self.model, self.processor)

    def answer(self, images: Sequence[Image.Image], aspects: Sequence[float | None], max_tokens: int) -> list[Answer]:
        """Answer photos in the grammar, whose length is fixed; see `Base`."""
        size, tokenizer = self.image_size, self.processor.tokenizer
        pixels = pixel_values(np.stack([np.asarray(squash(image, size)) for image in images]))
        tokens = self.processor.num_image_tokens
        prompts = [grammar.prompt(tokens, self.contract.prompt(aspect)) for aspect in aspects]
        ids = np.array(tokenizer(prompts)["input_ids"], dtype=np.int64)
        decoder = decoder_of(tokenizer, self.model.config)
        return [self._read(draft) for draft in decoder.decode(TorchNetwork(self.model), pixels, ids)]

    def _read(self, draft: Draft) -> Answer:
        if draft.empty:
            return NoSubject(draft.no_subject)
        decode = self.processor.tokenizer.decode
        texts = [grammar.sentence(decode(caption)) for caption in draft.captions[: len(SHOT_TYPES)]]
        shots = tuple(map(Shot, SHOT_TYPES, draft.boxes[2:], texts, draft.scores[2:]))
        return Composition(shots, verbalise(draft.sure_grounding()), draft.grounding())


def new_nano(captions: list[str], vocabulary: int) -> NanoBase:
    """Return a new compact model with ImageNet's tower, and a vocabulary learned from captions.

    Args:
        captions: Texts that the vocabulary is learned from.
        vocabulary: Size of the vocabulary.
    """
    tokenizer = train_tokenizer(captions, vocabulary)
    places = vocabulary_of(tokenizer)
    config = NanoConfig(
        text_config=default_text_config(len(places)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = NanoForConditionalGeneration(config)
    model.model.tower.load_imagenet()
    model.initialise_locations(places.locations)
    return NanoBase(model, NanoProcessor(NanoImageProcessor(config.image_size), tokenizer), GrammarContract())
