"""A client of y-websocket's protocol with pycrdt: edits a document at random until it is told to stop, and prints what it has.

It connects again whenever it is cut. Arguments: the document's address, and how many seconds to edit for.
"""

import asyncio
import json
import random
import sys
import time

from aiohttp import ClientError, ClientSession, WSMsgType
from pycrdt import Array, Doc, Map, Text, YMessageType, create_sync_message, create_update_message, handle_sync_message

address, seconds = sys.argv[1], float(sys.argv[2])
doc = Doc()
text = doc.get("text", type=Text)
numbers = doc.get("array", type=Array)
fields = doc.get("map", type=Map)


def edit():
    """Changes something."""
    match random.randrange(4):
        case 0:
            text.insert(random.randint(0, len(text)), random.choice("abcd"))
        case 1 if len(text) > 2:
            at = random.randrange(len(text) - 1)
            del text[at : at + 1]
        case 2:
            numbers.append(float(random.randrange(1000)))
        case _:
            fields[f"k{random.randrange(5)}"] = random.choice(["one", "two", True, None])


receiving = False


def receive(message):
    """Takes a message of the server's. What it changes is not sent back."""
    global receiving
    receiving = True
    try:
        return handle_sync_message(message, doc)
    finally:
        receiving = False


async def connected(session, outgoing):
    """Talks to the server until the connection ends."""
    async with session.ws_connect(address) as socket:
        await socket.send_bytes(create_sync_message(doc))

        async def send():
            while True:
                await socket.send_bytes(await outgoing.get())

        sending = asyncio.create_task(send())
        try:
            async for message in socket:
                if message.type == WSMsgType.BINARY and message.data[0] == YMessageType.SYNC:
                    if reply := receive(message.data[1:]):
                        await socket.send_bytes(reply)
        finally:
            sending.cancel()


async def stay_connected(outgoing):
    async with ClientSession() as session:
        while True:
            try:
                await connected(session, outgoing)
            except (ClientError, OSError):
                pass
            await asyncio.sleep(0.1)


async def main():
    outgoing = asyncio.Queue()

    def changed(event):
        if not receiving:
            outgoing.put_nowait(create_update_message(event.update))

    doc.observe(changed)
    connection = asyncio.create_task(stay_connected(outgoing))
    print("ready", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        edit()
        await asyncio.sleep(random.random() * 0.02)
    # What it has, whenever it is asked.
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        has = {"text": str(text), "array": numbers.to_py(), "map": fields.to_py()}
        print(json.dumps(has, sort_keys=True), flush=True)
    connection.cancel()


asyncio.run(main())
