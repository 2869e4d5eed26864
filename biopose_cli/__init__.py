"""BioPose: one ordinary video of a moving person in, OpenSim files out."""

__version__ = "0.1.0"
