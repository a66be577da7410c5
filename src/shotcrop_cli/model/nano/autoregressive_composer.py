"""The autoregressive compact model, format `shotcrop-nano/1`, as a `Composer`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from shotcrop_cli.captions.rules import Company, captions, in_setting, verbalise
from shotcrop_cli.model.bundle import FREE_CAPTIONS, Bundle, read_tokenizer
from shotcrop_cli.model.nano.border import to_border
from shotcrop_cli.model.nano.generate import Decoder, Draft, Floats, caption_masks
from shotcrop_cli.model.nano.grammar import Vocabulary, aspect_token, prompt, sentence
from shotcrop_cli.model.nano.mirror import merged, turned_back
from shotcrop_cli.model.nano.network import OnnxNetwork
from shotcrop_cli.model.nano.preprocess import pixel_values, squash
from shotcrop_cli.model.notices import Notices
from shotcrop_cli.model.session import Device
from shotcrop_cli.shots import SHOT_TYPES, Answer, Composition, ModelIdentity, NoSubject, Shot


class AutoregressiveComposer:
    """Answers photos with the compact model.

    Args:
        bundle: The model folder.
        network: Its graphs, loaded.

    Raises:
        ModelError: The tokenizer cannot be read.
    """

    def __init__(self, bundle: Bundle, network: OnnxNetwork) -> None:
        self.manifest, self.network = network.manifest, network
        self.tokenizer = read_tokenizer(bundle)
        self.vocabulary = Vocabulary(self.manifest.text_tokens)
        pieces = [self.tokenizer.decode([index]) for index in range(self.manifest.text_tokens)]
        self.decoder = Decoder(
            self.vocabulary,
            *caption_masks(pieces),
            no_subject_threshold=self.manifest.no_subject_threshold,
            words=self.manifest.words,
        )
        self.identity = ModelIdentity(self.manifest.name, bundle.sha256, network.provider)
        self.thumbnail_size = (self.manifest.image_size, self.manifest.image_size)

    @classmethod
    def load(cls, bundle: Bundle, device: Device, threads: int | None, _notices: Notices) -> AutoregressiveComposer:
        """Load the model; see `shotcrop_cli.model.load.load_composer`."""
        return cls(bundle, OnnxNetwork(bundle, device, threads))

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch; see `shots.Composer`."""
        if not thumbnails:
            return []
        size = self.manifest.image_size
        pixels = pixel_values(np.stack([np.asarray(squash(image, size)) for image in thumbnails]))
        prompts = [prompt(self.manifest.image_tokens, aspect_token(aspect)) for aspect in aspects]
        ids = np.array([self.tokenizer.encode(text).ids for text in prompts], dtype=np.int64)
        if not self.manifest.mirror:
            drafts = self.decoder.decode(self.network, pixels, ids)
            return list(map(self._answer, drafts, self.network.words))
        both = np.concatenate((pixels, pixels[..., ::-1]))
        drafts = self.decoder.decode(self.network, both, np.concatenate((ids, ids)))
        looks = zip(drafts[: len(ids)], map(turned_back, drafts[len(ids) :]), strict=True)
        words = (self.network.words[: len(ids)] + self.network.words[len(ids) :]) / 2
        drafts = [merged(*look, self.decoder.no_subject_threshold) for look in looks]
        return list(map(self._answer, drafts, words))

    def _answer(self, draft: Draft, words: Floats) -> Answer:
        if draft.empty:
            return NoSubject(draft.no_subject)
        sure, boxes = draft.sure_grounding(), to_border(draft.boxes[2:])
        lexicon = self.manifest.lexicon
        told = frozenset(word for (word, least), logit in zip(lexicon, words, strict=True) if logit >= least)
        if lexicon:
            sure = in_setting(sure, told)
        scores = [self._probability(score) for score in draft.scores[2:]]
        if self.manifest.captions == FREE_CAPTIONS:
            texts = tuple(sentence(self.tokenizer.decode(caption)) for caption in draft.captions[: len(boxes)])
        else:
            texts = captions(sure, Company.of(draft.company), told, boxes, draft.scores[2:])
        shots = tuple(Shot(*shot) for shot in zip(SHOT_TYPES, boxes, texts, scores, strict=True))
        return Composition(shots, verbalise(sure), draft.grounding())

    def _probability(self, agreement: float) -> float:
        """Turn the agreement of both looks into the probability that a shot is right, where the model has a curve."""
        offset, slope = self.manifest.score_offset, self.manifest.score_slope
        if offset is None or slope is None:
            return agreement
        return 1.0 / (1.0 + math.exp(-(offset + slope * agreement)))
