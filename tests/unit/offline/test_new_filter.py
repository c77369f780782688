import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PackageError
from core.spec import load_spec
from offline.new_filter import read_labelled, write_draft
from offline.rubric import RubricError, read_rubric

NUMBERED = """# quiet_places v1 - places where people find rest
If the text is not about a place: 0-1 everywhere.
1 stillness: how quiet is it, as documented? 5-6 measured.
2 public_access (weight 30%): who may enter.
3. care_taken .2: how it is looked after
"""
HEADINGS = """# Quiet places

Places where people find rest.

Tiers: high 7.5, medium 5, low_medium 3
Gatekeeper: stillness < 3 -> 2.5

## 1 Stillness

How quiet it is.

- 0-2 loud
- 3-4 less loud

## 2 Public access

Who may enter.

- 0-2 nobody
"""
TABLE = """Places.

| dimension | weight | meaning |
|---|---|---|
| stillness | 0.6 | how quiet it is |
| public_access | 0.4 | who may enter |
"""
BULLETS = """Places where people rest.
- Give scores only: no text.
- `stillness` (0.75): how quiet it is
- **public_access** (0.25): who may enter
"""


@pytest.mark.parametrize("text", [HEADINGS, TABLE, BULLETS], ids=["headings", "table", "bullets"])
def test_dimensions_are_found_in_every_form(text):
    rubric = read_rubric(text)
    assert [d.name for d in rubric.dimensions] == ["stillness", "public_access"]
    assert rubric.dimensions[0].meaning.lower() == "how quiet it is"
    assert rubric.description.startswith("Places")


def test_weights_tiers_and_gatekeepers_are_read():
    assert [d.weight for d in read_rubric(NUMBERED).dimensions] == [None, 0.3, 0.2]
    assert [d.weight for d in read_rubric(TABLE).dimensions] == [0.6, 0.4]
    rubric = read_rubric(HEADINGS)
    assert rubric.tiers == (("high", 7.5), ("medium", 5.0), ("low_medium", 3.0))
    assert rubric.gatekeepers == (("stillness", 3.0, 2.5),)


def test_the_draft_is_a_valid_package_with_the_whole_rubric_in_its_prompt(tmp_path):
    folder = write_draft(tmp_path, "quiet-places", HEADINGS, None, None)
    spec = load_spec(folder / "config.yaml")
    assert (spec.status, spec.version, spec.weights) == ("draft", "v1", (0.5, 0.5))
    assert [tier.name for tier in spec.tiers] == ["high", "medium", "low_medium"]
    prompt = (folder / "prompt.md").read_text()
    assert prompt.startswith("# quiet-places v1\n")
    assert "- 3-4 less loud" in prompt


def test_an_existing_filter_is_not_overwritten(tmp_path):
    write_draft(tmp_path, "quiet", TABLE, None, None)
    with pytest.raises(PackageError, match="exists"):
        write_draft(tmp_path, "quiet", TABLE, None, None)


@pytest.mark.parametrize("name", ["Quiet", "../x", "", "a b"])
def test_names_that_are_none_are_refused(tmp_path, name):
    with pytest.raises(PackageError, match="no filter name"):
        write_draft(tmp_path, name, TABLE, None, None)


def test_half_weighted_rubrics_and_silent_ones_are_refused(tmp_path):
    with pytest.raises(RubricError, match="No weight for stillness"):
        write_draft(tmp_path, "quiet", NUMBERED, None, None)
    with pytest.raises(RubricError, match="names no dimensions"):
        write_draft(tmp_path, "quiet", "Score how quiet places are.", None, None)


def labels_file(tmp_path, dimensions):
    path = tmp_path / "labels.jsonl"
    record = {
        "article_id": "a",
        "filter": "quiet",
        "version": "v3",
        "oracle": "x",
        "scores": dict.fromkeys(dimensions, 1),
    }
    path.write_bytes(orjson.dumps(record) + b"\n")
    return path


def test_labels_give_dimensions_and_version_where_the_rubric_is_silent(tmp_path):
    labelled = read_labelled(labels_file(tmp_path, ["rest", "quiet_hours"]), "quiet")
    folder = write_draft(tmp_path, "quiet", "Score how quiet places are.", labelled, None)
    assert folder.name == "v3"
    assert load_spec(folder / "config.yaml").dimension_names == ("rest", "quiet_hours")


def test_labels_of_other_dimensions_than_the_rubric_are_refused(tmp_path):
    labelled = read_labelled(labels_file(tmp_path, ["stillness", "noise"]), "quiet")
    with pytest.raises(RubricError, match="noise"):
        write_draft(tmp_path, "quiet", TABLE, labelled, None)
    with pytest.raises(RubricError, match="It has labels of quiet"):
        read_labelled(labels_file(tmp_path, ["stillness"]), "loud")


@given(st.text(max_size=400))
def test_any_text_is_read_without_an_accident(text):
    for dimension in read_rubric(text).dimensions:
        assert dimension.name
