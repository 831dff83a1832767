"""Measure the kernels on this machine's GPU: ``make bench-gpu``.

    python gpu.py [--quick] [--scale FACTOR] [--out DIR] [--add] [subject ...]

Prints tables and writes each to DIR/gpu.json as soon as it has it. Most subjects need CuPy and
NumPy; `overlap` and `runs` need the requirements of a whole run, and `cluster` RAPIDS. A subject
whose packages are missing is left out, and one that fails does not stop the others.
"""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, cast

from measure import Table
from on_gpu.machine import Amount, facts
from on_gpu.results import Results

from paninifs.graphs.kernels import load


class Subject(NamedTuple):
    """A function that yields tables, as ``module:name``, and the packages that it needs."""

    function: str
    needs: tuple[str, ...] = ()

    def tables(self, amount: Amount) -> Iterator[Table]:
        module, _, name = self.function.partition(":")
        function = getattr(import_module(f"on_gpu.{module}"), name)
        yield from cast("Callable[[Amount], Iterator[Table]]", function)(amount)


_RUN = ("cloudpickle", "dask", "distributed", "fsspec", "numba", "psutil", "pyarrow", "zarr")
SUBJECTS = {
    "start": Subject("machine:compilation"),
    "bus": Subject("bus:copies"),
    "rates": Subject("resident:rates"),
    "calls": Subject("resident:calls"),
    "long": Subject("resident:long_texts"),
    "overlap": Subject("overlap:host_to_host", _RUN),
    "runs": Subject("whole_runs:without_rapids", _RUN),
    "cluster": Subject("whole_runs:with_rapids", (*_RUN, "cudf", "dask_cuda")),
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(SUBJECTS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the texts, fewer rounds")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the amount of texts")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--add", action="store_true", help="keep the tables in gpu.json")
    options = parser.parse_args()
    if unknown := set(options.subjects) - set(SUBJECTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    amount = Amount(options.scale * (0.1 if options.quick else 1), 3 if options.quick else 9)
    results = Results(options.out / "gpu.json", add=options.add)
    results.know(facts())
    load("cuda").prepare()
    failed = 0
    for name in options.subjects or SUBJECTS:
        began = time.perf_counter()
        if missing := [one for one in SUBJECTS[name].needs if find_spec(one) is None]:
            print(f"no {name}: {', '.join(missing)} not installed\n", flush=True)
            continue
        try:
            for table in SUBJECTS[name].tables(amount):
                results.has(table)
        except Exception:  # noqa: BLE001 (the other subjects are worth having)
            failed += 1
            traceback.print_exc()
        print(f"{name}: {time.perf_counter() - began:.0f} s\n", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
