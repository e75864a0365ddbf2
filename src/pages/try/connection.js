// A client of plain WebSocket: /ws, one JSON object a frame. It matches replies to requests, and connects again with back-off.
// It knows nothing of rooms: who joins them again is told by `onState`.

const CONNECT_MS = 10_000;
const REPLY_MS = 10_000;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
// Codes that a new attempt with the same name or token would get again.
const FINAL = { 4001: "The token has expired.", 4003: "The server has disconnected you." };

export const isDisconnected = (error) => error.code === "disconnected";

export class Connection {
  // { name: "connecting", attempt } | { name: "connected", session } | { name: "waiting", attempt, retryAt, error? } | { name: "cut", since } |
  // { name: "refused", error } | { name: "closed" }
  state = { name: "closed" };
  #on;
  #address;
  #explain;
  #socket;
  #timer;
  #attempt = 0;
  #lastId = 0;
  #requests = new Map();

  // `explain()` resolves to the error that a refused connection got, which a browser's WebSocket does not say.
  constructor({ address, explain, onState, onFrame, onWire }) {
    this.#address = address;
    this.#explain = explain;
    this.#on = { state: onState, frame: onFrame, wire: onWire };
  }

  connect() {
    this.#drop();
    this.#enter({ name: "connecting", attempt: this.#attempt });
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(), CONNECT_MS);
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
    socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
  }

  // Stays away until `connect`.
  cut() {
    this.#drop();
    this.#enter({ name: "cut", since: Date.now() });
  }

  close() {
    this.#drop();
    this.#enter({ name: "closed" });
  }

  // Resolves to the data of the ack; fails with `{ code, message }`, or as disconnected if the connection ended first.
  request(type, room, data, id = `${type}-${(this.#lastId += 1)}`) {
    return new Promise((resolve, reject) => {
      if (this.state.name !== "connected") return reject({ code: "disconnected" });
      // A browser cannot ping: a reply that does not come shows that the connection is dead.
      const timer = setTimeout(() => this.#lost(), REPLY_MS);
      this.#requests.set(id, { resolve, reject, timer });
      this.send({ type, id, room, data });
    });
  }

  send(frame) {
    if (this.state.name !== "connected") return;
    const text = JSON.stringify(frame);
    this.#socket.send(text);
    this.#on.wire("sent", text);
  }

  #receive(text) {
    this.#on.wire("received", text);
    const frame = JSON.parse(text);
    const request = this.#requests.get(frame.id);
    if (frame.type === "system" && frame.data.event === "connected") this.#greeted(frame.data);
    else if (frame.type === "ack" && request) this.#settle(frame.id).resolve(frame.data);
    else if (frame.type === "error" && request) this.#settle(frame.id).reject(frame.data);
    else this.#on.frame(frame);
  }

  #greeted(session) {
    clearTimeout(this.#timer);
    this.#attempt = 0;
    this.#enter({ name: "connected", session });
  }

  #settle(id) {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    clearTimeout(request.timer);
    return request;
  }

  async #lost(code) {
    const { state } = this;
    this.#drop();
    if (FINAL[code]) return this.#enter({ name: "refused", error: { message: FINAL[code] } });
    const error = state.name === "connecting" ? await this.#explain() : undefined;
    if (this.state !== state) return; // cut or closed meanwhile
    if (error?.final) return this.#enter({ name: "refused", error });
    const delay = Math.min(FIRST_DELAY_MS * 2 ** this.#attempt, LONGEST_DELAY_MS) * (0.5 + Math.random() / 2);
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.connect(), delay);
    this.#enter({ name: "waiting", attempt: this.#attempt, retryAt: Date.now() + delay, error });
  }

  #drop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
    for (const id of [...this.#requests.keys()]) this.#settle(id).reject({ code: "disconnected" });
  }

  #enter(state) {
    this.state = state;
    this.#on.state(state);
  }
}
