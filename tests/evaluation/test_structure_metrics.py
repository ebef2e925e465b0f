"""The metrics of the paper on MD of alanine dipeptide and on a peptide of six residues."""

from dataclasses import replace

import emcee
import mdtraj
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from openmm_unisim.errors import ConfigError
from openmm_unisim.evaluation.comparison import compare
from openmm_unisim.evaluation.metrics.structure_metrics import structure_metrics
from openmm_unisim.evaluation.reference import shipped_reference
from openmm_unisim.evaluation.trajectories import LoadedTrajectory, load_topology
from openmm_unisim.system import load_molecule

from .runs import PDB, dipeptide, turn

KEYS = ["pwd", "rg", "tic", "tic_2d", "val_ca", "contact", "ram", "ess", "ess_per_second"]
PHI_BOND, BEYOND_PHI = (6, 8), [9, *range(10, 22)]


def compared(reference, model, topology, structure, spacing=10.0, **options):
    judge, judged = (LoadedTrajectory(frames, topology, spacing) for frames in (reference, model))
    return compare(judge, judged, topology, structure, **options)


def by_key(comparison, mode="strict", **options):
    metrics, _ = structure_metrics(comparison, mode, **options)
    assert [metric.key for metric in metrics] == KEYS
    return {metric.key: metric for metric in metrics}


@pytest.fixture(scope="module")
def md():
    """Two halves of the shipped MD of alanine dipeptide, on rigid bond lengths: (topology, structure, halves)."""
    topology, structure = load_topology(PDB)
    torsions = shipped_reference("ACE-ALA-NME", "obc2").torsions[0]
    frames = dipeptide(torsions.phi, torsions.psi)
    return topology, structure, (frames[: len(frames) // 2], frames[len(frames) // 2 :])


def fluctuating(structure, n_frames, seed, amplitude=0.015, memory=0.7):
    """A molecule whose atoms wander about their places as AR(1) processes; (n_frames, n_atoms, 3), nm."""
    generator = np.random.default_rng(seed)
    moves = generator.normal(0.0, amplitude, (n_frames, *structure.shape))
    for index in range(1, n_frames):
        moves[index] = memory * moves[index - 1] + np.sqrt(1 - memory**2) * moves[index]
    return (structure + moves).astype(np.float32)


@pytest.fixture(scope="module")
def peptide():
    """ACE-AKAEAL-NME: (topology, structure, two runs of fluctuations)."""
    molecule = load_molecule("ACE-AKAEAL-NME")
    topology = mdtraj.Topology.from_openmm(molecule.topology)
    structure = molecule.positions.astype(np.float32)
    return topology, structure, (fluctuating(structure, 3000, 1), fluctuating(structure, 1500, 2))


@pytest.mark.parametrize("mode", ["paper", "strict"])
def test_two_halves_of_md_score_at_the_floor(md, mode):
    topology, structure, (first, second) = md
    metrics = by_key(compared(first, second, topology, structure), mode)
    for key in ("tic", "tic_2d", "ram"):
        metric = metrics[key]
        # bins that the reference never visited can't be resampled: joint histograms have a floor a little low
        assert metric.value < max(metric.floor + 3 * metric.floor_std, 1.2 * metric.floor), key
        assert metric.standard_error > 0.0
    ess = metrics["ess"]
    assert abs(ess.value - ess.floor) < 3 * np.hypot(ess.standard_error, ess.floor_std)


@pytest.mark.parametrize("mode", ["paper", "strict"])
def test_two_runs_of_a_peptide_score_at_the_floor(peptide, mode):
    topology, structure, (first, second) = peptide
    metrics = by_key(compared(first, second, topology, structure), mode)
    for key in ("pwd", "rg", "contact"):
        metric = metrics[key]
        assert abs(metric.value - metric.floor) < 4 * metric.floor_std, key
    assert metrics["val_ca"].value == pytest.approx(metrics["val_ca"].reference, abs=0.02)


def test_components_fitted_on_few_frames_of_many_coordinates_still_score_at_the_floor(peptide):
    """700 coordinates, 1,500 frames to fit on: where it is fitted, noise looks slow; strict judges elsewhere."""
    topology, structure, (first, second) = peptide
    paper, strict = (
        by_key(compared(first, second, topology, structure), mode) for mode in ("paper", "strict")
    )
    assert paper["ess"].value > 3 * paper["ess"].floor  # of noise
    for key in ("tic", "tic_2d"):
        assert abs(strict[key].value - strict[key].floor) < 3 * strict[key].floor_std, key
    ess = strict["ess"]
    assert abs(ess.value - ess.floor) < 3 * np.hypot(ess.standard_error, ess.floor_std)


@pytest.mark.parametrize("mode", ["paper", "strict"])
def test_a_copy_turned_in_phi_is_seen(md, mode):
    topology, structure, (first, second) = md
    turned = turn(second.astype(np.float64), PHI_BOND, BEYOND_PHI, np.full(len(second), 60.0)).astype(
        np.float32
    )
    metrics = by_key(compared(first, turned, topology, structure), mode)
    for key in ("tic", "tic_2d", "ram"):
        metric = metrics[key]
        assert metric.value > metric.floor + 10 * np.hypot(metric.floor_std, metric.standard_error), key


@pytest.mark.parametrize("mode", ["paper", "strict"])
def test_noise_on_every_atom_is_seen(peptide, mode):
    topology, structure, (first, second) = peptide
    noise = np.random.default_rng(3).normal(0.0, 0.05, second.shape).astype(np.float32)
    metrics = by_key(compared(first, second + noise, topology, structure), mode)
    for key in ("pwd", "rg", "tic", "tic_2d", "ram"):
        metric = metrics[key]
        assert metric.value > metric.floor + 10 * metric.floor_std, key
    assert metrics["val_ca"].value < 0.5 < metrics["val_ca"].reference


def test_shuffled_frames_have_the_same_distributions_and_too_many_samples(md):
    topology, structure, (first, second) = md
    shuffled = np.random.default_rng(4).permutation(second)
    plain = by_key(compared(first, second, topology, structure))
    mixed = by_key(compared(first, shuffled, topology, structure))
    for key in ("tic", "tic_2d", "ram"):
        assert mixed[key].value == pytest.approx(plain[key].value, abs=1e-12)
    ess = mixed["ess"]
    assert ess.value == pytest.approx(len(second), rel=0.1)
    assert ess.value > ess.floor + 10 * np.hypot(ess.standard_error, ess.floor_std)


def test_paper_values_in_numpy_and_scipy(peptide):
    """Every distance of the six-residue peptide, written out again."""
    topology, structure, (first, second) = peptide
    first = first + np.random.default_rng(5).normal(0.0, 0.02, first.shape).astype(np.float32)
    metrics = by_key(compared(first, second, topology, structure), "paper")
    carbons = [atom.index for atom in topology.atoms if atom.name == "CA"]

    def histogram_js(a, b):
        edges = np.linspace(a.min(), a.max(), 50)
        return jensenshannon(*(np.histogram(v, edges, density=True)[0] + 1e-6 for v in (a, b)))

    def separation(frames, i, j):
        return np.linalg.norm(frames[:, carbons[i]] - frames[:, carbons[j]], axis=-1)

    pairs = [(0, 4), (0, 5), (1, 5)]
    expected = np.mean([histogram_js(separation(first, *p), separation(second, *p)) for p in pairs])
    assert metrics["pwd"].value == pytest.approx(expected, rel=1e-4)
    radii = [mdtraj.compute_rg(mdtraj.Trajectory(f, topology).atom_slice(carbons)) for f in (first, second)]
    assert metrics["rg"].value == pytest.approx(histogram_js(*radii), abs=2e-3)  # mdtraj computes in float32
    rates = [
        [np.mean(separation(f, i, j) < 1.0) for i in range(6) for j in range(i + 1, 6)]
        for f in (first, second)
    ]
    squared = (np.array(rates[0]) - np.array(rates[1])) ** 2
    assert metrics["contact"].value == pytest.approx(np.sqrt(2 / 30 * squared.sum()))
    angles = []
    for frames in (first, second):
        trajectory = mdtraj.Trajectory(frames, topology)
        phi, psi = mdtraj.compute_phi(trajectory)[1], mdtraj.compute_psi(trajectory)[1]
        angles.append(
            (phi.ravel().astype(float), psi.ravel().astype(float))
        )  # capped: phi k and psi k are residue k
    edges = [np.linspace(a.min(), a.max(), 50) for a in angles[0]]
    densities = [np.histogram2d(*pair, bins=edges, density=True)[0].ravel() + 1e-6 for pair in angles]
    assert metrics["ram"].value == pytest.approx(jensenshannon(*densities), abs=2e-3)


def test_tic_and_ess_are_those_of_the_projection(md):
    topology, structure, (first, second) = md
    comparison = compared(first, second, topology, structure)
    metrics, arrays = structure_metrics(comparison, "paper", wall_seconds=(50.0, 200.0))
    found = {metric.key: metric for metric in metrics}
    model, reference = arrays.tics
    assert model.shape == reference.shape == (15000, 2)
    scores = []
    for k in (0, 1):
        edges = np.linspace(reference[:, k].min(), reference[:, k].max(), 50)
        scores.append(
            jensenshannon(*(np.histogram(v[:, k], edges, density=True)[0] + 1e-6 for v in (model, reference)))
        )
    assert found["tic"].value == pytest.approx(np.mean(scores))
    tau = emcee.autocorr.integrated_time(model[:, 0], quiet=True)[0]
    assert found["ess"].value == pytest.approx(15000 / tau)
    assert found["ess_per_second"].value == pytest.approx(15000 / tau / 50.0)
    assert found["ess_per_second"].reference == pytest.approx(found["ess"].reference / 200.0)
    assert found["tic"].details["tica_lag_frames"] == 10  # 100 ps


def test_capped_dipeptide_has_no_metric_of_its_one_alpha_carbon(md):
    topology, structure, (first, second) = md
    metrics = by_key(compared(first[:2000], second[:500], topology, structure))
    for key in ("pwd", "rg", "val_ca", "contact"):
        assert metrics[key].value is None and metrics[key].reason.endswith("has 1")
    assert metrics["ess_per_second"].reason == "the wall time of the model isn't known"


def test_four_alpha_carbons_have_radius_and_validity_but_no_pair_i_i_plus_4():
    molecule = load_molecule("ACE-AAAA-NME")
    topology = mdtraj.Topology.from_openmm(molecule.topology)
    runs = [fluctuating(molecule.positions, n, seed) for n, seed in ((600, 1), (300, 2))]
    metrics = by_key(compared(*runs, topology, molecule.positions))
    for key in ("pwd", "contact"):
        assert metrics[key].value is None and "needs 5 alpha carbons (i, i + 4), has 4" in metrics[key].reason
    assert metrics["rg"].value is not None and metrics["val_ca"].value is not None


def test_small_molecule_has_tics_only():
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for index in range(4):
        topology.add_atom(f"C{index}", mdtraj.element.carbon, residue)
    structure = np.random.default_rng(6).normal(0.0, 0.2, (4, 3))
    runs = [fluctuating(structure, 2000, seed) for seed in (1, 2)]
    metrics = by_key(compared(*runs, topology, structure))
    assert [key for key in KEYS if metrics[key].value is not None] == ["tic", "tic_2d", "ess"]
    assert metrics["ram"].reason == "no residue has both phi and psi"


def test_short_reference_has_no_tics(md):
    topology, structure, (first, second) = md
    metrics = by_key(compared(first[:90], second[:90], topology, structure), "paper")
    for key in ("tic", "tic_2d", "ess", "ess_per_second"):
        assert metrics[key].value is None and "needs 100 reference frames to fit on" in metrics[key].reason
    assert metrics["ram"].value is not None


def test_nan_and_exploded_frames_are_outside_and_invalid(peptide):
    topology, structure, (first, second) = peptide
    broken = second.copy()
    broken[:300] = np.nan
    broken[300:450] *= 1e20
    for mode in ("paper", "strict"):
        comparison = compared(first, broken, topology, structure)
        metrics = by_key(comparison, mode)
        for key in ("pwd", "rg", "tic", "tic_2d"):
            assert metrics[key].outside == pytest.approx(0.3, abs=0.02), (mode, key)
            assert metrics[key].value > metrics[key].floor + 5 * metrics[key].floor_std or mode == "paper"
        assert metrics["val_ca"].value == pytest.approx(0.7 * metrics["val_ca"].reference, abs=0.03)
        assert metrics["ess"].details["longest_stretch_frames"] == 1050


def test_lag_in_ps_makes_spacings_comparable(md):
    topology, structure, (first, second) = md
    coarse = compared(first, second[::2], topology, structure, model_spacing_ps=20.0)
    metrics = by_key(coarse, "strict", tica_lag=40)
    assert metrics["tic"].details["tica_lag_frames"] == 4 and metrics["tic"].details["tica_lag_ps"] == 40.0
    ess = metrics["ess"]  # the floor is of MD every 20 ps
    assert abs(ess.value - ess.floor) < 3 * np.hypot(ess.standard_error, ess.floor_std)


def test_paper_lag_without_a_spacing_is_100_frames(md):
    topology, structure, (first, second) = md
    unknown = replace(
        compared(first[:1500], second[:200], topology, structure),
        model_spacing_ps=None,
        reference_spacing_ps=None,
    )
    paper, strict = by_key(unknown, "paper"), by_key(unknown, "strict")
    assert paper["tic"].details["tica_lag_frames"] == 100 and paper["tic"].details["tica_lag_ps"] is None
    assert strict["tic"].details["tica_lag_frames"] == 10
    assert paper["ess"].floor is None  # the spacings' ratio isn't known
    with pytest.raises(ConfigError, match="frame spacing of the reference"):
        structure_metrics(unknown, "strict", tica_lag=20)


@pytest.mark.parametrize(
    "mode, options, message",
    [
        ("loose", {}, "'loose' is unknown"),
        ("paper", {"tica_lag": 2.5}, "number of frames"),
        ("strict", {"tica_lag": 25.0}, "whole number of the reference's frame spacing of 10.0 ps"),
        ("paper", {"wall_seconds": (0.0, None)}, "positive seconds"),
    ],
)
def test_wrong_settings_are_named(md, mode, options, message):
    topology, structure, (first, second) = md
    with pytest.raises(ConfigError, match=message):
        structure_metrics(compared(first[:100], second[:100], topology, structure), mode, **options)


def test_arrays_for_plots(peptide):
    topology, structure, (first, second) = peptide
    _, arrays = structure_metrics(compared(first, second, topology, structure), "strict")
    assert [a.shape for a in arrays.tics] == [(1500, 2), (1500, 2)]  # the reference's second half
    assert [a.shape for a in arrays.contact_rates] == [(6, 6), (6, 6)]
    assert [a.shape for a in arrays.radius_of_gyration] == [(1500,), (3000,)]
    assert [a.shape for a in arrays.valid_chain] == [(1500,), (3000,)]
    np.testing.assert_array_equal(arrays.contact_rates[0], arrays.contact_rates[0].T)
