"""Whatever a store, a mirror or a corpus says, nothing outside its folder is touched."""

from __future__ import annotations

import json
import shutil

import pytest
from faults import write_corpus

import paninifs as pf
from paninifs.storage.errors import GraphError, UnsafeKey
from paninifs.storage.field import Field
from paninifs.storage.fsspec_target import FsspecTarget
from paninifs.storage.local_target import LocalTarget
from paninifs.storage.target import open_target
