"""Sentence vectors by llama.cpp, from a GGUF file written here: another computation of the same.

The layout is docs/gguf.md of github.com/ggml-org/ggml; names are those that llama.cpp's own
convert_hf_to_gguf.py gives to BERT's tensors. Run as a program it reads token lists from standard
input, so that llama.cpp lives in a process of its own.
"""

import http.client
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from craton.models.engines.embedded.embeddings_wordpiece import read_vocabulary

LAYERS, WIDTH, INNER, HEADS = 6, 384, 1536, 12
_OUTER = {
    "token_embd.weight": "embeddings.word_embeddings.weight",
    "position_embd.weight": "embeddings.position_embeddings.weight",
    "token_types.weight": "embeddings.token_type_embeddings.weight",
    "token_embd_norm": "embeddings.LayerNorm",
}
_INNER = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}


def embeddings_of_llama(model: Path, texts: list[list[int]], folder: Path) -> list[list[float]]:
    """The vectors of texts given as token numbers."""
    gguf = folder / "model.gguf"
    gguf.write_bytes(_gguf(model))
    done = subprocess.run(
        [sys.executable, __file__, str(gguf), str(folder / "l.sock")],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _gguf(model: Path) -> bytes:
    raw = (model / "model.safetensors").read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + size])
    names = dict(_ends(_OUTER, ""))
    for layer in range(LAYERS):
        names |= {
            f"blk.{layer}.{ours}": f"encoder.layer.{layer}.{theirs}"
            for ours, theirs in _ends(_INNER, "")
        }
    infos, offset = b"", 0
    blobs: list[bytes] = []
    for ours, theirs in names.items():
        begin, end = header[theirs]["data_offsets"]
        shape = header[theirs]["shape"]
        infos += _text(ours) + struct.pack("<I", len(shape))
        infos += b"".join(struct.pack("<Q", length) for length in reversed(shape))
        infos += struct.pack("<IQ", 0, offset)
        blob = raw[8 + size + begin : 8 + size + end]
        blob += b"\0" * (-len(blob) % 32)
        blobs.append(blob)
        offset += len(blob)
    entries = _entries(read_vocabulary(model / "vocab.txt"))
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(names), len(entries))
    head += b"".join(_text(name) + _value(value) for name, value in entries.items()) + infos
    return b"".join([head, b"\0" * (-len(head) % 32), *blobs])


def _ends(names: dict[str, str], prefix: str) -> list[tuple[str, str]]:
    return [
        (prefix + ours + end, theirs + end)
        for ours, theirs in names.items()
        for end in ([""] if ours.endswith("weight") else [".weight", ".bias"])
    ]


def _entries(vocabulary: list[str]) -> dict[str, Any]:
    return {
        "general.architecture": "bert",
        "bert.block_count": LAYERS,
        "bert.context_length": 512,
        "bert.embedding_length": WIDTH,
        "bert.feed_forward_length": INNER,
        "bert.attention.head_count": HEADS,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": [token or "[empty]" for token in vocabulary[:30522]],
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.bos_token_id": 101,
        "tokenizer.ggml.seperator_token_id": 102,
        "tokenizer.ggml.unknown_token_id": 100,
        "tokenizer.ggml.padding_token_id": 0,
    }


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(value: Any) -> bytes:
    match value:
        case bool():
            return struct.pack("<IB", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _text(value)
        case _:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)


def main(gguf: str, path: str) -> None:
    import xllamacpp

    library: Any = xllamacpp
    settings = library.CommonParams()
    settings.model.path = gguf
    settings.hostnames = [path]
    settings.embedding = True
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 512
    settings.n_parallel = 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.warmup = settings.fit_params = False
    settings.verbosity = -1
    server = library.Server(settings)
    vectors: list[Any] = []
    for ids in json.load(sys.stdin):
        connection = _Connection(path)
        connection.request("POST", "/embeddings", msgspec.json.encode({"content": ids}))
        (entry,) = json.loads(connection.getresponse().read())
        vectors.append(np.array(entry["embedding"][0]).tolist())
    print(json.dumps(vectors), flush=True)
    os._exit(0 if server else 1)  # the library's threads have no orderly end


if __name__ == "__main__":
    main(*sys.argv[1:])
