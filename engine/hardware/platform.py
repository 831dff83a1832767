"""Where we are: a notebook service, a batch system, or a machine like any other.

Each is known by environment variables that it sets, and is asked nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class Platform:
    """A service that runs this process, and what it says of the session."""

    name: str | None  # as people call it; None for a machine like any other
    session: dict[str, str] = field(default_factory=dict)  # what it says, by what that is
    ends: datetime | None = None  # when it will end the session, where it says; UTC
    gpu_remedy: str | None = None  # how one gets a GPU there

    def __str__(self) -> str:
        """Return it for people.

        >>> print(Platform("Slurm", {"job": "42"}, datetime(2026, 11, 3, 8, 30, tzinfo=UTC)))
        Slurm (job 42, ends 2026-11-03 08:30 UTC)
        """
        told = [f"{what} {value}" for what, value in self.session.items()]
        told += [f"ends {self.ends:%Y-%m-%d %H:%M} UTC"] if self.ends else []
        return (self.name or "none that is known") + (f" ({', '.join(told)})" if told else "")


@dataclass(frozen=True)
class _Service:
    name: str
    signs: tuple[str, ...]  # environment variables, any of which it sets
    says: dict[str, str]  # what it tells of the session, by the environment variable that does
    gpu_remedy: str


# The most specific first: Kaggle's image is made from Colab's and has its variable; Vertex AI runs
# Colab's notebooks too; and any of them may run on Kubernetes.
_SERVICES = (
    _Service(
        "Kaggle",
        ("KAGGLE_KERNEL_RUN_TYPE",),
        {"KAGGLE_KERNEL_RUN_TYPE": "session"},
        "in the notebook's menu choose Settings, Accelerator, GPU; the session starts anew",
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
        "in the menu choose Runtime, Change runtime type, a GPU; the runtime starts anew",
    ),
    _Service(
        "Slurm",
        ("SLURM_JOB_ID",),
        {
            "SLURM_JOB_ID": "job",
            "SLURM_JOB_PARTITION": "partition",
            "SLURM_JOB_NODELIST": "nodes",
        },
        "ask for one with the job: sbatch --gpus=1 (or --gres=gpu:1)",
    ),
    _Service(
        "Kubernetes",
        ("KUBERNETES_SERVICE_HOST",),
        {"HOSTNAME": "pod"},
        "ask for one with the pod: resources: limits: nvidia.com/gpu: 1",
    ),
)


def where() -> Platform:
    """Return where this process runs.

    Examples
    --------
    >>> where().name in ("Kaggle", "Vertex AI", "Colab", "Slurm", "Kubernetes", None)
    True
    """
    for service in _SERVICES:
        if any(os.environ.get(sign) for sign in service.signs):
            said = {
                what: os.environ[name]
                for name, what in service.says.items()
                if os.environ.get(name)
            }
            return Platform(service.name, said, _end(os.environ), service.gpu_remedy)
    return Platform(None)


def _end(environment: Mapping[str, str]) -> datetime | None:
    """Return when Slurm will end the job, which it tells in seconds since 1970."""
    seconds = environment.get("SLURM_JOB_END_TIME", "")
    return datetime.fromtimestamp(int(seconds), UTC) if seconds.isdigit() else None
