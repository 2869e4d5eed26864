"""The version, for the modules below the public API."""

__version__ = "0.1.0"
