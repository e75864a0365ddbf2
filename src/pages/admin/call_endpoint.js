// One back end that answers (hooks.call): whether it is asked, and how its calls end.

import { endpointCard, lastFailure } from "./endpoint_card.js";
import { count, duration, milliseconds } from "./format.js";

export function callEndpoint({ url }) {
  const card = endpointCard(url);
  return Object.assign(card.element, { show: (endpoint) => card.show(describe(endpoint)) });
}

function describe(endpoint) {
  const isOpen = endpoint.state === "open";
  const failure = lastFailure(endpoint.last_failure);
  return {
    state: isOpen ? { kind: "failing", text: "Not asked" } : { kind: "ready", text: "OK" },
    facts: factsOf(endpoint),
    trouble: isOpen ? ["Most calls have failed.", again(endpoint), failure].filter(Boolean).join(" ") : undefined,
    numbers: numbersOf(endpoint),
    about: [
      `${milliseconds(endpoint.timeout_ms)} for a reply`,
      endpoint.signed ? "calls are signed" : "calls are not signed",
      !isOpen && failure,
    ],
  };
}

// `dueAt` is when it is asked again by the browser's clock.
function again({ dueAt }) {
  return dueAt > Date.now() ? `It is asked again in ${duration(dueAt - Date.now())}.` : "It is asked again.";
}

function factsOf({ events, on, rooms }) {
  const permits = on.map((permit) => (rooms && permit !== "connect" ? `${permit} ${rooms}` : permit));
  return [["Answers", events], ["Permits", permits]].filter(([, chips]) => chips.length > 0);
}

function numbersOf({ calls, denied, failures, in_flight: inFlight, concurrency, waiting, opened }) {
  return [
    ["Calls", count(calls)],
    ["Refusals", count(denied)],
    ["Failures", count(failures)],
    ["Under way", `${count(inFlight)} of ${count(concurrency)}`],
    ["Waiting", count(waiting)],
    ["Times not asked", count(opened)],
  ];
}
