"""Run the benchmarks and write what they found: ``make bench``, ``make bench QUICK=1``.

    python bench.py [--quick] [--only gauge|kernels|runs|long] [--folder DIR] [--out DIR]

Writes DIR/results.json and DIR/README.md, the page that draws them. Corpora and stores go to a
temporary folder (about 12 GB in a full run; --folder says where).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import draw
import gauge
import kernels
import long_texts
import runs
from measure import Table, as_json, machine


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="under two minutes, rough figures")
    parser.add_argument("--only", choices=["gauge", "kernels", "runs", "long"])
    parser.add_argument("--folder", type=Path, help="where corpora and stores may lie for a while")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    facts = machine()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), end="\n\n", flush=True)
    tables: list[Table] = []
    suites = {
        "gauge": lambda: gauge.run(options.quick),
        "kernels": lambda: kernels.run(options.quick),
        "runs": lambda: runs.run(options.quick, options.folder),
        "long": lambda: long_texts.run(options.quick, options.folder),
    }
    for name, suite in suites.items():
        if options.only in (None, name):
            for table in suite():
                print(table.markdown(), flush=True)
                tables.append(table)
    options.out.mkdir(parents=True, exist_ok=True)
    results = as_json(facts, tables)
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    draw.page(results, options.out)


if __name__ == "__main__":
    main()
