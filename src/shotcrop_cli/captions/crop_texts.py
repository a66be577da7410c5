"""What shotcrop writes about a crop for other programs, and what it wrote before."""

from __future__ import annotations

from shotcrop_cli.captions.keywords import keywords_in
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.imaging.metadata.own_texts import OwnTexts
from shotcrop_cli.library.hand_work import last_caption
from shotcrop_cli.sidecar import CaptionRecord, ShotRecord, Written

_EARLIER_LANGUAGE = "en"
"""Language of captions in sidecars that do not name it: earlier versions knew no other."""


def texts_of(shot: ShotRecord, captions: CaptionRecord | None, settings: CropSettings) -> OwnTexts:
    """Return what to write about a crop.

    Args:
        shot: The crop.
        captions: Who wrote the captions, if it was a captioner.
        settings: How crops should look.
    """
    is_by_rule = bool(shot.language) and not shot.text_edited
    language = shot.language or (_EARLIER_LANGUAGE if captions is None else captions.language)
    return OwnTexts(
        shot.caption,
        shot.alt_text,
        "" if captions is None else captions.story,
        keywords_in(language, shot.keywords) if settings.keywords else (),
        "" if shot.edited and not is_by_rule else language,  # a person may have written in another one
    )


def last_texts(shot: ShotRecord) -> OwnTexts:
    """Return what shotcrop wrote last about a crop, according to the sidecar.

    Args:
        shot: What the sidecar says of the crop.
    """
    written = shot.written or Written(last_caption(shot))
    if written.hashes:
        return OwnTexts("", "", written.headline, written.keywords, hashes=written.hashes)
    return OwnTexts(written.caption, written.alt_text, written.headline, written.keywords)


def next_to_other(texts: OwnTexts) -> OwnTexts:
    """Return what to write next to a description of somebody else: the caption becomes the alternative text."""
    return OwnTexts("", texts.alt_text or texts.description, texts.headline, texts.keywords, texts.language)
