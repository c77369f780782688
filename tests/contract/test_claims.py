"""Every ClaimStore decides alike, and the same way each time."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.claims import SqliteClaims
from core.claims import Claim, MemoryClaims, Ownership

claims = st.builds(Claim, st.sampled_from(["a", "b", "c", "d\x00", "", "é'\""]), st.sampled_from(["x", "y", "z"]))


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return MemoryClaims() if request.param == "memory" else SqliteClaims(tmp_path)


def test_the_first_id_owns_the_text(store):
    assert store.claim([Claim("a", "x"), Claim("b", "x")]) == [Ownership("a", "x"), Ownership("a", "x")]
    assert store.claim([Claim("b", "x"), Claim("a", "x")]) == [Ownership("a", "x"), Ownership("a", "x")]


def test_an_id_keeps_its_first_text_and_owns_no_other(store):
    store.claim([Claim("a", "x")])
    assert store.claim([Claim("a", "y"), Claim("b", "y")]) == [Ownership("a", "x"), Ownership("b", "y")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(st.lists(claims, max_size=6), max_size=4))
def test_sqlite_decides_as_memory_does(tmp_path_factory, batches):
    folder = tmp_path_factory.mktemp("claims")
    durable, memory = SqliteClaims(folder), MemoryClaims()
    for batch in batches:
        assert durable.claim(batch) == memory.claim(batch)
    reopened = SqliteClaims(folder)
    for batch in batches:
        assert reopened.claim(batch) == memory.claim(batch)


def test_processes_agree_on_one_owner(tmp_path):
    stores = [SqliteClaims(tmp_path) for _ in range(4)]

    def claim(number: int) -> list[Ownership]:
        return stores[number % 4].claim([Claim(f"id{number}", f"text{n}") for n in range(20)])

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(claim, range(16)))
    again = stores[0].claim([Claim("late", "text0")])
    assert {answer[0].owner for answer in answers if answer[0].content == "text0"} == {again[0].owner}


def test_old_claims_are_forgotten(tmp_path):
    SqliteClaims(tmp_path).claim([Claim("a", "x")])
    kept = SqliteClaims(tmp_path, keep_sec=-10)
    assert kept.claim([Claim("b", "x")])[0].owner == "b"


def test_a_locked_file_is_told_as_such(tmp_path):
    store = SqliteClaims(tmp_path)
    store._db.execute("PRAGMA busy_timeout=10")
    other = sqlite3.connect(tmp_path / "claims.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError):
        store.claim([Claim("a", "x")])
    other.execute("ROLLBACK")
    assert store.claim([Claim("a", "x")]) == [Ownership("a", "x")]
