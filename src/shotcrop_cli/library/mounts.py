"""Say on what kind of file system a folder is."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset({"9p", "afs", "ceph", "cifs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs"})
"""File systems whose changes by other machines the kernel does not report. All of FUSE counts, too."""


def is_on_network(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Say whether a folder is on a file system whose changes the kernel may not report; False if that is unknown.

    Args:
        folder: The folder; it need not exist.
        mounts: The list of mounts, as proc(5) describes it.
    """
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    real, best, kind = os.path.realpath(folder), "", ""
    for line in lines:
        mount, _, rest = line.partition(" - ")
        fields, options = mount.split(" "), rest.split(" ")
        if len(fields) < 5 or not rest:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        is_above = point == "/" or real == point or real.startswith(f"{point}/")
        if is_above and len(point) >= len(best):  # of two mounts at one place, the later one is seen
            best, kind = point, options[0]
    return kind in NETWORK or kind.startswith("fuse")
