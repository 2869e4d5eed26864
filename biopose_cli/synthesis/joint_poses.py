"""Poses of people, as data for `joint_actions.py`.

Angles in degrees with OpenSim's signs, `pelvis_ty` in m above the height that the legs give. Coordinates without a side
apply to both sides. One-sided poses are written for the right side and mirrored at random. Coordinates that a pose does
not name are as in `STANDING`. The numbers are our choice, checked visually.
"""

from __future__ import annotations

Pose = dict[str, float]

STANDING: Pose = {"arm_add": -6, "elbow_flex": 12, "pro_sup": 90, "knee_angle": 2}

_HINGE: Pose = {
    "pelvis_tilt": -35,
    "hip_flexion": 110,
    "knee_angle": 95,
    "ankle_angle": 18,
    "lumbar_extension": -20,
}
_SQUAT: Pose = {
    "pelvis_tilt": -30, "hip_flexion": 115, "hip_adduction": -10, "hip_rotation": -8, "knee_angle": 113,
    "ankle_angle": 28, "lumbar_extension": -8,
}  # fmt: skip
_SIT: Pose = {
    "pelvis_tilt": 8, "hip_flexion": 80, "hip_adduction": -6, "knee_angle": 88, "lumbar_extension": -8,
    "arm_flex": 25, "elbow_flex": 65, "pro_sup": 140,
}  # fmt: skip
_SUPINE: Pose = {"pelvis_tilt": 88, "hip_flexion": 3, "ankle_angle": -25, "arm_add": -20}
_PRONE: Pose = {"pelvis_tilt": -88, "hip_flexion": -3, "ankle_angle": -42, "neck_rotation": 55}
_HOOK: Pose = {**_SUPINE, "hip_flexion": 50, "knee_angle": 95, "ankle_angle": -8}
_FOURS: Pose = {
    "pelvis_tilt": -82, "hip_flexion": 82, "knee_angle": 90, "ankle_angle": -42, "arm_flex": 85, "elbow_flex": 5,
    "wrist_flex": -60, "neck_extension": 25, "pro_sup": 140,
}  # fmt: skip
_PLANK: Pose = {
    "pelvis_tilt": -72, "hip_flexion": 3, "ankle_angle": 8, "mtp_angle": -48, "arm_flex": 75, "elbow_flex": 4,
    "wrist_flex": -60, "neck_extension": 20, "pro_sup": 140,
}  # fmt: skip
_TURNOUT: Pose = {"hip_rotation": -38, "hip_adduction": -6}
_RISEN: Pose = {"ankle_angle": -35, "mtp_angle": -45}
_ABDUCTED: Pose = {"arm_add": -90, "elbow_flex": 90}
_BENT: Pose = {"elbow_flex": 90}

POSES: dict[str, Pose] = {
    "stand": {},
    # squatting, sitting, kneeling, lunging
    "half_squat": {
        "pelvis_tilt": -20, "hip_flexion": 70, "knee_angle": 75, "ankle_angle": 25, "lumbar_extension": -5,
        "arm_add": -40, "arm_rot": 55, "elbow_flex": 100,
    },
    "squat": {**_SQUAT, "arm_flex": 75, "elbow_flex": 15},
    "deep_squat": {
        **_SQUAT, "pelvis_tilt": -15, "hip_flexion": 128, "hip_adduction": -22, "hip_rotation": -20,
        "knee_angle": 136, "ankle_angle": 32, "lumbar_extension": -32, "arm_flex": 65, "elbow_flex": 45,
    },
    "uneven_squat": {
        **_SQUAT, "hip_flexion_l": 85, "knee_angle_l": 80, "ankle_angle_l": 15, "pelvis_list": 8,
        "lumbar_rotation": 12, "hip_adduction_l": -22,
    },
    "one_leg_squat": {
        "pelvis_tilt": -28, "hip_flexion_l": 80, "hip_adduction_l": 10, "hip_rotation_l": 10, "knee_angle_l": 75,
        "ankle_angle_l": 24, "hip_flexion_r": 30, "knee_angle_r": 75, "pelvis_list": 6, "arm_flex": 55,
    },
    "pistol": {
        "pelvis_tilt": -12, "hip_flexion_l": 120, "knee_angle_l": 130, "ankle_angle_l": 32, "hip_flexion_r": 95,
        "knee_angle_r": 5, "lumbar_extension": -30, "arm_flex": 85,
    },
    "hinge": {**_HINGE, "arm_flex": 30},
    "sit": _SIT,
    "slouch": {**_SIT, "pelvis_tilt": 25, "hip_flexion": 62, "lumbar_extension": -30, "neck_extension": 18},
    "legs_crossed": {**_SIT, "hip_flexion_r": 92, "hip_rotation_r": -42, "hip_adduction_r": -22, "knee_angle_r": 95},
    "knees_in": {**_SIT, "hip_rotation": 33, "hip_adduction": 8},
    "knees_out": {**_SIT, "hip_rotation": -40, "hip_adduction": -40},
    "leg_straight": {**_SIT, "knee_angle_r": 3, "ankle_angle_r": 15},
    "long_sit": {"hip_flexion": 88, "knee_angle": 8, "ankle_angle": -15, "lumbar_extension": -15, "arm_flex": 20},
    "tailor_sit": {
        "hip_flexion": 85, "hip_adduction": -38, "hip_rotation": -55, "knee_angle": 125, "lumbar_extension": -20,
        "ankle_angle": -20, "subtalar_angle": 15, "arm_flex": 20, "elbow_flex": 60,
    },
    "kneel": {"knee_angle": 90, "ankle_angle": -45, "hip_flexion": 2},
    "heel_sit": {"hip_flexion": 72, "knee_angle": 138, "ankle_angle": -46, "arm_flex": 15, "elbow_flex": 60},
    "half_kneel": {
        "hip_flexion_r": -5, "knee_angle_r": 95, "ankle_angle_r": 22, "mtp_angle_r": -52, "hip_flexion_l": 90,
        "knee_angle_l": 92,
    },
    "fours": _FOURS,
    "lunge": {
        "pelvis_tilt": -5, "hip_flexion_r": 85, "knee_angle_r": 88, "ankle_angle_r": 8, "hip_flexion_l": -18,
        "knee_angle_l": 65, "ankle_angle_l": 18, "mtp_angle_l": -50,
    },
    "side_lunge": {
        "pelvis_tilt": -25, "hip_flexion_r": 95, "knee_angle_r": 95, "ankle_angle_r": 24, "hip_adduction_r": -15,
        "hip_flexion_l": 30, "hip_adduction_l": -45, "subtalar_angle_l": 15, "arm_flex": 60,
    },
    "crossed_lunge": {
        "pelvis_tilt": -15, "hip_flexion_r": 65, "knee_angle_r": 60, "ankle_angle_r": 12, "hip_adduction_r": 12,
        "hip_flexion_l": -10, "hip_adduction_l": 22, "knee_angle_l": 50, "mtp_angle_l": -45,
    },
    # jumping, balance, kicking, feet
    "crouch": {**_HINGE, "knee_angle": 98, "ankle_angle": 28, "arm_flex": -40, "elbow_flex": 20},
    "flight": {
        "hip_flexion": -5, "knee_angle": -2, "ankle_angle": -36, "mtp_angle": 5, "arm_flex": 150, "pelvis_ty": 0.35,
    },
    "tuck": {"hip_flexion": 115, "knee_angle": 120, "ankle_angle": -25, "arm_flex": 60, "pelvis_ty": 0.6},
    "landing": {
        "pelvis_tilt": -22, "hip_flexion": 65, "knee_angle": 68, "ankle_angle": 22, "arm_flex": 30, "arm_add": -35,
    },
    "star": {"hip_adduction": -28, "arm_add": -150, "elbow_flex": 5, "ankle_angle": -15, "pelvis_ty": 0.1},
    "knee_up": {"hip_flexion_r": 95, "knee_angle_r": 95, "arm_add": -30},
    "scale": {"pelvis_tilt": -62, "hip_flexion_l": 64, "hip_flexion_r": -12, "arm_add": -80, "neck_extension": 35},
    "leg_out": {"hip_adduction_r": -42, "pelvis_list": -12, "lumbar_bending": 8, "hip_adduction_l": -10},
    "leg_across": {"hip_adduction_r": 25, "hip_flexion_r": 15, "pelvis_list": 6, "hip_adduction_l": 5},
    "leg_back": {"hip_flexion_r": -28, "knee_angle_r": 20, "pelvis_tilt": -10},
    "heel_to_seat": {"hip_flexion_r": -5, "knee_angle_r": 130, "ankle_angle_r": -25},
    "hip_in": {"hip_flexion_r": 70, "knee_angle_r": 95, "hip_rotation_r": 32},
    "hip_out": {"hip_flexion_r": 85, "knee_angle_r": 110, "hip_rotation_r": -58, "hip_adduction_r": -35},
    "kick_back": {
        "hip_flexion_r": -28, "knee_angle_r": 95, "ankle_angle_r": -25, "pelvis_tilt": -8, "lumbar_rotation": -20,
        "hip_rotation_r": -20, "arm_add_l": -70, "knee_angle_l": 20, "hip_flexion_l": 20,
    },
    "kick_through": {
        "hip_flexion_r": 85, "knee_angle_r": 5, "ankle_angle_r": -30, "pelvis_tilt": 15, "hip_adduction_r": 12,
        "arm_flex_l": 50, "arm_flex_r": -40,
    },
    "toes": {"ankle_angle": -38, "mtp_angle": -52},
    "heels": {"ankle_angle": 20, "mtp_angle": -35, "hip_flexion": 15, "pelvis_tilt": -15},
    "soles_in": {"subtalar_angle": 30, "mtp_angle": 26},
    "soles_out": {"subtalar_angle": -27, "mtp_angle": -20},
    # arms
    "front": {"arm_flex": 90},
    "up": {"arm_flex": 170, "elbow_flex": 5, "neck_extension": 10},
    "behind": {"arm_flex": -55, "elbow_flex": 5},
    "sides": {"arm_add": -90, "elbow_flex": 5},
    "sides_up": {"arm_add": -170, "elbow_flex": 5},
    "plane_60": {"arm_flex": 45, "arm_add": -45},  # 60, 90, 140 degrees up, 35 in front of the frontal plane
    "plane_90": {"arm_flex": 90, "arm_add": -55},
    "plane_140": {"arm_flex": 154, "arm_add": -32},
    "hug": {"arm_flex": 85, "arm_add": 42, "arm_rot": 50, "elbow_flex": 40},
    "open": {"arm_flex": 85, "arm_add": -105, "elbow_flex": 15, "lumbar_extension": 5},
    "goal_post": {**_ABDUCTED, "arm_rot": -88},
    "forearms_down": {**_ABDUCTED, "arm_rot": 65},
    "turned_out": {**_BENT, "arm_rot": -62, "arm_add": -2},
    "turned_in": {**_BENT, "arm_rot": 65, "arm_flex": 10},
    "palms_up": {**_BENT, "pro_sup": 8, "wrist_flex": 20},
    "palms_down": {**_BENT, "pro_sup": 156, "wrist_flex": -20},
    "wrists_bent": {**_BENT, "wrist_flex": 62, "wrist_dev": 15, "pro_sup": 130},
    "wrists_back": {**_BENT, "wrist_flex": -62, "wrist_dev": -15, "pro_sup": 130},
    "wrists_thumb": {**_BENT, "wrist_dev": -20},
    "wrists_small": {**_BENT, "wrist_dev": 30},
    "behind_head": {"arm_add": -115, "arm_rot": -85, "elbow_flex": 138},
    "behind_back": {"arm_flex": -32, "arm_add": -15, "arm_rot": 75, "elbow_flex": 95},
    "folded": {"arm_flex": 32, "arm_rot": 68, "elbow_flex": 105, "arm_add": 5, "pro_sup": 130},
    "on_hips": {"arm_flex": -10, "arm_add": -45, "arm_rot": 60, "elbow_flex": 95, "wrist_flex": 20},
    "curl": {"elbow_flex": 142, "pro_sup": 20, "arm_flex": 10},
    "rack": {"arm_flex": 25, "arm_add": -35, "arm_rot": -25, "elbow_flex": 138, "pro_sup": 150},
    "to_mouth": {"arm_flex_r": 45, "arm_rot_r": 35, "elbow_flex_r": 135, "pro_sup_r": 50},
    "to_shoulder": {"arm_flex_r": 75, "arm_add_r": 28, "arm_rot_r": 30, "elbow_flex_r": 130},
    "phone": {"arm_flex_r": 35, "arm_add_r": -35, "arm_rot_r": -20, "elbow_flex_r": 140, "neck_bending": 8},
    "guard": {"arm_flex": 40, "elbow_flex": 130, "arm_rot": 15, "pelvis_rotation": -25, "knee_angle": 20},
    "punch": {
        "arm_flex_r": 88, "elbow_flex_r": 8, "pro_sup_r": 150, "arm_flex_l": 40, "elbow_flex_l": 130,
        "lumbar_rotation": 30, "knee_angle": 20, "hip_flexion": 15,
    },
    "cocked": {
        **_ABDUCTED, "arm_rot_r": -105, "arm_flex_l": 60, "elbow_flex_l": 40, "lumbar_rotation": -35,
        "lumbar_extension": 15, "hip_flexion_l": 50, "knee_angle_l": 50,
    },
    "thrown": {
        "arm_flex_r": 60, "arm_add_r": 25, "arm_rot_r": 40, "elbow_flex_r": 25, "lumbar_rotation": 35,
        "pelvis_tilt": -25, "lumbar_extension": -20, "hip_flexion_l": 50, "knee_angle_l": 35, "knee_angle_r": 30,
        "pro_sup_r": 140,
    },
    "reach_up": {"arm_flex_r": 165, "lumbar_bending": -12, "neck_extension": 25, "ankle_angle": -25, "mtp_angle": -30},
    "reach_across": {"arm_flex_r": 88, "arm_add_r": 42, "elbow_flex_r": 15, "lumbar_rotation": 32},
    "reach_side": {"arm_add_r": -95, "elbow_flex_r": 5, "lumbar_bending": 20, "neck_rotation": -50},
    "reach_front": {"pelvis_tilt": -22, "hip_flexion": 24, "lumbar_extension": -25, "arm_flex_r": 130},
    "reach_floor": {
        "pelvis_tilt": -58, "hip_flexion": 72, "knee_angle": 14, "lumbar_extension": -50, "arm_flex": 110,
    },
    "reach_foot": {
        "pelvis_tilt": -50, "hip_flexion": 65, "knee_angle": 15, "lumbar_extension": -45, "lumbar_rotation": 35,
        "arm_flex_r": 110, "arm_add_r": 25, "arm_add_l": -60,
    },
    "pick_up": {**_SQUAT, "arm_flex": 95, "elbow_flex": 10, "lumbar_extension": -42},
    "overhead_work": {"arm_flex": 120, "elbow_flex": 65, "neck_extension": 42, "lumbar_extension": 8},
    # trunk and neck
    "bend_forward": {"pelvis_tilt": -30, "hip_flexion": 32, "lumbar_extension": -62, "neck_extension": -20},
    "bend_back": {"pelvis_tilt": 8, "hip_flexion": -14, "lumbar_extension": 38, "neck_extension": 30},
    "bend_side": {"lumbar_bending": 40, "pelvis_list": 5, "neck_bending": 12, "arm_add_r": -2},
    "twist": {"lumbar_rotation": 52, "neck_rotation": 30, "pelvis_rotation": 20},
    "nod_down": {"neck_extension": -50},
    "nod_up": {"neck_extension": 54},
    "ear_down": {"neck_bending": 40},
    "look_round": {"neck_rotation": 76},
    # on the floor
    "supine": _SUPINE,
    "hook": _HOOK,
    "bridge": {**_HOOK, "pelvis_tilt": 112, "hip_flexion": -3, "knee_angle": 105, "ankle_angle": 5},
    "leg_raise": {**_SUPINE, "hip_flexion_r": 88, "knee_angle_r": 5},
    "knee_to_chest": {**_SUPINE, "hip_flexion_r": 138, "knee_angle_r": 136, "arm_flex": 50, "elbow_flex": 60},
    "curl_up": {**_HOOK, "lumbar_extension": -48, "neck_extension": -30, "arm_flex": 60},
    "prone": _PRONE,
    "heel_up": {**_PRONE, "knee_angle_r": 120},
    "back_arched": {**_PRONE, "lumbar_extension": 42, "neck_extension": 30, "neck_rotation": 0, "hip_flexion": -22},
    "side_lying": {**_SUPINE, "pelvis_rotation": 90, "hip_flexion": 35, "knee_angle": 50, "arm_flex": 60},
    "face_down": {**_SUPINE, "pelvis_rotation": 180, "hip_flexion": -3, "neck_rotation": 55},
    "curled_up": {
        **_SUPINE, "pelvis_rotation": 90, "hip_flexion": 115, "knee_angle": 125, "lumbar_extension": -45,
        "neck_extension": -35, "arm_flex": 50, "elbow_flex": 120,
    },
    "bird_dog": {**_FOURS, "arm_flex_r": 168, "hip_flexion_l": -5, "knee_angle_l": 3, "wrist_flex_r": 0},
    "plank": _PLANK,
    "push_low": {
        **_PLANK, "pelvis_tilt": -84, "arm_flex": 15, "arm_add": -45, "arm_rot": 10, "elbow_flex": 105,
    },
    "pike": {**_PLANK, "pelvis_tilt": -125, "hip_flexion": 90, "ankle_angle": 22, "arm_flex": 168},
    "climber": {**_PLANK, "hip_flexion_r": 110, "knee_angle_r": 115},
    # quiet standing
    "contrapposto": {
        "pelvis_list": -7, "hip_adduction_r": 7, "hip_adduction_l": -7, "hip_flexion_l": 12, "knee_angle_l": 20,
        "lumbar_bending": 7,
    },
    "feet_apart": {"hip_adduction": -14, "hip_rotation": -12},
    # bent legs with an upright trunk: from the front, only the legs' length shows the flexion
    "dip": {"hip_flexion": 16, "knee_angle": 34, "ankle_angle": 17},
    "crouched": {"hip_flexion": 27, "knee_angle": 55, "ankle_angle": 27},
    "low_crouch": {"pelvis_tilt": -4, "hip_flexion": 46, "knee_angle": 74, "ankle_angle": 31},
    "wall_sit": {"hip_flexion": 86, "knee_angle": 88, "ankle_angle": 3},
    # dance and yoga: externally rotated hips, so that a knee lifted sideways differs from one lifted forwards
    "turned_out_legs": {**_TURNOUT, "arm_flex": 20, "arm_add": -25, "elbow_flex": 40},
    "plie": {
        **_TURNOUT, "hip_flexion": 25, "hip_adduction": -35, "hip_rotation": -55, "knee_angle": 75, "ankle_angle": 26,
        "arm_add": -70, "elbow_flex": 25,
    },
    "tree": {
        "hip_flexion_r": 20, "hip_adduction_r": -42, "hip_rotation_r": -62, "knee_angle_r": 122, "ankle_angle_r": -15,
        "arm_add": -165,
    },
    "passe": {
        **_TURNOUT, **_RISEN, "hip_flexion_r": 15, "hip_adduction_r": -50, "hip_rotation_r": -68, "knee_angle_r": 112,
        "ankle_angle_r": -42, "arm_flex": 70, "arm_add": -20, "elbow_flex": 50,
    },
    "side_extension": {
        **_TURNOUT, "hip_flexion_r": 50, "hip_adduction_r": -50, "hip_rotation_r": -60, "knee_angle_r": 4,
        "ankle_angle_r": -42, "arm_add": -85, "elbow_flex": 15, "lumbar_bending": 8,
    },
    "arabesque": {
        "pelvis_tilt": -32, "hip_flexion_l": 32, "hip_flexion_r": -28, "hip_rotation_r": -35, "ankle_angle_r": -42,
        "hip_rotation_l": -25, "lumbar_extension": 30, "arm_flex_r": 95, "arm_add_l": -85, "elbow_flex": 8,
    },
    "attitude": {
        **_RISEN, "pelvis_tilt": -15, "hip_flexion_l": 12, "hip_flexion_r": -25, "hip_adduction_r": -25,
        "hip_rotation_r": -55, "knee_angle_r": 85, "ankle_angle_r": -40, "lumbar_extension": 20, "arm_add_l": -90,
        "arm_flex_r": 150, "elbow_flex": 35,
    },
    "leap": {
        "hip_flexion_r": 85, "knee_angle_r": 8, "ankle_angle_r": -40, "hip_flexion_l": -28, "hip_rotation_l": -30,
        "knee_angle_l": 12, "ankle_angle_l": -40, "pelvis_tilt": -10, "lumbar_extension": 12, "arm_flex_l": 95,
        "arm_add_r": -85, "pelvis_ty": 0.4,
    },
}  # fmt: skip
HOLDS = (
    "stand",
    "stand",
    "stand",
    "sit",
    "sit",
    "slouch",
    "contrapposto",
    "feet_apart",
    "folded",
    "on_hips",
    "supine",
    "dip",
    "crouched",
    "low_crouch",
    "tree",
    "passe",
    "plie",
    "arabesque",
)
