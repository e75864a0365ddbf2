"""The back end of Socket.IO's chat, for hooks of Switchboard: `python3 backend.py [PORT]`, with the standard library alone."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

URL = os.environ.get("SWITCHBOARD_URL", "http://127.0.0.1:3000")
with open(os.environ.get("HOOK_SECRET_FILE", "secret")) as file:
    KEY = base64.b64decode(file.read().strip().removeprefix("whsec_"))


def is_signed(headers, body):
    """Whether Switchboard has sent this, in the last five minutes."""
    sent = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = "v1," + base64.b64encode(hmac.digest(KEY, sent, hashlib.sha256)).decode()
    given = (headers["webhook-signature"] or "").split()
    known = any(hmac.compare_digest(each, signature) for each in given)
    return known and abs(time.time() - int(headers["webhook-timestamp"])) < 300


def ask(path, body=None):
    headers = {"authorization": f"Bearer {os.environ.get('API_KEY', '')}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(URL + path, data, headers))


def count():
    """How many have a name: they are the members of the room "chat"."""
    try:
        with ask("/v1/rooms/chat") as response:
            return json.load(response)["users"]
    except urllib.error.HTTPError:
        return 0


def to_others(*event):
    return {"emit": event, "to": "all", "except": "caller"}


def answer(event, args, state=None, **_):
    """What is replied to an event of a client; `state` is what the client's connection keeps."""
    if event == "add user":
        if state:
            return {}
        user, number = {"username": str(args[0])}, count() + 1
        joined = to_others("user joined", {**user, "numUsers": number})
        name = {"join": "@" + urllib.parse.quote(user["username"], safe="")}
        return {"state": user, "do": [{"join": "chat"}, name, {"emit": ["login", {"numUsers": number}]}, joined]}
    if not state:
        return {"deny": {"code": "bad_request", "message": "add a user first"}}
    if event == "new message":
        return {"do": [to_others(event, {**state, "message": args[0]})]}
    return {"do": [to_others(event, state)]}  # "typing" and "stop typing"


def hear(room):
    """What is heard of members who have left: each was alone in a room that has the name."""
    left = {"username": urllib.parse.unquote(room[1:]), "numUsers": count()}
    ask("/v1/emit", {"emit": ["user left", left], "to": "all"}).close()


def handle(events=None, **call):
    """A batch of what has happened, or a call."""
    for event in events or []:
        if event["type"] == "member.left":
            hear(event["room"])
    return {} if events else answer(**call)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection for many calls

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 200 if is_signed(self.headers, body) else 401
        reply = json.dumps(handle(**json.loads(body)) if status == 200 else {}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


ThreadingHTTPServer(("127.0.0.1", int((sys.argv + ["8000"])[1])), Handler).serve_forever()
