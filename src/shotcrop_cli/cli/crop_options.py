"""The options of `shotcrop crop` in groups, and the settings that they stand for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from shotcrop_cli.captions.messages import LANGUAGES, SOURCE_LANGUAGE, language_of
from shotcrop_cli.captions.settings import MODEL_PREFIX, Endpoint, LocalModel, is_language, read_endpoint
from shotcrop_cli.cli.config import CAPTIONERS_KEY, CaptionerTable
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import option, option_group
from shotcrop_cli.cli.options import (
    batch_size_option,
    devices_option,
    json_option,
    log_options,
    model_options,
    verbosity_options,
)
from shotcrop_cli.cli.param_types import AspectsType, PadType, PixelsType, QualityType, ShotsType, XmpType
from shotcrop_cli.cli.reporter import ReportOptions
from shotcrop_cli.cli.sheet_file import Layout, Look, check_sheet
from shotcrop_cli.crop_settings import CropSettings, RuleCaptions, XmpMode
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.framing import Framing
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS, SAME_QUALITY, CropFormat
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.interchange.manifest_table import SUFFIXES
from shotcrop_cli.library.hand_work import Allowed
from shotcrop_cli.library.name_template import DEFAULT_TEMPLATE, FIELDS
from shotcrop_cli.library.selection import Selection, read_list
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.run_options import CaptionOptions, RayOptions
from shotcrop_cli.shots import SHOT_TYPES, ShotType

Values = Mapping[str, Any]
"""What a command gets, by the names of its options."""
_Captioner = TypeVar("_Captioner", Endpoint, LocalModel)


def _shard(value: str) -> Shard:
    """Read a shard such as `1/4`."""
    try:
        return Shard.parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


selection_options = option_group(
    "Photos",
    option("--recursive/--no-recursive", default=True, show_default=True, help="Look for photos in subfolders."),
    option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Use only photos that match, in upper or lower case; repeatable.",
    ),
    option("--exclude", multiple=True, metavar="GLOB", help="Skip photos and folders that match; repeatable."),
    option("--follow-symlinks", is_flag=True, help="Follow symbolic links to photos and folders."),
    option(
        "--include-crops", is_flag=True, help="Also crop photos that are crops or sheets by shotcrop, such as copies."
    ),
    option("--hidden", is_flag=True, help="Include hidden photos and folders."),
    option(
        "--files-from",
        type=click.Path(dir_okay=False, allow_dash=True),
        metavar="FILE|-",
        help="Use only the photos listed in FILE, one per line, or on stdin. PATH is then the folder they are in.",
    ),
    option(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="Crop only part I of N, while other machines crop the other parts into the same output.",
    ),
    option("--fail-if-empty", is_flag=True, help="Exit with code 7 if there are no photos."),
    option("--limit", type=click.IntRange(min=1), metavar="N", help="Crop at most N photos. Failures do not count."),
)

look_options = option_group(
    "Crops",
    option("--shots", type=ShotsType(), metavar="SHOT,...", help="Crop only these shots. Default: all three."),
    option(
        "--no-images",
        is_flag=True,
        help="Write only sidecars, which is faster. A later run without it makes the crops from these.",
    ),
    option(
        "--aspect",
        type=AspectsType(),
        multiple=True,
        metavar="SHOT=W:H,...",
        help="Aspect ratio of a shot, such as close_up=1:1. W:H alone applies to all shots.",
    ),
    option("--pad", type=PadType(), default="0%", show_default=True, help="Margin to add on each side of a shot."),
    option("--min-size", type=click.IntRange(min=1), metavar="PX", help="Widen crops until the short side has PX."),
    option("--max-size", type=click.IntRange(min=1), metavar="PX", help="Shrink crops until the long side has PX."),
    option(
        "--format",
        type=click.Choice([str(form) for form in CropFormat]),
        default=str(CropFormat.SAME),
        show_default=True,
        help="File format; same keeps that of the photo.",
    ),
    option(
        "--quality",
        type=QualityType(),
        default=SAME_QUALITY,
        show_default=True,
        metavar="same|N",
        help="Quality of lossy formats, 1 to 100; same takes that of the photo.",
    ),
    option(
        "--lossless",
        is_flag=True,
        help="Copy crops from JPEG photos without encoding them again. Edges may move by a few pixels.",
    ),
    option(
        "--to-srgb",
        is_flag=True,
        help="Convert crops to sRGB. Otherwise they keep the photo's colour space.",
    ),
    option(
        "--metadata",
        type=click.Choice([str(policy) for policy in MetadataPolicy]),
        default=str(MetadataPolicy.SAFE),
        show_default=True,
        help="What crops keep: safe leaves out coordinates and serial numbers, all keeps them, none only the colour.",
    ),
    option(
        "--xmp",
        type=XmpType(),
        default=str(XmpMode.NONE),
        metavar="embedded|sidecar|both",
        help="Write captions for photo managers: into the crops, into an XMP file next to each crop, or both. Without "
        "a value: sidecar.",
    ),
    option("--keywords", is_flag=True, help="With --xmp, also write what the model sees as keywords."),
    option(
        "--prefer-own-captions",
        is_flag=True,
        help="With --xmp, replace the description of the photo. Otherwise it stays, and the caption becomes the "
        "alternative text.",
    ),
    option(
        "--name-template",
        default=DEFAULT_TEMPLATE,
        show_default=True,
        metavar="TEXT",
        help=f"File names, made of {', '.join(f'{{{field}}}' for field in FIELDS)}. A / makes a folder.",
    ),
)

overwrite_edited_option = option(
    "--overwrite-edited",
    is_flag=True,
    help="Also replace crops that somebody changed. The old file stays as NAME.bak.",
)

restore_rejected_option = option(
    "--restore-rejected", is_flag=True, help="Bring back crops that you rejected or deleted."
)

dry_run_option = option("-n", "--dry-run", is_flag=True, help="Print what would be done; write nothing.")

reproducible_option = option(
    "--reproducible", is_flag=True, help="Write equal files in equal runs: no times in sidecars, batches of one photo."
)

jobs_option = option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of reader threads, and of writer threads. Default: one per processor.",
)

max_pixels_option = option(
    "--max-pixels",
    type=PixelsType(),
    default=f"{DEFAULT_MAX_PIXELS // 10**6}MP",
    show_default=True,
    metavar="N|NMP",
    help="Refuse photos with more pixels, which take too much memory.",
)

model_group = option_group(
    "Model and speed", model_options, devices_option, batch_size_option, jobs_option, max_pixels_option
)

ray_options = option_group(
    "Model and speed",
    option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Work in this process, or in the workers of a Ray cluster.",
    ),
    option(
        "--ray-address",
        metavar="auto|ray://HOST:PORT",
        help="The cluster of --engine ray. Default: start one on this machine.",
    ),
    option("--workers", type=click.IntRange(min=1), metavar="N", help="Ray workers. Default: one per processor."),
    option(
        "--gpus-per-worker",
        type=click.FloatRange(min=0.0),
        default=0.0,
        show_default=True,
        metavar="F",
        help="GPUs of each Ray worker, such as 1 or 0.5. With 0, workers use the CPU.",
    ),
)

review_options = option_group(
    "Photos to review",
    option(
        "--min-score",
        type=click.FloatRange(0.0, 1.0),
        metavar="X",
        help="List for review the photos with any crop that scores below X, from 0 to 1. They are cropped anyway.",
    ),
    option(
        "--review-list",
        type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
        metavar="FILE|-",
        help="Write the paths of these photos to FILE or stdout, as --files-from reads it.",
    ),
    option(
        "--no-people-list",
        type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
        metavar="FILE|-",
        help="Write the paths of photos without people to FILE or stdout, as --files-from reads it.",
    ),
)

captions_option = option(
    "--captions",
    default=RuleCaptions.RULES.value,
    show_default=True,
    metavar="rules|strict|none|NAME|model:DIR",
    help="Who writes the captions: the model by rule, the model only where it has more to say than that there is a "
    "person, no one, the captioner NAME of your configuration, which gets the crops, or the exported large model in "
    "DIR.",
)

language_option = option(
    "--language",
    metavar="TAG",
    help=f"Language of captions, alternative texts and reasoning: {', '.join(LANGUAGES)} by rule; a captioner may know "
    "others. Default: en, or what the captioner's settings say.",
)

max_captions_option = option(
    "--max-captions", type=click.IntRange(min=1), metavar="N", help="Ask the captioner about at most N photos."
)

strict_captions_option = option(
    "--strict-captions", is_flag=True, help="Count a photo as failed if the captioner has no usable captions for it."
)

caption_options = option_group(
    "Captions", captions_option, language_option, max_captions_option, strict_captions_option
)

_fail_fast_option = option("--fail-fast", is_flag=True, help="Stop at the first failed photo.")
_failed_list_option = option(
    "--failed-list",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE|-",
    help="Write the paths of failed photos to FILE or stdout, as --files-from reads it.",
)
_null_option = option("-0", "--null", is_flag=True, help="End names in lists with NUL instead of a newline.")

report_options = option_group(
    "Results",
    json_option,
    option("--strict", is_flag=True, help="Count a photo without people as failed."),
    _fail_fast_option,
    _failed_list_option,
    _null_option,
)

manifest_option = option_group(
    "Results",
    option(
        "--manifest",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"At the end, write a table with a row for each crop in the output, to FILE with the suffix {SUFFIXES}.",
    ),
)

sheet_options = option_group(
    "Results",
    option(
        "--sheet",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="At the end, draw the crops in the output on pages, as shotcrop sheet does, to FILE: .pdf, .jpg or .png.",
    ),
    option(
        "--sheet-layout",
        type=click.Choice([layout.value for layout in Layout]),
        help="What a page of --sheet shows. Default: story in a PDF, contact otherwise.",
    ),
)

caption_report_options = option_group("Results", json_option, _fail_fast_option, _failed_list_option, _null_option)

message_options = option_group("Messages", verbosity_options, log_options)

_SINGLE_RUNS = (
    "dry_run",
    "overwrite",
    "limit",
    "fail_fast",
    "files_from",
    "review_list",
    "no_people_list",
    "manifest",
    "sheet",
)
"""Options that a run that watches folders does not take."""


def _time(value: str) -> float:
    """Read a duration such as `6h`, `1h30m` or a number of seconds."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s?)?", value.strip().replace(" ", ""), re.ASCII)
    seconds = (
        0 if parts is None else sum(int(n or 0) * unit for n, unit in zip(parts.groups(), (3600, 60, 1), strict=True))
    )
    if seconds < 1:
        raise click.BadParameter(f"{value!r} is not a time such as 6h, 90m or 1h30m.")
    return float(seconds)


max_time_option = option(
    "--max-time",
    type=_time,
    metavar="TIME",
    help="Begin no more photos after this time, such as 6h or 90m, and exit with code 8 if any are left.",
)

watch_options = option_group(
    "New photos",
    option(
        "--watch", is_flag=True, help="Crop the photos, then wait for new ones and crop them when they are complete."
    ),
    option(
        "--poll",
        type=_time,
        metavar="TIME",
        help="With --watch: look for new photos this often, such as 30s, instead of asking the system what changes.",
    ),
)


def check_watch(values: Values) -> None:
    """Check that `--watch` is given with options that go with it.

    Raises:
        click.UsageError: It is not.
    """
    if not values["watch"]:
        if values["poll"] is not None:
            raise click.UsageError("--poll needs --watch.")
        return
    for name in _SINGLE_RUNS:
        if values[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} is for single runs. Leave it out, or --watch.")


def _seconds(value: str) -> float:
    """Read a number of seconds, or `forever`."""
    try:
        seconds = math.inf if value == "forever" else float(value)
    except ValueError:
        seconds = -1.0
    if seconds >= 0.0 and (value == "forever" or math.isfinite(seconds)):
        return seconds
    raise click.BadParameter(f"{value!r} is neither a number of seconds nor forever.")


wait_option = option(
    "--wait",
    type=_seconds,
    default="0",
    metavar="SECONDS|forever",
    help="Wait this long for another run on the same output to end. Default: do not wait.",
)


def to_console(values: Values) -> Console:
    """Return the console that the values of `message_options` ask for."""
    return Console(
        quiet=values["quiet"], verbose=values["verbose"], log_file=values["log_file"], log_format=values["log_format"]
    )


def to_selection(values: Values) -> Selection:
    """Return the photos that the values of `selection_options` choose.

    Raises:
        click.UsageError: The command line names neither photos nor a list of them.
        ShotcropError: The list cannot be read.
    """
    paths, files_from = tuple(values["paths"]), values["files_from"]
    if not paths and files_from is None:
        raise click.UsageError("Name photos or folders of photos, or give --files-from.")
    return Selection(
        paths=paths,
        listed=None if files_from is None else read_list(files_from, null=values["null"]),
        recursive=values["recursive"],
        includes=tuple(values["include"]),
        excludes=tuple(values["exclude"]),
        follow_symlinks=values["follow_symlinks"],
        hidden=values["hidden"],
    )


def to_ray(values: Values) -> RayOptions | None:
    """Return where Ray workers run, by the values of `ray_options`; None without Ray.

    Raises:
        click.UsageError: An option needs `--engine ray`.
    """
    if values["engine"] == "ray":
        return RayOptions(values["ray_address"], values["workers"], values["gpus_per_worker"])
    for name in ("ray_address", "workers", "gpus_per_worker"):
        if values[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --engine ray.")
    return None


def to_shots(values: Values) -> tuple[ShotType, ...]:
    """Return the shots that the values of `look_options` choose; none with `--no-images`.

    Raises:
        click.UsageError: `--shots` is given, too.
    """
    shots: tuple[ShotType, ...] = values["shots"] or ()
    if values["no_images"] and shots:
        raise click.UsageError("--no-images makes no shots. Leave out --shots, or --no-images.")
    return () if values["no_images"] else shots or SHOT_TYPES


def to_settings(values: Values) -> CropSettings:
    """Return the look that the values of `look_options` choose.

    Raises:
        click.UsageError: `--aspect` is given twice, or an option of `--xmp` without it.
    """
    if len(values["aspect"]) > 1:
        raise click.UsageError("--aspect is given twice. Name all ratios at once, such as close_up=1:1,medium=4:5.")
    for name in ("keywords", "prefer_own_captions"):
        if values[name] and values["xmp"] is XmpMode.NONE:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --xmp.")
    aspects = {shot: aspect for given in values["aspect"] for shot, aspect in given}
    return CropSettings(
        format=CropFormat(values["format"]),
        quality=values["quality"],
        metadata=MetadataPolicy(values["metadata"]),
        xmp=values["xmp"],
        keywords=values["keywords"],
        prefer_own_captions=values["prefer_own_captions"],
        framing=Framing(
            aspects=tuple((shot, aspects[shot]) for shot in SHOT_TYPES if shot in aspects),
            pad=values["pad"],
            min_size=values["min_size"],
        ),
        max_size=values["max_size"],
        lossless=values["lossless"],
        to_srgb=values["to_srgb"],
    )


def to_captions(context: click.Context, values: Values) -> CaptionOptions:
    """Return where captions come from, by the values of `caption_options` and the captioners of the configuration.

    Raises:
        ShotcropError: There is no such captioner, or its table is wrong.
        click.UsageError: An option needs a captioner, and none is chosen, or the captioner would see no crops.
    """
    name = values["captions"]
    if name not in list(RuleCaptions):
        if values.get("no_images"):
            raise click.UsageError("--captions NAME needs crops to show. Leave out --no-images, or --captions.")
        return to_captioner(context, values)
    for option_name in ("max_captions", "strict_captions"):
        if values[option_name]:
            raise click.UsageError(f"--{option_name.replace('_', '-')} needs --captions NAME.")
    return CaptionOptions()


def to_words(values: Values, captions: CaptionOptions) -> tuple[RuleCaptions, str]:
    """Return which captions the model writes by rule, and in which language.

    Args:
        values: Values of the options.
        captions: What `to_captions` returned. The rules stand in for a captioner, in its language if they know it.

    Raises:
        click.UsageError: The rules do not know the language.
    """
    if captions.endpoint is not None:
        return RuleCaptions.RULES, language_of(captions.endpoint.language) or SOURCE_LANGUAGE
    wanted, tag = RuleCaptions(values["captions"]), values["language"]
    language = SOURCE_LANGUAGE if tag is None else language_of(tag)
    if language is None:
        raise click.UsageError(
            f"--language: there are no captions by rule in {tag!r}. Use one of {', '.join(LANGUAGES)}, or a captioner."
        )
    return wanted, SOURCE_LANGUAGE if wanted is RuleCaptions.NONE else language


def _in_language(endpoint: _Captioner, values: Values) -> _Captioner:
    """Return a captioner that writes in the language of `--language`, if it is given.

    Raises:
        click.UsageError: That is no tag of a language.
    """
    language = values["language"]
    if language is None:
        return endpoint
    if not is_language(language):
        raise click.UsageError(f"--language: {language!r} is no language tag such as en or pt-BR.")
    return replace(endpoint, language=language)


def to_captioner(context: click.Context, values: Values) -> CaptionOptions:
    """Return the captioner that the value of `--captions` names.

    Raises:
        ShotcropError: There is no such captioner, or its table is wrong.
    """
    name: str = values["captions"]
    if name.startswith(MODEL_PREFIX):
        return CaptionOptions(
            endpoint=_in_language(LocalModel(name.removeprefix(MODEL_PREFIX)), values),
            max_captions=values["max_captions"],
            strict=values["strict_captions"],
        )
    found: Mapping[str, CaptionerTable] = context.meta.get(CAPTIONERS_KEY, {})
    if name not in found:
        raise ShotcropError(
            f"--captions: there is no captioner '{name}'; known: {', '.join(found) or 'none'}",
            hint=f"add [captioner.{name}] to your configuration, see docs/captions.md",
        )
    table = found[name]
    if not table.trusted:
        raise ShotcropError(
            f"{table.where} is in the folder that shotcrop runs in, which must not decide where photos are sent",
            hint="move the table to your own configuration file, or name this file with --config",
        )
    endpoint = read_endpoint(table.table, table.where)
    if values.get("offline") and not endpoint.is_local:
        raise ShotcropError(
            f"{table.where} {endpoint.host} is not this machine, and --offline is given",
            hint="leave out one of --captions and --offline",
        )
    return CaptionOptions(
        endpoint=_in_language(endpoint, values),
        max_captions=values["max_captions"],
        strict=values["strict_captions"],
    )


def to_sheet(values: Values) -> Look | None:
    """Return how the sheet at the end of a run looks, by the values of `sheet_options`; None without one.

    Raises:
        click.UsageError: `--sheet-layout` is given without `--sheet`, or there would be no crops to show.
        ShotcropError: The sheet cannot be written.
    """
    sheet, layout = values["sheet"], values["sheet_layout"]
    if sheet is None:
        if layout is not None:
            raise click.UsageError("--sheet-layout needs --sheet.")
        return None
    if values["no_images"]:
        raise click.UsageError("--sheet needs crops to show. Leave out --no-images, or --sheet.")
    check_sheet(sheet)
    return Look(Layout.of(sheet) if layout is None else Layout(layout))


def to_allowed(values: Values) -> Allowed:
    """Return what the values of `overwrite_edited_option` and its like allow to do to finished work."""
    return Allowed(
        overwrite_edited=values["overwrite_edited"],
        replace=values.get("replace", False),
        restore_rejected=values.get("restore_rejected", False),
    )


def to_report_options(values: Values) -> ReportOptions:
    """Return what to report, from the values of `report_options` and, where the command has them, `review_options`.

    Raises:
        click.UsageError: `--review-list` is given without `--min-score`, or two of them would write to stdout.
    """
    min_score, review_list = values.get("min_score"), values.get("review_list")
    lists = [name for name in ("failed_list", "review_list", "no_people_list") if values.get(name) == Path("-")]
    on_stdout = [*(["as_json"] if values["as_json"] and lists else []), *lists]
    if len(on_stdout) > 1:
        first, second = ("--" + name.removeprefix("as_").replace("_", "-") for name in on_stdout[:2])
        raise click.UsageError(f"{first} and {second} would both write to stdout. Name a file for the list.")
    if review_list is not None and min_score is None:
        raise click.UsageError("--review-list needs --min-score.")
    return ReportOptions(
        as_json=values["as_json"],
        failed_list=values["failed_list"],
        review_list=review_list,
        no_people_list=values.get("no_people_list"),
        null=values["null"],
        reviews=min_score is not None,
        manifest=values.get("manifest"),
        output=values.get("output"),
        no_images=values.get("no_images", False),
        persons=tuple(values.get("persons", ())),
    )
