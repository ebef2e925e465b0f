"""The manifest: what files of data there are, with hashes and checks; one JSON file beside them.

``files`` maps a path, relative to the manifest, to what is known of it; ``failures`` maps a task to the error that
ended it (a task that succeeds later is taken out); ``totals`` sums up. Each change replaces the file in one rename.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, OutputError
from ..provenance import provenance, sha256_of_file
from . import archive, label_file, trajectory_file
from .checks import check_frames, check_trajectory
from .molecule_list import find_entry, listed
from .molecule_source import load_entry

__all__ = ["Manifest", "archive_groups", "check_files", "describe", "walkers_checks"]

FORMAT = "openmm_unisim.manifest"


def describe(path: Path, structure: NDArray[np.floating] | None = None) -> dict[str, Any]:
    """What the manifest says of a trajectory, label or archive file, with its checks.

    Archives keep no energies, so equilibration isn't checked in them: `walkers_checks` has it of their sources.

    Parameters
    ----------
    path : Path
    structure : ndarray, shape (n_atoms, 3), optional
        For the check of handedness (`check_trajectory`); without it the first frame's hand is taken.
    """
    if not path.is_file():
        raise DataError(f"There is no file '{path}' to describe; check the path.")
    common = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    if archive.is_archive(path):
        frames = archive.read(path)
        positions = np.concatenate(frames.stretches)
        checks = check_frames(positions, frames.attributes, structure)
        return {**common, "kind": "archive", **_identity(frames.attributes, len(positions)), "checks": checks}
    try:
        present, counts, attributes = label_file.read_progress(path)
    except DataError:
        return {**common, "kind": "trajectory", **_trajectory(path, structure)}
    failed = {source: label_file.labels_of(path, source).n_failed for source in counts}
    return {
        **common, "kind": "labels", "molecule": attributes["name"], "split": split_of(attributes["name"]),
        "frames": present, "labelled": counts, "not_converged": failed, "checks": {"passed": True, "failed": []},
        "commit": attributes["provenance"].get("commit", "unknown"),
    }  # fmt: skip


def split_of(name: str) -> str:
    """The split of a listed molecule, "unlisted" of any other."""
    return next((entry.split for entry in listed() if entry.name == name), "unlisted")


def _trajectory(path: Path, structure: NDArray[np.floating] | None) -> dict[str, Any]:
    trajectory = trajectory_file.read(path)
    attributes = trajectory.attributes
    wanted = round(attributes["nanoseconds"] * 1000 / attributes["frame_spacing_ps"])
    return {
        **_identity(attributes, len(trajectory.positions)),
        "seed": attributes["seed"],
        "complete": len(trajectory.positions) >= wanted,
        "reversible": attributes.get("reversible", True),
        "checks": check_trajectory(trajectory, structure),
        "commit": attributes["provenance"].get("commit", "unknown"),
    }


def _identity(attributes: dict[str, Any], n_frames: int) -> dict[str, Any]:
    spacing = attributes["frame_spacing_ps"]
    return {
        "molecule": attributes["name"],
        "split": split_of(attributes["name"]),
        "environment": attributes["environment"],
        "temperature_K": attributes["temperature_K"],
        "force_field": attributes["force_field"],
        "frame_spacing_ps": spacing,
        "frames": n_frames,
        "nanoseconds": round(n_frames * spacing / 1000, 6),
    }


class Manifest:
    """A manifest file; `record` and `fail` write it at once.

    Parameters
    ----------
    path : Path
        An existing one is continued.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.files: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, str] = {}
        if self.path.is_file():
            try:
                stored = json.loads(self.path.read_text(encoding="utf-8"))
                if stored["format"] != FORMAT:
                    raise KeyError("format")
                self.files, self.failures = stored["files"], stored["failures"]
            except (ValueError, KeyError, OSError) as error:
                raise DataError(
                    f"'{self.path}' is damaged or no manifest; delete it and run `openmm-unisim data check`."
                ) from error

    def key(self, path: Path) -> str:
        """A file's path relative to the manifest, so that the folder can move."""
        return Path(os.path.relpath(path.resolve(), self.path.parent.resolve())).as_posix()

    def record(self, path: Path, description: dict[str, Any]) -> None:
        """Enter or replace a file's description."""
        self.files[self.key(path)] = description
        self.write()

    def fail(self, task: str, error: str) -> None:
        """Enter a failed task."""
        self.failures[task] = error
        self.write()

    def succeed(self, task: str) -> None:
        """Take a task out of the failures, if it was there."""
        if self.failures.pop(task, None) is not None:
            self.write()

    def unfit(self) -> dict[str, list[str]]:
        """Files that failed checks, with the checks' names."""
        checks = {key: entry.get("checks", {}).get("failed", []) for key, entry in self.files.items()}
        return {key: failed for key, failed in checks.items() if failed}

    def totals(self) -> dict[str, Any]:
        """Files, bytes, and nanoseconds by split and environment: of trajectories, or of archives if there are none."""
        nanoseconds: dict[str, float] = {}
        kinds = {entry["kind"] for entry in self.files.values()}
        counted = "trajectory" if "trajectory" in kinds else "archive"
        for entry in self.files.values():
            if entry["kind"] == counted:
                key = f"{entry['split']}, {entry['environment']}, {entry['temperature_K']:g} K"
                nanoseconds[key] = round(nanoseconds.get(key, 0.0) + entry["nanoseconds"], 6)
        return {
            "files": len(self.files),
            "bytes": sum(entry["bytes"] for entry in self.files.values()),
            "nanoseconds": dict(sorted(nanoseconds.items())),
            "unfit": len(self.unfit()),
            "failures": len(self.failures),
        }

    def write(self) -> None:
        """Replace the file in one rename."""
        content = {
            "format": FORMAT,
            "totals": self.totals(),
            "failures": self.failures,
            "files": dict(sorted(self.files.items())),
            "provenance": provenance(),
        }
        temporary = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            os.replace(temporary, self.path)
        except OSError as error:
            raise OutputError(
                f"'{self.path}' can't be written ({error}); check the folder's permissions and free space."
            ) from error


def walkers_checks(manifest: Manifest, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Checks of the trajectories that an archive was made of, by file name, as their own manifest has them."""
    return {path.name: manifest.files[manifest.key(path)]["checks"] for path in paths}


def check_files(
    paths: Iterable[Path], manifest: Manifest, parameters: Path, report: Callable[[Path, str], None]
) -> None:
    """Describe files and enter them in a manifest; so files made elsewhere are adopted.

    Parameters
    ----------
    paths : iterable of Path
    manifest : Manifest
    parameters : Path
        Folder of small molecules' Amber files, for the handedness of the built structure.
    report : callable (path, failed checks)
    """
    for path in paths:
        description = describe(path, _built_positions(path, parameters))
        before = manifest.files.get(manifest.key(path), {})
        if (
            before.get("sha256") == description["sha256"] and "walkers" in before
        ):  # can't be made again from the file
            description["walkers"] = before["walkers"]
        manifest.record(path, description)
        report(path, ", ".join(description.get("checks", {}).get("failed", [])))


def _built_positions(path: Path, parameters: Path) -> NDArray[np.floating] | None:
    """Of a listed molecule whose file has the atoms in our order; None otherwise."""
    try:
        is_archive = archive.is_archive(path)
        attributes = archive.read_attributes(path) if is_archive else trajectory_file.read_progress(path)[2]
        entry = find_entry(attributes["name"])
    except (
        DataError
    ):  # another kind of file, or a molecule of the user's own: the first frame's hand is taken
        return None
    molecule = load_entry(entry, parameters)
    same = molecule.atomic_numbers.tolist() == attributes["atomic_numbers"]
    return molecule.positions if same else None


def archive_groups(manifest: Manifest, names: set[str]) -> dict[str, list[Path]]:
    """Trajectories fit for the archive, by the file they go to: one a molecule, environment and temperature.

    Files that failed a check, or aren't complete, stay out; so do the short runs in `donors`, which
    only give starts.
    """
    groups: dict[str, list[Path]] = {}
    for key, entry in manifest.files.items():
        usable = entry["kind"] == "trajectory" and entry["complete"] and entry["checks"]["passed"]
        if usable and Path(key).parent.name != "donors" and entry["molecule"] in names:
            stem = f"{entry['molecule']}.{entry['environment']}.{entry['temperature_K']:g}K.h5"
            groups.setdefault(stem, []).append(manifest.path.parent / key)
    return groups
