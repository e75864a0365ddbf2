"""What python-socketio's clients do against the server; run by ../python.test.mjs as `client.py CASE FLAVOUR TRANSPORT URL`.

FLAVOUR is `sync` (requests and websocket-client) or `asyncio` (aiohttp). A case that fails raises. Python's JSON writes every
character that is not ASCII as an escape, and so every name and text here.
"""

import asyncio
import queue
import sys
import threading

import socketio

PATIENCE = 15
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}

flavour, transport, url = sys.argv[2:5]


class Peer:
    """A client of either flavour, connected to its namespaces under the name it gives."""

    def __init__(self, user, namespaces=("/",), **auth):
        self.events = {}
        self.user = user
        self.namespaces = namespaces
        if flavour == "asyncio":
            self.loop = asyncio.new_event_loop()
            threading.Thread(target=self.loop.run_forever, daemon=True).start()
            self.client = self.wait(self.made(socketio.AsyncClient))
        else:
            self.loop = None
            self.client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.2)
        for namespace in namespaces:
            # python-socketio passes these by their own names only.
            for event in ("connect_error", "disconnect"):
                self.listen(event, namespace)
            self.client.on("*", self.catcher(namespace), namespace=namespace)
        self.wait(
            self.client.connect(
                url,
                auth={"user": user, **auth},
                transports=TRANSPORTS[transport],
                namespaces=list(namespaces),
                wait_timeout=PATIENCE,
            )
        )

    async def made(self, kind):
        return kind(reconnection_delay=0.05, reconnection_delay_max=0.2)

    def wait(self, result):
        """What a call results in: asyncio's are coroutines."""
        if asyncio.iscoroutine(result):
            return asyncio.run_coroutine_threadsafe(result, self.loop).result(PATIENCE)
        return result

    def heard(self, event, namespace="/"):
        return self.events.setdefault((namespace, event), queue.Queue())

    def listen(self, event, namespace):
        heard = self.heard(event, namespace)
        self.client.on(event, lambda *args: heard.put(args), namespace=namespace)

    def catcher(self, namespace):
        return lambda event, *args: self.heard(event, namespace).put(args)

    def next(self, event, namespace="/"):
        """The arguments of the next such event."""
        try:
            return self.heard(event, namespace).get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"{event} did not come") from None

    def emit(self, event, data=None, namespace="/"):
        self.wait(self.client.emit(event, data, namespace=namespace))

    def call(self, event, data=None, namespace="/"):
        """The ack of an event that has to succeed."""
        ack = self.wait(self.client.call(event, data, namespace=namespace, timeout=PATIENCE))
        assert ack["ok"], ack
        return ack

    def close(self):
        self.wait(self.client.disconnect())


def connects():
    alice = Peer("alice")
    (session,) = alice.next("session")
    assert session["user"] == "alice", session
    expected = "websocket" if transport == "upgrade" else transport
    assert alice.client.transport() == expected, alice.client.transport()
    alice.call("join", "lobby")
    sent = alice.call("message", {"room": "lobby", "data": {"text": "hello"}, "id": "one"})
    assert (sent["seq"], sent["id"]) == (1, "one"), sent
    message, offset = alice.next("message")
    assert message["data"] == {"text": "hello"} and isinstance(offset, str), message
    again = alice.call("message", {"room": "lobby", "data": {"text": "hello"}, "id": "one"})
    assert (again["seq"], again["duplicate"]) == (1, True), again
    refused = alice.wait(alice.client.call("message", {"room": "elsewhere"}))
    assert refused["error"]["code"] == "bad_request", refused
    alice.close()


def escapes():
    alice, bob = Peer("ålice"), Peer("bøb")
    room, event = "straße-東京", 'größe"\\/"🚀'
    for peer in (alice, bob):
        assert peer.next("session")[0]["user"] == peer.user
        peer.call("join", {"room": room})
    # Relayed, published, published without being kept, and as data.
    alice.emit("größe", ("ü", {"ключ": "値"}))
    assert bob.next("größe") == ("ü", {"ключ": "値"})
    alice.call("publish", {"room": room, "event": event, "data": {"ключ": "値"}})
    data, meta, _ = bob.next(event)
    assert (data, meta["room"], meta["from"]["user"]) == ({"ключ": "値"}, room, "ålice"), meta
    alice.call("publish", {"room": room, "event": event, "data": "🚀", "ephemeral": True})
    assert bob.next(event)[0] == "🚀"
    alice.call("message", {"room": room, "data": 'a "quote", a \\ and a \x00', "id": "nº 1"})
    message, _ = bob.next("message")
    assert (message["data"], message["id"]) == ('a "quote", a \\ and a \x00', "nº 1"), message
    kept = bob.call("history", {"room": room})["messages"]
    assert [each["event"] for each in kept] == [event, "message"], kept
    assert alice.heard("disconnect").empty() and bob.heard("disconnect").empty()
    alice.close()
    bob.close()


def binary():
    alice, bob = Peer("alice"), Peer("bob")
    for peer in (alice, bob):
        peer.call("join", "board")
    picture = bytes(range(256))
    for sender, other in ((alice, bob), (bob, alice)):
        sender.emit("draw", ({"at": [1, 2], "picture": picture}, picture, 3))
        assert other.next("draw") == ({"at": [1, 2], "picture": picture}, picture, 3)
    alice.close()
    bob.close()


def namespaces():
    alice = Peer("alice", namespaces=("/", "/chat"))
    for namespace in ("/", "/chat"):
        alice.next("session", namespace)
        alice.call("join", "lobby", namespace)
        alice.call("message", {"room": "lobby", "data": namespace}, namespace)
        message, _ = alice.next("message", namespace)
        assert (message["data"], message["seq"]) == (namespace, 1), "rooms of namespaces are different rooms"
    alice.close()


def reconnects():
    """The server is ended and started again behind this client's back, when it says that it is ready."""
    alice = Peer("alice")
    alice.next("session")
    joined = alice.call("join", "lobby")
    place = f"{joined['epoch']}:{joined['seq']}"
    print("ready", flush=True)
    alice.next("disconnect")
    alice.next("session")
    joined = alice.call("join", {"room": "lobby", "since": place})
    assert joined["recovered"], joined
    assert [message["data"] for message in joined["messages"]] == ["while you were away"], joined
    alice.call("message", {"room": "lobby", "data": "back"})
    # The other one may have come before the connection was lost.
    while alice.next("message")[0]["data"] != "back":
        pass
    alice.close()


def refused():
    """The server asks for tokens."""
    peer = Peer.__new__(Peer)
    try:
        peer.__init__("alice", token="garbage")
    except socketio.exceptions.ConnectionError:
        (error,) = peer.next("connect_error")
        assert error["message"] == "unauthorized", error
    else:
        raise AssertionError("a bad token was accepted")


{case.__name__: case for case in (connects, escapes, binary, namespaces, reconnects, refused)}[sys.argv[1]]()
