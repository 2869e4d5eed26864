"""Who is who over the whole clip: tracklets joined into people, false people dropped, the rest numbered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from biopose_cli.detect.tracker import COLOUR, RESIZE, TRUNK, Tracklet, difference
from biopose_cli.typing import Array

REACH = 0.3, 2.0  # how far a person may have moved unseen, over the ROI's side: at once, and per second
FORGET = 2.0  # s, after which a person may come back anywhere and at another size
SHORTEST = 0.5  # s, of being seen: less is dropped when others are seen for longer
CERTAIN = 0.3  # lowest mean confidence of the trunk and thighs
# wander of the landmarks over the ROI's side below which a person is a picture on the wall: 0.0006 was measured on a
# still picture with camera noise, 0.0034 on the stillest second of somebody standing
STILL = 0.0015

Person = list[Tracklet]  # in the order of time, without overlap


def people(tracklets: list[Tracklet], times: Array) -> list[Person]:
    """Everybody in the clip, the longest and largest first. `times` (T,) s are the frames' times.

    Dropped, unless nobody else is there: people seen too briefly or too dimly, and pictures of people.
    """
    found = joined(tracklets, times)
    interval = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    conditions: list[Callable[[Person], bool]] = [
        lambda person: sum(len(tracklet.frames) for tracklet in person) * interval >= SHORTEST,
        lambda person: confidence(person) >= CERTAIN,
        lambda person: not is_picture(person, times),
    ]
    for good in conditions:
        found = [person for person in found if good(person)] or found
    return sorted(found, key=prominence, reverse=True)


def joined(tracklets: list[Tracklet], times: Array) -> list[Person]:
    """Tracklets linked into people, the most certain links first."""
    links = sorted(
        (cost, i, k)
        for i, before in enumerate(tracklets)
        for k, after in enumerate(tracklets)
        if (cost := link_cost(before, after, times)) is not None
    )
    following: dict[int, int] = {}
    preceded: set[int] = set()
    for _, i, k in links:
        if i not in following and k not in preceded:
            following[i] = k
            preceded.add(k)
    result = []
    for i in range(len(tracklets)):
        if i not in preceded:
            chain = [i]
            while chain[-1] in following:
                chain.append(following[chain[-1]])
            result.append([tracklets[k] for k in chain])
    return result


def link_cost(before: Tracklet, after: Tracklet, times: Array) -> float | None:
    """How unlikely it is that `after` goes on with the person of `before`; None when it cannot be."""
    last, first = before.poses[-1].next_roi, after.poses[0].next_roi
    gap = float(times[after.frames[0]] - times[before.frames[-1]])
    if gap <= 0:
        return None
    colour = difference(np.median(before.looks, axis=0), np.median(after.looks, axis=0)) / COLOUR
    distance = float(np.hypot(*(first[:2] - last[:2]))) / max(first[2], last[2]) / (REACH[0] + REACH[1] * gap)
    resize = abs(np.log(first[2] / last[2])) / np.log(RESIZE)
    if colour > 1 or (gap <= FORGET and max(distance, resize) > 1):
        return None
    return float(colour + min(distance, 1) + min(resize, 1) + gap / FORGET)


def prominence(person: Person) -> float:
    """Frames seen times mean size: what people are numbered by."""
    return float(sum(pose.next_roi[2] for tracklet in person for pose in tracklet.poses))


def confidence(person: Person) -> float:
    """Mean confidence of the trunk and thighs over all frames."""
    return float(np.mean([pose.confidence[TRUNK].mean() for tracklet in person for pose in tracklet.poses]))


def is_picture(person: Person, times: Array) -> bool:
    """Whether somebody, seen for a second or longer, does not stir at all: standing still, people sway more."""
    poses = [pose for tracklet in person for pose in tracklet.poses]
    if times[person[-1].frames[-1]] - times[person[0].frames[0]] < 1:
        return False
    keypoints = np.stack([pose.keypoints for pose in poses])
    wander = np.linalg.norm(keypoints.std(axis=0), axis=1)
    return bool(np.median(wander) < STILL * np.median([pose.next_roi[2] for pose in poses]))
