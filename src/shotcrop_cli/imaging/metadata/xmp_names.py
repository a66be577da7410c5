"""Which XMP properties are true of a crop, by their names.

A name is a namespace and a local name, as lxml writes it: `{namespace}name`.
"""

from __future__ import annotations

import re

_ABOUT_PICTURES = re.compile(
    r"http://(www\.w3\.org/(1999/02/22-rdf-syntax-ns#|2000/01/rdf-schema#|XML/1998/namespace)"
    r"|purl\.org/dc/(elements/1\.1|terms)/"
    r"|ns\.adobe\.com/(xap/1\.0/(|rights/|bj/|t/pg/|g/|PLUS/|sType/(Job|Dimensions|Font|ResourceRef)#)"
    r"|xmp/(1\.0/DynamicMedia/|Identifier/qual/1\.0/)|tiff/1\.0/|exif/1\.0/(aux/)?|photoshop/1\.0/|lightroom/1\.0/"
    r"|pdfx?/1\.3/|album/1\.0/|iX/1\.0/)"
    r"|cipa\.jp/exif/1\.0/"
    r"|iptc\.org/std/"
    r"|(ns\.useplus\.org|prismstandard\.org|xmp\.gettyimages\.com|ns\.camerabits\.com|rs\.tdwg\.org)/"
    r"|(creativecommons\.org/ns#|web\.resource\.org/cc/|xmlns\.com/foaf/|www\.vraweb\.org/vracore/)"
    r"|www\.metadataworkinggroup\.com/schemas/(keywords|collections)/"
    r"|ns\.microsoft\.com/(photo/1\.0|expressionmedia/)"
    r"|ns\.(iview-multimedia|extensis|idimager|fastpictureviewer)\.com/"
    r"|ns\.acdsee\.com/iptc/1\.0/"
    r"|www\.digikam\.org/ns/1\.0/)"
    r"|adobe:ns:meta/|urn:shotcrop:|$"
)
"""Namespaces of captions, keywords, names, rights, and how a photo was taken. Of all others shotcrop does not know."""

_ABOUT_THE_FILE = re.compile(
    r"http://ns\.google\.com/|http://ns\.leiainc\.com/"  # depth maps, embedded originals, panoramas, motion photos
    r"|http://ns\.adobe\.com/(hdr-[^/]*|camera-raw-[^/]*|lightroom-settings[^/]*|creatorAtom|xmp/note)/"
    r"|http://ns\.adobe\.com/(xap/1\.0/(g/img/|mm/|sType/(ResourceEvent|Version|ManifestItem)#)|xmp/sType/Area#)"
    r"|http://ns\.adobe\.com/photoshop/1\.0/camera-profile"
    r"|http://ns\.apple\.com/"  # gain maps, faces, edits
    r"|http://ns\.microsoft\.com/photo/1\.[12]"  # regions of people
    r"|http://www\.metadataworkinggroup\.com/schemas/regions/"
    r"|http://ns\.acdsee\.com/(?!iptc/1\.0/)"  # regions, edits
    r"|.*(darktable|rawtherapee|pixls\.|capture-?one|phaseone|\bdxo\b|photolab|opticspro|luminar|skylum|macphun|\bon1\b"
    r"|alienskin|exposure\.software|bibble|aftershot|ns\.nikon\.com|silkypix|isl\.co\.jp|gimp\.org|pixelmator|photomator"
    r"|serif\.com|affinity|zoner|cyberlink|lightzone|ufraw|rawstudio|topazlabs|niksoftware|phocus|hasselblad|rawpower"
    r"|lightcrafts|snapseed|polarr|vsco)",
    re.IGNORECASE,
)
"""Namespaces of regions in the whole photo, other images in the file, edits, and the history of the file."""

_FILE_NAMES = re.compile(
    r"(image|face|person|people)?_?regions?_?(info|list|struct)?"
    r"|faces?_?(info|list|rects?|rectangles?|regions?|areas?|data|count|tags?|names?)*"
    r"|(raw)?(crop|trim)_?(top|left|bottom|right|x|y|w|h|width|height|angle|rect|rectangle|box|area|unit).*"
    r"|.*history.*|(raw)?(develop|development|adjustments?|processing|edit)_?(settings?|params|parameters|data|list|stack)"
    r"|(original|dig|digital)?_?(image|document|instance|asset|photo|file|content|media)?_?(unique)?_?(id|guid|uid|uuid)"
    r"|thumbnails?|previews?|.*digest|makernote",
    re.IGNORECASE,
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

_SERIAL_NUMBER = re.compile(r".*serial_?(number|no\b)", re.IGNORECASE)
_ABOUT_PLACES = re.compile(r".*(drone|pix4d|parrot|autel|skydio|opengis|georss|geo/wgs84_pos|/gps\b)", re.IGNORECASE)
"""Namespaces of coordinates, and of drones, which write little else."""
_COORDINATES = re.compile(
    r".*(gps|latitude|longt?itude|altitude|geotag|geohash|geolocation|coordinates?|footprintwkt|georeference|geodetic).*"
    r"|(lat|lon|lng|long|alt)",
    re.IGNORECASE,
)
"""Local names of coordinates. Names of cities and countries are editorial and stay. DJI spells it "longtitude"."""
_POSITION = re.compile(r".*(latitude|longt?itude|coordinates?|geohash|footprintwkt).*|lat|lon|lng|long", re.IGNORECASE)
_COORDINATE_VALUE = re.compile(r"\s*geo:(-?\d|(lat|lon|long|lng|alt)\s*=)", re.IGNORECASE)
"""`geo:` URIs (RFC 5870), and keywords such as `geo:lat=47.37`."""

_TRACKING_VALUE = re.compile(r"\s*FBMD[0-9a-fA-F]{6}")
"""What Facebook and Instagram write among the instructions, to recognise the file."""
_SYNTAX = ("http://www.w3.org/", "adobe:ns:meta/")
"""Namespaces whose names only give a packet its structure."""

_CORNERS = (frozenset({"x", "y"}), frozenset({"left", "top"}), frozenset({"x1", "y1"}), frozenset({"x0", "y0"}))
_EXTENTS = frozenset(
    {"w", "h", "d", "width", "height", "right", "bottom", "x1", "y1", "x2", "y2", "radius", "diameter"}
)


def is_known(name: str) -> bool:
    """Return whether shotcrop knows what the namespace of a name is about."""
    return _ABOUT_PICTURES.match(namespace(name)) is not None or is_about_the_file(name) or is_place(name)


def is_about_the_file(name: str) -> bool:
    """Return whether a property describes or identifies only the whole photo or its file."""
    return (
        name in _MORE_FILE_NAMES
        or _ABOUT_THE_FILE.match(namespace(name)) is not None
        or (_FILE_NAMES.fullmatch(local(name)) is not None and not _is_syntax(name))
    )


def is_serial_number(name: str) -> bool:
    """Return whether a property is the serial number of a device."""
    return _SERIAL_NUMBER.match(local(name)) is not None


def is_place(name: str) -> bool:
    """Return whether a property holds coordinates, or is of the device that measured them."""
    return _ABOUT_PLACES.match(namespace(name)) is not None or (
        _COORDINATES.fullmatch(local(name)) is not None and not _is_syntax(name)
    )


def is_position(name: str) -> bool:
    """Return whether a property holds a latitude, a longitude or both."""
    return _POSITION.fullmatch(local(name)) is not None


def has_coordinates(value: str) -> bool:
    """Return whether a value is a coordinate, such as those that photo sites write as keywords."""
    return _COORDINATE_VALUE.match(value) is not None


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


def _is_syntax(name: str) -> bool:
    return namespace(name).startswith(_SYNTAX)


def namespace(name: str) -> str:
    """Return the namespace of a name; empty if it has none."""
    return name[1:].rpartition("}")[0] if name.startswith("{") else ""
