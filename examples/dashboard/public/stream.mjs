// Follows a room over Server-Sent Events. EventSource reconnects by itself and sends the `id` of the last event that it received, so that
// nothing is missing and nothing comes twice. What it cannot do is done here: a new token when the old one has expired, another attempt
// after a status that is an error, a new stream when the old one is dead without a word, and none while nobody looks.

const RETRY = 2_000;
// Nothing for so long: the back end is silent, or the network has lost the connection and has not said so. A new stream tells which.
const SILENCE = 15_000;

// `access()` resolves to `{ url, token }`; `history` is how many messages come first. `on` has handlers for `session`, `reset` and
// `message`, which get the event's data, and `lost` for when the stream has ended for now.
export function follow(access, history, on) {
  let source;
  let cursor;
  let timer;
  let attempts = 0;

  function openIn(ms) {
    clearTimeout(timer);
    timer = setTimeout(open, ms * (0.75 + Math.random() / 2));
  }

  async function open() {
    const attempt = (attempts += 1);
    openIn(SILENCE);
    const { url, token } = await access().catch(() => ({}));
    if (attempt !== attempts) return;
    // The stream that there is may still be a good one.
    if (!token) return openIn(RETRY);
    source?.close();
    const query = new URLSearchParams({ token, history, ...(cursor && { since: cursor }) });
    source = new EventSource(`${url}?${query}`);
    for (const name of ["session", "reset", "message"]) source.addEventListener(name, (event) => receive(name, event));
    source.addEventListener("error", lose);
  }

  function receive(name, { data, lastEventId }) {
    cursor = lastEventId || cursor;
    openIn(SILENCE);
    on[name](JSON.parse(data));
  }

  // An `error` with data is the server's, one without is the browser's.
  function lose({ data }) {
    // The old token would be refused: EventSource must not try.
    if (data && JSON.parse(data).code === "token_expired") source.close();
    if (source.readyState === EventSource.CLOSED) openIn(RETRY);
    on.lost();
  }

  function pause() {
    attempts += 1;
    clearTimeout(timer);
    source?.close();
    on.lost();
  }

  const look = () => (document.hidden ? pause() : open());
  document.addEventListener("visibilitychange", look);
  look();
}
