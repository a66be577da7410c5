"""Write new captions of finished crops into the crops, their XMP files and the sidecar."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from shotcrop_cli.captions.crop_texts import last_texts, next_to_other, texts_of
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.metadata.embed import described_by_somebody, embed_texts
from shotcrop_cli.imaging.metadata.own_texts import own_packet
from shotcrop_cli.imaging.metadata.xmp_caption import merge_texts
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.hand_work import companions, is_own_xmp
from shotcrop_cli.shots import CropKey
from shotcrop_cli.sidecar import CaptionRecord, Replaced, ShotRecord, Sidecar, Written


class CaptionFiles:
    """The XMP files and crops whose texts change.

    Args:
        settings: The settings that the sidecar records.
        captions: Who wrote the new captions; None for captions by rule.
    """

    def __init__(self, settings: CropSettings, captions: CaptionRecord | None) -> None:
        self._settings, self._captions = settings, captions
        self.new: list[NewFile] = []
        self.notes: list[str] = []
        self.renewed: dict[CropKey, Replaced] = {}

    def describe(self, before: ShotRecord, shot: ShotRecord, crop: Path) -> ShotRecord:
        """Write the texts of a crop, and return what the sidecar says of it.

        Args:
            before: The crop with its old texts.
            shot: The crop with its new texts.
            crop: Its file.
        """
        settings = self._settings
        if not (settings.xmp.embeds or settings.xmp.has_files):
            return shot
        texts, last = texts_of(shot, self._captions, settings), last_texts(before)
        content = crop.read_bytes()
        written = shot.written or Written(shot.caption)
        if settings.xmp.embeds:
            embedded = embed_texts(content, texts, last)
            if embedded.note:
                self.notes.append(f"{crop.name}: its caption was not written into it: {embedded.note}")
            if embedded.content != content:
                sha256 = hashlib.sha256(embedded.content).hexdigest()
                is_own = written.sha256 == hashlib.sha256(content).hexdigest()
                # shotcrop's own crops have the time of their photo; others tell programs that they changed.
                self.new.append(NewFile(crop, embedded.content, crop.stat().st_mtime_ns if is_own else None))
                if is_own:
                    written = replace(written, size_bytes=len(embedded.content), sha256=sha256)
                    self.renewed[shot.key] = Replaced(str(shot.file), sha256)
                content = embedded.content
        written = replace(written, headline=texts.headline, keywords=texts.keywords)
        if settings.xmp.has_files:
            ours = (texts.description, last.description)
            if not settings.prefer_own_captions and described_by_somebody(content, ours):
                texts = next_to_other(texts)
            xmp = companions(crop)[0]
            there = xmp.read_bytes() if xmp.is_file() else None
            own = own_packet(texts)
            merged = own
            if there is not None and not is_own_xmp(there, before):
                found = merge_texts(there, texts, last)
                merged = found.content
                if found.note:
                    self.notes.append(f"{xmp.name}: {found.note}")
            if merged != there:
                self.new.append(NewFile(xmp, merged))
            written = replace(written, xmp_sha256=hashlib.sha256(own).hexdigest() if merged == own else None)
        return replace(shot, written=written)

    def put_in_place(self, path: Path, root: Path, content: bytes, before: Sidecar, after: Sidecar) -> None:
        """Write the files, and the sidecar last.

        Args:
            path: The sidecar.
            root: The output folder, resolved.
            content: The content of the sidecar as it was read.
            before: The same, parsed.
            after: Its new content.

        Raises:
            PhotoError: Somebody changed the sidecar in the meantime.
            OutputError: A file cannot be written.
        """
        if path.read_bytes() != content:
            raise PhotoError(f"{path}: the sidecar changed while its captions were being written")
        # If a run is killed while it renews crops, this sidecar says that they are shotcrop's.
        pending = before.with_crops(replace(shot, replaced=self.renewed.get(shot.key)) for shot in before.all_crops)
        first = NewFile(path, pending.to_bytes()) if self.renewed else None
        put_in_place([*self.new, NewFile(path, after.to_bytes())], root=root, first=first)
