"""Recognition of mounts (a Drive, a bucket, a network folder), where creating files is slow.

Writing to a folder, mounted or not, is in `local`.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import psutil

DRIVE = "fuse.drive"
"""Filesystem type of Colab's mounted Drive."""

_NETWORK_MOUNTS = frozenset({"9p", "afs", "cifs", "nfs", "nfs4", "smb3", "smbfs", "vboxsf"})


def is_mount(path: Path) -> bool:
    """Return whether a path is on a mounted Drive, bucket or network folder, not on a disk."""
    kind = filesystem_type(path)
    return kind.startswith("fuse") or kind in _NETWORK_MOUNTS


def filesystem_type(path: Path) -> str:
    """Return the filesystem type of a path, such as ``ext4``, or `DRIVE` for Colab's Drive.

    A path that does not exist yet has the type of its parent.
    """
    real = os.path.realpath(path)
    found = [
        (len(disk.mountpoint), disk.fstype)
        for disk in psutil.disk_partitions(all=True)
        if PurePath(real).is_relative_to(disk.mountpoint)
    ]
    return max(found, default=(0, ""))[1]
