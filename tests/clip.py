"""Random CLIP and SigLIP models of the real classes with their real processors, made on the spot."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    SiglipProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

TEXTS = ["a man stands in a field", "a woman in a red coat walks left", "two children play with a ball"]
LENGTH = 16
WIDTH = 12
_LAYER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
_VISION = {**_LAYER, "image_size": 32, "patch_size": 16}


def save_tiny_clip(folder: Path) -> Path:
    """Write a CLIP model with 32-pixel images and embeddings of `WIDTH` numbers."""
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer().train_new_from_iterator(TEXTS * 4, 400, show_progress=False)
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = {**_LAYER, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH, **special}
    CLIPModel(CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=WIDTH)).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def save_tiny_siglip(folder: Path) -> Path:
    """Write a SigLIP model; its tokenizer is a stand-in, the real one needs sentencepiece."""
    torch.manual_seed(0)
    pieces = Tokenizer(models.BPE(unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<pad>", "</s>", "<unk>"]
    pieces.train_from_iterator(
        TEXTS * 4, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids"],
    )
    ends = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    text = {**_LAYER, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH, "projection_size": 16, **ends}
    SiglipModel(SiglipConfig(text_config=text, vision_config=_VISION)).save_pretrained(folder)
    SiglipProcessor(SiglipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder
