from __future__ import annotations

import numpy as np

from biopose_cli.detect.identity import identify_people, link_tracklets
from biopose_cli.detect.tracker import Tracklet
from tests.helpers.people import RATE, pose, tracklet

TIMES = np.arange(200) / RATE


def test_two_who_cross_unseen_keep_their_identities_by_motion_and_colour() -> None:
    ada = [tracklet(0, 50, (100, 500), (450, 500), 80), tracklet(70, 120, (600, 500), (950, 500), 80)]
    ben = [tracklet(0, 50, (950, 500), (600, 500), 95), tracklet(68, 120, (450, 500), (100, 500), 95)]
    found = link_tracklets([ada[0], ben[0], ben[1], ada[1]], TIMES)
    assert [[id(part) for part in person] for person in found] == [[id(p) for p in ada], [id(p) for p in ben]]


def test_tracklets_at_the_same_time_are_never_one_person() -> None:
    assert (
        len(
            link_tracklets(
                [tracklet(0, 50, (100, 500), (200, 500)), tracklet(50, 90, (200, 500), (300, 500))], TIMES
            )
        )
        == 2
    )


def test_nobody_jumps_or_changes_clothes() -> None:
    here, far = tracklet(0, 50, (100, 500), (100, 500)), tracklet(53, 90, (900, 500), (900, 500))
    other = tracklet(53, 90, (110, 500), (110, 500), colour=160)
    assert len(link_tracklets([here, far], TIMES)) == 2
    assert len(link_tracklets([here, other], TIMES)) == 2
    assert len(link_tracklets([here, tracklet(53, 90, (110, 500), (110, 500))], TIMES)) == 1


def test_who_comes_back_after_seconds_may_be_anywhere() -> None:
    gone = [tracklet(0, 50, (100, 500), (0, 500)), tracklet(150, 190, (1800, 500), (1500, 500), side=700)]
    assert len(link_tracklets(gone, TIMES)) == 1


def test_the_longest_and_largest_comes_first() -> None:
    small_long = tracklet(0, 150, (100, 500), (600, 500), side=300)
    large_short = tracklet(0, 50, (900, 500), (1000, 500), side=600)
    large_long = tracklet(0, 120, (900, 100), (1500, 100), side=500)
    found = identify_people([large_short, small_long, large_long], TIMES)
    assert [person[0] for person in found] == [large_long, small_long, large_short]


def test_false_people_are_dropped_unless_they_are_all_there_is() -> None:
    real = tracklet(0, 100, (100, 500), (600, 500))
    brief = tracklet(20, 25, (1500, 500), (1500, 500))
    dim = tracklet(0, 100, (1000, 900), (1100, 900), confidence=0.2)
    poster = Tracklet()
    for k in range(100):
        poster.update(k, k / RATE, pose(1500, 300, seed=1), np.full(12, 50.0))
    assert identify_people([brief, dim, poster, real], TIMES) == [[real]]
    for false in (brief, dim, poster):
        assert identify_people([false], TIMES) == [[false]]
    assert identify_people([], TIMES) == []
