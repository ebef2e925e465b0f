"""Damaged files by the thousand, in processes of their own: nothing may crash, hang, or be taken in part.

    python tools/fuzz.py --cases 1000 --output benchmarks/results/fuzz.json [KIND ...]

makes that many cases of each kind (tests/fuzz/targets.py). Case k of a kind depends on kind, --seed and k only. The
result is written after every batch, and the same command goes on where it stopped. A file that does what it must not
do is kept in --findings. `--package FILE.unisim.pt2` is the seed of the kind "package", which is left out without it.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BATCH, BATCH_TIMEOUT_S, MEMORY_BYTES = 500, 1800.0, 16 * 2**30
CASE_TIMEOUT_S = 60.0  # of processor time; a case takes milliseconds


def main() -> int:
    """Run what is left of each kind; status 1 if anything was found."""
    arguments = parse()
    if arguments.worker:
        work(*arguments.worker)
        return 0
    from openmm_unisim.provenance import provenance

    output = Path(arguments.output)
    record: dict[str, Any] = {"seed": arguments.seed, "kinds": {}, "findings": []}
    if output.is_file():
        record = json.loads(output.read_text(encoding="utf-8"))
        if record["seed"] != arguments.seed:
            raise SystemExit(f"{output} has the seed {record['seed']}; give that one or another --output.")
    kinds = [kind for kind in arguments.kinds or known_kinds() if kind != "package" or arguments.package]
    for kind in kinds:
        while (
            done := record["kinds"].setdefault(kind, {"cases": 0, "outcomes": {}})["cases"]
        ) < arguments.cases:
            run_batch(record, kind, done, min(BATCH, arguments.cases - done), arguments)
            record["cases"] = sum(entry["cases"] for entry in record["kinds"].values())
            record["provenance"] = provenance(seed=arguments.seed)
            record["kinds"][kind]["commit"] = record["provenance"]["commit"]
            output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(kind, record["kinds"][kind], flush=True)
    return 1 if record["findings"] else 0


def parse() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*")
    parser.add_argument("--cases", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", default="benchmarks/results/fuzz.json")
    parser.add_argument("--findings", default="runs/fuzz")
    parser.add_argument("--package", help="a package to damage")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    return parser.parse_args()


def known_kinds() -> tuple[str, ...]:
    """All kinds of tests/fuzz/targets.py."""
    sys.path.insert(0, str(ROOT))
    from tests.fuzz.targets import KINDS

    return KINDS


def run_batch(
    record: dict[str, Any], kind: str, first: int, number: int, arguments: argparse.Namespace
) -> None:
    """Cases first .. first + number - 1, or as many as the process survives, counted in `record`."""
    entry, began = record["kinds"][kind], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="unisim-fuzz-") as folder:
        if arguments.package:
            shutil.copy(arguments.package, Path(folder, "seed.unisim.pt2"))
        command = [
            sys.executable,
            __file__,
            "--worker",
            kind,
            str(arguments.seed),
            str(first),
            str(number),
            folder,
        ]
        environment = {**os.environ, "OPENMM_UNISIM_TRUSTED_MODELS": str(Path(folder, "trusted_models"))}
        try:
            ended = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                timeout=BATCH_TIMEOUT_S,
                check=False,
                cwd=ROOT,
            )
            output, how = ended.stdout, f"ended with {ended.returncode}: {ended.stderr[-800:]}"
            survived = ended.returncode == 0
        except subprocess.TimeoutExpired as error:
            output = (error.stdout or b"").decode()
            survived, how = False, f"hung for {BATCH_TIMEOUT_S:.0f} s"
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    done, counts = first, Counter(entry["outcomes"])
    for line in lines:
        if "outcome" in line:
            counts[line["outcome"]] += 1
            done += 1
            if line["outcome"] == "finding":
                keep(record, kind, line["case"], line["text"], arguments)
    if not survived:
        if not lines:
            raise SystemExit(f"The worker for {kind} did nothing; it {how}")
        counts["crash" if "ended" in how else "hang"] += 1
        keep(record, kind, done, how, arguments)
        done += 1
    entry.update(cases=done, outcomes=dict(sorted(counts.items())))
    entry["seconds"] = round(entry.get("seconds", 0.0) + time.monotonic() - began, 1)


def keep(record: dict[str, Any], kind: str, case: int, text: str, arguments: argparse.Namespace) -> None:
    """Note a finding: `--worker` with its number makes the file again."""
    record["findings"].append({"kind": kind, "case": case, "text": text[:1500]})
    print("FINDING", kind, case, text[:1500], flush=True)


def work(kind: str, seed: str, first: str, number: str, folder: str) -> None:
    """The worker: one line of JSON before and after each case."""
    sys.path.insert(0, str(ROOT))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import torch

    torch.set_num_threads(1)
    from tests.fuzz.targets import Finding, make_target

    target = make_target(kind, Path(folder))
    print(json.dumps({"ready": kind}), flush=True)
    for case in range(int(first), int(first) + int(number)):
        data = target.mutate(random.Random(f"{kind}:{seed}:{case}"))
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime + CASE_TIMEOUT_S)
        resource.setrlimit(
            resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY)
        )  # SIGXCPU ends a case that hangs
        try:
            answer = {"outcome": target.try_case(data)}
        except Finding as error:
            answer = {"outcome": "finding", "text": str(error)}
        except Exception as error:  # what is no named error is a finding
            answer = {"outcome": "finding", "text": f"{type(error).__name__}: {error}"}
        print(json.dumps({"case": case, **answer}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
