"""``rmminer serve``: a local RM as others meet it, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from miner.cli import options as o
from miner.cli.output import err, print_json
from miner.cli.watcher import running

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    model: Annotated[str, typer.Argument(help="Reward model: folder, hub id or campaign file.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every machine that gets here.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0 takes any that is free.", min=0, max=65535)] = 8000,
    key_env: Annotated[
        str | None, typer.Option(help="Environment variable with the key that clients must send.", show_default=False)
    ] = None,
    max_request_mb: Annotated[float, typer.Option(help="Larger requests are refused.", min=0.001)] = 16.0,
    data: Annotated[
        str | None, typer.Option(help="Preference data, for an RM that compares with good answers.", show_default=False)
    ] = None,
    device: o.Device = None,
    dtype: o.DType = None,
    settings: o.Settings = None,
    json: o.Json = False,
) -> None:
    """Offer a reward model over HTTP: POST /v1/scores, /v1/lengths, /pooling (as vLLM), GET /info, /health.

    Ctrl-C answers what is under way and ends.
    """
    from miner.config.campaign import parse_config
    from miner.config.reward_model import rm_table_of
    from miner.errors import ConfigError
    from miner.rewards.opening import open_reward_model
    from miner.rewards.remote.http import key_from
    from miner.serving import RewardServer
    from miner.serving import serve as serve_until_signalled
    from miner.worlds.opening import read_references

    key = key_from(key_env, named_by="--key-env")
    if host not in LOOPBACK and key is None:
        raise ConfigError(
            f"{host} can be reached from other machines: give a key that clients must send, --key-env NAME "
            "(and put TLS before it: keys and texts travel in the clear)"
        )
    asked = o.CampaignOptions(data="docs" if data is None else data, device=device, dtype=dtype, settings=settings)
    loaded = parse_config({"out": ".", "rm": rm_table_of(model)}, o.overrides_from_options(asked), where=model)
    watcher = running()
    with watcher.stage("loading the reward model, hashing its weights"):
        rm = open_reward_model(loaded.rm, {} if data is None else read_references(loaded, watcher))
    server = RewardServer(rm=rm, host=host, port=port, key=key, max_request_mb=max_request_mb)

    def ready() -> None:
        watcher.rest()
        if json:
            print_json({"url": server.url, "model": rm.name, "fingerprint": rm.fingerprint, "device": rm.device})
        else:
            err().print(f"serving {Path(rm.name).name} at {server.url}, on {rm.device}", markup=False)
            err().print(f"mine it: rmminer mine --rm {server.url} --data FILE --attack random", markup=False)

    serve_until_signalled(server, ready)
