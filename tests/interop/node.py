#!/usr/bin/env python3
"""One real `aiodistbus` 0.0.2 node, driven over stdin/stdout with JSON lines.

    node.py broker   [--ip IP] [--port P] [--pulse S]
    node.py client   --ip IP --port P [--pulse-ttl S] [--pulse-limit N] [--timeout S]
    node.py localbus --ip IP --port P

It first prints {"ready": {"ip": ..., "port": ...}}. Then each line of stdin is a command, an object with a "cmd" key,
and is answered, in order, by one line {"ok": ...} or {"error": "..."}. Lines that nobody asked for come in between:
{"event": {...}} for what a handler received, {"disrupt": true}, {"closed": true}. Logs go to stderr. The node closes
politely and exits when stdin closes. Only the library's public API is used.

A broker has a local bus in its own process: `on`, `off` and `emit` act on that, and `forward` links the two.
A localbus node's `forward` sends its events to the broker at --ip --port (0.0.2 has no `listen` and no `link`).

Peculiarities of 0.0.2 that shape this program:
- A wildcard subscribes to its own literal text: a client's `*` gets nothing off the wire unless another of its
  subscriptions lets the frame in. `"wide": true` adds an exact handler for "", whose empty prefix lets everything in.
- A handler whose number of arguments does not fit kills the receive loop, and an exact handler gets no argument at all
  without a declared type, for None and for `data: null`. So handlers here take `*args`; "absent" means no argument.
- Its log goes to stdout, so stdout is moved away before the import.
- A client's own close handler is replaced by one registered for `aiodistbus.eventbus.close`: it then stays open.
"""

import argparse
import asyncio
import collections
import json
import os
import sys
import threading
import time
import uuid
from dataclasses import dataclass, is_dataclass

# Keep the real stdout for the protocol; whatever else prints goes to stderr.
OUT = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
os.dup2(2, 1)

import aiodistbus as adb  # noqa: E402
from dataclasses_json import DataClassJsonMixin  # noqa: E402


@dataclass
class Sample(DataClassJsonMixin):
    """The dataclass of `kind: dataclass` and `{"dataclass": {...}}`."""

    msg: str
    n: int = 0


# What `kind` may say. `untyped` and `wildcard` register without a type.
KINDS = {
    "str": str, "int": int, "float": float, "bool": bool, "none": type(None),
    "list": list, "dict": dict, "bytes": bytes, "dataclass": Sample,
    "untyped": None, "wildcard": None,
}


def say(line):
    OUT.write(json.dumps(line) + "\n")
    OUT.flush()


def plain(value):
    """`value` as JSON can carry it: bytes as a list of numbers, a dataclass as an object."""
    if isinstance(value, (bytes, bytearray)):
        return list(value)
    if is_dataclass(value):
        return dict(vars(value))
    return value


def untag(tagged):
    """The Python value that a tagged one such as {"bytes": [0, 255]} means."""
    (kind, value), = tagged.items()
    if kind == "bytes":
        return bytes(value)
    if kind == "dataclass":
        return Sample(**value)
    if kind == "none":
        return None
    if kind == "float":
        return float(value)
    if kind == "unencodable":
        return object()
    if kind in ("str", "int", "bool", "list", "dict"):
        return value
    if kind == "empty":
        raise ValueError("0.0.2 cannot emit without data (None travels as the JSON text null)")
    raise ValueError(f"unknown kind of value {kind!r}")


class Node:
    def __init__(self, args):
        self.args = args
        self.broker = self.local = self.point = None
        self.linked = False  # localbus: events go to the broker
        self.counts = collections.Counter()  # received, by the topic that `on` named
        self.disordered = set()  # topics whose n-th value was not the number n (from 0)
        self.received = []  # what the handlers that are not quiet got, for `drain`
        self.changed = asyncio.Event()  # set whenever something was counted
        self.closing = False

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self):
        a = self.args
        ip, port = a.ip, a.port
        if a.role == "client":
            self.point = adb.DEntryPoint(pulse_ttl=a.pulse_ttl, pulse_limit=a.pulse_limit)

            async def on_disrupt():  # must be async: a plain function keeps 0.0.2 from closing
                say({"disrupt": True})

            await self.point.connect(ip, port, on_disrupt=on_disrupt, timeout=a.timeout)
        else:
            if a.role == "broker":
                # With port 0 the library picks a random port without looking at the next two.
                for attempt in range(20):
                    try:
                        self.broker = adb.DEventBus(ip=ip, port=port, pulse=a.pulse)
                        break
                    except Exception:
                        if port or attempt == 19:
                            raise
                ip, port = self.broker.ip, self.broker.port
            self.local = adb.EventBus()
            self.point = adb.EntryPoint()
            await self.point.connect(self.local)
        say({"ready": {"ip": ip, "port": port}})
        self.watch = asyncio.create_task(self.watch_closed())

    async def watch_closed(self):
        """Say so once the node no longer runs; the library has no callback for it."""
        node = self.broker or (self.point if self.args.role == "client" else self.local)
        while node.running:
            await asyncio.sleep(0.02)
        say({"closed": True})

    async def close(self):
        if self.closing:
            return
        self.closing = True
        if self.broker:
            await self.broker.close()
        if self.linked:
            await self.local.deforward(self.args.ip, self.args.port)
        await self.point.close()
        if self.local:
            await self.local.close()
        await asyncio.wait_for(self.watch, 5)  # so {"closed": true} comes before the answer

    # -- receiving ----------------------------------------------------------------------------------------------------

    def handler(self, topic, quiet=False, fail=False, delay=0):
        wildcard = "*" in topic

        async def handle(*args):
            event = args[0] if wildcard and args else None
            if wildcard:
                value = event.data
            else:
                value = args[0] if args else None
            if value != self.counts[topic]:
                self.disordered.add(topic)
            self.counts[topic] += 1
            self.changed.set()
            if not quiet:
                kind = type(value).__name__ if args else "absent"
                got = {
                    "topic": event.type if wildcard else topic, "on": topic, "kind": kind, "value": plain(value),
                    "id": event.id if wildcard else None, "timestamp": event.timestamp if wildcard else None,
                }
                self.received.append(got)
                say({"event": got})
            if delay:
                await asyncio.sleep(delay)
            if fail:
                raise RuntimeError("asked to fail")

        return handle

    # -- commands: each returns what goes into the answer -------------------------------------------------------------

    async def cmd_on(self, topic, kind="untyped", quiet=False, create_task=False, wide=False, fail=False, delay=0):
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}")
        handle = self.handler(topic, quiet, fail, delay)
        await self.point.on(topic, handle, KINDS[kind], create_task=create_task)
        if wide:
            async def nothing(*_):
                pass
            await self.point.on("", nothing, bytes)

    async def cmd_off(self, topic):
        await self.point.off(topic)

    async def cmd_ready(self, timeout=5):
        """Wait until what `on` and `off` subscribed to has reached the broker. Subscriptions take effect in order, so
        this subscribes to one more topic and emits to itself until that comes back. Others may see these events:
        their topic is `distbus.ready.<uuid>`."""
        if self.args.role != "client":
            return
        topic, seen = f"distbus.ready.{uuid.uuid4()}", asyncio.Event()

        async def handle(*_):
            seen.set()

        await self.point.on(topic, handle, bytes)
        end = time.monotonic() + timeout
        while not seen.is_set():
            if time.monotonic() > end:
                raise TimeoutError("the subscription is not ready")
            await self.point.emit(topic, b"")
            try:
                await asyncio.wait_for(seen.wait(), 0.02)
            except asyncio.TimeoutError:
                pass
        await self.point.off(topic)

    async def cmd_emit(self, topic, value, id=None):
        event = await self.point.emit(topic, untag(value), id)
        return event and {"id": event.id, "timestamp": event.timestamp}  # null: nothing was sent

    async def cmd_emit_many(self, topic, n):
        sent = 0
        for number in range(n):
            sent += await self.point.emit(topic, number) is not None
        return sent

    async def cmd_count(self, topic=None):
        return sum(self.counts.values()) if topic is None else self.counts[topic]

    async def cmd_wait_count(self, topic, n, timeout=20):
        end = time.monotonic() + timeout
        while self.counts[topic] < n:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), end - time.monotonic())
            except asyncio.TimeoutError:
                raise TimeoutError(f"{self.counts[topic]} of {n}") from None
        return self.counts[topic]

    async def cmd_in_order(self, topic):
        """Were the values of `topic` 0, 1, 2, ...? (what `emit_many` sends; needs `kind: int`)"""
        return topic not in self.disordered

    async def cmd_drain(self):
        got, self.received = self.received, []
        return got

    async def cmd_forward(self, types=None):
        if self.broker:
            await self.broker.forward(self.local, types)
        elif self.local:
            await self.local.forward(self.args.ip, self.args.port, types)
            self.linked = True
        else:
            raise ValueError("a client cannot forward")

    async def cmd_deforward(self):
        await self.local.deforward(self.args.ip, self.args.port)
        self.linked = False

    async def cmd_running(self):
        return (self.broker or (self.point if self.args.role == "client" else self.local)).running

    async def cmd_flush(self):
        await self.broker.flush()

    async def cmd_close(self):
        await self.close()

    async def cmd_die(self):
        os._exit(1)  # no close event, as a crash

    async def answer(self, line):
        try:
            command = json.loads(line)
            method = getattr(self, "cmd_" + command.pop("cmd"))
            say({"ok": await method(**command)})
        except Exception as error:  # whatever it is, the test shall read it
            say({"error": f"{type(error).__name__}: {error}"})


def stdin_lines(loop):
    """A queue of stdin's lines, then None. A thread reads, because stdin may be anything."""
    queue = asyncio.Queue()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(queue.put_nowait, line)
        loop.call_soon_threadsafe(queue.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    return queue


async def main(args):
    node = Node(args)
    try:
        await node.start()
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        os._exit(1)
    lines = stdin_lines(asyncio.get_running_loop())
    quitting = False
    while not quitting and (line := await lines.get()) is not None:
        if not line.strip():
            continue
        quitting = '"quit"' in line and json.loads(line).get("cmd") == "quit"
        if not quitting:
            await node.answer(line)
    try:
        await asyncio.wait_for(node.close(), 5)
    except Exception as error:  # a receive loop that died raises its reason here
        print(f"close: {type(error).__name__}: {error}", file=sys.stderr)
    if quitting:
        say({"ok": None})
    sys.stderr.flush()
    os._exit(0)  # the library's exit hooks may raise or wait


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["broker", "client", "localbus"])
    parser.add_argument("--ip", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pulse", type=float, default=15, help="broker: seconds between pulses")
    parser.add_argument("--pulse-ttl", type=float, default=50, help="client: seconds between checks for a pulse")
    parser.add_argument("--pulse-limit", type=int, default=4, help="client: empty checks before on_disrupt")
    parser.add_argument("--timeout", type=float, default=5, help="client: seconds to wait for the handshake")
    asyncio.run(main(parser.parse_args()))
