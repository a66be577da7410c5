"""Which XMP properties are true of a crop, by their names.

A name is a namespace and a local name, as lxml writes it: `{namespace}name`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_ABOUT_PICTURES = re.compile(
    r"https?://(purl\.org/dc/(elements/1\.1|terms)/"
    r"|ns\.adobe\.com/(xap/1\.0/(?!g/img/|mm/|stype/(resourceevent|version|manifestitem)#)"
    r"|xmp/(1\.0/dynamicmedia/|identifier/qual/1\.0/)|tiff/1\.0/|exif/1\.0/|photoshop/1\.0/(?!camera-profile)"
    r"|lightroom/1\.0/|pdfx?/1\.3/|album/1\.0/)"
    r"|(cipa\.jp/exif|iptc\.org/std|ns\.useplus\.org|prismstandard\.org|xmp\.gettyimages\.com|rs\.tdwg\.org)/"
    r"|(creativecommons\.org/ns#|web\.resource\.org/cc/|xmlns\.com/foaf/|www\.vraweb\.org/vracore/)"
    r"|www\.metadataworkinggroup\.com/schemas/(keywords|collections)/"
    r"|ns\.microsoft\.com/(photo/1\.0|expressionmedia/)"
    r"|ns\.(camerabits|iview-multimedia|extensis|idimager|fastpictureviewer)\.com/"
    r"|ns\.acdsee\.com/iptc/1\.0/"
    r"|www\.digikam\.org/ns/1\.0/)"
    r"|urn:shotcrop:"
)
"""Namespaces of captions, keywords, names, rights, and how a photo was taken. Of all others shotcrop does not know."""
_SYNTAX = re.compile(r"https?://www\.w3\.org/(1999/02/22-rdf-syntax-ns#|2000/01/rdf-schema#|xml/)|adobe:ns:meta/|$")
"""Namespaces whose names only give a packet its structure. Attributes such as `about` may have none."""

_ABOUT_THE_FILE = re.compile(
    r"https?://ns\.(google|leiainc)\.com/"  # depth maps, embedded originals, panoramas, motion photos
    r"|https?://ns\.adobe\.com/(hdr-[^/]*|camera-raw-[^/]*|lightroom-settings[^/]*|creatoratom|xmp/note|xmp/stype)/"
    r"|https?://ns\.adobe\.com/(xap/1\.0/(g/img/|mm/|stype/(resourceevent|version|manifestitem)#))"
    r"|https?://ns\.adobe\.com/photoshop/1\.0/camera-profile"
    r"|https?://ns\.apple\.com/"  # gain maps, faces, edits
    r"|https?://ns\.microsoft\.com/photo/1\.[12]"  # regions of people
    r"|https?://www\.metadataworkinggroup\.com/schemas/regions/"
    r"|https?://ns\.acdsee\.com/(?!iptc/1\.0/)"  # regions, edits
    r"|https?://ns\.(xiaomi|samsung|oppo|oplus|oneplus|vivo|huawei|honor|realme|meizu)\.com/"  # phones' own images
)
_EDITORS = re.compile(
    r"darktable|rawtherapee|pixls\.|capture-?one|phaseone|\bdxo\b|photolab|opticspro|luminar|skylum|macphun|\bon1\b"
    r"|alienskin|exposure\.software|bibble|aftershot|nikon|silkypix|isl\.co\.jp|gimp|pixelmator|photomator|serif\.com"
    r"|affinity|zoner|cyberlink|lightzone|ufraw|rawstudio|topaz|niksoftware|phocus|hasselblad|rawpower|lightcrafts"
    r"|snapseed|polarr|vsco"
)
"""Namespaces of regions in the whole photo, other images in the file, and edits of raw developers and other editors."""

_FILE_NAMES = re.compile(
    r"(image|face|person|people)?_?regions?_?(info|list|struct)?"
    r"|faces?_?((info|list|rect|rectangle|region|area|data|count|tag|name)s?)?"
    r"|(raw)?(crop|trim)_?(top|left|bottom|right|x|y|w|h|width|height|angle|rect|rectangle|box|area|unit).*"
    r"|.*history.*|(raw)?(develop|development|adjustments?|processing|edit)_?(settings?|params|parameters|data|list|stack)"
    r"|(original|dig|digital)?_?(image|document|instance|asset|photo|file|content|media)?_?(unique)?_?(id|guid|uid|uuid)"
    r"|thumbnails?|previews?|.*digest|makernote"
)
"""Local names, in any namespace, of regions, crops of other programs, edits, unique ids, other images, check sums."""
_MORE_FILE_NAMES = frozenset(
    {"{http://purl.org/dc/elements/1.1/}identifier", "{http://purl.org/dc/terms/}provenance"}
    | {f"{{http://ns.adobe.com/xap/1.0/}}{name}" for name in ("Identifier", "PageInfo")}
    | {f"{{http://ns.adobe.com/exif/1.0/}}{name}" for name in ("SubjectArea", "SubjectLocation", "RelatedSoundFile")}
    | {"{http://ns.adobe.com/exif/1.0/}CompressedBitsPerPixel", "{http://ns.adobe.com/exif/1.0/aux/}ImageNumber"}
    | {f"{{http://ns.adobe.com/tiff/1.0/}}{name}" for name in ("BitsPerSample", "Compression", "SamplesPerPixel")}
    | {f"{{http://ns.adobe.com/tiff/1.0/}}{name}" for name in ("PhotometricInterpretation", "PlanarConfiguration")}
    | {"{http://ns.adobe.com/tiff/1.0/}YCbCrSubSampling", "{http://ns.adobe.com/lightroom/1.0/}privateRTKInfo"}
    | {f"{{http://ns.adobe.com/photoshop/1.0/}}{name}" for name in ("DocumentAncestors", "TextLayers")}
    | {f"{{http://ns.acdsee.com/iptc/1.0/}}{name}" for name in ("rpp", "dpp", "rawrppused", "snapshots")}
    | {"{http://www.digikam.org/ns/1.0/}LensCorrectionSettings"}
)

_SERIAL_NUMBER = re.compile(r"serial_?(number|no\b)")
_ABOUT_PLACES = re.compile(r"drone|pix4d|parrot|autel|skydio|opengis|georss|geo/wgs84_pos|/gps\b")
"""Namespaces of coordinates, and of drones, which write little else."""
_COORDINATES = re.compile(
    r"gps|latitude|longt?itude|altitude|geotag|geohash|geolocation|coordinates?|footprintwkt|georeference|geodetic"
    r"|^(lat|lon|lng|long|alt)$"
)
"""Local names of coordinates. Names of cities and countries are editorial and stay. DJI spells it "longtitude"."""
_POSITION = re.compile(r"latitude|gpsposition|longt?itude|coordinates?|geohash|footprintwkt|^(lat|lon|lng|long)$")
_DEGREES = r"[-+]?[0-9]{1,3}(\.[0-9]{3,9}|°( ?[0-9.]{1,9} ?['′]( ?[0-9.]{1,9} ?(\"|″|''))?)?) ?[NSEWO]?"
_COORDINATE_VALUE = re.compile(
    r"geo:(-?[0-9]|(lat|lon|long|lng|alt) ?=)"  # RFC 5870, and keywords such as geo:lat=47.37
    rf"|{_DEGREES} ?[,;/ ] ?{_DEGREES}$"
    r"|[-+][0-9]{2,6}(\.[0-9]+)?[-+][0-9]{3,7}(\.[0-9]+)?([-+][0-9.]+)?(CRS[A-Z0-9_]+)?/?$"  # ISO 6709
    r"|(name ?=[^;]*; ?)?(north|east)(limit)? ?=",  # DCMI point and box
    re.IGNORECASE,
)
"""Values that are nothing but coordinates. Sentences that contain some are editorial and stay."""
_LONGEST_COORDINATE, _SEARCHED = 200, 1000
"""Longer values are texts, unless most of them is space (our choice)."""
_TRACKING_VALUE = re.compile(r"FBMD[0-9a-fA-F]{6}")
"""What Facebook and Instagram write among the instructions, to recognise the file."""

_CACHED_NAMES = 2048

_CORNERS = (frozenset({"x", "y"}), frozenset({"left", "top"}), frozenset({"x1", "y1"}), frozenset({"x0", "y0"}))
_EXTENTS = frozenset(
    {"w", "h", "d", "width", "height", "right", "bottom", "x1", "y1", "x2", "y2", "radius", "diameter"}
)


@dataclass(frozen=True, slots=True)
class NameFacts:
    """What the name of a property says about it.

    Args:
        is_known: Whether shotcrop knows what its namespace is about.
        is_about_the_file: Whether it describes or identifies only the whole photo or its file.
        is_place: Whether it holds coordinates, or is of the device that measured them.
        is_position: Whether it holds a latitude, a longitude or both.
        is_serial_number: Whether it is the serial number of a device.
    """

    is_known: bool = True
    is_about_the_file: bool = False
    is_place: bool = False
    is_position: bool = False
    is_serial_number: bool = False


_SYNTAX_FACTS = NameFacts()


@lru_cache(maxsize=_CACHED_NAMES)
def facts(name: str) -> NameFacts:
    """Return what a name says."""
    space, _, key = name.lower().rpartition("}")
    of_space = _namespace_facts(space)
    if of_space is None:
        return _SYNTAX_FACTS
    is_place = _COORDINATES.search(key) is not None
    return NameFacts(
        of_space.is_known,
        of_space.is_about_the_file or name in _MORE_FILE_NAMES or _FILE_NAMES.fullmatch(key) is not None,
        of_space.is_place or is_place,
        is_place and _POSITION.search(key) is not None,
        _SERIAL_NUMBER.search(key) is not None,
    )


@lru_cache(maxsize=_CACHED_NAMES)
def _namespace_facts(space: str) -> NameFacts | None:
    """Return what a namespace says; None if its names only give a packet its structure.

    Args:
        space: The namespace in lower case, after an opening brace; empty for none.
    """
    space = space[1:]
    if _SYNTAX.match(space):
        return None
    is_place = _ABOUT_PLACES.search(space) is not None
    is_file = _ABOUT_THE_FILE.match(space) is not None
    is_picture = not is_file and _ABOUT_PICTURES.match(space) is not None
    is_file = is_file or (not is_picture and _EDITORS.search(space) is not None)
    return NameFacts(is_picture or is_file or is_place, is_file, is_place)


def has_coordinates(value: str) -> bool:
    """Return whether a value is a coordinate, such as those that photo sites write as keywords."""
    value = " ".join(value[:_SEARCHED].split())
    return len(value) <= _LONGEST_COORDINATE and _COORDINATE_VALUE.match(value) is not None


def is_tracking(value: str) -> bool:
    """Return whether a value is an id by which a platform recognises the file."""
    return _TRACKING_VALUE.match(value) is not None


def is_region(names: list[str]) -> bool:
    """Return whether the properties of a structure are a corner and a size, so that it is a region of the photo."""
    found = {local(name).lower() for name in names}
    return any(corner <= found and (_EXTENTS - corner) & found for corner in _CORNERS)


def local(name: str) -> str:
    """Return a name without its namespace."""
    return name.rpartition("}")[2]


def namespace(name: str) -> str:
    """Return the namespace of a name; empty if it has none."""
    return name[1:].rpartition("}")[0] if name.startswith("{") else ""
