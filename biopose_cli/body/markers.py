"""The virtual markers: named skin sites on the body, and the joint centres that follow from them.

The sites stand in `data/markers.csv`, one row each: the rigid body of the skeleton a marker belongs to, its
vertex on the default body, and its vertex on SMPL's mesh with the published list it comes from. The SMPL
vertices are **unverified**: no SMPL file was at hand. `docs/body.md` shows all sites in pictures.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

TABLE = Path(__file__).parent / "data" / "markers.csv"
# Skin over the bone in front of the ASIS and behind the PSIS, m (Mantovani et al., Gait & Posture 44, 2016:
# CT of 67 adults).
SKIN_ASIS, SKIN_PSIS = 0.0097, 0.0196
# The glenohumeral centre lies under the acromion by this part of the distance between the acromia (Rab et
# al., J Biomech 35, 2002).
SHOULDER_DROP = 0.17
TYPICAL_LEG = 0.83  # m, thigh and shank, for a first estimate of the hips: 10 mm too much move them by 0.4 mm


@dataclass(frozen=True)
class Marker:
    """A site on the skin."""

    name: str  # R or L first for the side, as in OpenSim's marker sets
    segment: str  # rigid body of the skeleton that carries it: pelvis, femur_r, ...
    vertex: int  # on the default body's mesh
    smpl_vertex: int  # on SMPL's 6890 vertices, unverified
    site: str  # the anatomical site in words
    source: str  # of smpl_vertex: "MoSh++" (marker_vids), "BSM" (bsm_markers) or "smplx" (vertex_ids)


def _read_table() -> tuple[Marker, ...]:
    with TABLE.open(encoding="utf-8", newline="") as stream:
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


MARKERS = _read_table()
MARKER_NAMES = tuple(marker.name for marker in MARKERS)


def joint_centres(markers: Tensor) -> dict[str, Tensor]:
    """Anatomical joint centres (..., 3) by name from the markers (..., M, 3) alone, in their frame, m.

    It does not look at the body's own joints, so it means the same for any body file. hip_r, hip_l:
    Harrington et al. 2007. knee, ankle, elbow, wrist: half way between the medial and the lateral site.
    shoulder: under the acromion, along the thorax (its axis is ISB's: Wu et al. 2005), by 17 % of the
    distance between the acromia (Rab et al. 2002).
    """
    at = {name: markers[..., i, :] for i, name in enumerate(MARKER_NAMES)}
    centres: dict[str, Tensor] = {}
    pairs = {
        "knee": ("LFC", "MFC"),
        "ankle": ("LMAL", "MMAL"),
        "elbow": ("LEL", "MEL"),
        "wrist": ("RAD", "ULN"),
    }
    for side in "RL":
        for joint, (one, other) in pairs.items():
            centres[f"{joint}_{side.lower()}"] = (at[side + one] + at[side + other]) / 2
    pelvis = (at["RASI"], at["LASI"], at["RPSI"], at["LPSI"])
    typical = torch.full_like(pelvis[0][..., 0], TYPICAL_LEG)
    first = dict(zip("rl", harrington_hips(*pelvis, typical), strict=True))
    legs = [
        _length(first[s] - centres[f"knee_{s}"]) + _length(centres[f"knee_{s}"] - centres[f"ankle_{s}"])
        for s in "rl"
    ]
    centres["hip_r"], centres["hip_l"] = harrington_hips(*pelvis, (legs[0] + legs[1])[..., 0] / 2)

    down = _unit(at["T8"] + at["STRN"] - at["C7"] - at["CLAV"])
    drop = SHOULDER_DROP * _length(at["RSHO"] - at["LSHO"])
    centres["shoulder_r"], centres["shoulder_l"] = at["RSHO"] + drop * down, at["LSHO"] + drop * down
    return centres


def harrington_hips(
    rasi: Tensor, lasi: Tensor, rpsi: Tensor, lpsi: Tensor, leg: Tensor
) -> tuple[Tensor, Tensor]:
    """The right and the left hip centre (..., 3), m, from skin sites (..., 3) and the leg's length (...).

    Harrington et al., J Biomech 40 (2007), from MRI of 32 adults and children, in mm, origin half way between
    the ASIS: forward -0.24 PD - 9.9, up -0.16 PW - 0.04 LL - 7.1, sideways 0.28 PD + 0.16 PW + 7.9. PW is the
    distance between the ASIS, PD between their midpoint and that of the PSIS, LL from the ASIS to the medial
    malleolus. The ASIS and PSIS are points on bone: the skin over them is taken off first. LL is thigh +
    shank + how far the hip lies under the ASIS, so that it does not change with the pose; `leg` is thigh +
    shank.
    """
    front, back = (rasi + lasi) / 2, (rpsi + lpsi) / 2
    width = _length(rasi - lasi)
    right = (rasi - lasi) / width
    forward = front - back
    forward = forward - (forward * right).sum(-1, keepdim=True) * right
    depth = _length(forward) - SKIN_ASIS - SKIN_PSIS
    forward = _unit(forward)
    up = torch.linalg.cross(right, forward)

    x = -0.24 * depth - 0.0099
    y = -(0.16 * width + 0.04 * leg.unsqueeze(-1) + 0.0071) / (1 - 0.04)  # LL = leg - y, solved for y
    z = 0.28 * depth + 0.16 * width + 0.0079
    middle = front - SKIN_ASIS * forward + x * forward + y * up
    return middle + z * right, middle - z * right


def _length(vector: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    return length


def _unit(vector: Tensor) -> Tensor:
    return vector / _length(vector)
