"""Write the words by rule of a sidecar again, from the facts that it records: in another language, more or fewer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from shotcrop_cli.body import native_scale
from shotcrop_cli.captions.rules import describe, verbalise
from shotcrop_cli.crop_settings import CropSettings, RuleCaptions
from shotcrop_cli.shots import Grounding, ShotText, ShotType
from shotcrop_cli.sidecar import ShotRecord, Sidecar, Written


def renewed(record: Sidecar, settings: CropSettings, due: Collection[str]) -> Sidecar:
    """Return a sidecar with the words that other settings ask for. What a person or a captioner wrote stays.

    Args:
        record: The sidecar.
        settings: The settings of this run.
        due: The crops whose files are written, by their keys. Where captions are written into files, the others keep
            their words.
    """
    facts = tuple(shot.facts for shot in record.shots if shot.facts is not None)
    in_files = settings.xmp.embeds or settings.xmp.has_files

    def is_renewed(crop: ShotRecord) -> bool:
        is_written = crop.file is None or not in_files or crop.key in due
        return is_written and record.has_old_words(crop, settings)

    if len(facts) < len(record.shots) or not any(map(is_renewed, record.all_crops)):
        return record
    texts = describe(facts, settings.language, strict=settings.captions is RuleCaptions.STRICT)
    if settings.captions is RuleCaptions.NONE:
        texts = (ShotText(""),) * len(texts)
    by_shot = dict(zip(ShotType, texts, strict=True))
    crops = (
        _with_words(crop, by_shot[crop.shot], settings.language) if is_renewed(crop) else crop
        for crop in record.all_crops
    )
    body, head = record.main_person.body, record.main_person.head
    scale = None if head is None else native_scale(head.height)
    reasoning = verbalise(Grounding(body, head, native_scale=scale), facts, settings.language)
    return replace(record.with_crops(crops), reasoning=reasoning)


def _with_words(crop: ShotRecord, text: ShotText, language: str) -> ShotRecord:
    # A crop that is made again records what was written when it is written.
    written = crop.written or Written(text.caption)
    written = replace(written, caption=text.caption, alt_text=text.alt_text)
    return replace(crop, caption=text.caption, alt_text=text.alt_text, language=language, written=written)
