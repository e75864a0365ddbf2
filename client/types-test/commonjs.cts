// As types.ts, from a CommonJS module.

import client = require("@switchboard/client");
import plain = require("@switchboard/client/plain");

const room: client.Room<any> = client.createClient("https://chat.example").room("lobby");
const other = plain.connectPlain("https://chat.example").status;

export = { room, other };
