"""Give the people of a sidecar the names that photo programs wrote into their photo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.metadata.face_regions import FaceRegion, name_people, regions_of_photo
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.shots import Person
from shotcrop_cli.sidecar import Sidecar
from shotcrop_cli.subjects import folded_name


def read_regions(path: Path) -> tuple[FaceRegion, ...]:
    """Return the named faces of a photo that is not open; none if it cannot be read, which decoding will report."""
    from shotcrop_cli.imaging.decode import decode, read_source

    try:
        photo = decode(read_source(path), least_sides=(1, 1))
    except PhotoError:
        return ()
    return regions_of_photo(path, photo.metadata.xmp)


def with_names(record: Sidecar, regions: Iterable[FaceRegion]) -> Sidecar:
    """Return a sidecar in which people have the names of their face regions.

    Args:
        record: The sidecar.
        regions: The named faces of its photo.
    """
    named = name_people(record.people, tuple(regions), record.source.exif_orientation)
    return replace(record, people=named)


def names_to_record(
    people: Iterable[Person], before: Iterable[Person], asked: Iterable[str], policy: MetadataPolicy
) -> tuple[Person, ...]:
    """Return the people as the sidecar may name them: those whom a user asked for by name, if the policy keeps names.

    Args:
        people: Everybody in the photo, with the names in it.
        before: Everybody in the sidecar of an earlier run.
        asked: The names that this run asks for.
        policy: What crops keep of the photo's metadata.
    """
    if policy is MetadataPolicy.NONE:
        return tuple(replace(person, name=None) for person in people)
    wanted = {folded_name(name) for name in (*asked, *(one.name for one in before if one.name))}
    return tuple(
        person if person.name and folded_name(person.name) in wanted else replace(person, name=None)
        for person in people
    )
