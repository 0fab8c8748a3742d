"""Real libzmq, in the part of a client or of a broker. Exits with 0 when all went well, otherwise says why.

    libzmq.py client CONTROL PUBLISH COLLECT     three addresses to connect to
    libzmq.py broker CONTROL PUBLISH COLLECT     three addresses to bind; relays until its standard input ends

Heartbeats are on, every 50 ms, so that both sides answer and ask all the time.
"""

import sys
import threading
import time
import zlib

import zmq
from zmq.utils.monitor import recv_monitor_message

LIMIT = 60.0
LARGE = [0, 1, 255, 256, 65_536, 8 << 20]


def fail(why):
    print(why, file=sys.stderr, flush=True)
    sys.exit(1)


def new(context, kind, identity=None):
    socket = context.socket(kind)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 0
    socket.setsockopt(zmq.HEARTBEAT_IVL, 50)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2000)
    socket.rcvtimeo = int(LIMIT * 1000)
    if identity:
        socket.setsockopt(zmq.IDENTITY, identity)
    return socket


def event(topic, body):
    return [topic, body, zlib.crc32(body).to_bytes(4, "big")]


def until_live(push, sub, topic):
    """Pushes probes until one comes back, then takes the others out of the way."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        push.send_multipart(event(topic, b"probe"))
        if sub.poll(50):
            break
    else:
        fail(f"no probe came back on {topic}")
    push.send_multipart(event(topic, b"last probe"))
    while sub.recv_multipart()[1] != b"last probe":
        pass


def client(control, publish, collect):
    context = zmq.Context()
    dealer = new(context, zmq.DEALER, b"python-dealer")
    sub, push = new(context, zmq.SUB), new(context, zmq.PUSH)
    monitors = [s.get_monitor_socket(zmq.EVENT_DISCONNECTED) for s in (dealer, sub, push)]
    dealer.connect(control)
    sub.connect(publish)
    push.connect(collect)

    for n in range(100):
        dealer.send(b"echo %d" % n)
        if dealer.recv() != b"echo %d" % n:
            fail("a reply is not what was asked")

    sub.subscribe(b"py.")
    until_live(push, sub, b"py.live")

    # Many, in order.
    count = 50_000
    def pushing():
        for n in range(count):
            push.send_multipart(event(b"py.many", b"%d" % n))
    sender = threading.Thread(target=pushing)
    sender.start()
    for n in range(count):
        topic, body, checksum = sub.recv_multipart()
        if topic != b"py.many" or body != b"%d" % n:
            fail(f"expected {n} and got {topic} {body[:20]}")
    sender.join()

    # Of every size.
    for size in LARGE:
        body = bytes(n % 251 for n in range(min(size, 1000))) * (size // 1000 + 1)
        body = body[:size]
        push.send_multipart(event(b"py.large", body))
        if sub.recv_multipart() != event(b"py.large", body):
            fail(f"a body of {size} bytes came back changed")

    # Thousands of subscriptions, and without them again.
    for n in range(5000):
        sub.subscribe(b"topic.%d." % n)
    until_live(push, sub, b"topic.4999.")
    for n in range(0, 5000, 7):
        push.send_multipart(event(b"topic.%d.x" % n, b"%d" % n))
    for n in range(0, 5000, 7):
        if sub.recv_multipart()[1] != b"%d" % n:
            fail("an event of thousands of topics is missing")
    for n in range(4999):
        sub.unsubscribe(b"topic.%d." % n)
    until_live(push, sub, b"topic.4999.")
    push.send_multipart(event(b"topic.7.x", b"unwanted"))
    push.send_multipart(event(b"topic.4999.", b"wanted"))
    if sub.recv_multipart()[1] != b"wanted":
        fail("an event came after its subscription had ended")

    # Many heartbeats, and nobody hangs up.
    time.sleep(3.0)
    push.send_multipart(event(b"py.still", b"there"))
    if sub.recv_multipart()[1] != b"there":
        fail("after a rest something else came")
    for monitor in monitors:
        if monitor.poll(0):
            fail(f"disconnected: {recv_monitor_message(monitor)}")
    print("done", flush=True)

    # The broker is replaced by another at the same place: libzmq comes back, with its subscriptions.
    sys.stdin.readline()
    until_live(push, sub, b"py.again")
    print("again", flush=True)
    for socket in (dealer, sub, push):
        socket.disable_monitor()
    context.destroy(linger=0)


def broker(control, publish, collect):
    context = zmq.Context()
    router, pub, pull = (new(context, kind) for kind in (zmq.ROUTER, zmq.PUB, zmq.PULL))
    router.bind(control)
    pub.bind(publish)
    pull.bind(collect)
    print("ready", flush=True)
    poller = zmq.Poller()
    poller.register(router, zmq.POLLIN)
    poller.register(pull, zmq.POLLIN)
    poller.register(sys.stdin, zmq.POLLIN)
    while True:
        ready = dict(poller.poll())
        if router in ready:
            router.send_multipart(router.recv_multipart())
        if pull in ready:
            while True:
                try:
                    pub.send_multipart(pull.recv_multipart(zmq.NOBLOCK))
                except zmq.Again:
                    break
        if sys.stdin.fileno() in ready:
            context.destroy(linger=0)
            return


if __name__ == "__main__":
    {"client": client, "broker": broker}[sys.argv[1]](*sys.argv[2:])
