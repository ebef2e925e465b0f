"""MD to judge by: the torsion series shipped for alanine dipeptide, or those of a given trajectory.

The shipped file holds phi and psi as hundredths of a degree in 16-bit integers (300 ns in a tenth of a
megabyte), and potential energies of flexible MD, which a run without constraints compares with.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..provenance import sha256_of_file
from .estimators.distributions import wrap_degrees
from .estimators.features import ResidueTorsions, backbone_torsions
from .trajectories import load_trajectory

REFERENCE_FOLDER = Path(__file__).resolve().parents[1] / "pretrained" / "reference"
_SHIPPED = {("ACE-ALA-NME", "obc2"): "ala2_obc2.npz"}
LEAST_FRAMES = 50
_ANGLE_UNIT = 0.01  # degrees per integer


@dataclass(frozen=True)
class TorsionReference:
    """Torsions of a reference trajectory.

    Attributes
    ----------
    name : str
        What to call it in a report.
    torsions : list of ResidueTorsions
        In chain order.
    frame_spacing_ps : float or None
        None if unknown: distributions can be compared, kinetics can't.
    potential_energy : ndarray, shape (n_energies,), kJ/mol, or None
        Of MD without constraints in the same environment (``details["energy"]``), not frame by frame.
    details : dict
        Protocol and provenance.
    """

    name: str
    torsions: list[ResidueTorsions]
    frame_spacing_ps: float | None
    potential_energy: NDArray[np.float32] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def lag_frames(self, lag_time_ps: float) -> int | None:
        """Frames in `lag_time_ps`; None unless it is a whole number of frame spacings."""
        if self.frame_spacing_ps is None:
            return None
        ratio = lag_time_ps / self.frame_spacing_ps
        frames = round(ratio)
        return frames if frames >= 1 and abs(ratio - frames) < 1e-3 * frames else None


def shipped_reference(sequence: str, environment: str) -> TorsionReference | None:
    """The reference that comes with the package, or None if there is none for this molecule and environment.

    Parameters
    ----------
    sequence : str
        Residue names, e.g. ``ACE-ALA-NME``.
    environment : str
        ``obc2`` or ``vacuum``.
    """
    file_name = _SHIPPED.get((sequence, environment))
    return None if file_name is None else read_compact_reference(REFERENCE_FOLDER / file_name)


def trajectory_reference(path: str | Path, topology: mdtraj.Topology) -> TorsionReference:
    """Reference made of a trajectory of the same atoms in the same order (formats: `load_trajectory`)."""
    loaded = load_trajectory(path, topology)
    if not np.isfinite(loaded.positions).all():
        raise DataError(f"reference '{path}' has NaN coordinates; give a sound MD trajectory.")
    if loaded.n_frames < LEAST_FRAMES:
        raise DataError(
            f"reference '{path}' has {loaded.n_frames} frames and a distribution needs {LEAST_FRAMES}; give longer MD."
        )
    details = {"file": str(path), "sha256": sha256_of_file(path), "frames": loaded.n_frames}
    torsions = backbone_torsions(loaded.positions, topology)
    return TorsionReference(Path(path).name, torsions, loaded.frame_spacing_ps, details=details)


def write_compact_reference(path: Path, reference: TorsionReference) -> None:
    """Write torsions as 16-bit hundredths of a degree, with the details as JSON text."""
    angles = np.array([[residue.phi, residue.psi] for residue in reference.torsions])
    energies = reference.potential_energy
    np.savez_compressed(
        path,
        torsions=np.rint(angles / _ANGLE_UNIT).astype(np.int16),
        angle_unit_degrees=_ANGLE_UNIT,
        labels=np.array([residue.label for residue in reference.torsions]),
        frame_spacing_ps=np.nan if reference.frame_spacing_ps is None else reference.frame_spacing_ps,
        potential_energy=np.array([] if energies is None else energies, dtype=np.float32),
        name=np.array(reference.name),
        details=np.array(json.dumps(reference.details)),
    )


def read_compact_reference(path: Path) -> TorsionReference:
    """Read what `write_compact_reference` wrote."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            angles = archive["torsions"].astype(np.float64) * float(archive["angle_unit_degrees"])
            spacing = float(archive["frame_spacing_ps"])
            energies = archive["potential_energy"] if archive["potential_energy"].size else None
            labels, name = archive["labels"].tolist(), str(archive["name"])
            details = json.loads(str(archive["details"]))
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"reference '{path}' can't be read ({error}); install the package again.") from error
    torsions = [
        ResidueTorsions(label, wrap_degrees(phi), wrap_degrees(psi))
        for label, (phi, psi) in zip(labels, angles)
    ]
    return TorsionReference(name, torsions, spacing if np.isfinite(spacing) else None, energies, details)
