"""Compiling and running OpenVINO graphs: number type, threads, and the cache of compiled graphs."""

import contextlib
import hashlib
import io
import logging
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.engines.protocol import States
from models.processor import NumberType, Processor

log = logging.getLogger(__name__)
Pages = NDArray[np.uint8]

_KEPT_GRAPHS = 6
"""Compiled graphs on disk, 400 MB for Gemma-3-270M each; those unused for longest go when a new one comes."""


@dataclass(frozen=True)
class GraphSource:
    """`build` makes the graph; `fingerprint` names what it was made from (weights, adapter, graph version)."""

    fingerprint: str
    build: Callable[[], Any]


class CompiledGraph:
    """One graph on the CPU. Calls from several threads wait for each other: all cores work on each."""

    def __init__(self, source: GraphSource, number_type: NumberType, processor: Processor, cache: Path | None) -> None:
        import openvino

        self.number_type = number_type
        core = openvino.Core()
        options = {
            "INFERENCE_PRECISION_HINT": number_type,
            "INFERENCE_NUM_THREADS": str(processor.cores),
            # One stream of all cores: two of one core each measured no faster and hold activations twice.
            "NUM_STREAMS": "1",
            "ENABLE_CPU_PINNING": "NO",
        }
        file = cache and cache / _file_name(source, options, processor)
        self._pages = _mapped(file)  # OpenVINO reads them as long as the graph lives, and does not hold them itself
        self._compiled = _compile(core, source, options, file, self._pages)
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()

    def __call__(self, inputs: Mapping[str, Any]) -> States:
        """The graph's one output."""
        with self._lock:
            self._request.infer(dict(inputs), share_inputs=True)
            output: States = self._request.get_output_tensor(0).data.copy()
        return output


def _compile(core: Any, source: GraphSource, options: dict[str, str], file: Path | None, pages: Pages | None) -> Any:
    import openvino

    if pages is not None:
        try:
            return core.import_model(openvino.Tensor(pages, shared_memory=True), "CPU", options)
        except RuntimeError as error:
            log.warning("%s: not readable, compiling again: %s", file, error)
    compiled = core.compile_model(source.build(), "CPU", options)
    if file:
        _write(file, compiled.export_model())
    return compiled


def _mapped(file: Path | None) -> Pages | None:
    """A compiled graph in memory that processes of one machine share: 400 MB less for each, and 0.3 s of CPU time
    less to load it than a copy. "c": OpenVINO asks for a writable array, and nothing may reach the file."""
    if file is None or not file.is_file() or not file.stat().st_size:
        return None
    file.touch()
    return np.memmap(file, dtype=np.uint8, mode="c")


def _file_name(source: GraphSource, options: Mapping[str, str], processor: Processor) -> str:
    """A compiled graph fits one model, one library version and one kind of processor."""
    import openvino

    parts = [source.fingerprint, openvino.get_version(), processor.name, *sorted(options.values())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32] + ".blob"


def _write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".partial", delete=False) as stream:
        stream.write(content.getbuffer() if isinstance(content, io.BytesIO) else content)
    Path(stream.name).replace(file)
    _drop_unused(file.parent)


def _drop_unused(folder: Path) -> None:
    """Another process may do the same at the same time: what is gone already is no fault."""
    with contextlib.suppress(FileNotFoundError):
        for unused in sorted(folder.glob("*.blob"), key=lambda path: path.stat().st_mtime)[:-_KEPT_GRAPHS]:
            unused.unlink(missing_ok=True)
