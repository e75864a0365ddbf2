"""A back end that replies to each call whether its signature is right, by the library of Standard Webhooks from PyPI."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

port, secret = int(sys.argv[1]), sys.argv[2]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            call = Webhook(secret).verify(body, dict(self.headers))
            reply = {"ack": [call["id"] == self.headers["webhook-id"], *call["args"]]}
        except WebhookVerificationError as error:
            reply = {"deny": {"code": "unauthorized", "message": str(error)}}
        reply = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
