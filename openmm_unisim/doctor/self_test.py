"""A few jumps on each platform, compared with Reference, in a process of its own: a driver may end it or hang.

``python -m openmm_unisim.doctor.self_test PLATFORM...`` prints one line of JSON a platform as it is done.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .finding import Finding, first_line

__all__ = ["run_self_test"]

MODEL, SEQUENCE, JUMPS, SEED = "ala2", "ACE-ALA-NME", 3, 1
TOLERANCE_NM = 1e-3  # single precision of a device differs by far less; another molecule's shape by far more
_LATE = "not finished"
_TIMEOUT_S = 120.0  # of all platforms together, where some seconds are usual


def run_self_test(
    platforms: Sequence[str], timeout_s: float = _TIMEOUT_S
) -> tuple[list[Finding], dict[str, str]]:
    """Jump on each platform.

    Parameters
    ----------
    platforms : sequence of str
        Reference is added, as the others are compared with it.
    timeout_s : float
        After that the test is given up.

    Returns
    -------
    list of Finding
    dict of str to str
        Name of the device by platform.
    """
    left = ["Reference", *(name for name in platforms if name != "Reference")]
    answers: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + timeout_s
    while left:
        done, reason = _run(left, max(deadline - time.monotonic(), 1.0))
        answers |= done
        rest = [name for name in left if name not in answers]
        if rest:  # the first of them ended the process; those after it get one of their own
            answers[rest[0]] = {"error": reason}
        left = rest[1:]
    devices = {name: answer["device"] for name, answer in answers.items() if answer.get("device")}
    return [_finding(name, answer, answers["Reference"]) for name, answer in answers.items()], devices


def _run(platforms: Sequence[str], timeout_s: float) -> tuple[dict[str, dict[str, Any]], str]:
    """Answers of a process by platform, and why there are no more."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    package_parent = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "openmm_unisim.doctor.self_test", *platforms]
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        output, reason = ended.stdout, _last_words(ended.returncode, ended.stderr)
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        reason = f"{_LATE} after {timeout_s:.0f} s"
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {line.pop("platform"): line for line in lines}, reason


def _last_words(code: int, stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    how = f"the process died of signal {-code}" if code < 0 else f"the process ended with status {code}"
    return f"{how} ({lines[-1]:.200})" if lines else how


def _finding(name: str, answer: dict[str, Any], reference: dict[str, Any]) -> Finding:
    section = "self-test"
    if "error" in answer:
        late = answer["error"].startswith(_LATE)
        cure = "use another platform, or mend its driver"
        if late:  # a first compilation for a device takes long on a busy machine
            cure = "try again when the machine is idle; if it never ends, " + cure
        return Finding(section, name, f"failed: {answer['error']}", "note" if late else "fault", cure)
    device = f" on {answer['device']}" if answer["device"] else ""
    text = f"{JUMPS} jumps of {MODEL}{device} in {answer['seconds']:.1f} s"
    if name == "Reference" or "error" in reference:
        return Finding(section, name, text)
    pairs = zip(answer["positions"], reference["positions"], strict=True)
    worst = max(abs(a - b) for a, b in pairs)
    if not worst < TOLERANCE_NM:
        cure = "don't use it; please report it with the output of `openmm-unisim doctor --json`"
        return Finding(section, name, f"{text}, {worst:.1e} nm from Reference", "fault", cure)
    return Finding(section, name, f"{text}, {worst:.0e} nm from Reference")


def _jump(name: str) -> dict[str, Any]:
    """Positions (nm, all coordinates in a row) after the jumps, and the device."""
    import numpy as np
    import openmm
    from openmm import unit

    from ..integrator import UniSimIntegrator
    from ..system import build_capped_peptide, create_system

    began = time.perf_counter()
    molecule = build_capped_peptide("A")
    integrator = UniSimIntegrator(MODEL, molecule.topology, 300.0, randomNumberSeed=SEED)
    platform = openmm.Platform.getPlatformByName(name)
    context = openmm.Context(create_system(molecule, "obc2"), integrator, platform)
    context.setPositions(molecule.positions)
    integrator.step(JUMPS)
    positions = context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    device = (
        platform.getPropertyValue(context, "DeviceName")
        if "DeviceName" in platform.getPropertyNames()
        else ""
    )
    return {
        "device": device, "seconds": time.perf_counter() - began, "positions": np.asarray(positions).ravel().tolist()
    }  # fmt: skip


def _main(platforms: Sequence[str]) -> None:
    for name in platforms:
        try:
            answer = _jump(name)
        except Exception as error:  # each platform's failure is an answer
            answer = {"error": first_line(error)}
        print(json.dumps({"platform": name, **answer}), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
