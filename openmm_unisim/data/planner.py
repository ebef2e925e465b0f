"""How much MD fits into a budget of core-hours and of archive, and the plan that spends it.

Rates are of one core of the machine that docs/data.md names, interpolated in the number of atoms (log-log); `speed`
scales them to another machine. Within a group every molecule gets the same length, single residues twice that: they
are cheap, and every longer chain is made of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from ..system import Molecule
from .plan import DataPlan, LabelPlan, Start, TrajectoryPlan

__all__ = ["LABEL_FRAMES", "Sized", "archive_megabytes", "make_plan", "ns_per_day"]

# (atoms, ns/day of a core): GAFF2 at 8 and 21 atoms, ff14SB beyond; Reference platform below 50 atoms, CPU above
_RATES = {
    "vacuum": ((8, 60000), (22, 17992), (32, 9869), (43, 6459), (47, 5384), (76, 2470), (138, 946)),
    "obc2": ((8, 25000), (22, 5305), (32, 2660), (43, 1556), (47, 1369), (76, 794), (138, 337)),
}
BYTES_PER_ATOM = 3.3  # of an archived frame, docs/data.md
_UNSTORED = {
    "built": 0.15,
    "hot": 0.17,
    "other-environment": 0.17,
}  # ns a walker: equilibration, frames to start from
LABEL_FRAMES = {
    "ff14sb-obc2": 1024, "ff14sb-vacuum": 1024, "gaff2-obc2": 1024, "gaff2-vacuum": 1024, "mmff94": 1024,
    "gfn2-xtb": 512,
}  # fmt: skip
_HOT_SEED = 51  # seeds of walkers started elsewhere; 1, 2, ... are the equilibrium walkers'
_OTHER_SEED = 71


@dataclass(frozen=True)
class Sized:
    """A molecule's name, number of atoms and number of residues (0: small molecule)."""

    name: str
    n_atoms: int
    n_residues: int

    @classmethod
    def of(cls, molecule: Molecule, n_residues: int) -> "Sized":
        """From the molecule itself."""
        return cls(molecule.name, len(molecule.atomic_numbers), n_residues)


@dataclass(frozen=True)
class _Group:
    """Molecules and protocol that share a part of the budget."""

    small: bool
    environment: str
    start: Start
    share: float
    walkers: int
    first_seed: int


# Shares of the core-hours. Peptides in OBC2 are what `peptide` is trained on; small molecules are so cheap that a few
# per cent give each tens of nanoseconds; starts from elsewhere give support where equilibrium MD hardly goes.
_GROUPS = (
    _Group(False, "obc2", "built", 0.62, 2, 1),
    _Group(False, "vacuum", "built", 0.12, 2, 1),
    _Group(False, "obc2", "hot", 0.10, 1, _HOT_SEED),
    _Group(False, "obc2", "other-environment", 0.05, 1, _OTHER_SEED),
    _Group(True, "obc2", "built", 0.07, 2, 1),
    _Group(True, "vacuum", "built", 0.04, 2, 1),
)


def ns_per_day(n_atoms: int, environment: str) -> float:
    """MD of one core, ns/day."""
    atoms, rates = np.log(np.array(_RATES[environment], dtype=np.float64)).T
    x = np.log(n_atoms)
    slope = (rates[-1] - rates[-2]) / (atoms[-1] - atoms[-2])
    beyond = max(0.0, x - atoms[-1]) * slope
    return float(np.exp(np.interp(x, atoms, rates) + beyond))


def archive_megabytes(n_atoms: int, nanoseconds: float, spacing: float) -> float:
    """Size of archived frames, 10^6 bytes."""
    return BYTES_PER_ATOM * n_atoms * nanoseconds * 1000 / spacing / 1e6


def make_plan(
    molecules: Sequence[Sized], core_hours: float, archive_mb: float, speed: float = 1.0, labels: bool = True
) -> DataPlan:
    """The plan that spends a budget.

    Parameters
    ----------
    molecules : sequence of Sized
    core_hours : float
        For MD; labels come on top (`estimate` says how much).
    archive_mb : float
        Limit of the archive at 10 ps, 10^6 bytes.
    speed : float
        Of a core, relative to the rates here.
    labels : bool
        Plan labels, too.

    Raises
    ------
    ConfigError
        If a budget isn't positive or buys nothing, or the archive would be too large.
    """
    if not molecules or core_hours <= 0 or archive_mb <= 0 or speed <= 0:
        raise ConfigError(
            f"{len(molecules)} molecules, {core_hours} core-hours, {archive_mb} MB, speed {speed}: each must be "
            "positive."
        )
    present = [group for group in _GROUPS if any((m.n_residues == 0) == group.small for m in molecules)]
    whole = sum(group.share for group in present)
    parts: list[TrajectoryPlan] = []
    for group in present:
        members = [m for m in molecules if (m.n_residues == 0) == group.small]
        parts += _trajectories(group, members, core_hours * group.share / whole, speed)
    sizes = {m.name: m.n_atoms for m in molecules}
    runs = [(sizes[name], part) for part in parts for name in part.molecules]
    total = [(n, part.nanoseconds * part.walkers) for n, part in runs]
    megabytes = sum(archive_megabytes(n, ns, 10.0) for n, ns in total)
    if megabytes > archive_mb:
        raise ConfigError(
            f"The archive of this plan would take {megabytes:.0f} MB at 10 ps, over {archive_mb:g} MB; plan fewer "
            "hours."
        )
    estimate = {
        "core_hours": sum(_hours(n, part, speed) for n, part in runs),
        "nanoseconds": sum(ns for _, ns in total),
        "archive_mb_at_5_ps": sum(archive_megabytes(n, ns, 5.0) for n, ns in total),
        "archive_mb_at_10_ps": megabytes,
        "label_core_hours": _label_hours(molecules) / speed if labels else 0.0,
    }
    plan_labels = (LabelPlan(molecules=tuple(sizes), frames=LABEL_FRAMES),) if labels else ()
    return DataPlan(
        trajectories=tuple(parts), labels=plan_labels, estimate={k: round(v, 2) for k, v in estimate.items()}
    )


def _weight(molecule: Sized) -> float:
    return 2.0 if molecule.n_residues == 1 else 1.0


def _hours(n_atoms: int, part: TrajectoryPlan, speed: float) -> float:
    total = (part.nanoseconds + _UNSTORED[part.start]) * part.walkers
    return total / (ns_per_day(n_atoms, part.environment) * speed) * 24.0


def _trajectories(
    group: _Group, members: Sequence[Sized], hours: float, speed: float
) -> list[TrajectoryPlan]:
    """One part a weight: the length L solves sum_i walkers (w_i L / walkers + unstored_i) / rate_i = hours."""
    costs = [24.0 / (ns_per_day(m.n_atoms, group.environment) * speed) for m in members]  # h per ns
    left = hours - sum(cost * _UNSTORED[group.start] * group.walkers for cost in costs)
    length = left / sum(cost * _weight(m) for cost, m in zip(costs, members))
    parts = []
    for weight in sorted({_weight(m) for m in members}):
        each = np.floor(weight * length / group.walkers * 10.0) / 10.0  # whole segments of 100 ps
        if each < 0.1:
            raise ConfigError(
                f"{hours:.2g} core-hours for {len(members)} molecules in {group.environment} give each walker less "
                "than 0.1 ns; plan more hours or fewer molecules."
            )
        names = tuple(m.name for m in members if _weight(m) == weight)
        parts.append(
            TrajectoryPlan(
                molecules=names,
                environment="obc2" if group.environment == "obc2" else "vacuum",
                nanoseconds=float(each),
                walkers=group.walkers,
                first_seed=group.first_seed,
                start=group.start,
            )
        )
    return parts


def _label_hours(molecules: Sequence[Sized]) -> float:
    """Core-hours of labels: GFN2-xTB (135 a second at 22 atoms, falling as n^2.6) and MD between frames."""
    xtb = sum(LABEL_FRAMES["gfn2-xtb"] / (135.0 * (22.0 / m.n_atoms) ** 2.6) for m in molecules)
    nanoseconds = 0.1  # of MD for 64 frames, at 1 fs
    frames = max(LABEL_FRAMES.values()) / 64
    md = sum(
        frames
        * nanoseconds
        * 2
        * 86400
        / 2
        * (1 / ns_per_day(m.n_atoms, "obc2") + 1 / ns_per_day(m.n_atoms, "vacuum"))
        for m in molecules
    )
    return (xtb + md) / 3600.0
