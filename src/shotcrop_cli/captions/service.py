"""Ask a captioner about the crops of a sidecar, check its answer, and write the words into the sidecar and XMP files.

Captions that a person edited stay. If there is no usable answer, the captions stay as they are: at first those that the
model wrote by rule.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.captions.cache import CaptionCache
from shotcrop_cli.captions.caption_files import CaptionFiles
from shotcrop_cli.captions.check import problems_of
from shotcrop_cli.captions.outcome import CaptionOutcome, CaptionStatus, outcome_of
from shotcrop_cli.captions.prompt import PROMPT_VERSION
from shotcrop_cli.captions.settings import Endpoint, LocalModel
from shotcrop_cli.errors import CaptionError
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.metadata.policy import Metadata
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.library.hand_work import companions, hash_file
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.output_folder import read_roots
from shotcrop_cli.library.recrop import crops_of, find_source
from shotcrop_cli.shots import MANY_PEOPLE, Captioner, CaptionRequest, PhotoText, ShotType
from shotcrop_cli.sidecar import CaptionRecord, ShotRecord, Sidecar, Written

_QUALITY = 85
"""JPEG quality of the pictures that are sent (our choice)."""
_PATIENCE = 5
"""After this many failures in a row, the captioner is not asked again (our choice)."""
_COUNTS = {"One person": 1, "Two people": 2, "Three people": 3, "Four or more people": MANY_PEOPLE}
"""Beginnings of `Reasoning.scene` in sidecars of earlier versions, which have no `people_count`."""


class CaptionService:
    """Writes the captions of sidecars. See `CaptionWriter`. Threads may share one.

    Args:
        captioner: Whom to ask.
        endpoint: Where it is, and how to ask it.
        cache: Answers of earlier runs.
        max_captions: Photos that it may be asked about; None for no limit. Answers from the cache do not count.
        renew: Whether to ask again about captions that are up to date.
    """

    def __init__(
        self,
        captioner: Captioner,
        endpoint: Endpoint | LocalModel,
        cache: CaptionCache,
        *,
        max_captions: int | None = None,
        renew: bool = False,
    ) -> None:
        self._captioner, self._endpoint, self._cache = captioner, endpoint, cache
        self.files: OutputFiles | None = None
        """Where the crops are; None in a folder of this machine."""
        self._left, self._renew = max_captions, renew
        self._failures = 0
        self._gave_up = ""
        self._lock = threading.Lock()

    def write_captions(self, path: Path, root: Path) -> CaptionOutcome:
        """Write the captions of one photo. See `CaptionWriter.write_captions`."""

        def write() -> CaptionOutcome:
            content = path.read_bytes()
            record = sidecars.read(path)
            crops = crops_of(path, root, record)
            if not self.is_due(record, crops):
                return CaptionOutcome(CaptionStatus.UNCHANGED)
            self._bring(path, record, crops)
            key = self._key(record, crops)
            text = None if self._renew else self._cache.get(key)
            if text is None or len(text.shots) != len(crops):
                if not self._take_one():
                    return CaptionOutcome(CaptionStatus.LEFT)
                text = self._ask(path, root, record, crops)
                self._cache.put(key, text)
            notes = self._write(path, root, content, record, crops, text, key)
            return CaptionOutcome(CaptionStatus.WRITTEN, notes=notes)

        return outcome_of(path, write, self.files)

    def _bring(self, path: Path, record: Sidecar, crops: Mapping[ShotType, Path]) -> None:
        """Copy what is needed to ask about a photo and to write its captions, if that is in an object store."""
        if self.files is None:
            return
        for crop in crops.values():
            for file in (crop, *companions(crop)):
                self.files.bring(file)
        if self._endpoint.whole_photo:
            self.files.bring_photo(path, record)

    def would_write(self, path: Path, root: Path) -> bool:
        """Say whether a photo has captions to write, without asking anybody.

        Args:
            path: The sidecar.
            root: The output folder, resolved.

        Raises:
            ShotcropError: The sidecar cannot be read, or leads out of the output folder.
            OSError: A file cannot be read.
        """
        record = sidecars.read(path)
        return self.is_due(record, crops_of(path, root, record))

    def is_due(self, record: Sidecar, crops: Mapping[ShotType, Path]) -> bool:
        """Say whether there are captions to write.

        Raises:
            OSError: A crop cannot be read.
        """
        if not crops or all(shot.edited for shot in record.shots if shot.shot in crops):
            return False
        return self._renew or record.captions is None or record.captions.key != self._key(record, crops)

    def _key(self, record: Sidecar, crops: Mapping[ShotType, Path]) -> str:
        """Return the hash of everything that decides an answer: crops, model, language, prompt."""
        endpoint, shots = self._endpoint, {shot.shot: shot for shot in record.shots}
        # The crop as shotcrop wrote it: a rating that a program writes into the file asks for no other words.
        hashes = [
            (str(shot), (written.image_sha256 or written.sha256 if written else None) or hash_file(crop))
            for shot, crop in crops.items()
            for written in (shots[shot].written,)
        ]
        how = (PROMPT_VERSION, endpoint.model, endpoint.language, endpoint.image_size, endpoint.whole_photo)
        return hashlib.sha256(json.dumps([how, hashes]).encode()).hexdigest()

    def _take_one(self) -> bool:
        with self._lock:
            if self._left is None:
                return True
            self._left -= 1
            return self._left >= 0

    def _ask(self, path: Path, root: Path, record: Sidecar, crops: Mapping[ShotType, Path]) -> PhotoText:
        if self._gave_up:
            raise CaptionError(f"not asked after earlier failures: {self._gave_up}")
        photo = None
        if self._endpoint.whole_photo:
            folder = path.parent.resolve()
            found = find_source(path, folder.relative_to(root), record, read_roots(root)).path
            photo = self._picture(decode(read_source(found)))
        shown = [decode(read_source(crop)) for crop in crops.values()]
        request = CaptionRequest(tuple(crops), tuple(map(self._picture, shown)), photo, _people_in(record))
        try:
            text = self._asked_twice(request, _known_text(record, [crop.metadata for crop in shown]))
        except CaptionError as error:
            with self._lock:
                self._failures += 1
                if error.ends_asking or self._failures >= _PATIENCE:
                    self._gave_up = self._gave_up or error.message
            raise
        with self._lock:
            self._failures = 0
        return text

    def _asked_twice(self, request: CaptionRequest, known: str) -> PhotoText:
        """Ask, check the answer, and ask again if it is wrong.

        Args:
            request: What to ask.
            known: Names and texts in the photo's metadata.

        Raises:
            CaptionError: There is no answer, or the second one is wrong, too.
        """
        problems: list[str] = []
        for _ in range(2):
            try:
                text = self._captioner.caption(request, problems)
            except CaptionError as error:
                if problems or not error.answered:
                    raise
                problems = [error.message]
                continue
            problems = problems_of(text, request, self._endpoint.language, known)
            if not problems:
                return text
        raise CaptionError(f"{self._endpoint.model} at {self._endpoint.host}: {'; '.join(problems)}", answered=True)

    def _picture(self, photo: Photo) -> bytes:
        """Return a small JPEG of a photo. It has no metadata: no place, no time, no names."""
        small = thumbnail(photo, (0, self._endpoint.image_size))
        buffer = io.BytesIO()
        small.info = {}
        small.save(buffer, "JPEG", quality=_QUALITY)
        return buffer.getvalue()

    def _write(
        self,
        path: Path,
        root: Path,
        content: bytes,
        record: Sidecar,
        crops: Mapping[ShotType, Path],
        text: PhotoText,
        key: str,
    ) -> tuple[str, ...]:
        """Write the words into sidecar and XMP files, except where a person edited them.

        Returns:
            Notes on XMP files that keep a caption of their own.

        Raises:
            PhotoError: Somebody changed the sidecar in the meantime.
        """
        words = dict(zip(crops, text.shots, strict=True))
        old = record.captions
        story = old.story if old is not None and old.has_new_story else text.story
        endpoint = self._endpoint
        captions = CaptionRecord(endpoint.model, endpoint.host, key, story, text.story, endpoint.language)
        files = CaptionFiles(record.settings, captions)
        shots: list[ShotRecord] = []
        for shot in record.shots:
            if shot.shot not in words:
                shots.append(shot)
                continue
            described = shot
            if not shot.edited:
                caption, alt_text = words[shot.shot].caption, words[shot.shot].alt_text
                written = replace(shot.written or Written(caption), caption=caption, alt_text=alt_text)
                described = replace(shot, caption=caption, alt_text=alt_text, written=written, language="")
            shots.append(files.describe(shot, described, crops[shot.shot]))
        changed = replace(record, shots=tuple(shots), captions=captions)
        files.put_in_place(path, root, content, record, changed)
        return tuple(files.notes)


def _people_in(record: Sidecar) -> int | None:
    """Return the number of people that the model saw, up to `MANY_PEOPLE`; None if it does not say."""
    if record.people_count is not None:
        return record.people_count
    scene = record.reasoning.scene
    return next((count for words, count in _COUNTS.items() if scene.startswith(words)), None)


def _known_text(record: Sidecar, metadata: Iterable[Metadata]) -> str:
    """Return the names and texts that are known of a photo: from the sidecar, and from XMP and IPTC of its crops."""
    names = [person.name for person in record.people if person.name]
    blocks = [block.decode("utf-8", "replace") for found in metadata for block in (found.xmp, found.iptc)]
    return " ".join((*names, *blocks))
