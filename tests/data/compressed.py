"""Compressed files."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def zst(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
        stream.flush()
        return sink_bytes(sink, stream)


def sink_bytes(sink: Any, stream: Any) -> bytes:
    stream.close()
    return bytes(sink.getvalue())
