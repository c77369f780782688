import pytest
import yaml

from core.errors import PackageError
from core.spec import FilterSpec, load_spec
from tests.support.specs import CONFIG


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"threshold": 3.75}, "threshold", id="unknown-key"),
        pytest.param({"name": "../etc"}, "name", id="path-as-name"),
        pytest.param({"version": "6"}, "version", id="bare-version"),
        pytest.param({"dimensions": [{"name": "a", "weight": 0.9, "meaning": "m"}]}, "sum to 0.9", id="weights"),
        pytest.param({"tiers": [{"name": "m", "at_least": 4}, {"name": "h", "at_least": 7}]}, "highest", id="tiers"),
        pytest.param({"gatekeepers": [{"dimension": "z", "below": 3, "cap": 2}]}, "'z'", id="gatekeeper"),
        pytest.param({"status": "live"}, "status", id="status"),
    ],
)
def test_a_faulty_config_names_the_file_and_the_key(tmp_path, change, complaint):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG | change))
    with pytest.raises(PackageError, match=complaint) as error:
        load_spec(path)
    assert str(path) in str(error.value)


def test_a_good_config_is_read():
    spec = FilterSpec.model_validate(CONFIG)
    assert spec.dimension_names == ("a", "b")
    assert spec.weights == (0.6, 0.4)


def test_yaml_that_builds_objects_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("name: !!python/object/apply:os.system ['true']")
    with pytest.raises(PackageError, match="not valid YAML"):
        load_spec(path)
