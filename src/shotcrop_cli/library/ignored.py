"""What NAS boxes, operating systems and photo programs leave among photos."""

from __future__ import annotations

NO_MEDIA = ".nomedia"
"""Android's mark of a folder that galleries leave out."""

_APPLE_DOUBLE = "._"
"""Starts the name of the file in which macOS keeps what another file system cannot hold (RFC 1740)."""
_ANDROID = (".trashed-", ".pending-")
"""Start the names of photos that Android 11 and later have deleted or not finished writing (MediaProvider)."""

_FOLDERS = frozenset(
    name.lower()
    for name in (
        # Thumbnails: Synology, QNAP, the freedesktop.org standard, Android.
        *("@eaDir", ".@__thumb", ".thumbnails"),
        # Deleted files: Synology, QNAP, Windows of several ages, macOS, freedesktop.org, digiKam, Netatalk.
        *("#recycle", "@Recycle", "$RECYCLE.BIN", "RECYCLER", ".Trashes", ".Trash", ".dtrash", "Network Trash Folder"),
        # Snapshots, in which every photo is found again: Synology, QNAP, NetApp, snapper, ZFS; and Syncthing.
        *("#snapshot", "@Recently-Snapshot", ".snapshot", ".snapshots", ".zfs", ".stversions"),
        # Work of the system: Synology, Windows, fsck, macOS, Netatalk.
        *("@tmp", "@sharebin", "System Volume Information", "lost+found", ".AppleDouble"),
        *(".Spotlight-V100", ".fseventsd", ".DocumentRevisions-V100", ".TemporaryItems"),
    )
)
_FOLDER_STARTS = (".trash-",)  # of freedesktop.org, followed by a user's number
_FOLDER_ENDINGS = (".lrdata",)  # Lightroom's previews, which may be DNG

_LIBRARY_ENDINGS = (".photoslibrary", ".photolibrary", ".migratedphotolibrary", ".aplibrary")
"""Packages of Apple's Photos, iPhoto and Aperture: each photo lies there as original, rendering and thumbnails."""


def is_junk_folder(name: str) -> bool:
    """Tell by its name whether a folder holds nothing that a user takes for photos of their own."""
    folded = name.lower()
    return folded in _FOLDERS or folded.startswith(_FOLDER_STARTS) or folded.endswith(_FOLDER_ENDINGS)


def is_junk_file(name: str) -> bool:
    """Tell by its name whether a file is no photo in spite of its extension."""
    return name.startswith(_APPLE_DOUBLE) or name.startswith(_ANDROID)


def is_photo_library(name: str) -> bool:
    """Tell by its name whether a folder is the package of a photo program."""
    return name.lower().endswith(_LIBRARY_ENDINGS)
