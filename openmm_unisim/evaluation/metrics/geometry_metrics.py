"""Is the molecule's local geometry that of MD? Bonds and angles, handedness, cis peptide bonds, clashes, explosions.

===================  ==========================================================  =====================
symbol               meaning                                                     name here
===================  ==========================================================  =====================
m_i, w_i             median and interquartile range of bond (angle) i            _spread
shift                sqrt(mean_i (m_i - m_i,MD)^2) over a group                  bond_shift, angle_shift
width ratio          sqrt(mean_i w_i^2 / mean_i w_i,MD^2)                        bond_width_ratio, ...
k of n frames        two-sided 95 % interval of the fraction k/n                 clopper_pearson
===================  ==========================================================  =====================

Source of the interval: Clopper and Pearson, Biometrika 26 (1934) 404; it takes frames as independent, so that a defect
that stays for many frames is known less well than it says. Medians and quartiles, since one exploded frame would rule
means and standard deviations; explosions are counted apart. Limits of the counts: `validity`.
"""

from functools import partial
from typing import Any

import mdtraj
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..comparison import Comparison
from ..estimators.distributions import FloatArray
from ..estimators.validity import (
    alpha_carbons,
    bond_pairs,
    check_trajectory,
    chirality_volumes,
    force_field_bond_lengths,
)
from ..metric import Metric
from ..uncertainty import Array, compared
from .coordinate_grid import rounded_alike
from .thinning import thinned

MOST_FRAMES = 2000
CONSTRAINED_WIDTH = 1e-3  # nm, interquartile range: thermal X-H bonds have 0.0036, XTC rounding makes 0.0005
CIS_LIMIT = 90.0  # degrees
# centres beyond CA in the standard amino acids, with three of their neighbours
_SIDE_CHAIN_CENTRES = {"ILE": ("CB", "CA", "CG1", "CG2"), "THR": ("CB", "CA", "OG1", "CG2")}
_PLURAL = {"bond": "bond lengths", "angle": "angles"}
_UNITS = {"bond": "nm", "angle": "degrees"}


def geometry_metrics(comparison: Comparison, most_frames: int = MOST_FRAMES) -> list[Metric]:
    """Distributions of bonds and angles against the reference, and fractions of broken frames of both.

    Keys: ``bond_shift[heavy]``, ``bond_width_ratio[heavy]``, the same with ``hydrogen`` and ``angle``,
    ``worst_bond_shift``, ``worst_angle_shift``; ``fraction_nan``, ``fraction_explosion``, ``fraction_bond_off``,
    ``fraction_chirality_flipped``, ``fraction_clash``, ``fraction_cis``, each with ``interval_95`` in the details.

    Parameters
    ----------
    comparison : Comparison
    most_frames : int
        Evenly spaced frames of either trajectory for bonds and angles; fractions count every frame.
    """
    few, _ = rounded_alike(thinned(comparison, most_frames))
    bonds, angles = bond_pairs(comparison.topology), bonded_angles(comparison.topology)
    return [
        *_shape_metrics(few, "bond", bonds),
        *_shape_metrics(few, "angle", angles),
        *_validity_fractions(comparison),
        _chirality_fraction(comparison),
        _cis_fraction(comparison),
    ]


def neighbours_of(topology: mdtraj.Topology) -> list[list[int]]:
    """Bonded neighbours of each atom, sorted."""
    around: list[list[int]] = [[] for _ in range(topology.n_atoms)]
    for first, second in bond_pairs(topology):
        around[first].append(int(second))
        around[second].append(int(first))
    return [sorted(atoms) for atoms in around]


def bonded_angles(topology: mdtraj.Topology) -> NDArray[np.int64]:
    """Rows (i, j, k) of atoms i < k both bonded to j, shape (n_angles, 3)."""
    rows = [
        (first, centre, last)
        for centre, around in enumerate(neighbours_of(topology))
        for index, first in enumerate(around)
        for last in around[index + 1 :]
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def peptide_torsions(topology: mdtraj.Topology) -> NDArray[np.int64]:
    """Rows (carbon, C, N, carbon) of omega of every peptide bond, caps included, shape (n_bonds, 4)."""
    atoms, around = list(topology.atoms), neighbours_of(topology)
    rows = []
    for first, second in bond_pairs(topology):
        carbon, nitrogen = (first, second) if atoms[first].element.symbol == "C" else (second, first)
        if atoms[carbon].name != "C" or atoms[nitrogen].name != "N":
            continue
        if atoms[carbon].residue is atoms[nitrogen].residue:
            continue  # the methyl carbon of NME is named C, too
        before = [atom for atom in around[carbon] if atoms[atom].element.symbol == "C"]
        after = [atom for atom in around[nitrogen] if atoms[atom].element.symbol == "C" and atom != carbon]
        after.sort(key=lambda atom: atoms[atom].name != "CA")  # proline's N has CD, too
        if before and after:
            rows.append([before[0], carbon, nitrogen, after[0]])
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def stereocentres(topology: mdtraj.Topology) -> NDArray[np.int64]:
    """CA of `alpha_carbons` and CB of ILE and THR, each with three neighbours, shape (n_centres, 4)."""
    rows = alpha_carbons(topology).tolist()
    for residue in topology.residues:
        names = _SIDE_CHAIN_CENTRES.get(residue.name)
        atoms = {atom.name: atom.index for atom in residue.atoms}
        if names is not None and all(name in atoms for name in names):
            rows.append([atoms[name] for name in names])
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a fraction of which `count` of `total` independent trials were seen."""
    tail = (1.0 - confidence) / 2.0
    low = float(stats.beta.ppf(tail, count, total - count + 1)) if count > 0 else 0.0
    high = float(stats.beta.ppf(1.0 - tail, count + 1, total - count)) if count < total else 1.0
    return low, high


def _atom_name(topology: mdtraj.Topology, index: int) -> str:
    atom = topology.atom(int(index))
    return f"{atom.residue.name} {atom.residue.resSeq} {atom.name}"


def _measured(positions: NDArray[Any], atoms: NDArray[np.int64]) -> FloatArray:
    """Lengths (nm) of pairs or angles (degrees) of triples, shape (n_frames, n_rows)."""
    frames = np.asarray(positions, dtype=np.float64)
    if atoms.shape[1] == 2:
        return np.linalg.norm(frames[:, atoms[:, 0]] - frames[:, atoms[:, 1]], axis=-1)
    arms = [frames[:, atoms[:, end]] - frames[:, atoms[:, 1]] for end in (0, 2)]
    cross = np.linalg.norm(np.cross(arms[0], arms[1]), axis=-1)
    return np.degrees(np.arctan2(cross, np.sum(arms[0] * arms[1], axis=-1)))


def _spread(values: Array) -> tuple[FloatArray, FloatArray]:
    """Median and interquartile range of each column."""
    low, median, high = np.percentile(values, [25.0, 50.0, 75.0], axis=0)
    return median, high - low


def _shift(model: Array, reference: Array) -> float:
    return float(np.sqrt(np.mean((np.median(model, axis=0) - np.median(reference, axis=0)) ** 2)))


def _largest_shift(model: Array, reference: Array) -> float:
    return float(np.abs(np.median(model, axis=0) - np.median(reference, axis=0)).max())


def _width_ratio(model: Array, reference: Array) -> float:
    widths = [float(np.mean(_spread(values)[1] ** 2)) for values in (model, reference)]
    return float(np.sqrt(widths[0] / widths[1])) if widths[1] > 0.0 else float("nan")


def _shape_metrics(few: Comparison, kind: str, atoms: NDArray[np.int64]) -> list[Metric]:
    """Shift and width of all bonds or all angles, by group, and the worst one."""
    topology, unit, plural = few.topology, _UNITS[kind], _PLURAL[kind]
    worst_key, worst_label = f"worst_{kind}_shift", f"Largest shift of the median of one of the {plural}"
    if len(atoms) == 0:
        return [Metric.missing(worst_key, worst_label, f"no {plural}", unit=unit, better="lower")]
    model, reference = _measured(few.model, atoms), _measured(few.reference, atoms)
    hydrogen = np.array(
        [any(topology.atom(int(index)).element.symbol == "H" for index in row) for row in atoms]
    )
    metrics = []
    for group, chosen in (("heavy", ~hydrogen), ("hydrogen", hydrogen)):
        metrics += _group_metrics(few, kind, group, model[:, chosen], reference[:, chosen])
    kept = ~hydrogen if "constrained" in metrics[2].reason else np.ones(len(atoms), dtype=bool)
    if not kept.any():
        return [
            *metrics,
            Metric.missing(worst_key, worst_label, metrics[2].reason, unit=unit, better="lower"),
        ]
    model, reference, atoms = model[:, kept], reference[:, kept], atoms[kept]
    shifts = np.median(model, axis=0) - np.median(reference, axis=0)
    worst = int(np.abs(shifts).argmax())
    name = " - ".join(_atom_name(topology, index) for index in atoms[worst])
    details = {
        "name": name,
        "shift": float(shifts[worst]),
        "reference_median": float(np.median(reference[:, worst])),
    }
    metrics.append(
        compared(
            worst_key, f"{worst_label}: {name}", _largest_shift, model, reference, few.resampling, unit=unit,
            details=details,
        )
    )  # fmt: skip
    return metrics


def _group_metrics(few: Comparison, kind: str, group: str, model: Array, reference: Array) -> list[Metric]:
    shift = (f"{kind}_shift[{group}]", f"RMS shift of median {_PLURAL[kind]}, {group}")
    ratio = (f"{kind}_width_ratio[{group}]", f"Width of {_PLURAL[kind]} over that of MD, {group}")
    if model.shape[1] == 0:
        reason = f"no {_PLURAL[kind]} {'with' if group == 'hydrogen' else 'without'} hydrogen"
        return [
            Metric.missing(*shift, reason, unit=_UNITS[kind], better="lower"),
            Metric.missing(*ratio, reason),
        ]
    widths = [float(np.sqrt(np.mean(_spread(values)[1] ** 2))) for values in (model, reference)]
    details = {"width": widths[0], "reference_width": widths[1], "count": model.shape[1]}
    constrained = [kind == "bond" and width < CONSTRAINED_WIDTH for width in widths]
    details["constrained_reference"] = constrained[1]
    reason = "the reference has these bonds constrained"
    first = second = None
    if constrained[1]:  # flexible bonds are a little longer on average than constrained ones
        second = Metric.missing(*ratio, reason, details=details)
        if not constrained[0]:
            first = Metric.missing(*shift, reason, unit=_UNITS[kind], better="lower", details=details)
    return [
        first
        or compared(*shift, _shift, model, reference, few.resampling, unit=_UNITS[kind], details=details),
        second
        or compared(*ratio, _width_ratio, model, reference, few.resampling, better=None, details=details),
    ]


def fraction_metric(
    key: str,
    label: str,
    counts: tuple[int, int],
    totals: tuple[int, int],
    **details: Any,
) -> Metric:
    """Fraction of model frames beside that of reference frames, with 95 % intervals in the details.

    Parameters
    ----------
    key, label : str
    counts, totals : tuple of int
        Of model and reference.
    """
    intervals = [clopper_pearson(count, total) for count, total in zip(counts, totals)]
    return Metric(
        key, label, counts[0] / totals[0], better="lower", reference=counts[1] / totals[1],
        details={
            "count": counts[0], "frames": totals[0], "interval_95": list(intervals[0]),
            "reference_count": counts[1], "reference_frames": totals[1],
            "reference_interval_95": list(intervals[1]), **details,
        },
    )  # fmt: skip


_COUNTS = (
    ("nan_frames", "fraction_nan", "Frames with NaN"),
    ("explosions", "fraction_explosion", "Exploded frames (a bond off by 0.05 nm, or NaN)"),
    ("frames_bond_off", "fraction_bond_off", "Frames with a bond off by 0.025 nm"),
    ("frames_clash", "fraction_clash", "Frames with a clash of heavy atoms"),
)


def _validity_fractions(comparison: Comparison) -> list[Metric]:
    topology = comparison.topology
    lengths, source = force_field_bond_lengths(topology), "ff14SB"
    if lengths is None:  # not an Amber peptide: the reference knows its bonds
        lengths = np.median(_measured(comparison.reference, bond_pairs(topology)), axis=0)
        source = "median of the reference"
    reports = [
        check_trajectory(frames, topology, comparison.structure, lengths)
        for frames in (comparison.model_series, comparison.reference)
    ]
    metrics = []
    for field, key, label in _COUNTS:
        counts = [getattr(report, field) for report in reports]
        if None in counts:
            metrics.append(Metric.missing(key, label, "the topology has no bonds", better="lower"))
            continue
        totals = (reports[0].n_frames, reports[1].n_frames)
        metrics.append(fraction_metric(key, label, (counts[0], counts[1]), totals, bond_lengths=source))
    return metrics


def _chirality_fraction(comparison: Comparison) -> Metric:
    key, label = "fraction_chirality_flipped", "Frames with a flipped stereocentre"
    centres = stereocentres(comparison.topology)
    if len(centres) == 0:
        return Metric.missing(key, label, "no stereocentre is known in this molecule", better="lower")
    signs = np.sign(chirality_volumes(comparison.structure[None], centres))
    flips = [
        np.sign(chirality_volumes(frames, centres)) != signs
        for frames in (comparison.model, comparison.reference)
    ]
    names = [_atom_name(comparison.topology, row[0]) for row in centres]
    return fraction_metric(
        key, label, (int(flips[0].any(axis=1).sum()), int(flips[1].any(axis=1).sum())),
        (len(flips[0]), len(flips[1])), by_centre=dict(zip(names, flips[0].mean(axis=0).tolist())),
    )  # fmt: skip


def _cis_fraction(comparison: Comparison) -> Metric:
    key, label = "fraction_cis", "Frames with a cis peptide bond"
    rows = peptide_torsions(comparison.topology)
    if len(rows) == 0:
        return Metric.missing(key, label, "no peptide bond", better="lower")
    omega = partial(mdtraj.compute_dihedrals, indices=rows, periodic=False)
    cis = [
        np.abs(np.degrees(omega(mdtraj.Trajectory(frames, comparison.topology)))) < CIS_LIMIT
        for frames in (comparison.model, comparison.reference)
    ]
    names = [_atom_name(comparison.topology, row[2]) for row in rows]
    return fraction_metric(
        key, label, (int(cis[0].any(axis=1).sum()), int(cis[1].any(axis=1).sum())), (len(cis[0]), len(cis[1])),
        by_bond=dict(zip(names, cis[0].mean(axis=0).tolist())),
        reference_by_bond=dict(zip(names, cis[1].mean(axis=0).tolist())),
    )  # fmt: skip
