// A page with fifty components that use one room, on two routes, under StrictMode. `?server=` is the server's address.

import { createElement as h, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { SwitchboardProvider, useConnection, useMessages, usePresence, useRoom, useTyping, useUnread } from "@switchboard/client/react";

const server = new URLSearchParams(location.search).get("server");

function Component() {
  const { status } = useRoom("team");
  const { messages } = useMessages("team");
  const { count } = usePresence("team");
  useTyping("team");
  useUnread("team");
  useConnection();
  return h("li", null, `${status}, ${count} here, ${messages.length} messages`);
}

function Page() {
  const [route, setRoute] = useState("a");
  const components = Array.from({ length: 50 }, (_, i) => h(Component, { key: i }));
  const change = () => setRoute(route === "a" ? "b" : "a");
  return h("main", null, h("button", { onClick: change }, "Other route"), h("ul", { key: route }, components));
}

createRoot(document.body.appendChild(document.createElement("div"))).render(
  h(StrictMode, null, h(SwitchboardProvider, { url: server, auth: { user: "alice" } }, h(Page))),
);
