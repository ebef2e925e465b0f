"""The whole examination, each part of which works when the others don't."""

from collections.abc import Sequence
from pathlib import Path

from .finding import Finding
from .models import model_findings
from .platforms import platform_findings, platform_names, setting_findings
from .self_test import run_self_test
from .versions import plugin_findings, version_findings

__all__ = ["examine"]


def examine(files: Sequence[Path] = (), self_test: bool = True) -> list[Finding]:
    """Look at everything.

    Parameters
    ----------
    files : sequence of Path
        Model files beside the shipped ones.
    self_test : bool
        Make a few jumps on each platform.
    """
    found = version_findings()
    found += plugin_findings()
    sound = all(finding.level != "fault" for finding in found)
    found += platform_findings()
    found += model_findings(files)
    tests: list[Finding] = []
    devices: dict[str, str] = {}
    if self_test and sound:
        tests, devices = run_self_test(platform_names())
    elif self_test:
        tests = [Finding("self-test", "jumps", "not tried, since the plugin doesn't load", "note")]
    return found + setting_findings(devices) + tests
