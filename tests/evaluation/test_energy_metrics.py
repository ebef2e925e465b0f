"""Energies under one System against OpenMM asked directly, and hand-made shifts."""

import numpy as np
import openmm
import pytest
from openmm import unit
from scipy.spatial.distance import jensenshannon

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.estimators.frame_energies import XH_BONDS, frame_energies
from openmm_unisim.evaluation.estimators.validity import bond_pairs
from openmm_unisim.evaluation.metrics.energy_metrics import energy_edges, energy_metrics, has_constant_lengths
from openmm_unisim.evaluation.trajectories import load_topology
from openmm_unisim.system import create_system, get_platform, load_molecule
from openmm_unisim.units import BOLTZMANN
from tests.evaluation.pairs_of_runs import by_key, pair
from tests.evaluation.runs import PDB

KT = BOLTZMANN * 300.0
TOPOLOGY, STRUCTURE = load_topology(PDB)
HYDROGEN = np.array([atom.element.symbol == "H" for atom in TOPOLOGY.atoms])


@pytest.fixture(scope="module")
def system():
    return create_system(load_molecule(str(PDB)), "obc2")


def dynamics(system, n_frames, seed, temperature=300.0, constrained=False):
    copy = openmm.XmlSerializer.clone(system)
    if constrained:
        bonds = next(force for force in copy.getForces() if isinstance(force, openmm.HarmonicBondForce))
        for index in range(bonds.getNumBonds()):
            first, second, length, _ = bonds.getBondParameters(index)
            if HYDROGEN[first] or HYDROGEN[second]:
                copy.addConstraint(first, second, length)
    integrator = openmm.LangevinMiddleIntegrator(temperature, 10.0, 0.001)
    integrator.setRandomNumberSeed(seed)
    context = openmm.Context(copy, integrator, get_platform("Reference"))
    context.setPositions(STRUCTURE.astype(np.float64))
    context.applyConstraints(1e-6)
    context.setVelocitiesToTemperature(temperature, seed)
    integrator.step(1000)
    frames = []
    for _ in range(n_frames):
        integrator.step(25)
        frames.append(context.getState(getPositions=True).getPositions(asNumpy=True)._value)
    return np.array(frames, dtype=np.float32)


@pytest.fixture(scope="module")
def runs(system):
    return dynamics(system, 300, 1), dynamics(system, 300, 2)


@pytest.fixture(scope="module")
def constrained(system):
    return dynamics(system, 150, 3, constrained=True)


def direct(system, frames):
    """Energies (kJ/mol) and root mean square forces, without any splitting."""
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), get_platform("Reference"))
    energies, forces = [], []
    for frame in frames.astype(np.float64):
        context.setPositions(frame)
        state = context.getState(getEnergy=True, getForces=True)
        energies.append(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
        forces.append(np.sqrt(np.mean(state.getForces(asNumpy=True)._value ** 2)))
    return np.array(energies), np.array(forces)


def test_terms_sum_to_openmm_s_energy_and_the_system_stays_as_it_is(system, runs):
    before = openmm.XmlSerializer.serialize(system)
    found = frame_energies(runs[0][:20], system, HYDROGEN)
    energies, forces = direct(system, runs[0][:20])
    assert found.potential == pytest.approx(energies, rel=1e-6)
    assert found.force_rms == pytest.approx(forces, rel=1e-6)
    assert openmm.XmlSerializer.serialize(system) == before
    assert {"HarmonicBondForce", XH_BONDS, "HarmonicAngleForce", "GBSAOBCForce"} <= set(found.terms)


def test_bond_terms_against_the_formula(system, runs):
    found = frame_energies(runs[0][:5], system, HYDROGEN)
    force = next(force for force in system.getForces() if isinstance(force, openmm.HarmonicBondForce))
    expected = {True: np.zeros(5), False: np.zeros(5)}
    for index in range(force.getNumBonds()):
        first, second, length, strength = (getattr(x, "_value", x) for x in force.getBondParameters(index))
        distance = np.linalg.norm(runs[0][:5, first].astype(float) - runs[0][:5, second], axis=1)
        expected[bool(HYDROGEN[first] or HYDROGEN[second])] += 0.5 * strength * (distance - length) ** 2
    assert found.terms[XH_BONDS] == pytest.approx(expected[True], rel=1e-4)
    assert found.terms["HarmonicBondForce"] == pytest.approx(expected[False], rel=1e-4)


def test_figures_are_those_of_numpy(system, runs):
    metrics, arrays = energy_metrics(pair(*runs, repeats=3), system, 300.0)
    found = by_key(metrics)
    (model, model_forces), (reference, reference_forces) = (direct(system, frames) for frames in runs)
    assert arrays.model.potential == pytest.approx(model, rel=1e-5)
    shift = (np.median(model) - np.median(reference)) / KT
    assert found["energy_shift"].value == pytest.approx(shift, abs=1e-3)
    assert found["energy_shift_per_ten_atoms"].value == pytest.approx(shift / 2.2, abs=1e-3)
    widths = [np.subtract(*np.percentile(values, [75, 25])) for values in (model, reference)]
    assert found["energy_iqr_ratio"].value == pytest.approx(widths[0] / widths[1], rel=1e-3)
    edges = energy_edges(reference)
    counts = [
        np.histogram(values, edges)[0] for values in (arrays.model.potential, arrays.reference_potential)
    ]
    assert sum(counts[0]) == 300 and len(counts[0]) == 44
    assert found["energy_js"].value == pytest.approx(jensenshannon(*counts), abs=2e-2)
    ratio = np.sqrt(np.mean(model_forces**2) / np.mean(reference_forces**2))
    assert found["force_rms_ratio"].value == pytest.approx(ratio, rel=1e-5)
    assert abs(ratio - 1) < 0.1 and abs(shift) < 4  # two runs of one ensemble
    assert found["energy_shift"].details["constrained_reference"] is False


def test_a_hot_copy_is_found(system, runs):
    hot = dynamics(system, 300, 5, temperature=450.0)
    found = by_key(energy_metrics(pair(hot, runs[0], repeats=3), system, 300.0)[0])
    assert found["energy_shift"].value > found["energy_shift"].floor + 5 * found["energy_shift"].floor_std
    assert found["force_rms_ratio"].value == pytest.approx(np.sqrt(1.5), rel=0.15)  # <F^2> = kT * <curvature>
    # 22 atoms: nearly harmonic, (3 * 22 - 6)/2 kT each
    assert found["energy_shift"].value == pytest.approx(30 * 0.5, rel=0.3)


def test_given_energies_are_compared_with(system, runs):
    own = frame_energies(runs[0], system, HYDROGEN).potential
    metrics, arrays = energy_metrics(pair(*runs, repeats=2), system, 300.0, reference_energies=own - 3 * KT)
    found = by_key(metrics)
    assert found["energy_shift"].value == pytest.approx(3.0)
    assert found["energy_iqr_ratio"].value == pytest.approx(1.0)
    assert arrays.reference_potential == pytest.approx(own - 3 * KT)


def test_a_constrained_reference_is_seen_and_only_sound_figures_are_given(system, runs, constrained):
    pairs = bond_pairs(TOPOLOGY)
    pairs = pairs[HYDROGEN[pairs].any(axis=1)]
    rounded = np.round(constrained, 3)  # as XTC stores it
    assert has_constant_lengths(constrained, pairs) and has_constant_lengths(rounded, pairs)
    assert not has_constant_lengths(runs[0], pairs)
    assert not has_constant_lengths(constrained, pairs[:0])
    metrics, arrays = energy_metrics(pair(runs[0], constrained, repeats=5), system, 300.0)
    found = by_key(metrics)
    assert arrays.constrained_reference and not arrays.constrained_model
    for key in ("energy_shift", "energy_shift_per_ten_atoms", "energy_iqr_ratio", "energy_js", "force_rms_ratio",
                f"energy_shift[{XH_BONDS}]"):  # fmt: skip
        assert found[key].value is None and "constrained" in found[key].reason, key
        assert found[key].details["constrained_reference"] is True
    rest = found["energy_shift_without_xh_bonds"]
    assert abs(rest.value) < 5 * rest.floor_std
    # twelve X-H bonds would have added half a kT each
    naive = (np.median(arrays.model.potential) - np.median(arrays.reference.potential)) / KT
    assert naive - rest.value == pytest.approx(6.0, abs=1.5)
    given = by_key(energy_metrics(pair(runs[0], constrained, repeats=2), system, 300.0,
                                  reference_energies=arrays.model.potential)[0])  # fmt: skip
    assert given["energy_shift"].value == 0.0 and given["force_rms_ratio"].value is None


def test_overlapping_atoms_are_counted_and_do_not_spoil_the_median(system, runs):
    broken = runs[0].copy()
    broken[:30, 0] = broken[:30, 20]  # energies of 1/0
    found = by_key(energy_metrics(pair(broken, runs[1], repeats=2), system, 300.0)[0])
    assert found["energy_shift"].details["non_finite_frames"] == 30
    assert np.isfinite(found["energy_shift"].value)


def test_thinning_to_most_frames(system, runs):
    _, arrays = energy_metrics(pair(*runs, repeats=2), system, 300.0, most_frames=60)
    assert len(arrays.model.potential) == len(arrays.reference.potential) == 60
    assert arrays.model.potential == pytest.approx(frame_energies(runs[0][::5], system, HYDROGEN).potential)


def test_wrong_input_is_named(system, runs):
    other = create_system(load_molecule("ACE-GLY-NME"), "vacuum")
    with pytest.raises(ConfigError, match="has 19 particles and the frames 22 atoms"):
        energy_metrics(pair(*runs, repeats=2), other, 300.0)
    with pytest.raises(ConfigError, match="not positive"):
        energy_metrics(pair(*runs, repeats=2), system, 0.0)


def test_rounding_of_one_side_is_no_difference_in_energy(system, runs):
    rounded = np.round(runs[0], 3)
    found = by_key(energy_metrics(pair(rounded, runs[0], repeats=2), system, 300.0)[0])
    assert found["energy_shift"].value == 0.0 and found["energy_shift"].details["rounded_to_nm"] == 0.001
    energies = frame_energies(runs[0], system, HYDROGEN).potential
    given = by_key(
        energy_metrics(pair(rounded, runs[0], repeats=2), system, 300.0, reference_energies=energies)[0]
    )
    assert 0.0 < given["energy_shift"].value < 1.0  # about 0.3 kT of rounding remain there
