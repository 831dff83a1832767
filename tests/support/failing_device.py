"""A device that fails: a block that loses it, on the workers of a real cluster.

It needs the stand-in for CuPy. As with a GPU, a fatal error belongs to the process: after it, every
call of the process fails, of any thread and any run, although the process still says that it is
ready. The block works for some texts, so that it passes its trial on the first ones of a corpus.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from distributed import get_worker

import paninifs as pf

ALWAYS = []  # not empty: the device of this process always fails

_poisoned = []  # not empty: this process has lost its device


@dataclass(frozen=True)
class FailingDevice:
    """Devices of the workers of a cluster.

    Parameters
    ----------
    folder : str
        Where calls are written down.
    always, once : tuple
        Names of workers whose device always fails, and fails until the worker is restarted.
    at : str or None
        A text at which any device fails.
    spared : tuple
        Texts for which no device fails unless it is lost already.
    seconds : float
        Duration of a call that works.
    """

    folder: str
    always: tuple = ()
    once: tuple = ()
    at: str | None = None
    spared: tuple = ()
    seconds: float = 0.02

    def block(self):
        """Return a block that needs the device."""

        @pf.map_block(fields=[pf.Field("length", "int32")], name="fragile", version="1")
        def fragile(text):
            return self._call(text)

        return fragile

    def _call(self, text):
        name = str(get_worker().name)
        lengths = (text.offsets[1:] - text.offsets[:-1]).astype("int32")
        if type(lengths).__module__ != "cupy":  # the block runs on the CPU
            return lengths
        if _poisoned or self._fails(name, text):
            _poisoned.append(True)
            self._write(f"lost {name} {os.getpid()}")
            raise sys.modules["cupy"].cuda.runtime.CUDARuntimeError(719)
        time.sleep(self.seconds)
        self._write(f"computed {name} {os.getpid()}")
        return lengths

    def _fails(self, name, text):
        texts = set(text.to_strings())
        if texts <= {*self.spared}:
            return False
        if self.at in texts:
            return True
        return (
            bool(ALWAYS)
            or name in self.always
            or (name in self.once and self._is_first_process(name))
        )

    def _is_first_process(self, name):
        path = Path(self.folder, f"first-{name}")
        try:
            with path.open("x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            return path.read_text() == str(os.getpid())
        return True

    def _write(self, line):
        with Path(self.folder, "calls").open("a") as file:
            file.write(f"{line}\n")

    def calls(self, what):
        """Return the name and process of every call that was "lost" or "computed"."""
        path = Path(self.folder, "calls")
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(name, int(pid)) for kind, name, pid in lines if kind == what]
