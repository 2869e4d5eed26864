"""Markdown tables."""

from __future__ import annotations

from biopose_cli.benchmarks.markdown import markdown_table


def test_a_table() -> None:
    assert markdown_table(("a", "b"), [("1", ""), ("2", "x")]) == "| a | b |\n|---|---|\n| 1 |  |\n| 2 | x |"
