"""`biopose bench`: frames/s and peak memory of every stage, each in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from biopose_cli.errors import Failure, SettingError
from biopose_cli.pipeline.steps import STAGES
from biopose_cli.progress import Progress

EMBEDDED_CLIP = Path(__file__).parents[2] / "sample_videos" / "walk.mp4"
_SAMPLING_INTERVAL = 0.02  # s between two samples of a process's memory


def bench_stages(video: Path | None, weights: str, progress: Progress) -> dict[str, Any]:
    """Run the stages one by one in a new folder.

    Returns
    -------
    dict
        `video`, `frames`, `stages`: per stage `seconds` (imports and loading of networks included), `frames_per_s`,
        `process_s` (with the start of the process), `peak_memory_mb` (resident set of the process).

    Raises
    ------
    SettingError
        No video was given and the embedded clip does not exist (an installation without the repository).
    Failure
        A stage failed.
    """
    clip = video or EMBEDDED_CLIP
    if not clip.is_file():
        raise SettingError(f"there is no video {clip}", "Give one: `biopose bench VIDEO`")
    rows, frames = [], 0
    progress.start("bench", len(STAGES), "stages")
    with tempfile.TemporaryDirectory(prefix="biopose_bench") as folder:
        for stage in STAGES:
            options = ["--weights", weights] if stage == "detect" else []
            report, seconds, peak_bytes = _run_and_measure(
                [stage, str(clip), "--out", folder, "--json", "--quiet", *options]
            )
            result = report["results"][0]
            stage_seconds = sum(step["seconds"] for step in result["stages"])
            frames = result["frames"]
            rows.append(
                {
                    "stage": stage,
                    "seconds": stage_seconds,
                    "frames_per_s": frames / stage_seconds,
                    "process_s": seconds,
                    "peak_memory_mb": peak_bytes / 2**20,
                }
            )
            progress.advance()
    return {"video": clip.name, "frames": frames, "stages": rows}


def _run_and_measure(arguments: list[str]) -> tuple[dict[str, Any], float, int]:
    """JSON output of a command, its time in s, and the peak resident set of it and its children in bytes."""
    import time

    import psutil

    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "biopose_cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak_bytes = 0

    def poll_memory() -> None:
        nonlocal peak_bytes
        while process.poll() is None:
            try:
                root = psutil.Process(process.pid)
                peak_bytes = max(peak_bytes, sum(p.memory_info().rss for p in (root, *root.children(recursive=True))))
            except psutil.Error:
                return
            time.sleep(_SAMPLING_INTERVAL)

    poller = threading.Thread(target=poll_memory)
    poller.start()
    output, error_output = process.communicate()
    poller.join()
    if process.returncode:
        raise Failure(f"bench: `biopose {' '.join(arguments)}` failed: {error_output.strip()}")
    return json.loads(output), time.perf_counter() - start, peak_bytes
