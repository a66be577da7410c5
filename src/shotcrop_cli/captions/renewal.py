"""Write the words by rule of a sidecar again, from the facts that it records: in another language, more or fewer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from shotcrop_cli.body import native_scale
from shotcrop_cli.captions.rules import describe, verbalise
from shotcrop_cli.crop_settings import CropSettings, RuleCaptions
from shotcrop_cli.shots import MAIN, SHOT_TYPES, CropKey, Grounding, ShotText
from shotcrop_cli.sidecar import ShotRecord, Sidecar, Written


def renewed(record: Sidecar, settings: CropSettings, due: Collection[str]) -> Sidecar:
    """Return a sidecar with the words that other settings ask for. What a person or a captioner wrote stays.

    Args:
        record: The sidecar.
        settings: The settings of this run.
        due: The crops whose files are written, by their keys. Where captions are written into files, the others keep
            their words.
    """
    facts = record.facts_about(MAIN)
    in_files = settings.xmp.embeds or settings.xmp.has_files

    def is_renewed(crop: ShotRecord) -> bool:
        is_written = crop.file is None or not in_files or crop.key in due
        return is_written and record.has_old_words(crop, settings)

    if not facts or not any(map(is_renewed, record.all_crops)):
        return record
    crops = (
        _with_words(crop, text, settings.language)
        if is_renewed(crop) and (text := text_by_rule(record, crop.key, settings)) is not None
        else crop
        for crop in record.all_crops
    )
    body, head = record.main_person.body, record.main_person.head
    scale = None if head is None else native_scale(head.height)
    reasoning = verbalise(Grounding(body, head, native_scale=scale), facts, settings.language)
    return replace(record.with_crops(crops), reasoning=reasoning)


def text_by_rule(record: Sidecar, key: CropKey, settings: CropSettings) -> ShotText | None:
    """Return the words by rule for a crop; None if the sidecar does not say what it shows, as for groups.

    Args:
        record: The sidecar.
        key: The crop.
        settings: The settings that decide the words.
    """
    facts = record.facts_about(key.person)
    if not facts:
        return None
    if settings.captions is RuleCaptions.NONE:
        return ShotText("")
    texts = describe(facts, settings.language, strict=settings.captions is RuleCaptions.STRICT)
    return texts[SHOT_TYPES.index(key.shot)]


def _with_words(crop: ShotRecord, text: ShotText, language: str) -> ShotRecord:
    # A crop that is made again records what was written when it is written.
    written = crop.written or Written(text.caption)
    written = replace(written, caption=text.caption, alt_text=text.alt_text)
    return replace(crop, caption=text.caption, alt_text=text.alt_text, language=language, written=written)
