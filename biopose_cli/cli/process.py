"""Run videos through the pipeline for the commands that do: settings, progress, errors, results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from biopose_cli.errors import describe_error, print_error
from biopose_cli.settings import Settings

_SETTING_FIELDS = Settings.__dataclass_fields__
_CAMERA_OPTIONS = ("focal", "fov", "intrinsics")  # ways to give one thing


def process_videos(context: typer.Context, only: str | None = None) -> None:
    """Run the videos one after the other; one that fails does not stop the others."""
    from biopose_cli.cli.display import Display
    from biopose_cli.cli.summaries import print_summary, result_as_json
    from biopose_cli.pipeline import output_folder, run

    options = context.params
    videos: list[Path] = options["videos"]
    sources = {name: _source(context, name) for name in options}
    given = {name for name, source in sources.items() if source != "DEFAULT"}
    # a camera on the command line stands in the place of the config file's
    if any(sources.get(name) == "COMMANDLINE" for name in _CAMERA_OPTIONS):
        options.update({name: None for name in _CAMERA_OPTIONS if sources.get(name) == "DEFAULT_MAP"})
    settings = Settings(**{key: value for key, value in options.items() if key in _SETTING_FIELDS})
    output_folder.check_names(videos)
    results: list[dict[str, Any]] = []
    exit_code = 0
    for video in videos:
        try:
            with Display(quiet=options["quiet"]) as display:
                if len(videos) > 1:
                    display.note(str(video))
                result = run.run(
                    video,
                    options["out"],
                    settings,
                    display,
                    from_stage=options.get("from_stage"),
                    only=only,
                    overwrite=options.get("overwrite", False),
                    given=given,
                )
            results.append(result_as_json(result))
            if not options["quiet"] and not options["json_output"]:
                print_summary(result)
        except Exception as error:
            message, code = describe_error(error)
            named = len(videos) == 1 or str(video) in message
            print_error(message if named else f"{video}: {message}")
            results.append({"video": str(video), "error": message})
            exit_code = exit_code or code
    if options["json_output"]:
        typer.echo(json.dumps({"results": results}, indent=2))
    if exit_code:
        raise typer.Exit(exit_code)


def _source(context: typer.Context, name: str) -> str:
    """Whence an option's value is: COMMANDLINE, DEFAULT_MAP (the config file) or DEFAULT."""
    source = context.get_parameter_source(name)
    return "DEFAULT" if source is None else source.name
