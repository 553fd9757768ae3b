"""`taste-agent bench`: runs the benchmark and shows its report."""

import json

from rich.console import Console

from taste_agent.bench import BenchOptions
from taste_agent.bench.report import JSON_NAME, PICTURE_NAME, TABLE_NAME
from taste_agent.bench.stages import run_benchmark
from taste_agent.config import ModelSettings
from taste_agent.dialog.first_use import announce_first_use
from taste_agent.output_folder import check_writable


def show_benchmark(options: BenchOptions, as_json: bool = False) -> None:
    """Print the report as a table or as JSON, and write it to the output folder if there is one.

    Progress goes to stderr.

    Raises:
        TasteError, AgentError: the checkpoint or device does not exist, or the folder cannot be written.
    """
    if options.out is not None:
        check_writable(options.out)
    if options.preset is None:
        of_model = {"checkpoint": options.checkpoint, "device": options.device, "dtype": options.dtype}
        announce_first_use(ModelSettings.model_validate(of_model))
    errors = Console(stderr=True, highlight=False)
    with errors.status("loading") as status:
        report = run_benchmark(options, status.update)
    console = Console(highlight=False, markup=False, emoji=False)
    try:  # shown first and written in any case: neither a full disk nor `| head` loses minutes of work
        if as_json:
            console.print_json(json.dumps(report.as_json()))
        else:
            console.print(report.table(console.width))
            console.print("\n".join(report.remarks), soft_wrap=True)
    finally:
        if options.out is not None:
            report.write(options.out)
    if options.out is not None and not as_json:
        names = f"{JSON_NAME}, {TABLE_NAME}, {PICTURE_NAME}"
        console.print(f"Written to {options.out}: {names}", soft_wrap=True)
