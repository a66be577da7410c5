"""Write the captions by rule of finished crops again: in another language, more or fewer. This needs no photos."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.captions.caption_files import CaptionFiles
from shotcrop_cli.captions.outcome import CaptionOutcome, CaptionStatus, outcome_of
from shotcrop_cli.captions.renewal import renewed
from shotcrop_cli.crop_settings import CropSettings, RuleCaptions
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.library.hand_work import companions
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.recorded_crops import list_crops
from shotcrop_cli.library.recrop import crops_of
from shotcrop_cli.sidecar import Sidecar


class RuleWriter:
    """Writes captions by rule. See `CaptionWriter`. What a person or a captioner wrote stays.

    Args:
        captions: Which captions the rules write.
        language: Their language, a key of `messages.LANGUAGES`.
    """

    def __init__(self, captions: RuleCaptions, language: str) -> None:
        self._captions, self._language = captions, language
        self.files: OutputFiles | None = None

    def write_captions(self, path: Path, root: Path) -> CaptionOutcome:
        """Write the captions of one photo. See `CaptionWriter.write_captions`."""

        def write() -> CaptionOutcome:
            content = path.read_bytes()
            record = sidecars.read(path)
            crops_of(path, root, record)  # refuses names that lead out of the output folder
            settings = self._settings(record)
            if not self._is_due(record, settings):
                return CaptionOutcome(CaptionStatus.UNCHANGED)
            files = CaptionFiles(record.settings, record.captions)
            paths = {crop.key: crop.path for crop in list_crops(record, path.parent) if crop.path is not None}
            self._bring(paths.values())
            new = renewed(record, settings, paths)
            crops = [
                files.describe(before, crop, paths[crop.key]) if crop.key in paths and crop != before else crop
                for before, crop in zip(record.all_crops, new.all_crops, strict=True)
            ]
            files.put_in_place(path, root, content, record, replace(new.with_crops(crops), settings=settings))
            return CaptionOutcome(CaptionStatus.WRITTEN, notes=tuple(files.notes))

        return outcome_of(path, write, self.files)

    def would_write(self, path: Path, root: Path) -> bool:
        """Say whether a photo has captions to write. See `CaptionWriter.would_write`."""
        record = sidecars.read(path)
        crops_of(path, root, record)
        return self._is_due(record, self._settings(record))

    def _bring(self, crops: Iterable[Path]) -> None:
        """Copy the crops and their XMP files, if they are in an object store."""
        if self.files is None:
            return
        for crop in crops:
            for file in (crop, *companions(crop)):
                self.files.bring(file)

    def _settings(self, record: Sidecar) -> CropSettings:
        return replace(record.settings, captions=self._captions, language=self._language)

    def _is_due(self, record: Sidecar, settings: CropSettings) -> bool:
        """Say whether captions are to be written.

        Raises:
            PhotoError: The sidecar does not say what they need.
        """
        if record.rejected:
            return False
        if any(record.has_old_words(crop, settings) for crop in record.all_crops):
            return True
        lacks_facts = record.captions is None and any(shot.facts is None and not shot.edited for shot in record.shots)
        if lacks_facts and settings.words != record.settings.words:
            raise PhotoError(
                f"{record.source.path}: its sidecar does not say what captions in other words need",
                hint="run `shotcrop crop` with the same options",
            )
        return False
