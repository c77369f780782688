"""`make fuzz`: coverage-guided fuzzing of what reads bytes from strangers. Each target runs in its own process."""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["core", "models.oracle.answer"]):
    from core.article import decode_article
    from core.errors import RefusedRecord
    from core.gated import Gated
    from core.messages import Labelled, OracleRequest
    from core.text import apply_rules, clean_article, content_hash
    from models.oracle.answer import RefusedAnswer, parse_answer

SEEDS = {
    "article": [b'{"id": "a", "title": "t", "text": "<p>&amp;", "tags": ["x"], "extra": {"k": [1]}}', b'{"title": 3}'],
    "answer": [b'{"text_instructs_reader": false, "f": {"a": {"score": 5.5, "evidence": "words"}}}'],
    "messages": [
        b'{"schema": 1, "article": {"title": "t"}, "embedding": "AACAPw==", "filters": {}, "releases": "r"}',
        b'{"schema": 2, "article": {"title": "t"}}\n\0\0\x80\x3f',
    ],
}


def article(body: bytes) -> None:
    try:
        decoded = decode_article(body)
    except RefusedRecord:
        return
    assert decoded.id
    cleaned = clean_article(decoded)
    apply_rules(cleaned)
    assert len(content_hash(cleaned)) == 32


def answer(body: bytes) -> None:
    try:
        parsed = parse_answer(body.decode("utf-8", "replace"), {"f": ("a",)}, "some words of an article")
    except RefusedAnswer:
        return
    assert 0 <= parsed["f"].scores["a"] <= 10


def messages(body: bytes) -> None:
    for kind in (Gated, OracleRequest, Labelled):
        try:
            kind.from_bytes(body)
        except RefusedRecord:
            continue


TARGETS: dict[str, Callable[[bytes], None]] = {"article": article, "answer": answer, "messages": messages}


def fuzz(name: str, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[name]):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]
        atheris.Setup([name, *options, corpus], TARGETS[name])
        atheris.Fuzz()  # ends the process


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", nargs="?", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="per target")
    arguments = parser.parse_args()
    if arguments.target:
        fuzz(arguments.target, arguments.seconds)
        return
    for name in TARGETS:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(arguments.seconds)]
        if subprocess.run(command).returncode:
            sys.exit(f"{name} failed: the input is in the file that is named above")


if __name__ == "__main__":
    main()
