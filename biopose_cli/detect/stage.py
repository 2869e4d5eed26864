"""The detect stage: everybody's keypoints (`track`), and one person's with the camera (`select_person`)."""

from __future__ import annotations

import numpy as np

from biopose_cli.detect.blazepose import LIMBS, Detector, Landmarker
from biopose_cli.detect.gaps import fill, fillable
from biopose_cli.detect.identity import MAX_OCCLUSION, Person, identify_people
from biopose_cli.detect.left_right import repair_left_right
from biopose_cli.detect.tracker import Tracker
from biopose_cli.errors import PersonError
from biopose_cli.geometry.runs import frame_gaps
from biopose_cli.io import assets
from biopose_cli.io.results import LANDMARKS, Detection, Tracks
from biopose_cli.io.video.intrinsics import resolve_intrinsics
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.io.video.reader import expected_frames, read_frames
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

MIN_DURATION = 0.5  # s for which a person must be visible
MIN_BOX_CONFIDENCE = 0.1  # confidence of a landmark that counts for the box
# landmarks; fingers and the rest of the face may leave the image without harm
_BODY_PARTS = {"head": [0], "arms": range(11, 17), "hips or knees": range(23, 27), "feet": range(27, 33)}
INTERPOLATED_CONFIDENCE = 0.5  # factor on the confidence of an interpolated landmark


def track(info: VideoInfo, settings: Settings, progress: Progress) -> Tracks:
    """Track everybody through the video from `settings.start` to `settings.end`, in one pass.

    With `settings.capture_rate`, times are those of the motion, from the video's own beginning. People are numbered by
    how long and how large they are visible, the most prominent first. Memory holds one image.

    Raises
    ------
    AssetError
        The networks' weights are missing and cannot be downloaded.
    SettingError, VideoError
        There are no frames between start and end, or they cannot be decoded.
    """
    video_frames = read_frames(info, settings.start, settings.end)
    paths = assets.ensure(assets.required_assets(settings.weights), progress)
    tracker = Tracker(Detector(paths["detector"]), Landmarker(paths[settings.weights]))
    progress.start("detect", expected_frames(info, settings.start, settings.end))
    time_scale = info.frame_rate / settings.capture_rate if settings.capture_rate else 1.0
    times: list[float] = []
    frame_indices: list[int] = []
    for position, video_frame in enumerate(video_frames):
        times.append(time_scale * video_frame.time)
        tracker.step(position, times[-1], video_frame.image)
        frame_indices.append(video_frame.index)
        progress.advance()
    time = np.array(times)
    return assemble_tracks(
        identify_people(tracker.tracklets, time),
        time,
        np.array(frame_indices),
        (info.width, info.height),
        video_frames.warnings,
    )


def assemble_tracks(
    persons: list[Person], time: Array, frame: Array, size: tuple[int, int], warnings: tuple[str, ...]
) -> Tracks:
    """Combine the people's tracklets into arrays over all frames, with left and right repaired."""
    shape = len(persons), len(time)
    keypoints = np.full((*shape, LANDMARKS, 2), np.nan)
    confidence = np.zeros((*shape, LANDMARKS))
    landmarks_3d = np.full((*shape, LANDMARKS, 3), np.nan)
    roi, box = np.full((*shape, 4), np.nan), np.full((*shape, 4), np.nan)
    visible, swapped = np.zeros(shape, bool), np.zeros(shape, bool)
    for p, person in enumerate(persons):
        side_ambiguous = np.zeros((len(time), len(LIMBS)), bool)
        for tracklet in person:
            for t, pose in zip(tracklet.frames, tracklet.poses, strict=True):
                keypoints[p, t], confidence[p, t], landmarks_3d[p, t] = (
                    pose.keypoints,
                    pose.confidence,
                    pose.landmarks_3d,
                )
                roi[p, t], side_ambiguous[t], visible[p, t] = pose.roi, pose.side_ambiguous, True
        keypoints[p], confidence[p], landmarks_3d[p], swapped[p] = repair_left_right(
            keypoints[p], confidence[p], landmarks_3d[p], roi[p, :, 2], side_ambiguous, visible[p], time
        )
        for row in np.flatnonzero(visible[p]):
            box[p, row] = bounds(keypoints[p, row], confidence[p, row])
    return Tracks(
        time=time,
        frame=frame,
        image_size=np.array(size),
        box=box,
        roi=roi,
        keypoints_2d=keypoints,
        confidence=confidence,
        landmarks_3d=landmarks_3d,
        visible=visible,
        swapped=swapped,
        warnings=warnings,
    )


def bounds(keypoints: Array, confidence: Array) -> Array:
    """Box x0, y0, x1, y1 of the confident landmarks, or of all if there are none."""
    confident = confidence > MIN_BOX_CONFIDENCE
    points = keypoints[confident] if confident.any() else keypoints
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def select_person(tracks: Tracks, info: VideoInfo, settings: Settings) -> Detection:
    """One person from the first to the last visible frame, with short gaps interpolated, and the camera.

    Raises
    ------
    PersonError
        Nobody was found, not the requested person, or for too short a time.
    SettingError
        The camera's settings contradict each other or are impossible.
    """
    count = len(tracks.visible)
    if count == 0:
        raise PersonError(
            f"nobody was found in {info.path}",
            "A whole person must be in view and not too small; see the part chosen by --start and --end",
        )
    person = settings.person or 1
    if person > count:
        count_text = "1 person was" if count == 1 else f"{count} people were"
        raise PersonError(
            f"--person {person}: only {count_text} found in {info.path}",
            f"Choose --person 1{f' to {count}' * (count > 1)}",
        )
    camera = resolve_intrinsics(info, settings)
    visible_frames = np.flatnonzero(tracks.visible[person - 1])
    span = slice(visible_frames[0], visible_frames[-1] + 1)
    time, visible = tracks.time[span], tracks.visible[person - 1, span]
    interval = float(np.median(np.diff(tracks.time))) if len(tracks.time) > 1 else 0.0
    if len(visible_frames) * interval < MIN_DURATION:
        raise PersonError(
            f"person {person} is in view for only {len(visible_frames) * interval:.2f} s in {info.path}",
            f"At least {MIN_DURATION:g} s are needed",
        )
    filled = fillable(time, visible, settings.max_gap)
    size = tracks.image_size

    def extract(values: Array) -> Array:
        return fill(values[person - 1, span], time, visible, filled)

    keypoints, confidence = extract(tracks.keypoints_2d), extract(tracks.confidence)
    confidence[filled] *= INTERPOLATED_CONFIDENCE
    swapped = tracks.swapped[person - 1, span]
    video_gaps = frame_gaps(time)
    longest_absence = float(np.diff(tracks.time[visible_frames]).max(initial=0.0))
    warnings = [
        len(video_gaps) and f"the video has {len(video_gaps)} gaps, of up to {np.diff(time)[video_gaps].max():.2f} s",
        (count > 1 and settings.person is None)
        and f"{count} people are in view: person 1, the most prominent, was chosen; choose another with --person",
        filled.any() and f"{filled.sum()} of {len(time)} frames, in which the person was not found, were interpolated",
        (missing := int((~visible & ~filled).sum()))
        and f"{missing} of {len(time)} frames are in gaps longer than {settings.max_gap:g} s and are left empty",
        longest_absence > MAX_OCCLUSION
        and f"the person was hidden for {longest_absence:.1f} s and recognised only by the colours of the clothes",
        swapped.any() and f"left and right were swapped in {swapped.sum()} frames, and repaired",
        _out_of_view(keypoints[visible], size),
    ]
    return Detection(
        time=time,
        frame=tracks.frame[span],
        image_size=size,
        box=extract(tracks.box),
        roi=extract(tracks.roi),
        keypoints_2d=keypoints,
        confidence=confidence,
        landmarks_3d=extract(tracks.landmarks_3d),
        visible=visible,
        swapped=swapped,
        interpolated=filled,
        people_box=tracks.box[:, span],
        camera_matrix=camera.matrix,
        dist_coeffs=camera.dist,
        focal_source=camera.source,
        person=person,
        warnings=(*tracks.warnings, *(text for text in warnings if text), *camera.warnings),
    )


def _out_of_view(keypoints: Array, size: Array) -> str:
    """Warning about the person's parts (T, 33, 2) px that are outside the image; empty if none are."""
    outside: Array = np.any((keypoints < 0) | (keypoints > size), axis=-1)
    counts = {part: int(outside[:, list(landmarks)].any(axis=1).sum()) for part, landmarks in _BODY_PARTS.items()}
    listed = ", ".join(f"{part} in {count}" for part, count in counts.items() if count)
    if not listed:
        return ""
    summary = f"{listed} of {len(keypoints)} frames with the person"
    return f"beyond the image: {summary}; these joints and their neighbours are unreliable"
