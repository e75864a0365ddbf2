// The client over Socket.IO.

import { SwitchboardClient } from "./client.js";
import { socketLink } from "./socketio.js";
import type { Client, ClientOptions, EventMap } from "./types.js";

/**
 * A client of the server at `url`, over a stock socket.io-client. It connects with its first use.
 *
 *     const client = createClient<{ message: { text: string } }>("https://chat.example", { auth: async () => ({ token }) });
 */
export function createClient<Events extends EventMap = EventMap>(url: string, options: ClientOptions = {}): Client<Events> {
  return new SwitchboardClient(url, options, (events) => socketLink(url, options.socket, events));
}
