"""A Drive that is a local folder."""

from pathlib import Path


def mount(mountpoint):
    Path(mountpoint, "MyDrive").mkdir(parents=True, exist_ok=True)
    print(f"Mounted at {mountpoint}")  # noqa: T201 (as Colab does)
