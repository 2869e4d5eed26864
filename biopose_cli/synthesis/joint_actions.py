"""Actions as data for `joint_motion.py`: gaits, and cycles of the poses in `joint_poses.py` (same units and names).

Gait: sagittal curves after Winter 1991 (The Biomechanics and Motor Control of Human Gait) and Perry 1992 (Gait
Analysis), read to the nearest few degrees. All other numbers are our choice, checked visually.
"""

from __future__ import annotations

from dataclasses import dataclass

from biopose_cli.synthesis.joint_poses import POSES, Pose

Values = float | tuple[float, ...]
Curves = dict[str, Values]
Span = tuple[float, float]


@dataclass(frozen=True)
class Action:
    """A cycle of key poses, joined smoothly and repeated."""

    phases: tuple[float, ...]  # of the key poses, in cycles; the first is 0
    keys: tuple[Pose, ...]
    period: Span  # s per cycle; negative: played backwards
    amplitude: Span = (0.6, 1.15)  # scale of the difference from standing
    lag: float = 0.0  # of the left limbs relative to the right ones, cycles
    speed: Span = (0.0, 0.0)  # m/s forward
    turn_rate_std: float = 12.0  # degrees/s, standard deviation


_LYING: Span = (0.92, 1.05)


def _loop(poses: str, period: Span, amplitude: Span = (0.55, 1.15), turn_rate_std: float = 12.0) -> Action:
    """A cycle of the named poses, evenly spaced in time; a pose named twice in a row is held."""
    names = poses.split()
    phases = tuple(index / len(names) for index in range(len(names)))
    return Action(phases, tuple(POSES[name] for name in names), period, amplitude, turn_rate_std=turn_rate_std)


_STRIDE = (0, 0.08, 0.15, 0.3, 0.42, 0.5, 0.62, 0.73, 0.87)
_WALK: Curves = {
    "hip_flexion": (30, 28, 24, 8, -5, -10, -3, 20, 32),
    "knee_angle": (5, 13, 18, 8, 5, 10, 38, 60, 25),
    "ankle_angle": (0, -5, 0, 7, 10, 6, -18, -4, 1),
    "hip_adduction": (0, 4, 6, 3, 2, 0, -5, -4, -2),
    "hip_rotation": (0, 3, 4, 2, 0, -2, -3, 0, 2),
    "subtalar_angle": (4, -3, -5, -4, -1, 3, 5, 3, 3),
    "mtp_angle": (-15, -5, 0, 0, -6, -25, -30, -10, -15),
    "pelvis_tilt": -3,
    "pelvis_list": (0, -3, -4, -2, -1, 0, 4, 3, 1),
    "pelvis_rotation": (5, 4, 2, -2, -4, -5, -3, 0, 3),
    "lumbar_rotation": (-9, -8, -5, 3, 8, 9, 6, 1, -6),
    "lumbar_bending": (0, 2, 3, 2, 1, 0, -3, -2, -1),
    "arm_flex": (-20, -19, -15, 0, 12, 15, 11, 0, -12),
    "elbow_flex": (14, 15, 16, 24, 32, 34, 30, 22, 16),
    "arm_add": -6,
}
_RUN: Curves = {
    **_WALK,
    "hip_flexion": (35, 32, 26, 0, -14, -8, 15, 38, 45),
    "knee_angle": (15, 32, 42, 22, 20, 48, 98, 85, 35),
    "ankle_angle": (5, 15, 22, 0, -25, -15, -5, 3, 6),
    "mtp_angle": (-10, 0, 0, -25, -20, -8, -5, -5, -10),
    "pelvis_tilt": -10,
    "arm_flex": (-45, -42, -35, -5, 20, 25, 20, -8, -30),
    "elbow_flex": (85, 85, 85, 90, 100, 100, 98, 92, 85),
}
_UPSTAIRS: Curves = {
    **_WALK,
    "hip_flexion": (62, 58, 50, 28, 12, 8, 25, 60, 70),
    "knee_angle": (62, 60, 52, 28, 12, 12, 60, 92, 80),
    "ankle_angle": (12, 14, 15, 12, 8, 3, -18, 5, 12),
    "pelvis_tilt": -8,
}
_DOWNSTAIRS: Curves = {
    **_WALK,
    "hip_flexion": (18, 16, 15, 16, 18, 24, 38, 40, 25),
    "knee_angle": (8, 15, 22, 32, 55, 75, 90, 70, 20),
    "ankle_angle": (-22, -8, 8, 20, 28, 30, 15, -8, -22),
}
_CRAWL: Curves = {
    **POSES["fours"],
    "hip_flexion": (100, 97, 92, 82, 72, 66, 70, 84, 97),
    "arm_flex": (70, 72, 76, 86, 96, 101, 97, 84, 74),
}


def _gait(
    period: Span,
    speed: Span,
    base: Curves = _WALK,
    amplitude: Span = (0.8, 1.15),
    **changes: tuple[float, float],
) -> Action:
    """Gait with some curves changed: coordinate (with or without side) = (scale, offset in degrees)."""
    neutral = (0.0,) * len(_STRIDE)
    curves = {name: values if isinstance(values, tuple) else (values,) * len(_STRIDE) for name, values in base.items()}
    for name, (scale, offset) in changes.items():
        curve = curves.get(name) or curves.get(name[:-2], neutral)  # a curve without side applies to both sides
        curves[name] = tuple(scale * value + offset for value in curve)
    keys = tuple({name: curve[index] for name, curve in curves.items()} for index in range(len(_STRIDE)))
    return Action(_STRIDE, keys, period, amplitude, 0.5, speed)


ACTIONS: dict[str, Action] = {
    "walk": _gait((0.9, 1.4), (0.8, 1.7), amplitude=(0.6, 1.2)),
    "walk_backwards": _gait((-1.7, -1.0), (-1.1, -0.4), amplitude=(0.5, 0.9)),
    "run": _gait((0.58, 0.82), (2, 4.5), _RUN, (0.8, 1.1)),
    "slow_cadence": _gait((1.5, 2.6), (0.2, 0.7), amplitude=(0.5, 0.9)),
    "short_steps": _gait((0.8, 1.3), (0.1, 0.5), hip_flexion=(0.35, 14), knee_angle=(0.5, 12), ankle_angle=(0.5, 5),
                         arm_flex=(0.2, 5), elbow_flex=(0.5, 35), lumbar_extension=(1, -22), neck_extension=(1, 12)),
    "crouch_gait": _gait((0.9, 1.6), (0.4, 1), hip_flexion=(0.75, 22), knee_angle=(0.6, 38), ankle_angle=(0.8, 14),
                         hip_rotation=(1, 12), hip_adduction=(1, 5)),
    "stiff_knee": _gait((1.1, 1.9), (0.3, 0.9), knee_angle_r=(0.15, 3), hip_adduction_r=(1, -12), pelvis_list=(1.6, -3),
                        hip_flexion_r=(0.7, -4)),
    "foot_drop": _gait((1, 1.7), (0.4, 1.1), ankle_angle_r=(0.5, -18), knee_angle_r=(1.2, 3), hip_flexion_r=(1.2, 3)),
    "hemiparesis": _gait((1.2, 2.2), (0.2, 0.7), knee_angle_r=(0.3, 5), ankle_angle_r=(0.3, -20),
                         hip_flexion_r=(0.55, 0), hip_adduction_r=(1, -9), arm_flex_r=(0.15, 12),
                         elbow_flex_r=(0.3, 75), arm_rot_r=(1, 35), wrist_flex_r=(1, 45), subtalar_angle_r=(1, 14)),
    "trendelenburg": _gait((1, 1.6), (0.4, 1.1), pelvis_list=(2.8, 0), lumbar_bending=(4.5, 0), hip_adduction=(1.8, 0)),
    "wide_base": _gait((1, 1.8), (0.3, 0.9), hip_adduction=(0.6, -12), hip_rotation=(1, -14), arm_add=(1, -22),
                       hip_flexion=(0.7, 5)),
    "limp": _gait((1, 1.7), (0.3, 0.9), hip_flexion_r=(0.55, 8), knee_angle_r=(0.55, 9), ankle_angle_r=(0.5, 3),
                  lumbar_bending=(2, 6), arm_flex_l=(1.5, 0)),
    "toe_walk": _gait((0.8, 1.3), (0.5, 1.2), ankle_angle=(0.5, -24), mtp_angle=(0.5, -30), knee_angle=(0.9, 8)),
    "toes_in": _gait((0.9, 1.4), (0.5, 1.2), hip_rotation=(1, 26), hip_adduction=(1, 6), knee_angle=(0.9, 6)),
    "stairs_up": _gait((1.1, 1.9), (0.3, 0.6), _UPSTAIRS),
    "stairs_down": _gait((1.0, 1.7), (0.3, 0.6), _DOWNSTAIRS),
    "high_knees": _gait((0.7, 1.1), (0, 1.5), _UPSTAIRS, (0.9, 1.2), arm_flex=(2, 10), elbow_flex=(1, 60)),
    "squats": _loop("stand squat squat", (1.6, 4.5), (0.35, 1.15)),
    "half_squats": _loop("stand half_squat", (1.2, 4)),
    "deep_squats": _loop("stand deep_squat deep_squat", (2.2, 6), (0.7, 1.1)),
    "dips": _loop("stand dip crouched low_crouch crouched dip", (1.8, 6), (0.5, 1.15)),
    "uneven_squats": _loop("stand uneven_squat", (1.6, 4.5)),
    "one_leg_squats": _loop("knee_up one_leg_squat", (1.8, 4.5)),
    "pistol_squats": _loop("knee_up pistol", (2.2, 5)),
    "sit_to_stand": _loop("stand stand hinge sit sit hinge", (2.6, 7), (0.85, 1.15)),
    "seated": _loop("sit slouch legs_crossed sit leg_straight knees_in knees_out", (6, 20), (0.85, 1.1)),
    "floor_sitting": _loop("long_sit tailor_sit heel_sit tailor_sit", (5, 14), (0.85, 1.1)),
    "jumps": _loop("stand crouch flight flight landing stand", (2.2, 3.4), (0.55, 1.1)),
    "tuck_jumps": _loop("stand crouch flight tuck landing stand", (2.2, 3.4), (0.6, 1.05)),
    "jumping_jacks": _loop("stand star", (0.8, 1.6), (0.6, 1.1)),
    "kneeling": _loop("stand half_kneel kneel heel_sit kneel half_kneel", (5, 12), (0.85, 1.1)),
    "half_kneeling": _loop("stand half_kneel half_kneel", (2.2, 6), (0.8, 1.1)),
    "crawl": _gait((0.9, 1.8), (0.2, 0.6), _CRAWL, _LYING),
    "all_fours": _loop("fours bird_dog fours prone", (4, 12), _LYING),
    "lunges": _loop("stand lunge lunge", (1.8, 4.5)),
    "side_lunges": _loop("stand side_lunge", (1.6, 4)),
    "crossed_lunges": _loop("stand crossed_lunge", (1.8, 4.5)),
    "balance": _loop("stand knee_up knee_up leg_out scale knee_up", (6, 16)),
    "leg_swings": _loop("leg_out leg_across", (1, 3)),
    "leg_lifts": _loop("stand leg_back heel_to_seat stand hip_in hip_out", (5, 12)),
    "kicks": _loop("stand kick_back kick_through stand stand", (1.6, 3)),
    "feet": _loop("toes heels soles_in soles_out", (2.5, 9), (0.6, 1.1)),
    "arms_front": _loop("stand front up front behind", (3, 10)),
    "arms_sides": _loop("stand sides sides_up sides", (2.5, 8)),
    "arms_scaption": _loop("stand plane_60 plane_90 plane_140 plane_90 plane_60", (2.5, 8)),
    "arms_across": _loop("hug open", (1.5, 5)),
    "arms_turned_high": _loop("goal_post forearms_down", (1.5, 5)),
    "arms_turned_low": _loop("turned_out turned_in", (1.5, 5)),
    "forearms": _loop("palms_up palms_down", (1, 4)),
    "wrists": _loop("wrists_bent wrists_back wrists_thumb wrists_small", (2.5, 8)),
    "hands_behind": _loop("stand behind_head behind_head stand behind_back", (4, 12), (0.75, 1.1)),
    "hands_resting": _loop("folded on_hips stand", (4, 12), (0.75, 1.1)),
    "curls_presses": _loop("stand curl rack up rack", (3, 8), (0.75, 1.1)),
    "hand_to_head": _loop("stand to_mouth to_shoulder phone", (4, 10), (0.75, 1.1)),
    "boxing": _loop("guard punch guard", (0.9, 2), turn_rate_std=25),
    "throwing": _loop("stand cocked thrown stand", (1.9, 3.2), (0.6, 1.05)),
    "reaching": _loop("stand reach_up reach_across reach_side reach_front", (5, 13)),
    "reaching_down": _loop("stand reach_floor stand reach_foot pick_up", (5, 13)),
    "picking_up": _loop("stand pick_up pick_up", (2, 5)),
    "overhead_work": _loop("overhead_work up overhead_work reach_up", (3, 9)),
    "trunk": _loop("bend_forward bend_back stand bend_side stand twist", (5, 15)),
    "bowing": _loop("stand bend_forward reach_floor", (2.2, 6)),
    "neck": _loop("nod_down nod_up stand ear_down stand look_round", (5, 14)),
    "turning": _loop("stand knee_up stand twist", (3, 8), (0.3, 0.7), turn_rate_std=130),
    "turns": _loop("turned_out_legs plie passe passe", (1.5, 4), (0.7, 1.1), turn_rate_std=200),
    "dance": _loop(
        "turned_out_legs side_extension passe attitude arabesque plie", (5, 14), (0.7, 1.1), turn_rate_std=40
    ),
    "leaps": _loop("turned_out_legs plie leap landing", (1.8, 3.4), (0.6, 1.05)),
    "lying": _loop("supine hook bridge hook leg_raise knee_to_chest curl_up", (9, 24), _LYING),
    "lying_down": _loop("stand half_kneel long_sit supine supine long_sit half_kneel", (8, 16), (0.92, 1.05)),
    "rolling": _loop("supine side_lying face_down side_lying curled_up", (7, 18), _LYING),
    "prone": _loop("prone heel_up prone back_arched", (4, 14), _LYING),
    "push_ups": _loop("plank push_low", (1.3, 4), _LYING),
    "planks": _loop("plank pike plank climber", (3, 10), _LYING),
    "burpees": _loop("stand deep_squat plank push_low plank deep_squat flight", (5, 9), (0.92, 1.05)),
}  # fmt: skip
