"""Identities over the whole clip: tracklets are linked into people, false people are dropped, the rest numbered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from biopose_cli.detect.tracker import MAX_COLOR_DISTANCE, MAX_RESIZE, TRUNK, Tracklet, appearance_distance
from biopose_cli.typing import Array

MAX_DISPLACEMENT = (
    0.3,
    2.0,
)  # distance a person may move while hidden, over the ROI's side: at once, and per second
MAX_OCCLUSION = 2.0  # s, after which a person may reappear anywhere and at another size
MIN_DURATION = 0.5  # s visible: shorter ones are dropped if others are visible for longer
MIN_CONFIDENCE = 0.3  # lowest mean confidence of the trunk and thighs
# motion of the landmarks over the ROI's side below which a person is a picture on the wall: 0.0006 was measured on a
# still image with camera noise, 0.0034 in the stillest second of a standing person
MIN_WANDER = 0.0015

Person = list[Tracklet]  # in the order of time, without overlap


def identify_people(tracklets: list[Tracklet], times: Array) -> list[Person]:
    """Everybody in the clip, most prominent first. `times` (T,) s are the frames' times.

    Dropped, unless nobody else is there: people who are visible too briefly or too faintly, and pictures of people.
    """
    persons = link_tracklets(tracklets, times)
    interval = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    conditions: list[Callable[[Person], bool]] = [
        lambda person: sum(len(tracklet.frames) for tracklet in person) * interval >= MIN_DURATION,
        lambda person: mean_confidence(person) >= MIN_CONFIDENCE,
        lambda person: not is_static_image(person, times),
    ]
    for keep in conditions:
        persons = [person for person in persons if keep(person)] or persons
    return sorted(persons, key=prominence, reverse=True)


def link_tracklets(tracklets: list[Tracklet], times: Array) -> list[Person]:
    """Link tracklets into people, most certain links first."""
    links = sorted(
        (cost, i, k)
        for i, before in enumerate(tracklets)
        for k, after in enumerate(tracklets)
        if (cost := link_cost(before, after, times)) is not None
    )
    successor: dict[int, int] = {}
    has_predecessor: set[int] = set()
    for _, i, k in links:
        if i not in successor and k not in has_predecessor:
            successor[i] = k
            has_predecessor.add(k)
    result = []
    for i in range(len(tracklets)):
        if i not in has_predecessor:
            chain = [i]
            while chain[-1] in successor:
                chain.append(successor[chain[-1]])
            result.append([tracklets[k] for k in chain])
    return result


def link_cost(before: Tracklet, after: Tracklet, times: Array) -> float | None:
    """Cost of `after` continuing the person of `before`; None if that is impossible."""
    last, first = before.poses[-1].next_roi, after.poses[0].next_roi
    gap = float(times[after.frames[0]] - times[before.frames[-1]])
    if gap <= 0:
        return None
    color = (
        appearance_distance(np.median(before.appearances, axis=0), np.median(after.appearances, axis=0))
        / MAX_COLOR_DISTANCE
    )
    distance = (
        float(np.hypot(*(first[:2] - last[:2])))
        / max(first[2], last[2])
        / (MAX_DISPLACEMENT[0] + MAX_DISPLACEMENT[1] * gap)
    )
    resize = abs(np.log(first[2] / last[2])) / np.log(MAX_RESIZE)
    if color > 1 or (gap <= MAX_OCCLUSION and max(distance, resize) > 1):
        return None
    return float(color + min(distance, 1) + min(resize, 1) + gap / MAX_OCCLUSION)


def prominence(person: Person) -> float:
    """Number of visible frames times mean size: the order in which people are numbered."""
    return float(sum(pose.next_roi[2] for tracklet in person for pose in tracklet.poses))


def mean_confidence(person: Person) -> float:
    """Mean confidence of the trunk and thighs over all frames."""
    return float(np.mean([pose.confidence[TRUNK].mean() for tracklet in person for pose in tracklet.poses]))


def is_static_image(person: Person, times: Array) -> bool:
    """Whether a person visible for a second or longer does not move at all: even standing people sway more."""
    poses = [pose for tracklet in person for pose in tracklet.poses]
    if times[person[-1].frames[-1]] - times[person[0].frames[0]] < 1:
        return False
    keypoints = np.stack([pose.keypoints for pose in poses])
    wander = np.linalg.norm(keypoints.std(axis=0), axis=1)
    return bool(np.median(wander) < MIN_WANDER * np.median([pose.next_roi[2] for pose in poses]))
