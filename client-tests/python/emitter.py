"""What a write-only manager of python-socketio publishes; run by ../emitters_python.test.mjs as `emitter.py FLAVOUR URL ALICE BOB`,
the last two being ids of sockets."""

import asyncio
import inspect
import sys

import socketio

flavour, url, alice, bob = sys.argv[1:]


def manager():
    made = socketio.RedisManager if flavour == "sync" else socketio.AsyncRedisManager
    return made(url, write_only=True)


async def main():
    emitters = manager()

    async def do(method, *args, **options):
        done = getattr(emitters, method)(*args, **options)
        if inspect.isawaitable(done):
            await done

    await do("emit", "told", ("all", 1.5, None))
    await do("emit", "told", None)
    await do("emit", "told", ("bytes", {"b": b"\x01\x02"}), room=[alice, "lobby"])
    await do("emit", "told", "lobby", room="lobby")
    await do("emit", "told", "not bob", skip_sid=bob)
    await do("enter_room", alice, "/", "entered")
    await do("emit", "told", "entered", room="entered")
    await do("leave_room", alice, "/", "entered")
    await do("emit", "told", "left", room="entered")
    await do("enter_room", alice, "/", "closed")
    await do("close_room", "closed", "/")
    await do("emit", "told", "closed", room="closed")
    # A manager without a server cannot do this itself: it would disconnect the socket there first.
    await do("_publish", {"method": "disconnect", "sid": alice, "namespace": "/", "host_id": "other"})
    await do("emit", "told", "chat", namespace="/chat")
    await do("emit", "told", "end")
    await do("emit", "told", "end", namespace="/chat")


asyncio.run(main())
