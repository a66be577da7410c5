"""Files and folders that NAS systems, operating systems and photo programs leave among photos, and shotcrop ignores."""

from __future__ import annotations

NO_MEDIA = ".nomedia"
"""Android's mark of a folder that galleries leave out."""

_APPLE_DOUBLE = "._"
"""Starts the name of the file where macOS keeps what another file system cannot store (RFC 1740)."""
_ANDROID = (".trashed-", ".pending-")
"""Start the names of photos that Android 11 and later have deleted or not finished writing (MediaProvider)."""

_FOLDERS = frozenset(
    name.lower()
    for name in (
        # Thumbnails: Synology, QNAP, the freedesktop.org standard, Android.
        *("@eaDir", ".@__thumb", ".thumbnails"),
        # Deleted files: Synology, QNAP, several versions of Windows, macOS, freedesktop.org, digiKam, Netatalk.
        *("#recycle", "@Recycle", "$RECYCLE.BIN", "RECYCLER", ".Trashes", ".Trash", ".dtrash", "Network Trash Folder"),
        # Snapshots, which contain every photo again: Synology, QNAP, NetApp, snapper, ZFS; and Syncthing's versions.
        *("#snapshot", "@Recently-Snapshot", ".snapshot", ".snapshots", ".zfs", ".stversions"),
        # Working folders of the system: Synology, Windows, fsck, macOS, Netatalk.
        *("@tmp", "@sharebin", "System Volume Information", "lost+found", ".AppleDouble"),
        *(".Spotlight-V100", ".fseventsd", ".DocumentRevisions-V100", ".TemporaryItems"),
    )
)
_FOLDER_PREFIXES = (".trash-",)  # freedesktop.org, followed by the number of a user
_FOLDER_SUFFIXES = (".lrdata",)  # Lightroom's previews, which may be DNG

_LIBRARY_SUFFIXES = (".photoslibrary", ".photolibrary", ".migratedphotolibrary", ".aplibrary")
"""Packages of Apple's Photos, iPhoto and Aperture. They hold each photo as original, rendering and thumbnails."""


def is_ignored_folder(name: str) -> bool:
    """Say whether the name of a folder shows that it holds no photos of the user."""
    folded = name.lower()
    return folded in _FOLDERS or folded.startswith(_FOLDER_PREFIXES) or folded.endswith(_FOLDER_SUFFIXES)


def is_ignored_file(name: str) -> bool:
    """Say whether the name of a file shows that it is not a photo in spite of its extension."""
    return name.startswith(_APPLE_DOUBLE) or name.startswith(_ANDROID)


def is_photo_library(name: str) -> bool:
    """Say whether the name of a folder is that of a photo program's package."""
    return name.lower().endswith(_LIBRARY_SUFFIXES)
