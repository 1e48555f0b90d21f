"""Campaigns over a wire that fails in the middle: nothing is lost, nothing is made up, the same command goes on."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from corpus import Corpus
from miner.campaigns.campaign import Campaign
from miner.config.campaign import CampaignConfig
from miner.errors import BudgetExceededError, OutageError, RemoteError, ResumeError
from miner.progress import Advance, Silent
from miner.rewards import RewardModel, load_reward_model
from miner.serving import RewardServer
from tests.rewards.remote import faults
from tests.rewards.remote.faults import Act, Faulty, faulty_server, free_port

N_PROMPTS = 12
KEY = "sk-very-secret-0123456789"
TIMES = ("seconds", "created_at")


def config(url: str, data: Path, out: Path, **remote: Any) -> CampaignConfig:
    return CampaignConfig.model_validate(
        {
            "rm": {"source": url, "remote": {"retries": 2, "give_up_s": 2.0, "timeout_s": 5.0, "batch": 16, **remote}},
            "data": {"source": str(data), "fractions": [0.4, 0.3, 0.3]},
            "out": str(out),
            "checks": {"names": ["repetition", "construction"], "false_alarm": 0.05},
            "attacks": [{"name": "corrupt", "params": {"variants": 4}}, {"name": "random", "params": {"width": 8}}],
            "mine": {"prompts": N_PROMPTS, "budget_queries": 60},
            "evaluate": {"prompts": 8, "budget_queries": 60},
            "in_flight": 4,
            "flush_rows": 1,
            "keep_queries": True,
        }
    )


class After(Silent):
    """Does something once, when so many attempts have been made."""

    def __init__(self, n: int, act: Callable[[], None]) -> None:
        self.n, self.act = n, act

    @contextmanager
    def stage(self, name: str) -> Iterator[Advance]:
        def advance(done: int, total: int) -> None:
            del total
            if "mining" in name and done >= self.n:
                self.n = 10**9
                self.act()

        yield advance


@pytest.fixture(scope="module")
def local(tiny_rm_folder: Path) -> RewardModel:
    return load_reward_model(tiny_rm_folder, device="cpu", dtype="float32")


@pytest.fixture
def relay(local: RewardModel) -> Iterator[Faulty]:
    """The RM served, with a script of faults before it."""
    served = RewardServer(rm=local, port=0)
    served.start()
    with httpx2.Client(base_url=served.url, trust_env=False, timeout=60) as onward:

        def answer(path: str, payload: Any) -> Act:
            reply = onward.get(path) if payload is None else onward.post(path, json=payload)
            return faults.status(reply.status_code, reply.text)

        with faulty_server(answer) as relay:
            yield relay
    served.close()


@pytest.fixture(scope="module")
def whole(local: RewardModel, preference_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The rows of a campaign that nothing befell."""
    served = RewardServer(rm=local, port=0)
    served.start()
    out = tmp_path_factory.mktemp("whole")
    report = Campaign(config(served.url, preference_file, out)).mine(0)
    served.close()
    assert (report.made, report.errors) == (2 * N_PROMPTS, 0)
    assert report.found > 0
    return rows(out)


def rows(out: Path) -> dict[str, Any]:
    """Everything mined, by identity, without what tells the time."""
    corpus = Corpus(out / "corpus")
    found: dict[str, Any] = {}
    for table, keys in (("attempts", ["attempt_id"]), ("findings", ["finding_id"]),
                        ("queries", ["attempt_id", "ordinal"])):  # fmt: skip
        for row in corpus.table(table).to_pylist():
            found["|".join([table, *(str(row[key]) for key in keys)])] = {
                name: pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
                for name, value in row.items()
                if name not in TIMES
            }
    return found


def errors(out: Path) -> list[str | None]:
    return [attempt.error for attempt in Corpus(out / "corpus").attempts() if attempt.outcome == "error"]


FAULTS = ("429", "500", "rubbish", "lies", "hangs up", "wrong count", "refuses")


@pytest.fixture(scope="module")
def acts(local: RewardModel) -> dict[str, Act]:
    few = {"fingerprint": local.fingerprint, "rewards": [1], "n_tokens": [1]}
    return {
        "429": faults.status(429, Retry_After="0"),
        "500": faults.status(500, '{"error": "no GPU"}'),
        "rubbish": faults.says("<html>", "text/html"),
        "lies": faults.promises_more,
        "hangs up": faults.hangs_up,
        "wrong count": faults.says(json.dumps(few)),
        "refuses": faults.status(403),
    }


@pytest.mark.parametrize("name", FAULTS)
def test_a_server_that_fails_in_the_middle_costs_nothing_and_the_campaign_resumes(
    name: str, relay: Faulty, preference_file: Path, tmp_path: Path, whole: dict[str, Any], acts: dict[str, Act]
) -> None:
    given = config(relay.url, preference_file, tmp_path)
    campaign = Campaign(given, After(5, lambda: relay.script.extend([acts[name]] * 10_000)))
    with pytest.raises(RemoteError, match="the same command resumes") as caught:
        campaign.mine(0)
    assert "\n" not in str(caught.value)
    stored = rows(tmp_path)
    assert sum(key.startswith("attempts") for key in stored) >= 5, str(caught.value)
    assert errors(tmp_path) == [], "no attempt is booked for a server that was gone"
    assert all(whole[key] == row for key, row in stored.items())
    relay.script.clear()
    report = Campaign(given).mine(0)
    assert report.skipped >= 5
    assert report.made + report.skipped == 2 * N_PROMPTS
    assert rows(tmp_path) == whole


def test_a_server_that_is_killed_is_started_again_and_the_campaign_resumes(
    tiny_rm_folder: Path, preference_file: Path, cache: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    port = free_port()
    given = config(f"http://127.0.0.1:{port}", preference_file, tmp_path)
    with serving(tiny_rm_folder, port, cache) as process:
        with pytest.raises(OutageError, match="the same command resumes"):
            Campaign(given, After(5, process.kill)).mine(0)
        process.wait(10)
    with pytest.raises(OutageError, match="cannot be reached"):
        Campaign(given)
    assert errors(tmp_path) == []
    with serving(tiny_rm_folder, port, cache):
        assert Campaign(given).mine(0).skipped >= 5
    assert rows(tmp_path) == whole


@contextmanager
def serving(folder: Path, port: int, cache: Path) -> Iterator[subprocess.Popen[str]]:
    code = "from miner.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", str(folder), "--port", str(port), "--dtype", "float32", "--json"]
    environment = {**os.environ, "RMMINER_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert next(process.stdout).startswith("{"), "it says so when it is ready"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "refuses"])
def test_a_failure_that_passes_is_not_noticed(
    name: str, relay: Faulty, preference_file: Path, tmp_path: Path, whole: dict[str, Any], acts: dict[str, Act]
) -> None:
    campaign = Campaign(
        config(relay.url, preference_file, tmp_path), After(3, lambda: relay.script.extend([acts[name]]))
    )
    assert campaign.mine(0).errors == 0
    assert rows(tmp_path) == whole


def test_a_spent_ceiling_stops_cleanly_and_a_new_allowance_goes_on(
    relay: Faulty, preference_file: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    out, runs = tmp_path / "run", 0
    given = config(relay.url, preference_file, out, max_requests=150)
    while True:
        runs += 1
        assert runs < 20
        relay.seen.clear()
        with contextlib.suppress(BudgetExceededError):
            Campaign(given).mine(0)
            break
        assert len(relay.seen) == 150
    assert runs > 1
    assert errors(out) == []
    assert rows(out) == whole


def test_another_rm_at_the_address_does_not_join_the_campaign(
    relay: Faulty, preference_file: Path, tmp_path: Path
) -> None:
    given = config(relay.url, preference_file, tmp_path)
    Campaign(given).mine(0)
    said = httpx2.get(f"{relay.url}/info", trust_env=False).json()
    relay.script = [faults.says(json.dumps({**said, "fingerprint": "another"}))]
    with pytest.raises(ResumeError, match="another RM"):
        Campaign(given)


def test_the_key_is_in_no_file_of_the_run(
    local: RewardModel, preference_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RM_KEY", KEY)
    served = RewardServer(rm=local, port=0, key=KEY)
    served.start()
    out = tmp_path / "run"
    campaign = Campaign(config(served.url, preference_file, out, key_env="RM_KEY"))
    campaign.evaluate(0)
    campaign.mine(0)
    served.close()
    files = [path for path in out.rglob("*") if path.is_file()]
    assert any("RM_KEY" in path.read_text() for path in files if path.name == "campaign.toml")
    assert len(files) > 5
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
