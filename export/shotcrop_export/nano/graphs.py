"""The compact model as two modules that export to lean ONNX graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shotcrop_train.nano import NanoForConditionalGeneration
from shotcrop_train.nano.lexicon import Lexicon
from shotcrop_train.nano.neck import likeliest_boxes
from shotcrop_train.nano.tower import pooled


class VisionGraph(nn.Module):
    """pixel_values (B, 3, S, S) -> image_features (B, T, H), spots (B, 2, 4), and with a lexicon words (B, W)."""

    def __init__(self, model: NanoForConditionalGeneration, lexicon: Lexicon | None = None) -> None:
        super().__init__()
        self.tower, self.neck = model.model.tower, model.model.neck
        self.told = linear(lexicon) if lexicon is not None else None

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """Run tower and neck."""
        features = self.tower(pixel_values)
        tokens, scores, boxes = self.neck.spot(features)
        seen = tokens, likeliest_boxes(scores, boxes)
        return seen if self.told is None else (*seen, self.told(pooled(features)))


def linear(lexicon: Lexicon) -> nn.Linear:
    """Return a lexicon's map of pooled features to logits as a layer."""
    layer = nn.Linear(lexicon.weight.shape[1], len(lexicon.words))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(lexicon.weight))
        layer.bias.copy_(torch.from_numpy(lexicon.bias))
    return layer


class DecoderGraph(nn.Module):
    """What both decoder graphs have in common: the layers of the trained model, and its embeddings."""

    def __init__(self, model: NanoForConditionalGeneration, context: int) -> None:
        """Take a model's layers.

        Args:
            model: The trained model.
            context: Positions for which rotations are tabulated.
        """
        super().__init__()
        self.language_model, self.head = model.model.language_model, model.lm_head
        config = model.config.text_config
        self.image_token_id = model.config.image_token_id
        self.heads, self.key_value_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_size = config.head_dim or config.hidden_size // config.num_attention_heads
        with torch.no_grad():
            cos, sin = self.language_model.rotary_emb(torch.zeros(1, context, 1), torch.arange(context)[None])
        half = self.head_size // 2
        self.register_buffer("cos", cos[0, :, :half].contiguous())
        self.register_buffer("sin", sin[0, :, :half].contiguous())

    def embedded(self, input_ids: Tensor, image_features: Tensor) -> Tensor:
        """Embed tokens (B, S); image tokens take the image features (B, T, H) in order."""
        x: Tensor = self.language_model.embed_tokens(input_ids)
        is_image = input_ids == self.image_token_id
        index = (is_image.to(torch.int64).cumsum(1) - 1).clamp(min=0, max=None)
        index = torch.where(is_image, index, 0)[..., None].expand(-1, -1, image_features.shape[-1])
        return torch.where(is_image[..., None], torch.gather(image_features, 1, index), x)


class InPlaceDecoder(DecoderGraph):
    """Token ids, image features and cache -> logits of the next token, and the cache.

    The Llama layers are written out with ONNX Runtime's GroupQueryAttention in place of attention, rotation and cache
    concatenation: it writes new keys and values into the cache's own buffer. Sequences of a batch have one length, so
    that no padding mask is needed. Behind a prompt it takes one token a step.
    """

    def forward(
        self,
        input_ids: Tensor,
        image_features: Tensor,
        last_positions: Tensor,
        length: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """Run the decoder over new tokens.

        Args:
            input_ids: New tokens (B, S), int64. Image tokens take the image features in order.
            image_features: (B, T, H); any when the new tokens hold no image token.
            last_positions: Position of the last new token (B,), int32.
            length: Tokens so far, the new ones included, scalar int32.
            past: Key and value buffers (B, heads, positions, head size) of each layer in turn.
        """
        x = self.embedded(input_ids, image_features)
        present: list[Tensor] = []
        for number, layer in enumerate(self.language_model.layers):
            h = layer.input_layernorm(x)
            attention = layer.self_attn
            query, key, value = attention.q_proj(h), attention.k_proj(h), attention.v_proj(h)
            past_key, past_value = past[2 * number], past[2 * number + 1]
            output, new_key, new_value = torch.onnx.ops.symbolic_multi_out(
                "com.microsoft::GroupQueryAttention",
                [query, key, value, past_key, past_value, last_positions, length, self.cos, self.sin],
                attrs={
                    "num_heads": self.heads,
                    "kv_num_heads": self.key_value_heads,
                    "do_rotary": 1,
                    "rotary_interleaved": 0,
                    "scale": float(self.head_size**-0.5),
                },
                dtypes=[query.dtype, past_key.dtype, past_value.dtype],
                shapes=[query.shape, past_key.shape, past_value.shape],
                version=1,
            )
            x = x + attention.o_proj(output)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            present += [new_key, new_value]
        logits = self.head(self.language_model.norm(x)[:, -1])
        return logits, *present


class GrownDecoder(DecoderGraph):
    """Token ids, image features and cache -> logits of the next token, and the cache with the new tokens behind it.

    Nothing but standard operators, for any provider, and steps of any number of tokens. What nobody reads of the last
    layer is left out: only the last token's output becomes logits.
    """

    def forward(self, input_ids: Tensor, image_features: Tensor, past: list[Tensor]) -> tuple[Tensor, ...]:
        """Run the decoder over new tokens.

        Args:
            input_ids: New tokens (B, S), int64. Image tokens take the image features in order.
            image_features: (B, T, H); any when the new tokens hold no image token.
            past: Keys and values so far (B, heads, positions, head size) of each layer in turn.
        """
        x = self.embedded(input_ids, image_features)
        new, before = x.shape[1], past[0].shape[2]
        positions = torch.arange(new) + before
        cos, sin = (torch.cat((one, one), -1)[positions] for one in (self.cos, self.sin))
        bias = torch.where(torch.arange(before + new) <= positions[:, None], 0.0, torch.finfo(x.dtype).min)
        present: list[Tensor] = []
        for number, layer in enumerate(self.language_model.layers):
            attention, h = layer.self_attn, layer.input_layernorm(x)
            key, value = (self._parted(one(h)) for one in (attention.k_proj, attention.v_proj))
            key = torch.cat((past[2 * number], key * cos + half_rotated(key) * sin), dim=2)
            value = torch.cat((past[2 * number + 1], value), dim=2)
            present += [key, value]
            if number == len(self.language_model.layers) - 1:
                x, h, cos, sin, bias = x[:, -1:], h[:, -1:], cos[-1:], sin[-1:], bias[-1:]
            query = self._parted(attention.q_proj(h))
            seen = attended(query * cos + half_rotated(query) * sin, key, value, bias)
            x = x + attention.o_proj(seen)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.head(self.language_model.norm(x)[:, -1]), *present

    def _parted(self, x: Tensor) -> Tensor:
        """Map (B, S, heads * head size) to (B, heads, S, head size)."""
        return x.unflatten(-1, (-1, self.head_size)).transpose(1, 2)


def half_rotated(x: Tensor) -> Tensor:
    """Return (-second half, first half) of the last dimension."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def attended(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Return what queries see, in standard operators that every provider takes.

    Args:
        query: (B, heads, S, head size); heads in a row share a head of keys and values.
        key: (B, key-value heads, T, head size).
        value: The same.
        bias: What is added to the scores, (S, T) or (B, 1, S, T): nothing, or the lowest number to hide a token.

    Returns:
        (B, S, heads * head size).
    """
    batch, heads, new, size = query.shape
    shared = key.shape[1]
    # The queries that share a head go as further rows of one product, so that no key is repeated.
    scores = query.reshape(batch, shared, -1, size) @ key.transpose(2, 3) * float(size**-0.5)
    weights = torch.softmax(scores.reshape(batch, heads, new, -1) + bias, dim=-1)
    seen = weights.reshape(batch, shared, heads // shared * new, -1) @ value
    return seen.reshape(batch, heads, new, size).transpose(1, 2).reshape(batch, new, heads * size)
