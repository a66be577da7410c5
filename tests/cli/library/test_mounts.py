from __future__ import annotations

from pathlib import Path

import pytest

from shotcrop_cli.library.mounts import is_on_network

MOUNTS = """\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
40 22 0:35 / /mnt/nas rw,relatime shared:20 - nfs4 nas:/photos rw,vers=4.2
41 40 8:3 / /mnt/nas/disk rw - ext4 /dev/sdb1 rw
42 22 0:36 / /mnt/my\\040share rw - cifs //nas/share rw
43 22 0:37 / /home/ana/remote rw - fuse.sshfs nas: rw
44 22 0:38 / /mnt/twice rw - nfs nas:/old rw
45 22 8:4 / /mnt/twice rw - ext4 /dev/sdc1 rw
broken line
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/srv/photos", False),
        ("/mnt/nas", True),
        ("/mnt/nas/2026", True),
        ("/mnt/nas2", False),
        ("/mnt/nas/disk/2026", False),
        ("/mnt/my share/x", True),
        ("/home/ana/remote", True),
        ("/mnt/twice", False),
    ],
)
def test_a_network_share_is_recognised_by_its_mount(tmp_path: Path, folder: str, expected: bool) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert is_on_network(Path(folder), mounts) is expected


def test_without_a_list_of_mounts_nothing_is_known(tmp_path: Path) -> None:
    assert not is_on_network(tmp_path, tmp_path / "none")
