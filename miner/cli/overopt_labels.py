"""``rmminer overopt`` on stored runs with people as gold: the sheet they fill in, and what their scores show."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from miner.cli.output import out, print_json
from miner.cli.overopt_tables import say_study
from miner.cli.watcher import running
from miner.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """What was asked for: a ``sheet`` with so many ``prompts``, or the runs analysed with ``filled`` sheets,
    beside those in ``against``."""

    sheet: Path | None
    prompts: int | None
    filled: tuple[Path, ...]
    against: Path | None = None
    json: bool = False
    dry_run: bool = False

    def run(self, config: Path | None, out_folder: str | None, round_number: int) -> None:
        """Raises: ConfigError: options that do not go together, or no run's folder."""
        if self.sheet is not None and self.filled:
            raise ConfigError("--label-sheet writes a sheet, --labels reads filled ones: give one of the two")
        if self.prompts is not None and self.sheet is None:
            raise ConfigError("--label-prompts says how much is in a sheet: give --label-sheet FILE, too")
        if self.against is not None and self.sheet is not None:
            raise ConfigError("--against compares what runs show, --label-sheet only writes a sheet: leave one out")
        if self.dry_run and self.filled:
            raise ConfigError("--labels trains nothing and changes no run: leave --dry-run out")
        folder = _study_folder(config, out_folder, round_number)
        if self.sheet is not None:
            self._write(self.sheet, folder)
        else:
            self._analyse(folder)

    def _write(self, path: Path, folder: Path) -> None:
        from miner.measuring.overopt.label_files import check_sheet, write_sheet
        from miner.measuring.overopt.label_sheet import label_sheet

        check_sheet(path)
        sheet = label_sheet(folder, n_prompts=self.prompts)
        if not self.dry_run:
            write_sheet(path, sheet.rows)
        if self.json:
            counts = {"answers": len(sheet.rows), "prompts": sheet.n_prompts, "runs": sheet.n_runs}
            print_json({**counts, "sheet": None if self.dry_run else str(path)})
            return
        counted = f"{len(sheet.rows):,} answers to {sheet.n_prompts} prompts, {sheet.n_runs} runs"
        then = f"fill in the scores, higher is better, all on one scale; then --labels {path}"
        out().print(counted if self.dry_run else f"{path}: {counted}. Now {then}", markup=False)

    def _analyse(self, folder: Path) -> None:
        from miner.measuring.overopt.labels import read_labels
        from miner.measuring.overopt.summary import summarise_study
        from miner.reporting.overopt_page import write_overopt_report

        watcher = running()
        labels = read_labels(self.filled)
        with watcher.stage("looking for the onset in every run"):
            summary = summarise_study(folder, labels=labels, against=self.against)
        with watcher.stage("writing the report"):
            page = write_overopt_report(summary, command=shlex.join(["rmminer", *sys.argv[1:]]))
        say_study(summary, page, json=self.json)


def _study_folder(config: Path | None, out_folder: str | None, round_number: int) -> Path:
    """Of the stored runs: in the folder named, or the campaign file's."""
    from miner.config.campaign import load_config
    from miner.measuring.overopt.log import study_name

    if config is None and out_folder is None:
        raise ConfigError("which runs? Give the folder they lie in: --out FOLDER, or its campaign file")
    place = Path(load_config(config, {}).out if out_folder is None else out_folder)
    return place / study_name(round_number)
