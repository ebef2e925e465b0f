"""A user's MD to two archive files, what is trained on and what is held out."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ConfigError, DataError, OutputError
from ..provenance import provenance, sha256_of_file
from ..stereo import handedness, stereocentres
from . import archive
from .foreign import ForeignWalker, StatedProtocol, read_walker
from .hold_out import Piece, hold_out
from .molecule_choice import ChosenMolecule, choose_molecule
from .molecule_list import require_split

__all__ = ["ForeignMD", "ImportedMD", "import_md"]

TRAIN, HELD_OUT, RECORD = "train.h5", "held_out.h5", "import.json"


@dataclass(frozen=True)
class ForeignMD:
    """What a user gives.

    Attributes
    ----------
    topology : Path
        PDB or mmCIF.
    trajectories : tuple of Path
        One a walker.
    lag_times : tuple of float, ps
        Multiples of the spacing.
    protocol : StatedProtocol
    spacing_ps : float or None
        Between the files' frames, where they don't say.
    stride : int
    select : str
        mdtraj's selection language; empty: all but water and ions.
    equilibrium : bool
        The MD is at equilibrium, so that its pairs may be reversed in time. Files of ours say it themselves.
    """

    topology: Path
    trajectories: tuple[Path, ...]
    lag_times: tuple[float, ...]
    protocol: StatedProtocol = field(default_factory=StatedProtocol)
    spacing_ps: float | None = None
    stride: int = 1
    select: str = ""
    equilibrium: bool = False

    def record(self) -> dict[str, Any]:
        """All of it as JSON, files by name and SHA-256."""
        files = [self.topology, *self.trajectories]
        for file in files:
            if not file.is_file():
                raise DataError(f"There is no file '{file}'; check the path.")
        settings = asdict(self) | {"topology": "", "trajectories": ""}
        hashes = [sha256_of_file(file) for file in files]
        for k, digest in enumerate(hashes[1:]):
            before = hashes[1:].index(digest)
            if before < k:  # the last trajectory is held out: it would be trained on, too
                raise DataError(
                    f"'{self.trajectories[k]}' and '{self.trajectories[before]}' are the same file (SHA-256); give "
                    "each trajectory once."
                )
        return {"settings": settings, "files": [[file.name, digest] for file, digest in zip(files, hashes)]}


@dataclass(frozen=True)
class ImportedMD:
    """The files, and what was done, in sentences."""

    train: Path
    held_out: Path
    name: str
    notes: tuple[str, ...]


def import_md(given: ForeignMD, folder: Path) -> ImportedMD:
    """Convert a user's MD into `folder`; done already, it is only checked.

    Raises
    ------
    UniSimError
        One of its subclasses, naming what can't be used and why.
    """
    request = given.record()
    done = folder / RECORD
    if done.is_file():
        return _imported_before(request, folder)
    chosen = choose_molecule(given.topology, given.select)
    name = chosen.molecule.name
    require_split([name])
    walkers = [read_walker(path, chosen, given.spacing_ps, given.stride) for path in given.trajectories]
    if not walkers:
        raise DataError("No trajectory was given; name one or more with --trajectory.")
    spacing, protocol = _common(walkers, given)
    spacing = _fitted_spacing(given.lag_times, spacing)
    _check_handedness(walkers, chosen)
    train, held, statement = hold_out(_pieces(walkers, given), round(max(given.lag_times) / spacing))
    metadata = _metadata(chosen, protocol, spacing, walkers)
    for target, part in ((folder / TRAIN, train), (folder / HELD_OUT, held)):
        reversible = [piece.reversible for piece in part]
        archive.write_frames(target, [piece.frames for piece in part], reversible, metadata)
    notes = _notes(chosen, walkers, statement, train, held, spacing)
    _write(done, {"request": request, "name": name, "notes": notes, "provenance": provenance()})
    return ImportedMD(folder / TRAIN, folder / HELD_OUT, name, notes)


def _imported_before(request: dict[str, Any], folder: Path) -> ImportedMD:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        before, name, notes = record["request"], record["name"], tuple(record["notes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"'{folder / RECORD}' can't be read ({error}); choose another --output."
        ) from error
    if before != json.loads(json.dumps(request)):
        raise CheckpointError(
            f"'{folder}' holds the data of other trajectories or settings; choose another --output to train on these."
        )
    return ImportedMD(folder / TRAIN, folder / HELD_OUT, name, notes)


def _common(walkers: Sequence[ForeignWalker], given: ForeignMD) -> tuple[float, dict[str, Any]]:
    """Spacing and protocol of all walkers."""
    first = walkers[0]
    protocol = given.protocol.completed(first.attributes, first.path)
    for walker in walkers[1:]:
        if abs(walker.frame_spacing_ps - first.frame_spacing_ps) > 0.01 * first.frame_spacing_ps:
            raise DataError(
                f"'{walker.path}' has frames {walker.frame_spacing_ps:g} ps apart and '{first.path}' "
                f"{first.frame_spacing_ps:g} ps; give trajectories of one spacing."
            )
        other = given.protocol.completed(walker.attributes, walker.path)
        for key, value in protocol.items():
            if other[key] != value:
                raise DataError(
                    f"'{walker.path}' has {key} = {other[key]!r} and '{first.path}' {value!r}; a model is trained on "
                    "one protocol, so give the files of one."
                )
    return first.frame_spacing_ps, protocol


def _fitted_spacing(lag_times: Sequence[float], spacing: float) -> float:
    """The spacing, freed of a file's rounding: a whole number of frames is exactly a lag."""
    for lag_time in lag_times:
        frames = lag_time / spacing
        if round(frames) < 1 or abs(frames - round(frames)) > 1e-3 * frames:
            raise ConfigError(
                f"A lag of {lag_time:g} ps is no multiple of the frames' spacing of {spacing:g} ps; give another "
                "--lag-time."
            )
    return lag_times[0] / round(lag_times[0] / spacing)


def _check_handedness(walkers: Sequence[ForeignWalker], chosen: ChosenMolecule) -> None:
    """Refuse frames in which a stereocentre has another hand than in the first one of all."""
    molecule = chosen.molecule
    centres = stereocentres(molecule.atomic_numbers.tolist(), molecule.bonds.tolist())
    if len(centres) == 0:
        return
    wanted = handedness(walkers[0].stretches[0][:1].astype(float), centres)[0]
    for walker in walkers:
        for frames in walker.stretches:
            differs = (handedness(frames.astype(float), centres) != wanted).any(1)
            if differs.any():
                raise DataError(
                    f"Frame {int(differs.argmax())} of '{walker.path}' has a stereocentre of the other hand than "
                    "the first frame; MD doesn't do that, so look at the topology and the frames."
                )


def _pieces(walkers: Sequence[ForeignWalker], given: ForeignMD) -> list[Piece]:
    """All stretches, each with what is known of it: an archive holds both kinds."""
    found = []
    for k, walker in enumerate(walkers):
        flags = walker.reversible or [given.equilibrium] * len(walker.stretches)
        found += [Piece(k, frames, flag) for frames, flag in zip(walker.stretches, flags, strict=True)]
    return found


def _metadata(
    chosen: ChosenMolecule, protocol: dict[str, Any], spacing: float, walkers: Sequence[ForeignWalker]
) -> dict[str, Any]:
    """Attributes, as trajectory files of ours have them."""
    molecule = chosen.molecule
    steps = {walker.attributes.get("time_step") for walker in walkers}
    return {
        "name": molecule.name,
        "atomic_numbers": molecule.atomic_numbers.tolist(),
        "bonds": molecule.bonds.tolist(),
        "frame_spacing_ps": spacing,
        **protocol,
        "time_step": steps.pop() if len(steps) == 1 else None,
        "sources": [
            {"file": walker.path.name, "sha256": sha256_of_file(walker.path), "seed": walker.attributes.get("seed")}
            for walker in walkers
        ],
    }  # fmt: skip


def _notes(
    chosen: ChosenMolecule, walkers: Sequence[ForeignWalker], statement: str,
    train: Sequence[Piece], held: Sequence[Piece], spacing: float,
) -> tuple[str, ...]:  # fmt: skip
    sizes = [sum(len(piece.frames) for piece in part) * spacing / 1000 for part in (train, held)]
    first = f"{chosen.molecule.name}: {len(chosen.atoms)} atoms"
    if chosen.left_out:
        first += f"; left out: {chosen.left_out}"
    own = [note for walker in walkers for note in walker.notes]
    last = f"{statement}: {sizes[0]:.4g} ns to train on, {sizes[1]:.4g} ns held out"
    return (first, *own, last)


def _write(path: Path, record: dict[str, Any]) -> None:
    temporary = path.with_suffix(".part")
    try:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"'{path}' can't be written ({error}); choose a writable --output.") from error
