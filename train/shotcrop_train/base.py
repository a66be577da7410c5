"""What training needs of a model: weights, processor, contract, and everything that depends on the model's family.

`TextBase` stands for any vision-language model of transformers, `NanoBase` for the compact model. Callers never ask
which of the two they have: a family answers photos, brings its own trainer and prepares itself for stage 3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from peft import LoraConfig
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from shotcrop_cli.shots import Answer
from shotcrop_train.data.contract import Contract
from shotcrop_train.recipe import ModelRecipe, SftRecipe

if TYPE_CHECKING:
    from trl import SFTTrainer


class AnswerMask(Protocol):
    """The tokens that an answer could hold at each place when it was sampled."""

    def along(self, answers: Tensor, logits: Tensor) -> Tensor:
        """Remove from logits (N, S, vocabulary) the tokens that were impossible at each place of answers (N, S)."""
        ...


@dataclass(frozen=True)
class Base(ABC):
    """A model that composes shots.

    Args:
        model: The network, of transformers.
        processor: Its processor.
        contract: How it is asked and how it answers.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    contract: Contract

    validation_batch: ClassVar[int]
    """Photos per batch while training is validated."""

    @property
    @abstractmethod
    def image_size(self) -> int | None:
        """Side in pixels of the square that photos are squashed to; None where photos keep their shape."""

    @property
    @abstractmethod
    def max_side(self) -> int | None:
        """Longest useful side in pixels of a photo that keeps its shape; None for no limit."""

    @abstractmethod
    def configured(self, recipe: ModelRecipe) -> Base:
        """Return a base that is asked, and learns to answer, as a recipe says.

        Weights and processor are changed in place and save these facts with the checkpoint.
        """

    @abstractmethod
    def lora(self, recipe: ModelRecipe) -> LoraConfig | None:
        """Return the LoRA configuration that a recipe asks for, for trl's trainers; None for full training."""

    @abstractmethod
    def check(self, recipe: ModelRecipe) -> None:
        """Check that a recipe can train this family.

        Raises:
            ShotcropError: It cannot.
        """

    @abstractmethod
    def sft_trainer(self, recipe: SftRecipe, common: Mapping[str, Any]) -> SFTTrainer:
        """Return the trainer of a supervised run.

        Args:
            recipe: The run's recipe.
            common: Arguments that every family's trainer gets: settings, rows and callbacks.
        """

    @abstractmethod
    def prepare_stage_3(self, recipe: ModelRecipe) -> AnswerMask | None:
        """Freeze what stage 3 does not train, and return the mask that answers are sampled within, if there is one."""

    @abstractmethod
    def answer(self, images: Sequence[Image.Image], aspects: Sequence[float | None], max_tokens: int) -> list[Answer]:
        """Answer one batch of photos greedily.

        Args:
            images: Upright photos, mode RGB.
            aspects: Width / height of each, None when unknown.
            max_tokens: Longest answer in words, in tokens.
        """
