// The package: a client over Socket.IO, one over plain WebSocket, and event streams for pages that only read.

export { createClient } from "./create.js";
export { connectPlain } from "./plain.js";
export { subscribe } from "./sse.js";
export { SwitchboardError } from "./errors.js";
export type * from "./types.js";
