"""The compact model as two modules that export to lean ONNX graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shotcrop_train.nano import NanoForConditionalGeneration
from shotcrop_train.nano.modelling import likeliest_boxes


class VisionGraph(nn.Module):
    """pixel_values (B, 3, S, S) -> image_features (B, T, H), spots (B, 2, 4)."""

    def __init__(self, model: NanoForConditionalGeneration) -> None:
        super().__init__()
        self.tower, self.neck = model.model.tower, model.model.neck

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Run tower and neck."""
        tokens, scores, boxes = self.neck.spot(self.tower(pixel_values))
        return tokens, likeliest_boxes(scores, boxes)


class DecoderGraph(nn.Module):
    """Token ids, image features and cache -> logits of the next token, and the cache.

    The Llama layers are written out with ONNX Runtime's GroupQueryAttention in place of attention, rotation and cache
    concatenation: it writes new keys and values into the cache's own buffer. With concatenated caches more than half of
    a step goes into copying them. Sequences of a batch have one length, so that no padding mask is needed.

    Args:
        model: The trained model.
        context: Positions for which rotations are tabulated.
    """

    def __init__(self, model: NanoForConditionalGeneration, context: int) -> None:
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
        x = self.language_model.embed_tokens(input_ids)
        is_image = input_ids == self.image_token_id
        index = (is_image.to(torch.int64).cumsum(1) - 1).clamp(min=0, max=None)
        index = torch.where(is_image, index, 0)[..., None].expand(-1, -1, image_features.shape[-1])
        x = torch.where(is_image[..., None], torch.gather(image_features, 1, index), x)
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
