"""`shotcrop-nano`: EfficientNet-Lite2 tower, fusing neck, small Llama decoder.

Shapes, for a batch of N photos of 256 x 256 pixels:

    pixel_values    (N, 3, 256, 256)
    tower           (N, 48, 32, 32), (N, 120, 16, 16), (N, 352, 8, 8)       strides 8, 16, 32; 4.3 M parameters
    neck            (N, 160, 16, 16), then folded 2 x 2 to (N, 64, 640)     fine detail kept in the channels
    visual tokens   (N, 66, 256)    one for each folded cell, one for the spotted lead, one for the lead's head
    prompt          70 tokens: <|user|> 66 x <image> <aspect_i> <|end|> <|assistant|>; always this long, so no padding
    answer          about 60 tokens (see `shotcrop_cli.model.nano.grammar`)
    decoder         4 Llama layers, width 256, 4 heads, 704 in the MLP; 3.2 M parameters
    vocabulary      4096: 3796 text and 300 control tokens, input and output embeddings tied; 1 M parameters

Why these sizes [O], measured on two CPU cores in fp32, forward and backward per photo:
* 256 pixels: the tower costs 47 ms with its stem and first two stages frozen; 320 pixels would cost 1.56 times that,
  and most of the training photos have 224 pixels to a side.
* 64 folded cells: six decoder layers over 154 positions cost 35 ms, over 346 (256 visual tokens) 91 ms. Folding 2 x 2
  cells of the stride-16 map into one token keeps their content; only the attention sees fewer places.
* 4 layers: two thirds of the cost of six, in training as in decoding, where every layer costs its kernel launches a
  step.
* 256 location bins: one per input pixel; the decoder's output is read below a bin all the same.

The trainers of trl call `model.base_model(...)` for hidden states and multiply by the output embeddings themselves, so
nothing may happen to the logits after `lm_head`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, LlamaModel, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.utils import ModelOutput

from shotcrop_train.nano.configuration import NanoConfig
from shotcrop_train.nano.neck import Neck, likeliest_boxes
from shotcrop_train.nano.tower import Lite2Tower, pooled

CACHE_NAMES = ("cache", "past_key_values")
"""What transformers calls the key-value cache, as argument and as output: the first from 5.24 on, the second before."""


def cache_of(output: ModelOutput) -> dict[str, Any]:
    """Return the cache in a model's output under its name, none if it has none: to be passed on as an argument."""
    return next(({name: output[name]} for name in CACHE_NAMES if name in output), {})


class Teller(nn.Module):
    """Tells from the tower's pooled features which words a photo's captions are likely to hold: for training alone.

    A tower that learns nothing but places forgets what it knew of things. Where a recipe gives `loss.bag_loss` weight,
    it keeps more for the lexicon; no exported graph holds the teller.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.project = nn.Linear(features, hidden)

    def forward(self, features: Tensor) -> Tensor:
        """Map pooled features (N, features) to vectors (N, hidden) that are compared with the words' embeddings."""
        told: Tensor = self.project(self.norm(features))
        return told


class NanoPreTrainedModel(PreTrainedModel):
    """What the compact model's classes tell transformers about themselves."""

    config_class = NanoConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _skip_keys_device_placement = CACHE_NAMES


class NanoModel(NanoPreTrainedModel):
    """The backbone: visual tokens merged into the prompt's embeddings, then the decoder."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        self.tower = Lite2Tower()
        self.neck = Neck(self.tower.channels, config)
        self.teller = Teller(sum(self.tower.channels), config.text_config.hidden_size)
        self.language_model = LlamaModel(config.text_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embeddings."""
        return self.language_model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings."""
        self.language_model.embed_tokens = value

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Map (N, 3, S, S) pixels scaled to about -1..1 to visual tokens (N, tokens, hidden)."""
        features: Tensor = self.neck(self.tower(self._pixels(pixel_values)))
        return features

    def spot(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the visual tokens, what the spotter found (see `neck.Spotter`), and the teller's words (N, hidden)."""
        features = self.tower(self._pixels(pixel_values))
        return *self.neck.spot(features), self.teller(pooled(features))

    def ground(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the visual tokens and the boxes (N, 2, 4) of lead and head, x0 y0 x1 y1 relative to the photo."""
        tokens, scores, boxes = self.neck.spot(self.tower(self._pixels(pixel_values)))
        return tokens, likeliest_boxes(scores, boxes)

    def _pixels(self, pixel_values: Tensor) -> Tensor:
        weight = self.neck.project.weight
        return pixel_values.to(weight.dtype).contiguous(memory_format=torch.channels_last)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        image_features: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Return the last hidden states (N, S, hidden) of prompt and answer.

        The photos come as `pixel_values`, or as `image_features` (N, tokens, hidden) when these are known already.

        Raises:
            ValueError: The number of image tokens in `input_ids` differs from that of the image features.
        """
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        if image_features is None and pixel_values is not None:
            image_features = self.get_image_features(pixel_values)
        if image_features is not None:
            features = image_features.to(inputs_embeds.dtype)
            places = (input_ids == self.config.image_token_id).unsqueeze(-1).expand_as(inputs_embeds)
            if int(places.sum()) != features.numel():
                found = int(places.sum()) // features.shape[-1]
                raise ValueError(f"{found} image tokens for image features of shape {tuple(features.shape)}")
            inputs_embeds = inputs_embeds.masked_scatter(places, features)
        output: BaseModelOutputWithPast = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **kwargs,
        )
        return output


@dataclass
class GroundedOutput(ModelOutput):
    """Last hidden states (N, S, hidden), the spotter's scores and boxes, and what the teller tells (N, hidden)."""

    last_hidden_state: Tensor | None = None
    scores: Tensor | None = None
    spots: Tensor | None = None
    told: Tensor | None = None


class NanoForConditionalGeneration(NanoPreTrainedModel, GenerationMixin):
    """The compact model with its language head."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        self.model = NanoModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embeddings."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the language head."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the language head."""
        self.lm_head = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        grounded: bool = False,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | GroundedOutput:
        """Return logits (N, S, vocabulary) and, with labels, the plain next-token loss.

        With `grounded`, return what `loss.nano_loss` needs instead. It comes through `forward` so that the wrappers of
        data-parallel training see it.
        """
        if grounded:
            features, scores, spots, told = self.model.spot(pixel_values)
            hidden = self.model(input_ids, attention_mask=attention_mask, image_features=features, use_cache=False)
            return GroundedOutput(hidden.last_hidden_state, scores, spots, told)
        output = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        hidden = output.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size, **kwargs
            )
        return CausalLMOutputWithPast(loss=loss, logits=logits, **cache_of(output))

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, *, is_first_iteration: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Pass the photo on in the first step only; afterwards it is in the cache."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            inputs.pop("pixel_values", None)
        return inputs

    @torch.no_grad()
    def initialise_locations(self, locations: slice) -> None:
        """Set the location tokens' embeddings to smooth functions of their coordinate.

        Neighbouring bins start as neighbours: with random embeddings each of the bins would have to learn from its
        own occurrences where it lies. Wavelengths fall geometrically from twice the frame to two bins [O].
        """
        embeddings = self.get_input_embeddings().weight
        bins, width = locations.stop - locations.start, embeddings.shape[1]
        place = torch.linspace(0.0, 1.0, bins)[:, None]
        frequency = math.pi * torch.logspace(0.0, math.log2(bins / 2), width // 2, base=2.0)[None]
        waves = torch.cat((torch.sin(place * frequency), torch.cos(place * frequency)), dim=1)
        embeddings[locations] = (waves * embeddings.std() * math.sqrt(2.0)).to(embeddings.dtype)
