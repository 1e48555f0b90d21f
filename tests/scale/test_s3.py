"""The same over the wire: moto's S3 on loopback, with conditional puts. Skipped where moto or s3fs is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corpus import Corpus, CorpusWriteError, object_store, working_copy
from corpus.locations import Location
from corpus.object_store import ObjectStore
from scripts.drills import mining as drill
from scripts.drills import samples

moto_server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]' s3fs")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 's3fs>=2025.7.0'")
pytestmark = pytest.mark.filterwarnings("ignore")  # of other people's code


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    import boto3
    import s3fs

    for key, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RMMINER_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(key, value)
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(working_copy, "_COPIES", {})
    monkeypatch.setattr(object_store, "PAUSES_S", (0.05,) * 3)
    client: Any = boto3.client("s3")
    name = tmp_path.name.replace("_", "-").lower()[:60]
    client.create_bucket(Bucket=name)
    return name


def test_an_object_is_created_once(bucket: str) -> None:
    store = ObjectStore(Location("s3", f"{bucket}/run"))
    assert store.create("a/b", b"1")
    assert not store.create("a/b", b"2")
    assert store.read("a/b") == b"1"
    assert store.read("a/c") is None
    assert store.list() == object_store.Listing(folders=("a",))
    assert store.list("a") == object_store.Listing(objects=("b",))
    store.create("a/d", b"")
    assert store.list("a").objects == ("b", "d")


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(CorpusWriteError, match=r"cannot write to s3://no-such-bucket/run: there is no such bucket"):
        Corpus("s3://no-such-bucket/run").append(samples.finding(1))
    assert bucket


def test_two_processes_mine_in_a_bucket_what_one_does_in_a_folder(bucket: str, tmp_path: Path) -> None:
    url = f"s3://{bucket}/run"
    running = []
    for index in range(2):
        environment = {**os.environ, "RMMINER_CACHE": str(tmp_path / f"cache-{index}")}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        command = [sys.executable, str(drill.ME), url, f"{index}/2"]
        running.append(subprocess.Popen(command, env=environment))
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    drill.mine(tmp_path / "whole")

    def made(corpus: Corpus) -> dict[str, Any]:
        return {one.attempt_id: replace(one, seconds=0.0) for one in corpus.attempts()}

    assert made(Corpus(url)) == made(Corpus(tmp_path / "whole"))
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("cache*/stores/**/*") if path.is_file())
    assert b"testing-secret" not in stored
