"""storage/: files and arrays. Knows no clusters, no devices and no map-blocks."""

from . import errors as errors
