"""The virtual markers: named skin sites on the body, and the joint centres that follow from them.

The sites stand in `data/markers.csv`, one row each: the rigid body of the skeleton a marker belongs to, its
vertex on the default body, and its vertex on SMPL's mesh with the published list it comes from. The SMPL
vertices are **unverified**: no SMPL file was at hand. `docs/how/body.md` shows all sites in pictures.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

MARKERS_CSV = Path(__file__).parent / "data" / "markers.csv"
# Skin over the bone in front of the ASIS and behind the PSIS, m (Mantovani et al., Gait & Posture 44, 2016:
# CT of 67 adults).
SKIN_ASIS, SKIN_PSIS = 0.0097, 0.0196
# The glenohumeral centre is below the acromion by this fraction of the distance between the acromia: Rab et al. (J
# Biomech 35, 2002) in form. Their 0.17 is for more lateral markers; with this table's sites it would be 13 mm below the
# centre of rotation of the default body's arm, so the factor is fitted to that.
SHOULDER_DROP = 0.13
# m, thigh and shank, for a first estimate of the hips: an error of 10 mm moves them by 0.4 mm
INITIAL_LEG_LENGTH = 0.83


@dataclass(frozen=True)
class Marker:
    """A site on the skin."""

    name: str  # R or L first for the side, as in OpenSim's marker sets
    segment: str  # rigid body of the skeleton that carries it: pelvis, femur_r, ...
    vertex: int  # on the default body's mesh
    smpl_vertex: int  # on SMPL's 6890 vertices, unverified
    site: str  # the anatomical site in words
    source: str  # of smpl_vertex: "MoSh++" (marker_vids), "BSM" (bsm_markers) or "smplx" (vertex_ids)


def _read_markers() -> tuple[Marker, ...]:
    with MARKERS_CSV.open(encoding="utf-8", newline="") as stream:
        return tuple(
            Marker(
                row["name"],
                row["segment"],
                int(row["vertex"]),
                int(row["smpl_vertex"]),
                row["site"],
                row["source"],
            )
            for row in csv.DictReader(stream)
        )


MARKERS = _read_markers()
MARKER_NAMES = tuple(marker.name for marker in MARKERS)


def joint_centers(markers: Tensor) -> dict[str, Tensor]:
    """Anatomical joint centres (..., 3) by name from the markers (..., M, 3) alone, in their frame, m.

    The body's own joints are not used, so the result has the same meaning for any body file. hip_r, hip_l: Hara et al.
    2016. Knee, ankle, elbow, wrist: midpoint of the medial and the lateral site. Shoulder: below the acromion, along
    the thorax (its axis is ISB's: Wu et al. 2005), by `SHOULDER_DROP` of the distance between the acromia.
    """
    position = {name: markers[..., i, :] for i, name in enumerate(MARKER_NAMES)}
    centers: dict[str, Tensor] = {}
    pairs = {
        "knee": ("LFC", "MFC"),
        "ankle": ("LMAL", "MMAL"),
        "elbow": ("LEL", "MEL"),
        "wrist": ("RAD", "ULN"),
    }
    for side in "RL":
        for joint, (lateral, medial) in pairs.items():
            centers[f"{joint}_{side.lower()}"] = (position[side + lateral] + position[side + medial]) / 2

    pelvis = (position["RASI"], position["LASI"], position["RPSI"], position["LPSI"])
    leg = torch.full_like(pelvis[0][..., 0], INITIAL_LEG_LENGTH)
    for _ in range(3):  # the thigh ends at the hip that is computed; the third pass moves it by less than 0.1 mm
        centers["hip_r"], centers["hip_l"] = hara_hips(*pelvis, leg)
        bones = [("hip", "knee"), ("knee", "ankle")]
        lengths = [_length(centers[f"{a}_{s}"] - centers[f"{b}_{s}"]) for a, b in bones for s in "rl"]
        leg = torch.cat(lengths, dim=-1).sum(-1) / 2

    thorax_down = _unit(position["T8"] + position["STRN"] - position["C7"] - position["CLAV"])
    drop = SHOULDER_DROP * _length(position["RSHO"] - position["LSHO"])
    centers["shoulder_r"], centers["shoulder_l"] = (
        position["RSHO"] + drop * thorax_down,
        position["LSHO"] + drop * thorax_down,
    )
    return centers


def hara_hips(rasi: Tensor, lasi: Tensor, rpsi: Tensor, lpsi: Tensor, leg: Tensor) -> tuple[Tensor, Tensor]:
    """Right and left hip centre (..., 3), m, from skin sites (..., 3) and thigh + shank `leg` (...), m.

    Hara et al., Sci Rep 6 (2016) 37707, from CT of 157 people, in mm, origin midway between the ASIS: forward
    11 - 0.063 LL, up -9 - 0.078 LL, sideways 8 + 0.086 LL. LL is measured from the ASIS over the knee to the medial
    ankle; it is computed as `leg` plus the height of the ASIS over the hip, so that it does not depend on the pose.
    """
    origin, forward, up, right, _, _ = _pelvis_frame(rasi, lasi, rpsi, lpsi)
    length = (leg.unsqueeze(-1) + 0.009) / (1 - 0.078)
    middle = origin + (0.011 - 0.063 * length) * forward - (0.009 + 0.078 * length) * up
    offset = (0.008 + 0.086 * length) * right
    return middle + offset, middle - offset


def harrington_hips(rasi: Tensor, lasi: Tensor, rpsi: Tensor, lpsi: Tensor, leg: Tensor) -> tuple[Tensor, Tensor]:
    """As `hara_hips`, after Harrington et al., J Biomech 40 (2007), from MRI of 32 adults and children.

    In mm: forward -0.24 PD - 9.9, up -0.16 PW - 0.04 LL - 7.1, sideways 0.28 PD + 0.16 PW + 7.9. PW is the
    distance between the ASIS, PD between their midpoint and that of the PSIS. The default body's hips were
    placed so, on its lean shapes: fat over the four sites misleads it by up to 42 mm (Hara's: 14 mm).
    """
    origin, forward, up, right, width, depth = _pelvis_frame(rasi, lasi, rpsi, lpsi)
    y = -(0.16 * width + 0.04 * leg.unsqueeze(-1) + 0.0071) / (1 - 0.04)  # LL = leg - y, solved for y
    middle = origin - (0.24 * depth + 0.0099) * forward + y * up
    offset = (0.28 * depth + 0.16 * width + 0.0079) * right
    return middle + offset, middle - offset


def _pelvis_frame(rasi: Tensor, lasi: Tensor, rpsi: Tensor, lpsi: Tensor) -> tuple[Tensor, ...]:
    """Frame and size of the bony pelvis: origin between the ASIS, forward, up, right (..., 3), PW, PD (..., 1), m."""
    front, back = (rasi + lasi) / 2, (rpsi + lpsi) / 2
    width = _length(rasi - lasi)
    right = (rasi - lasi) / width
    forward = front - back
    forward = forward - (forward * right).sum(-1, keepdim=True) * right
    depth = _length(forward) - SKIN_ASIS - SKIN_PSIS
    forward = _unit(forward)
    return front - SKIN_ASIS * forward, forward, torch.linalg.cross(right, forward), right, width, depth


def _length(vector: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    return length


def _unit(vector: Tensor) -> Tensor:
    return vector / _length(vector)
