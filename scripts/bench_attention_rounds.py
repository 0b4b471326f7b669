"""Runs the libraries of bench_attention.py in turn and measures them."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_attention_peers import Case
from bench_attention_table import best

OURS = "attnzoo XLA"
PACKAGES = {
    "attnzoo": "attnzoo",
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "torch": "PyTorch",
    "jax": "JAX",
}
MIN_ROUNDS, SECONDS = 3, 60
"""A case ends after `SECONDS`, but not before `MIN_ROUNDS`."""
PAUSE = 0.02
"""Seconds before each turn: threads of the previous library may spin for a while."""
TOLERANCE = 1e-2
"""Maximum difference between float32 results."""


def print_progress(line: str) -> None:
    """Prints a line of progress to the error stream."""
    print(line, file=sys.stderr, flush=True)


class PeerError(Exception):
    """A library failed to run a command."""


class Peer:
    """A process that runs one library; it is started by the first command."""

    def __init__(self, library: str, python: str, folder: Path) -> None:
        self.library = library
        self.python = python
        self.log = folder / f"{library}-{id(self)}.log"
        self.process: subprocess.Popen[str] | None = None

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Sends a command and waits for its response.

        Raises:
            PeerError: the command failed or the process ended; the next command starts a new one.
        """
        self.start()
        try:
            print(json.dumps({"command": command, **arguments}), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            self.process = None
            log = self.log.read_text(errors="replace").strip()
            last = log.splitlines()[-1] if log else "no output"
            raise PeerError(f"{self.library} ended with code {code}: {last}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.library}: {answer['error']}")
        return answer

    def start(self) -> None:
        """Starts the process if it is not running."""
        if self.process is not None:
            return
        # In a new session: Ctrl-C reaches only this process, which then ends the others.
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [self.python, str(Path(__file__).with_name("bench_attention_peers.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"},
            )

    def close(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@dataclasses.dataclass
class Bench:
    """The libraries and how they are measured.

    Attributes:
        pythons: library -> Python interpreter that has it.
        rounds: calls of each library per case.
        memory_limit: GiB; libraries that need more are skipped.
        folder: folder for results to compare and logs of the processes.
    """

    pythons: dict[str, str]
    rounds: int
    memory_limit: float
    folder: Path

    def __post_init__(self) -> None:
        self.peers = {library: Peer(library, python, self.folder) for library, python in self.pythons.items()}
        self.peers["matmul"] = self.peers["attnzoo"]

    def close(self) -> None:
        """Ends all processes."""
        for peer in self.peers.values():
            peer.close()

    def versions(self) -> dict[str, str]:
        """Returns the version of each package."""
        for peer in self.peers.values():
            peer.start()  # They import in parallel.
        versions: dict[str, str] = {}
        for library, peer in self.peers.items():
            versions |= peer.ask("versions", library=library)
        return {name: versions[package] for package, name in PACKAGES.items() if package in versions}

    def measure(self, case: Case) -> dict[str, Any]:
        """Returns a row of the report: the case, and the results of each library."""
        results: dict[str, dict[str, Any]] = {name: {} for name in competitors(case, self.peers)}
        try:
            ready = [name for name in results if self._prepare(case, name, results[name])]
            self._rounds(ready, results)
        finally:
            for path in self.folder.glob("*.npz"):
                path.unlink()
        for peer in self.peers.values():
            if peer.process is not None:
                peer.ask("forget")
        if case.level == "function" and case.backward:
            for name in (best(results, "attnzoo"), best(results, "keras")):
                if name is not None:
                    results[name] |= self.memory(case, name)
        return {"case": case._asdict(), "results": results}

    def _prepare(self, case: Case, name: str, result: dict[str, Any]) -> bool:
        """Compiles a library's program and compares its result with attnzoo; returns whether it can run.

        Raises:
            SystemExit: the results differ.
        """
        library = name.split()[0]
        if estimated_bytes(library, case) > self.memory_limit * 2**30:
            result["note"] = f"over {self.memory_limit:g} GiB"
            return False
        path = self.folder / f"{name}.npz"
        save_to = None if library == "matmul" else str(path)
        try:
            answer = self.peers[library].ask("prepare", name=name, case=case._asdict(), save_to=save_to)
        except PeerError as error:
            print_progress(f"  {error}")
            result["note"] = "failed"
            return False
        result["first_call"] = answer["milliseconds"]
        ours = self.folder / f"{OURS}.npz"
        if save_to and name != OURS and ours.exists():
            result["difference"] = difference = greatest_difference(ours, path)
            path.unlink()
            if case.dtype == "float32" and not difference <= TOLERANCE:
                raise SystemExit(
                    f"attnzoo and {name} differ by {difference:.2g}, above {TOLERANCE:g}: {case}"
                )
        return True

    def _rounds(self, names: list[str], results: dict[str, dict[str, Any]]) -> None:
        """Calls the libraries in turn."""
        milliseconds: dict[str, list[float]] = {name: [] for name in names}
        begin = time.monotonic()
        for count in range(self.rounds):
            if count >= MIN_ROUNDS and time.monotonic() - begin > SECONDS:
                break
            for name in list(milliseconds):
                time.sleep(PAUSE)
                try:
                    answer = self.peers[name.split()[0]].ask("run", name=name)
                except PeerError as error:
                    print_progress(f"  {error}")
                    results[name]["note"] = "failed"
                    del milliseconds[name]
                else:
                    milliseconds[name].append(answer["milliseconds"])
        for name, times in milliseconds.items():
            results[name] |= {"milliseconds": statistics.median(times), "rounds": len(times)}

    def memory(self, case: Case, name: str) -> dict[str, Any]:
        """Returns the bytes that a call needs in addition to its inputs."""
        try:
            return {"bytes": in_fresh_process(case, name, self.pythons, self.folder, calls=2)["bytes"]}
        except PeerError as error:
            print_progress(f"  memory: {error}")
            return {}


def in_fresh_process(
    case: Case, name: str, pythons: dict[str, str], folder: Path, calls: int
) -> dict[str, Any]:
    """Returns milliseconds and bytes of the last of `calls` calls in a fresh process."""
    library = name.split()[0]
    peer = Peer(library, pythons[library], folder)
    try:
        return peer.ask("memory", name=name, case=case._asdict(), calls=calls)
    finally:
        peer.close()


def competitors(case: Case, libraries) -> list[str]:
    """Returns "library variant" of all participants in a case, this package first."""
    names = [OURS, "keras plain", "keras XLA"]
    if case.level == "function":
        names += ["torch eager", "jax XLA", "matmul plain", "matmul XLA"]
    return [name for name in names if name.split()[0] in libraries]


def estimated_bytes(library: str, case: Case) -> float:
    """Estimates the bytes that a library allocates in addition to its inputs.

    Keras and JAX materialize all attention logits as float32: two copies forward, three with backward.
    """
    if library in ("keras", "jax"):
        return (3 if case.backward else 2) * 4.0 * case.batch * case.heads * case.length**2
    if library == "torch" and case.mask == "window":
        return 5.0 * case.length**2  # The mask, boolean and as float32.
    return 0.0


def greatest_difference(left: Path, right: Path) -> float:
    """Returns the maximum difference of two sets of arrays with the same order of elements."""
    with np.load(left) as ours, np.load(right) as theirs:
        return max(float(np.max(np.abs(ours[name].ravel() - theirs[name].ravel()))) for name in ours.files)
