"""A Qwen-VL model as modules that export to lean ONNX graphs.

The modules use the layers of a loaded model and implement the code between them. That keeps loops over photos out of
the graphs, and leaves attention and cache of the decoder to ONNX Runtime's GroupQueryAttention. Of transformers it
needs only the names of the layers, which are the same in all of its releases.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.large.manifest import Family
from shotcrop_export.large.attention import attended, half_rotated

VISION_THETA = 10_000.0
"""Base of the vision tower's rotations if the config has none. Source: Qwen2-VL and Qwen3-VL."""


class VisionGraph(nn.Module):
    """From patches of photos of any sizes, padded to one length, to visual tokens, also of inner layers.

    A patch attends to the patches of its own photo. In some layers of some families it attends only to those of its own
    window. Its segment says both: the number of its window, or a negative number for padding.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower = tower = model.model.visual
        config = tower.config
        self.heads, self.head_size = config.num_heads, config.hidden_size // config.num_heads
        self.inner = list(getattr(tower, "deepstack_visual_indexes", ()))
        layers = range(len(tower.blocks))
        self.windowed = set(layers) - set(getattr(tower, "fullatt_block_indexes", layers))
        theta = (getattr(config, "rope_parameters", None) or {}).get("rope_theta", VISION_THETA)
        axis = torch.arange(0, self.head_size // 2, 2, dtype=torch.float) / (self.head_size // 2)
        self.register_buffer("frequencies", 1.0 / theta**axis)

    def forward(
        self,
        pixel_values: Tensor,
        positions: Tensor,
        segments: Tensor,
        table_entries: Tensor | None = None,
        table_weights: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Run the tower.

        Args:
            pixel_values: Patches (B, N, values), float32.
            positions: Row and column of each patch (B, N, 2), int64.
            segments: Window of each patch (B, N), int64; -1 for padding.
            table_entries: The learned positions that each patch interpolates (B, N, 4), int64; None without a table.
            table_weights: Their weights (B, N, 4), float32; None without a table.

        Returns:
            Visual tokens (B, N / patches per token, H), float32, then those of each inner layer.
        """
        tower = self.tower
        project = tower.patch_embed.proj  # a convolution with kernels as large as the patches is a matrix product
        kernel = project.weight.flatten(1)
        x = functional.linear(pixel_values.to(kernel.dtype), kernel, project.bias)
        if table_entries is not None and table_weights is not None:
            x = x + (tower.pos_embed(table_entries) * table_weights[..., None]).sum(2).to(x.dtype)
        angles = (positions[..., None] * self.frequencies).flatten(2)
        angles = torch.cat((angles, angles), dim=-1)[:, :, None]
        cos, sin = angles.cos(), angles.sin()
        whole = (segments >= 0)[:, None, None, :]
        window = (segments[:, None, :] == segments[:, :, None])[:, None]
        inner = []
        for number, block in enumerate(tower.blocks):
            mask = window if number in self.windowed else whole
            x = x + self._attend(block.attn, block.norm1(x), cos, sin, mask)
            x = x + block.mlp(block.norm2(x))
            if number in self.inner:
                inner.append(self._merge(tower.deepstack_merger_list[self.inner.index(number)], x))
        return (self._merge(tower.merger, x), *inner)

    def _attend(self, attention: Any, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = x.shape
        query, key, value = attention.qkv(x).reshape(batch, length, 3, self.heads, -1).unbind(2)
        # In single precision, as in transformers.
        query, key = ((one.float() * cos + half_rotated(one.float()) * sin).to(x.dtype) for one in (query, key))
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        lowest = torch.finfo(x.dtype).min
        bias = torch.where(mask, 0.0, lowest).to(x.dtype)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=self.head_size**-0.5)
        return attention.proj(seen.transpose(1, 2).reshape(batch, length, -1))

    def _merge(self, merger: Any, x: Tensor) -> Tensor:
        batch = x.shape[0]
        merged = merger(x.flatten(0, 1))
        return merged.reshape(batch, -1, merged.shape[-1]).float()


class EmbedGraph(nn.Module):
    """From token ids (B, S) and visual tokens (B, T, H) to embeddings (B, S, H), and what the first decoder layers add.

    Image tokens take the visual tokens of a photo in order. Inner layers add nothing to other tokens.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.table, self.image_token = model.get_input_embeddings(), model.config.image_token_id

    def forward(self, input_ids: Tensor, features: list[Tensor]) -> tuple[Tensor, ...]:
        """Embed tokens.

        Args:
            input_ids: Token ids (B, S), int64.
            features: Visual tokens (B, T, H), float32, then those of each inner layer.
        """
        x = self.table(input_ids)
        is_image = input_ids == self.image_token
        index = torch.where(is_image, is_image.to(torch.int64).cumsum(1) - 1, 0)[..., None].expand(-1, -1, x.shape[-1])
        tokens, *inner = (torch.gather(one, 1, index).to(x.dtype) for one in features)
        nothing = torch.zeros((), dtype=x.dtype)
        is_image = is_image[..., None]
        return (torch.where(is_image, tokens, x), *(torch.where(is_image, one, nothing) for one in inner))


class DecoderGraph(nn.Module):
    """The common part of both decoder graphs.

    Args:
        model: The loaded model.

    Raises:
        ModelError: The model uses rotations or attention that these graphs do not implement.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.language_model, self.head = model.model.language_model, model.lm_head
        config = self.language_model.config
        self.heads, self.key_value_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        rope = config.rope_parameters
        if rope["rope_type"] not in ("default", "mrope"):
            raise ModelError(
                f"rotations of type '{rope['rope_type']}' cannot be exported", hint="use another base model"
            )
        if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
            raise ModelError("attention over a sliding window cannot be exported", hint="use another base model")
        axes = rotary_axes(tuple(rope["mrope_section"]), interleaved=model.config.model_type == Family.QWEN3_VL)
        axis = torch.arange(0, self.head_size, 2, dtype=torch.float) / self.head_size
        self.register_buffer("frequencies", 1.0 / rope["rope_theta"] ** axis)
        self.register_buffer("axes", functional.one_hot(axes, 3).T.float())

    def rotations(self, position_ids: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines (B, S, 1, head size) for positions (3, B, S)."""
        angles = (position_ids[..., None] * self.frequencies * self.axes[:, None, None]).sum(0)
        angles = torch.cat((angles, angles), dim=-1)[:, :, None]
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)

    def rotated(self, attention: Any, name: str, h: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return rotated queries or keys (B, S, heads, head size), normalised if the family does so."""
        projected = getattr(attention, f"{name}_proj")(h).unflatten(-1, (-1, self.head_size))
        norm = getattr(attention, f"{name}_norm", None)
        one = projected if norm is None else norm(projected)
        return one * cos + half_rotated(one) * sin

    def next_token(self, x: Tensor, last_positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (B, vocabulary) and the likeliest token (B,) after the last new token of each row."""
        # After a prompt its last token counts, wherever the padding begins; a step has only one token.
        last = torch.clamp(last_positions.to(torch.int64), max=x.shape[1] - 1)[:, None, None]
        logits = self.head(self.language_model.norm(torch.gather(x, 1, last.expand(-1, 1, x.shape[-1]))[:, 0])).float()
        return logits, logits.argmax(-1)


class InPlaceDecoder(DecoderGraph):
    """From embeddings, positions and cache to logits and likeliest next token. It writes into the cache."""

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        last_positions: Tensor,
        length: Tensor,
        past: list[Tensor],
        inner: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """Run the decoder over new tokens, which are padded on the right.

        Args:
            inputs_embeds: Embeddings of the new tokens (B, S, H).
            position_ids: Their positions in time, height and width (3, B, S), int64.
            last_positions: Number of tokens in each row so far, minus one (B,), int32.
            length: Tokens of the longest row so far, scalar int32.
            past: Key and value buffers (B, heads, positions, head size) of each layer in turn.
            inner: What is added to the output of each of the first layers (B, S, H).
        """
        x = inputs_embeds
        cos, sin = self.rotations(position_ids, x)
        present: list[Tensor] = []
        for number, layer in enumerate(self.language_model.layers):
            attention, h = layer.self_attn, layer.input_layernorm(x)
            query, key = (self.rotated(attention, name, h, cos, sin).flatten(2) for name in ("q", "k"))
            past_key, past_value = past[2 * number], past[2 * number + 1]
            seen, *cache = torch.onnx.ops.symbolic_multi_out(
                "com.microsoft::GroupQueryAttention",
                [query, key, attention.v_proj(h), past_key, past_value, last_positions, length],
                attrs={
                    "num_heads": self.heads,
                    "kv_num_heads": self.key_value_heads,
                    "do_rotary": 0,
                    "scale": float(self.head_size**-0.5),
                },
                dtypes=[query.dtype, past_key.dtype, past_value.dtype],
                shapes=[query.shape, past_key.shape, past_value.shape],
                version=1,
            )
            x = x + attention.o_proj(seen)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            if number < len(inner):
                x = x + inner[number]
            present += cache
        return (*self.next_token(x, last_positions), *present)


class GrownDecoder(DecoderGraph):
    """The same in standard operators. It returns the cache with the new tokens at the end."""

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        last_positions: Tensor,
        attention_mask: Tensor,
        past: list[Tensor],
        inner: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """Run the decoder over new tokens, which are padded on the right.

        Args:
            inputs_embeds: Embeddings of the new tokens (B, S, H).
            position_ids: Their positions in time, height and width (3, B, S), int64.
            last_positions: Number of tokens in each row so far, minus one (B,), int32.
            attention_mask: 1 for each past and new token and 0 for padding (B, P + S), int64.
            past: Keys and values so far (B, heads, P, head size) of each layer in turn.
            inner: What is added to the output of each of the first layers (B, S, H).
        """
        x = inputs_embeds
        new, before = x.shape[1], past[0].shape[2]
        cos, sin = self.rotations(position_ids, x)
        earlier = torch.arange(before + new) <= (torch.arange(new) + before)[:, None]
        seen_by = earlier & (attention_mask > 0)[:, None, None, :]
        bias = torch.where(seen_by, 0.0, torch.finfo(x.dtype).min).to(x.dtype)
        present: list[Tensor] = []
        for number, layer in enumerate(self.language_model.layers):
            attention, h = layer.self_attn, layer.input_layernorm(x)
            query, key = (self.rotated(attention, name, h, cos, sin).transpose(1, 2) for name in ("q", "k"))
            value = attention.v_proj(h).unflatten(-1, (-1, self.head_size)).transpose(1, 2)
            key = torch.cat((past[2 * number], key), dim=2)
            value = torch.cat((past[2 * number + 1], value), dim=2)
            present += [key, value]
            x = x + attention.o_proj(attended(query, key, value, bias))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            if number < len(inner):
                x = x + inner[number]
        return (*self.next_token(x, last_positions), *present)


class RowChoice(nn.Module):
    """From keys or values of one layer (B, heads, positions, head size) to those of some rows."""

    def forward(self, values: Tensor, rows: Tensor) -> Tensor:
        """Select rows by their numbers (N,), int64."""
        return values.index_select(0, rows)


def rotary_axes(sections: tuple[int, ...], *, interleaved: bool) -> Tensor:
    """Return the axis whose position turns each frequency of the rotations: 0 time, 1 height, 2 width.

    Args:
        sections: Number of frequencies of each axis.
        interleaved: Whether time, height and width alternate from the highest frequency on (Qwen3-VL), or follow one
            another (Qwen2.5-VL).
    """
    if not interleaved:
        return torch.repeat_interleave(torch.arange(len(sections)) % 3, torch.tensor(sections))
    axes = torch.zeros(sum(sections), dtype=torch.long)
    for axis in (1, 2):
        axes[axis : 3 * sections[axis] : 3] = axis
    return axes
