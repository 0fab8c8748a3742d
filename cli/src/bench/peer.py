"""The typed work of the benchmark with aiodistbus, a process for each role, through its public API alone.

    peer.py probe        says "ready VERSION", or why not
    peer.py broker
    peer.py sub PORT EVENTS SIZE
    peer.py pub PORT EVENTS SIZE

The library logs on stdout, so what the benchmark reads goes to a copy of it, and the rest to stderr.
"""
import os
import sys

OUT = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
os.dup2(2, 1)

import asyncio
import json
import threading
import time
import uuid
from dataclasses import dataclass
from importlib import metadata

try:
    import aiodistbus as adb
    from dataclasses_json import DataClassJsonMixin
except Exception as error:
    print(f"absent: {error}", file=OUT)
    sys.exit(0)

TOPIC = "bench.topic"
IDLE = 3


@dataclass
class Sample(DataClassJsonMixin):
    sent_ns: int
    value: float
    note: str


def end_with_the_benchmark():
    # Nobody writes to stdin: it ends when the benchmark does, however that ends.
    sys.stdin.buffer.read()
    os._exit(0)


async def echo(node):
    """Returns once an event of the node's own has come back: what it subscribed to and sent before is with the broker."""
    back = asyncio.Event()

    async def on_probe(*_):
        back.set()

    probe = f"distbus.probe.python.{uuid.uuid4()}."
    await node.on(probe, on_probe, bytes)
    while not back.is_set():
        await node.emit(probe, b"")
        try:
            await asyncio.wait_for(back.wait(), 0.05)
        except asyncio.TimeoutError:
            pass


async def broker():
    # With port 0 the library takes a random port without looking at the next two.
    for attempt in range(20):
        try:
            bus = adb.DEventBus(ip="127.0.0.1", port=0)
            break
        except Exception:
            if attempt == 19:
                raise
    print(f"ready tcp://127.0.0.1:{bus.port}", file=OUT)
    await asyncio.Event().wait()


async def sub(node, events, _):
    seen, first, last = 0, 0, 0
    done = asyncio.Event()

    async def on_sample(_: Sample):
        nonlocal seen, first, last
        last = time.monotonic_ns()
        first = first or last
        seen += 1
        if seen == events:
            done.set()

    await node.on(TOPIC, on_sample, Sample)
    await echo(node)
    print("ready", file=OUT)
    before = -1
    while not done.is_set() and seen != before:
        before, patience = seen, IDLE if seen else 60
        try:
            await asyncio.wait_for(done.wait(), patience)
        except asyncio.TimeoutError:
            pass
    rate = int(seen * 1e9 / (last - first)) if last > first else 0
    figures = {"delivered": seen, "lost": events - seen, "gaps": 0, "rate": rate}
    print(json.dumps(figures), file=OUT)


async def pub(node, events, size):
    note = "x" * size
    for i in range(events):
        await node.emit(TOPIC, Sample(time.monotonic_ns(), i * 0.5, note))
    await echo(node)


async def main(role, port, *numbers):
    node = adb.DEntryPoint()
    await node.connect("127.0.0.1", int(port))
    await {"sub": sub, "pub": pub}[role](node, *map(int, numbers))
    await node.close()


if sys.argv[1] == "probe":
    print("ready", metadata.version("aiodistbus"), file=OUT)
    sys.exit(0)
threading.Thread(target=end_with_the_benchmark, daemon=True).start()
asyncio.run(broker() if sys.argv[1] == "broker" else main(*sys.argv[1:]))
OUT.flush()
os._exit(0)
