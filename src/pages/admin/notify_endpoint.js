// One back end that is told what happened (hooks.notify): how far behind it is. One that fails can be tried now, and one that has
// stopped can be resumed.

import { make } from "../shared/dom.js";
import { call, explain } from "./api.js";
import { name, openDialog, tell } from "./dialog.js";
import { endpointCard, lastFailure, toggle } from "./endpoint_card.js";
import { count, duration, milliseconds, moment, plural } from "./format.js";

const OF_ROOMS = /^(message$|room\.|member\.)/;

// `done` is called when the endpoint was resumed or is tried; dialogs end with `signal`.
export function notifyEndpoint({ url }, { done, signal }) {
  let endpoint;
  const tryNow = make("button", { type: "button", onclick: () => tryEndpoint({ url, done }) }, "Try now");
  const resume = make("button", { type: "button", onclick: () => askToResume({ endpoint, done, signal }) }, "Resume…");
  const card = endpointCard(url, tryNow, resume);
  const show = (newest) => {
    endpoint = newest;
    card.show(describe(endpoint));
    toggle(tryNow, endpoint.state === "failing" && !isSentElsewhere(endpoint), card.element);
    toggle(resume, endpoint.state === "stopped", card.element);
  };
  return Object.assign(card.element, { show });
}

const resumeCall = (url) => call("POST", "v1/hooks/resume", { body: JSON.stringify({ url }) });

// Only the node that sends knows when it tries again, and can try at once.
const isSentElsewhere = ({ sender, dueAt }) => sender !== undefined && dueAt === undefined;

function describe(endpoint) {
  const { state, failing_since: since, timeout_ms: timeout, signed, sender } = endpoint;
  const failure = lastFailure(endpoint.last_failure);
  const states = {
    ok: { kind: "ready", text: "OK" },
    failing: { kind: "failing", text: `Failing since ${moment(since)}` },
    stopped: { kind: "failing", text: "Stopped" },
  };
  const troubles = {
    failing: [nextAttempt(endpoint), failure],
    stopped: ["It responded with status 410 and is told nothing more. What happens is kept until it is resumed, up to hooks.outbox_events."],
  };
  return {
    state: states[state] ?? { kind: "failing", text: state },
    facts: factsOf(endpoint),
    trouble: troubles[state]?.filter(Boolean).join(" "),
    numbers: numbersOf(endpoint),
    about: [
      `${milliseconds(timeout)} for a response`,
      signed ? "batches are signed" : "batches are not signed",
      sender && `sent by node ${sender}`,
      state !== "failing" && failure,
    ],
  };
}

// `dueAt` is the time of the next attempt by the browser's clock.
function nextAttempt(endpoint) {
  if (isSentElsewhere(endpoint)) return "The dashboard of the node that sends can try now.";
  return endpoint.dueAt > Date.now() ? `Next attempt in ${duration(endpoint.dueAt - Date.now())}.` : "An attempt is under way.";
}

function factsOf({ events, rooms }) {
  const inRooms = rooms === undefined ? ["In rooms", [], "all but personal ones"] : ["In rooms", [rooms]];
  return [["Is told of", events], ...(events.some((event) => OF_ROOMS.test(event)) ? [inRooms] : [])];
}

// The events behind are those of the outbox: not all of them need be for this endpoint.
function numbersOf({ behind, behind_ms: age, delivered, lost }) {
  return [
    ["Events behind", behind > 0 ? `up to ${count(behind)}` : "0"],
    ["Oldest of them", behind > 0 ? duration(age) : "–"],
    ["Delivered", count(delivered)],
    ["Lost", count(lost)],
  ];
}

// Asked for twice, it is tried once or twice: both are fine.
async function tryEndpoint({ url, done }) {
  try {
    await resumeCall(url);
    done();
    tell([name(url), " is tried now."]);
  } catch (error) {
    tell(`It was not tried. ${explain(error)}`);
  }
}

function askToResume({ endpoint: { url, behind, behind_ms: age }, done, signal }) {
  const waiting = `It is told what happened since it stopped: up to ${plural(behind, "event")}, the oldest ${duration(age)} ago.`;
  openDialog({
    title: "Resume this endpoint?",
    content: [
      make("p", {}, name(url), " has asked to be told nothing more, by responding with status 410."),
      make("p", {}, behind > 0 ? waiting : "Nothing has happened since that it is told of. It is told what happens from now on."),
    ],
    confirm: "Resume",
    signal,
    async action() {
      await resumeCall(url);
      done();
      return [name(url), " is told again."];
    },
  });
}
