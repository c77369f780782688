"""`make audit`: a bill of materials of the installed packages, and what is known to be vulnerable in them.

The bill needs no network. Vulnerabilities are asked of the package index and, where that does not know them, of OSV;
where neither answers, the exit status says so: nothing known is not the same as nothing found.
"""

import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
SERVICES = {"pypi": "the package index", "osv": "OSV"}
TIMEOUT_SEC = 15
VULNERABLE, UNKNOWN = 1, 3
"""Exit statuses."""


@dataclass(frozen=True)
class Findings:
    """`unknown`: packages of which the service knows nothing, such as builds with a local version."""

    audited: int
    unknown: tuple[str, ...]
    vulnerable: tuple[str, ...]


def write_bill(file: Path) -> int:
    """CycloneDX JSON, validated, and equal for equal environments; returns how many components it names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "-o", str(file)]
    subprocess.run([*command, "--pyproject", str(PROJECT / "pyproject.toml"), sys.executable], check=True)
    return len(json.loads(file.read_bytes())["components"])


def ask(service: str) -> Findings | str:
    """What the service knows about the installed packages, or why it could not be asked."""
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(
        [*command, "--vulnerability-service", service, "--timeout", str(TIMEOUT_SEC)], capture_output=True, text=True
    )
    try:
        return findings(json.loads(done.stdout)["dependencies"])
    except ValueError:
        return textwrap.shorten(done.stderr.strip().splitlines()[-1], 120)


def findings(dependencies: list[dict[str, Any]]) -> Findings:
    """From pip-audit's report."""
    audited = [each for each in dependencies if "vulns" in each]
    return Findings(
        audited=len(audited),
        unknown=tuple(each["name"] for each in dependencies if "skip_reason" in each),
        vulnerable=tuple(
            f"{each['name']} {each['version']}: {found['id']}, "
            f"fixed in {', '.join(found['fix_versions']) or 'no version'}"
            for each in audited
            for found in each["vulns"]
        ),
    )


def report(service: str, found: Findings) -> int:
    print(f"{found.audited} packages audited by {SERVICES[service]}, {len(found.vulnerable)} vulnerabilities known.")
    if found.unknown:
        print(f"Not known there: {', '.join(found.unknown)}.")
    for line in found.vulnerable:
        print(f"  {line}")
    return VULNERABLE if found.vulnerable else 0


def main() -> int:
    bill = PROJECT / "dist" / "sbom.json"
    print(f"{bill.relative_to(PROJECT)}: {write_bill(bill)} components (CycloneDX).", flush=True)
    for service, name in SERVICES.items():
        found = ask(service)
        if isinstance(found, Findings) and found.audited:
            return report(service, found)
        print(f"Not audited by {name}: {found if isinstance(found, str) else 'it knows none of the packages'}.")
    print("No vulnerability database could be asked: NOTHING is known about these versions. The bill is complete;")
    print("run `make audit` again where the package index (its JSON API) or OSV can be reached.")
    return UNKNOWN


if __name__ == "__main__":
    sys.exit(main())
