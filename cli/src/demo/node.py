"""A Python process that knows nothing of Rust: it takes readings and sends a report of every few of them.

Its own library logs on stdout, so what the demonstration wants to know goes to stderr, on marked lines.
"""
import asyncio
import os
import sys
import threading
import uuid


def say(word):
    print("distbus-demo:", word, file=sys.stderr, flush=True)


def end_with_the_demo():
    # Nobody writes to stdin: it ends when the demonstration does, however that ends.
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=end_with_the_demo, daemon=True).start()
try:
    from aiodistbus import DEntryPoint
except Exception:
    say("absent")
    os._exit(0)


async def main(ip, port, every):
    node = DEntryPoint()
    await node.connect(ip, port)
    seen, warmest = 0, float("-inf")

    async def on_reading(reading):
        nonlocal seen, warmest
        seen += 1
        warmest = max(warmest, reading["celsius"])
        if seen % every == 0:
            await node.emit("lab.report", {"seen": seen, "warmest": warmest})

    await node.on("lab.temp", on_reading, dict)

    # Subscriptions take effect in order: once an event to oneself comes back, the one before is live, too.
    live = asyncio.Event()

    async def on_probe(*_):
        live.set()

    probe = f"distbus.probe.python.{uuid.uuid4()}."
    await node.on(probe, on_probe, bytes)
    while not live.is_set():
        await node.emit(probe, b"")
        try:
            await asyncio.wait_for(live.wait(), 0.05)
        except asyncio.TimeoutError:
            pass
    say("ready")
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
