"""A node that uses Python's `aiodistbus`, unchanged: python_beside_rust.rs starts it. Its log goes to stdout, what it has to say to stderr."""

import asyncio
import os
import sys

from aiodistbus import DEntryPoint


async def main(ip, port):
    node = DEntryPoint()
    await node.connect(ip, port)
    stop = asyncio.Event()

    # Each handler says of which type it wants its data: a Rust struct is a dict here.
    async def on_temp(temp: dict):
        print(f"Python: {temp['celsius']} °C in the {temp['room']}", file=sys.stderr, flush=True)
        await node.emit("python.fahrenheit", temp["celsius"] * 9 / 5 + 32)
        await node.emit("python.seen", {"room": temp["room"], "warm": temp["celsius"] > 20})

    async def on_stop(reason: str):
        print(f"Python: stopping, {reason}", file=sys.stderr, flush=True)
        stop.set()

    async def on_ping(number: int):
        await node.emit("python.pong", number)

    await node.on("lab.temp", on_temp, dict)
    await node.on("lab.stop", on_stop, str)
    await node.on("lab.ping", on_ping, int)
    await stop.wait()
    await node.close()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
sys.stderr.flush()
os._exit(0)  # the library leaves threads behind that nobody has to wait for
