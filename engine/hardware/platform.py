"""The platform that runs this process: a notebook service, a batch system, or a plain machine.

Platforms are recognised by environment variables that they set; no service is contacted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

NO_PLATFORM = "no cloud or notebook service recognised"
"""A plain machine, in words."""


@dataclass(frozen=True)
class Platform:
    """A service that runs this process, and what it reports about the session."""

    name: str | None  # None for a plain machine
    session: dict[str, str] = field(default_factory=dict)  # properties by name: "job", "image", ...
    ends: datetime | None = None  # scheduled end of the session, if reported; UTC
    gpu_remedy: str | None = None  # how to get a GPU there

    def __str__(self) -> str:
        """Return the platform in words.

        >>> print(Platform("Slurm", {"job": "42"}, datetime(2026, 11, 3, 8, 30, tzinfo=UTC)))
        Slurm (job 42, ends 2026-11-03 08:30 UTC)
        """
        facts = [f"{name} {value}" for name, value in self.session.items()]
        facts += [f"ends {self.ends:%Y-%m-%d %H:%M} UTC"] if self.ends else []
        return (self.name or NO_PLATFORM) + (f" ({', '.join(facts)})" if facts else "")


@dataclass(frozen=True)
class _Service:
    name: str
    signs: tuple[str, ...]  # environment variables; any of them identifies the service
    properties: dict[str, str]  # names of session properties, by environment variable
    gpu_remedy: str


# The most specific first: Kaggle's image derives from Colab's and has its variable; Vertex AI runs
# Colab's notebooks too; any of them may run on Kubernetes.
_SERVICES = (
    _Service(
        "Kaggle",
        ("KAGGLE_KERNEL_RUN_TYPE",),
        {"KAGGLE_KERNEL_RUN_TYPE": "session"},
        "in the notebook's menu choose Settings, Accelerator, GPU; the session restarts",
    ),
    _Service(
        "Vertex AI",
        ("VERTEX_PRODUCT", "CLOUD_ML_JOB_ID"),
        {"VERTEX_PRODUCT": "product", "CLOUD_ML_JOB_ID": "job"},
        "use a runtime, an instance or a job whose machine has a GPU",
    ),
    _Service(
        "Colab",
        ("COLAB_RELEASE_TAG",),
        {"COLAB_RELEASE_TAG": "image"},
        "in the menu choose Runtime, Change runtime type, a GPU; the runtime restarts",
    ),
    _Service(
        "Slurm",
        ("SLURM_JOB_ID",),
        {
            "SLURM_JOB_ID": "job",
            "SLURM_JOB_PARTITION": "partition",
            "SLURM_JOB_NODELIST": "nodes",
        },
        "request one for the job: sbatch --gpus=1 (or --gres=gpu:1)",
    ),
    _Service(
        "Kubernetes",
        ("KUBERNETES_SERVICE_HOST",),
        {"HOSTNAME": "pod"},
        "request one for the pod: resources: limits: nvidia.com/gpu: 1",
    ),
)


def current_platform() -> Platform:
    """Return the platform that runs this process.

    Examples
    --------
    >>> current_platform().name in ("Kaggle", "Vertex AI", "Colab", "Slurm", "Kubernetes", None)
    True
    """
    for service in _SERVICES:
        if any(os.environ.get(sign) for sign in service.signs):
            session = {
                name: os.environ[variable]
                for variable, name in service.properties.items()
                if os.environ.get(variable)
            }
            return Platform(service.name, session, _end(os.environ), service.gpu_remedy)
    return Platform(None)


def _end(environment: Mapping[str, str]) -> datetime | None:
    """Return when Slurm will end the job, which it reports in seconds since 1970."""
    try:
        return datetime.fromtimestamp(int(environment.get("SLURM_JOB_END_TIME", "")), UTC)
    except (ValueError, OverflowError, OSError):  # not set, or no date
        return None
