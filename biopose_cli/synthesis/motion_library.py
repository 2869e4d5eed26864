"""Motion capture for training and for the sample clip: three archives of the CMU database as SMPL poses.

The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from
NSF EIA-0196217.
"""

from __future__ import annotations

import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from biopose_cli.synthesis import bvh, cmu
from biopose_cli.synthesis.mocap import INDEX, Take
from biopose_cli.synthesis.mocap_corrections import estimate_corrections
from biopose_cli.synthesis.retarget import Motion, RestBody, has_off_axis_knees, retarget

_MAX_COPY_DIFFERENCE = 0.08  # largest difference of a rotation matrix's entries between two copies of one frame
_COMPARED_JOINTS = ("pelvis", "spine3", "left_shoulder", "right_shoulder")
_UNKNOWN_PREFIX = "unknown_"
_TYPICAL_SUBJECT = "35"  # its bone lengths are used for files that name no subject


def load_motions(folder: Path, body: RestBody, fps: float = 30, only: str = "") -> list[Motion]:
    """Read all distinct, sound takes of the CMU archives in `folder`, as SMPL poses.

    The archives are `cmu_amc`, `cmu_expmap` and `cmu_bvh` (.tar.xz).

    Parameters
    ----------
    folder : with the archives
    body : body in its T-pose, to which the takes are retargeted
    fps : 30 or 60 frames/s; recordings at 60 or 120 are subsampled
    only : read only files whose path contains this text (for tests and quick checks)

    Raises
    ------
    ValueError
        `fps` does not divide a recording's frame rate.
    """
    archives = (read_amc_archive, read_expmap_archive, read_bvh_archive)
    takes = drop_duplicates([take for read in archives for take in read(folder, only)])
    return [motion for motion in retarget_all(takes, body, fps) if not has_off_axis_knees(motion)]


def retarget_all(takes: list[Take], body: RestBody, fps: float) -> list[Motion]:
    """Retarget takes to `body`, with corrections per subject (so pass all takes of a subject at once)."""
    takes_by_subject = defaultdict(list)
    for take in takes:
        takes_by_subject[take.source, take.subject].append(take)
    motions = []
    for subject_takes in takes_by_subject.values():
        corrections = estimate_corrections(
            subject_takes, body, one_person=not subject_takes[0].subject.startswith(_UNKNOWN_PREFIX)
        )
        motions += [retarget(take.subsample(_stride(take.fps, fps)), body, corrections) for take in subject_takes]
    return motions


def read_amc_archive(folder: Path, only: str = "") -> list[Take]:
    """`cmu_amc.tar.xz`: SUBJECT/SUBJECT.asf and SUBJECT/SUBJECT_TAKE.amc."""
    files = dict(_read_members(folder / "cmu_amc.tar.xz", only, always=".asf"))
    skeletons = {path.stem: cmu.read_asf(text) for path, text in files.items() if path.suffix == ".asf"}
    return [
        cmu.read_amc(text, skeletons[path.stem.split("_")[0]], path.stem.split("_")[0], path.stem)
        for path, text in sorted(files.items()) if path.suffix == ".amc"
    ]  # fmt: skip


def read_expmap_archive(folder: Path, only: str = "") -> list[Take]:
    """`cmu_expmap.tar.xz`: SET/ACTION/ACTION_N.txt. Files name no subject, so each action counts as one."""
    skeleton = cmu.read_asf(dict(_read_members(folder / "cmu_amc.tar.xz", f"{_TYPICAL_SUBJECT}.asf")).popitem()[1])
    return [
        cmu.read_expmap(text, skeleton, f"{_UNKNOWN_PREFIX}{path.parts[-2]}", "/".join(path.with_suffix("").parts[-3:]))
        for path, text in sorted(_read_members(folder / "cmu_expmap.tar.xz", only)) if path.suffix == ".txt"
    ]  # fmt: skip


def read_bvh_archive(folder: Path, only: str = "") -> list[Take]:
    """`cmu_bvh.tar.xz`: SUBJECT_TAKE.bvh."""
    files = sorted(_read_members(folder / "cmu_bvh.tar.xz", only, always="007_03.bvh"))
    trees = {path.stem: bvh.read_tree(text) for path, text in files if path.suffix == ".bvh"}
    rest = next(rotations for tree in trees.values() if (rotations := bvh.rest_rotations(tree)) is not None)
    takes = []
    for stem, tree in trees.items():
        subject, number = stem[1:].split("_")
        take = bvh.read_bvh(tree, rest, subject, f"{subject}_{number}")
        if only in f"{stem}.bvh" and take is not None:
            takes.append(take)
    return takes


def drop_duplicates(takes: list[Take]) -> list[Take]:
    """One copy of each take: the first in the list, with subject and number from any copy that has them."""
    named = [take for take in takes if not take.subject.startswith(_UNKNOWN_PREFIX)]
    by_name: dict[str, Take] = {}
    for take in takes:
        if take.subject.startswith(_UNKNOWN_PREFIX):
            original = next((candidate for candidate in named if _is_copy(take, candidate)), take)
            identified = replace(take, subject=original.subject, name=original.name)
        else:
            identified = take
        by_name.setdefault(identified.name, identified)
    return list(by_name.values())


def _is_copy(take: Take, other: Take) -> bool:
    """Whether the frames of `take` at a quarter, half and three quarters occur in `other` at the same spacing.

    Compared at 60 frames/s in the pelvis, chest and upper arms, in which the three archives agree within 3 degrees.
    """
    take_rotations, other_rotations = (
        clip.subsample(_stride(clip.fps, 60)).rotations[:, [INDEX[joint] for joint in _COMPARED_JOINTS]]
        for clip in (take, other)
    )
    lags = []
    for quarter in (1, 2, 3):
        frame = quarter * len(take_rotations) // 4
        difference = np.abs(other_rotations - take_rotations[frame]).max(axis=(1, 2, 3))
        if difference.min() > _MAX_COPY_DIFFERENCE:
            return False
        lags.append(int(difference.argmin()) - frame)
    return max(lags) - min(lags) <= 2


def _read_members(archive: Path, only: str, always: str = "\0") -> Iterator[tuple[PurePosixPath, str]]:
    with tarfile.open(archive) as archive_file:
        for member in archive_file:
            stream = archive_file.extractfile(member)
            if stream is not None and (only in member.name or member.name.endswith(always)):
                yield PurePosixPath(member.name), stream.read().decode("utf-8", "replace")


def _stride(recorded: float, target: float) -> int:
    stride = round(recorded / target)
    if abs(stride * target - recorded) > 0.01 * recorded:
        raise ValueError(f"{recorded:g} frames/s cannot be subsampled to {target:g}")
    return stride
