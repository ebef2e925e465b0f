"""The protocol `sample` on flexible alanine dipeptide with the shipped model: the force field's own distributions."""

from pathlib import Path

import mdtraj
import numpy as np
import pytest

from openmm_unisim.evaluation.estimators.features import backbone_torsions
from openmm_unisim.evaluation.estimators.kinetics import statistical_inefficiency
from openmm_unisim.evaluation.estimators.kolmogorov import kolmogorov_test
from openmm_unisim.evaluation.estimators.validity import bond_pairs
from openmm_unisim.hybrid.preparation import HybridSettings, prepare_hybrid
from openmm_unisim.hybrid.protocol import JumpPart, MDPart, Protocol, load_protocol
from openmm_unisim.simulation.relaxation import thermalise

CYCLES = 300
MD = Protocol(
    kind="explore",
    thermalise_ps=10.0,
    md=MDPart(steps=500, time_step_fs=1.0, constraints="none"),
    jump=JumpPart(number=0, after="accept"),
)


def series_of(protocol: Protocol, seed: int, folder: Path) -> tuple[dict[str, np.ndarray], int]:
    """phi, psi, two bonds and the energy after each cycle; and how many jumps were accepted."""
    prepared = prepare_hybrid(
        HybridSettings("ACE-ALA-NME", "ala2", folder, protocol, seed=seed, platform="Reference")
    )
    run, simulation = prepared.run, prepared.simulation()
    state = thermalise(run.molecule, prepared.system, prepared.md, 10.0, run.seeds[:2], run.platform)
    simulation.context.setPositions(state.positions)
    simulation.drawVelocities()
    frames, energies = [], []
    for _ in range(CYCLES):
        simulation.step(1)
        frames.append(simulation.context.getState(positions=True).getPositions(asNumpy=True)._value)
        energies.append(simulation.lastCycle.potential_energy_kj_mol)
    positions, topology = np.array(frames), mdtraj.Topology.from_openmm(run.molecule.topology)
    angles = backbone_torsions(positions, topology)[0]
    found = {"phi": np.asarray(angles.phi), "psi": np.asarray(angles.psi), "energy": np.array(energies)}
    for first, second in bond_pairs(topology):
        lengths = np.linalg.norm(positions[:, first] - positions[:, second], axis=1)
        found[f"bond {first}-{second}"] = lengths
    return found, simulation.getCounts().accepted


def mean_and_error(series: np.ndarray) -> tuple[float, float]:
    return float(series.mean()), float(series.std() * np.sqrt(statistical_inefficiency(series) / len(series)))


@pytest.mark.slow
def test_an_exact_run_has_the_distributions_of_flexible_md(tmp_path: Path) -> None:
    exact, accepted = series_of(load_protocol("sample", thermalise_ps=10.0), 3, tmp_path)
    md, _ = series_of(MD, 4, tmp_path)
    assert 0.1 * CYCLES < accepted < 0.5 * CYCLES
    tests = {name: kolmogorov_test(exact[name], md[name]).p_value for name in exact}
    assert len(tests) == 3 + 21 and min(tests.values()) > 1e-4, (
        tests
    )  # of 24, one below 4e-5 in a thousand runs
    (mean, error), (expected, other) = mean_and_error(exact["energy"]), mean_and_error(md["energy"])
    assert abs(mean - expected) < 3.5 * np.hypot(error, other)
