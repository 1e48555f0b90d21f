"""What a study was made with, from its runs' own records: for the table at the end of its page."""

from __future__ import annotations

from collections.abc import Iterable

from miner.measuring.overopt.results import RunSummary, StudySummary

ROLES = {"rm": "Reward model", "gold": "Gold", "second": "Second RM", "policy": "Policy"}
SETTINGS = {
    "steps": "RL steps",
    "kl": "KL weights, per nat",
    "seed": "Seeds",
    "prompts_per_step": "Prompts a step",
    "samples_per_prompt": "Answers a prompt and step",
    "learning_rate": "Learning rate",
    "max_new_tokens": "Tokens of an answer, at most",
}


def facts(summary: StudySummary, command: str = "") -> list[tuple[str, str]]:
    """Names with values, in the order shown; what old runs did not record is left out."""
    runs = summary.runs
    found = [("Command", command)]
    found += [(title, _listed(_model(run, role) for run in runs)) for role, title in ROLES.items()]
    if summary.people is not None:
        found = [(title, summary.people.text if title == "Gold" else value) for title, value in found]
    found += [
        ("Held-out prompts", _listed(f"{_prompts(run):,}" for run in runs)),
        ("Answers measured", f"{sum(map(_answers, runs)):,}" if runs else ""),
    ]
    found += [(title, _listed(_setting(run, name) for run in runs)) for name, title in SETTINGS.items()]
    found += [
        ("Data hash", _listed(run.info.models.get("data", "") for run in runs)),
        ("Made by", _listed(f"rmminer {run.info.code_version}" for run in runs if run.info.code_version)),
    ]
    return [(title, value) for title, value in found if value]


def _model(run: RunSummary, role: str) -> str:
    """Its name with its fingerprint, of what there is."""
    name = run.info.target if role == "rm" else run.info.names.get(role, "")
    fingerprint = run.info.models.get(role, "")
    return " ".join(filter(None, (name, f"(fingerprint {fingerprint})" if fingerprint else "")))


def _prompts(run: RunSummary) -> int:
    return run.with_gold.n_prompts + run.with_gold.left_out


def _answers(run: RunSummary) -> int:
    return _prompts(run) * len(run.points) * int(run.info.settings.get("eval_samples", 1))


def _setting(run: RunSummary, name: str) -> str:
    value = run.info.settings.get(name)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, values)))
