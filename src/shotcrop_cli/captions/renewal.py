"""Write the words by rule of a sidecar again, from the facts that it records: in another language, more or fewer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from shotcrop_cli.body import native_scale
from shotcrop_cli.captions.facts_in_box import Shown, facts_in_box
from shotcrop_cli.captions.rules import describe, verbalise
from shotcrop_cli.crop_settings import CropSettings, RuleCaptions
from shotcrop_cli.shots import MAIN, SHOT_TYPES, Grounding, ShotText, person_number
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
        if is_renewed(crop) and (text := text_by_rule(record, crop, settings)) is not None
        else crop
        for crop in record.all_crops
    )
    body, head = record.main_person.body, record.main_person.head
    scale = None if head is None else native_scale(head.height)
    reasoning = verbalise(Grounding(body, head, native_scale=scale), facts, settings.language)
    return replace(record.with_crops(crops), reasoning=reasoning)


def text_by_rule(record: Sidecar, crop: ShotRecord, settings: CropSettings) -> ShotText | None:
    """Return the words by rule for a crop; None if the sidecar does not say what it shows, as for groups.

    Args:
        record: The sidecar.
        crop: The crop, which may have another box than the model proposed.
        settings: The settings that decide the words.
    """
    facts = list(record.facts_about(crop.person))
    if not facts:
        return None
    if settings.captions is RuleCaptions.NONE:
        return ShotText("")
    index = SHOT_TYPES.index(crop.shot)
    facts[index] = facts_in_box(facts[index], crop.model_box, crop.box_norm, _shown(record, crop.person))
    texts = describe(facts, settings.language, strict=settings.captions is RuleCaptions.STRICT)
    return texts[index]


def _shown(record: Sidecar, person: str) -> Shown:
    """Return whom a photo shows, for a crop of one of them."""
    number = person_number(person)
    own = 0 if number is None else number - 1
    heads = [one.head for index, one in enumerate(record.people) if index != own and one.head is not None]
    one = record.main_person if person == MAIN else record.people[own]
    return Shown(one.body, one.head, heads, person == MAIN)


def _with_words(crop: ShotRecord, text: ShotText, language: str) -> ShotRecord:
    # A crop that is made again records what was written when it is written.
    written = crop.written or Written(text.caption)
    written = replace(written, caption=text.caption, alt_text=text.alt_text)
    return replace(crop, caption=text.caption, alt_text=text.alt_text, language=language, written=written)
