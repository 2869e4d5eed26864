"""Leg angles of real people whose posture is known: keypoint tracks through mesh, refine and neurik.

A folder holds one `NAME.npz` of keypoint arrays a clip (the fields of `Detection`, without names of people or
pictures) and `known.json`: for every clip its view and the ranges, in degrees, in which angles certainly are, for the
whole clip (`knee_angle_r: [low, high]`) or between two times (`facts`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.errors import SettingError
from biopose_cli.ik import stage as ik_stage
from biopose_cli.io.results import Detection, JointKinematics
from biopose_cli.mesh_fit import mesh_stage, refine_stage
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

KNEES = ("knee_angle_r", "knee_angle_l")
ANGLES = ("knee_angle_", "ankle_angle_", "hip_flexion_r", "hip_flexion_l")  # what is known
PEAK_WINDOW = 0.25  # s on both sides of a peak
STRAIGHT = 15.0  # degrees: a knee whose known range ends below this stands straight
BENT = 12.0  # degrees: a straight knee that is estimated above this is a plain mistake


@dataclass(frozen=True)
class Fact:
    """Angles are certainly within `ranges` (degrees, by coordinate) from `start` to `end`, s."""

    start: float
    end: float
    peak: bool  # the largest value of the span is meant, not all of them
    what: str
    ranges: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Track:
    """A clip's keypoints and what is known of the person."""

    name: str
    view: str
    detection: Detection
    facts: tuple[Fact, ...]


def load_tracks(folder: Path) -> list[Track]:
    """Every clip of `folder` of which an angle is known.

    Raises
    ------
    SettingError
        The folder, `known.json` or a clip cannot be read.
    """
    try:
        entries: dict[str, Any] = json.loads((folder / "known.json").read_text(encoding="utf-8"))
        tracks = [_load_track(folder / f"{name}.npz", entry) for name, entry in entries.items()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingError(
            f"--data {folder} cannot be read ({error})", "Name a folder with known.json and its .npz files"
        ) from error
    return [track for track in tracks if track.facts]


def _load_track(path: Path, entry: dict[str, Any]) -> Track:
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    detection = Detection(**arrays, people_box=arrays["box"][None], focal_source="default")
    facts = [_fact(fact) for fact in entry.get("facts", [entry])]
    return Track(path.stem, entry["view"], detection, tuple(fact for fact in facts if fact.ranges))


def _fact(entry: dict[str, Any]) -> Fact:
    """A span of time with ranges, or a peak (`at_s`) with one value an angle."""
    peak = "at_s" in entry
    start = entry["at_s"] - PEAK_WINDOW if peak else entry.get("from_s", -np.inf)
    end = entry["at_s"] + PEAK_WINDOW if peak else entry.get("to_s", np.inf)
    ranges = {}
    for name, value in entry.items():
        if name.startswith(ANGLES) and value is not None:
            low, high = (value, value) if isinstance(value, int | float) else value
            ranges[name] = (float(low), float(high))
    return Fact(start, end, peak, str(entry.get("what", "")), ranges)


def evaluate(folder: Path, progress: Progress) -> dict[str, Any]:
    """Errors outside the known ranges.

    Returns
    -------
    `standing`: `n` straight knees, their mean (`mean_knee_deg`, signed) and how many are over 12 degrees
    (`share_over_12`); `views`: the same and the share of angles `within` their range, by view; `tracks`: for every
    clip its facts, with `median_deg`, `range_deg`, `outside_deg` and `sd_deg` of every angle.

    Raises
    ------
    SettingError
    """
    tracks = load_tracks(folder)
    progress.start("people", len(tracks), unit="clips")
    results: dict[str, dict[str, Any]] = {}
    for track in tracks:
        results[track.name] = {"view": track.view, "facts": _judge(track, recover(track))}
        progress.advance()
    views: dict[str, list[dict[str, Any]]] = {}
    for result in results.values():
        views.setdefault(result["view"], []).extend(result["facts"])
    return {
        "standing": _standing([fact for facts in views.values() for fact in facts]),
        "views": {view: _standing(facts) | {"within": _within(facts)} for view, facts in views.items()},
        "tracks": results,
    }


def recover(track: Track) -> JointKinematics:
    """Run the stages on a clip as `biopose run` does by default, with nothing known of the person."""
    silent = NullProgress()
    mesh = mesh_stage.run(track.detection, Settings(), silent)
    refined = refine_stage.run(track.detection, mesh, Settings(), silent)
    return ik_stage.run(track.detection.time, track.detection.usable, refined, Settings(), silent)


def _judge(track: Track, kinematics: JointKinematics) -> list[dict[str, Any]]:
    names = [str(name) for name in kinematics.coordinates]
    degrees, time = np.degrees(kinematics.q), kinematics.time
    judged = []
    for fact in track.facts:
        rows = (time >= fact.start) & (time <= fact.end) & kinematics.valid
        for name, (low, high) in fact.ranges.items():
            column = names.index(name)
            values = degrees[rows, column].max(keepdims=True) if fact.peak else degrees[rows, column]
            outside = np.maximum(low - values, 0) + np.maximum(values - high, 0)
            judged.append(
                {
                    "angle": name,
                    "what": fact.what,
                    "from_s": None if np.isinf(fact.start) else fact.start,
                    "range_deg": [low, high],
                    "median_deg": float(np.median(values)),
                    "outside_deg": float(outside.mean()),
                    "sd_deg": _mean_sd(kinematics.q_std, rows, column),
                }
            )
    return judged


def _mean_sd(q_std: Array, rows: Array, column: int) -> float | None:
    return float(np.degrees(q_std[rows, column].mean())) if len(q_std) else None


def _standing(facts: list[dict[str, Any]]) -> dict[str, Any]:
    knees = [fact["median_deg"] for fact in facts if fact["angle"] in KNEES and fact["range_deg"][1] <= STRAIGHT]
    if not knees:
        return {"n": 0, "mean_knee_deg": None, "share_over_12": None}
    return {
        "n": len(knees),
        "mean_knee_deg": float(np.mean(knees)),
        "share_over_12": float(np.mean(np.array(knees) > BENT)),
    }


def format_report(report: dict[str, Any]) -> str:
    """The report as text: a line a view, then a line a clip and angle."""
    lines = [f"{'view':46} knees  mean  over 12  in range"]
    for view, row in (*report["views"].items(), ("all", report["standing"])):
        knees = "" if row["mean_knee_deg"] is None else f"{row['mean_knee_deg']:5.1f} {row['share_over_12']:7.0%}"
        within = f"{row['within']:8.0%}" if "within" in row else ""
        lines.append(f"{view:46} {row['n']:5} {knees:13} {within}".rstrip())
    lines += ["", f"{'clip':26} {'angle':14} {'what':22} median      range  outside"]
    for name, track in report["tracks"].items():
        for fact in track["facts"]:
            low, high = fact["range_deg"]
            lines.append(
                f"{name:26} {fact['angle']:14} {fact['what'][:22]:22} {fact['median_deg']:6.1f} "
                f"{f'{low:g} to {high:g}':>10} {fact['outside_deg']:8.1f}"
            )
    return "\n".join(lines)


def _within(facts: list[dict[str, Any]]) -> float:
    return float(np.mean([fact["outside_deg"] == 0 for fact in facts]))
