"""The knees' flexion over time, with a band of two standard deviations, from the folder of an earlier run.

python examples/plot_knee.py results/walk knee.png
"""

import sys

import matplotlib.pyplot as plt

import biopose_cli

folder, picture = sys.argv[1:3]
kinematics = biopose_cli.load(folder).kinematics
angles, std = kinematics.angles_deg, kinematics.std_deg

figure, axes = plt.subplots(layout="constrained")
for name, label, color in (("knee_angle_r", "right", "tab:orange"), ("knee_angle_l", "left", "tab:blue")):
    axes.plot(kinematics.time, angles[name], color=color, label=label)
    if name in std:  # not with mesh="fit" or ik="opensim"
        low, high = angles[name] - 2 * std[name], angles[name] + 2 * std[name]
        axes.fill_between(kinematics.time, low, high, color=color, alpha=0.2, linewidth=0)
axes.set(xlabel="time (s)", ylabel="knee flexion (degrees)")
axes.legend()
figure.savefig(picture)
