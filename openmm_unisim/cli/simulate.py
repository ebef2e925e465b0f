"""`openmm-unisim simulate`: jumps from a molecule to a run folder, with a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from .run_options import (
    INPUT,
    PARAMETERS,
    CheckpointInterval,
    Environment,
    GuidanceForce,
    GuidanceForceLimit,
    GuidanceGroups,
    GuidanceScale,
    GuidanceSource,
    Model,
    Output,
    Parameters,
    Platform,
    Refine,
    Repair,
    Resample,
    Resume,
    Seed,
    Sha256,
    Substeps,
    Temperature,
    Trust,
    exit_interrupted,
    guidance_of,
    known_input,
    observing,
    vouched,
)

if TYPE_CHECKING:
    from ..simulation.preparation import RunSettings


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("simulate")(simulate)


def simulate(
    input: Annotated[str, typer.Argument(help=INPUT)],
    model: Model,
    output: Output,
    jumps: Annotated[int, typer.Option(help="Number of jumps in all.")] = 1000,
    environment: Environment = None,
    seed: Seed = 1,
    platform: Platform = None,
    substeps: Substeps = 0,
    temperature: Temperature = None,
    policy: Annotated[
        str, typer.Option(help="For jumps that break the molecule: reject, stop or keep.")
    ] = "reject",
    reference: Annotated[
        Path | None, typer.Option(help="MD trajectory to compare with; shipped for alanine dipeptide.")
    ] = None,
    resume: Resume = False,
    report: Annotated[bool, typer.Option(help="Write report.html and report.json at the end.")] = True,
    thermalise: Annotated[float, typer.Option(help="ps of MD before the first jump.")] = 50.0,
    md_timing: Annotated[
        float, typer.Option(help="Seconds spent on timing MD for comparison; 0 for none.")
    ] = 2.5,
    checkpoint_interval: CheckpointInterval = 100,
    repair: Repair = False,
    guidance_scale: GuidanceScale = None,
    guidance_source: GuidanceSource = None,
    guidance_groups: GuidanceGroups = "",
    resample: Resample = 0,
    guidance_force: GuidanceForce = None,
    guidance_force_limit: GuidanceForceLimit = 0.0,
    refine: Refine = False,
    parameters: Parameters = PARAMETERS,
    trust: Trust = False,
    sha256: Sha256 = None,
) -> None:
    """Simulate with a learned integrator: one jump is one lag time of the model.

    A jump that would break the molecule is refused and counted (--policy). The run can be interrupted, or
    killed, at any moment and continued with --resume.
    """
    from ..simulation.preparation import RunSettings
    from ..simulation.runner import run_simulation

    if reference is not None and not reference.is_file():
        raise DataError(
            f"There is no reference trajectory '{reference}'; check the path or leave --reference out."
        )
    if report:  # what it needs is missing now or never
        from ..evaluation.run.report import write_report

    model = vouched(model, trust, sha256)
    input = known_input(input, parameters)
    settings = RunSettings(
        input, model, output, jumps, environment, temperature, substeps, seed, platform, policy, thermalise,
        md_timing, checkpoint_interval, repair, guidance_scale,
        guidance_of(guidance_source, guidance_groups, resample, guidance_force, guidance_force_limit), refine,
    )  # fmt: skip
    if reference is not None:
        _check_reference(reference, settings)
    with observing(settings.jumps) as observer:
        record = run_simulation(settings, resume=resume, observer=observer)
    if record["status"] == "interrupted":
        exit_interrupted(record["jumps"]["done"], jumps, "jumps", "--resume continues")
    print(_summary(record, settings))
    if report:
        write_report(output, reference or "auto")
        print(f"Report: {output / 'report.html'}")


def _check_reference(reference: Path, settings: "RunSettings") -> None:
    """A trajectory that can't be read, or of other atoms, is told before the jumps and not after them."""
    import mdtraj

    from ..evaluation.reference import trajectory_reference
    from ..simulation.preparation import load_input

    trajectory_reference(reference, mdtraj.Topology.from_openmm(load_input(settings).topology))


def _summary(record: dict[str, Any], settings: "RunSettings") -> str:
    jumps, counts = record["jumps"], record["jumps"]["counts"]
    lines = [
        f"{jumps['done']} jumps of {record['lag_time_ps']:g} ps in {settings.output}: "
        f"{jumps['jumps_per_s']:.1f} jumps/s, {jumps['ns_per_day']:,.0f} ns/day of model time",
        f"{jumps['accepted']} accepted; broken before any rejection: {counts['broken']} "
        f"(NaN {counts['nan']}, bonds {counts['bond']}, chirality {counts['chirality']}, "
        f"clashes {counts['clash']})",
    ]
    md = record["md"].get("run_well", {})
    rate = md.get("ns_per_day")
    if rate and jumps["ns_per_day"]:
        lines.insert(
            1,
            f"MD run well on this machine ({md['platform']}, {md['time_step_fs']:g} fs): {rate:,.0f} ns/day; "
            f"nominal ratio {jumps['ns_per_day'] / rate:.2f}",
        )
    return "\n".join(lines)
