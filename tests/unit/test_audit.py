"""What `make audit` says about the databases' answers; above all, that silence is no all-clear."""

import pytest

from tests import audit
from tests.audit import UNKNOWN, VULNERABLE, Findings

REPORT = [
    {"name": "good", "version": "1", "vulns": []},
    {
        "name": "bad",
        "version": "2",
        "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}, {"id": "CVE-2", "fix_versions": []}],
    },
    {"name": "torch", "skip_reason": "Dependency not found"},
]


def test_a_report_is_read():
    assert audit.findings(REPORT) == Findings(
        2, ("torch",), ("bad 2: CVE-1, fixed in 3", "bad 2: CVE-2, fixed in no version")
    )


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        pytest.param([Findings(2, ("torch",), ())], 0, "Not known there: torch", id="clean"),
        pytest.param([Findings(2, (), ("bad 2: CVE-1",))], VULNERABLE, "bad 2: CVE-1", id="vulnerable"),
        pytest.param([Findings(0, ("all",), ()), Findings(2, (), ())], 0, "audited by OSV", id="second-knows"),
        pytest.param([Findings(0, ("all",), ()), "no route"], UNKNOWN, "NOTHING is known", id="nobody-knows"),
        pytest.param(["no route", "no route"], UNKNOWN, "by the package index: no route", id="nobody-answers"),
    ],
)
def test_silence_is_no_all_clear(answers, status, said, monkeypatch, capsys):
    waiting = iter(answers)
    monkeypatch.setattr(audit, "write_bill", lambda file: 184)
    monkeypatch.setattr(audit, "ask", lambda service: next(waiting))
    assert audit.main() == status
    printed = capsys.readouterr().out
    assert said in printed
    assert "dist/sbom.json: 184 components" in printed
