// The inbox: what was sent while the page was away is there when it returns, and tabs share what has been read.

import { createClient } from "@switchboard/client";

const $ = (id) => document.getElementById(id);
const title = document.title;

export function showInbox(url, auth) {
  const client = createClient(url, { auth, history: 8 });
  const inbox = client.notifications;

  function render() {
    const { messages, unread, hasOlder } = inbox.getSnapshot();
    document.title = unread > 0 ? `(${unread}) ${title}` : title;
    $("count").hidden = $("read").hidden = unread === 0;
    $("count").textContent = unread > 99 ? "99+" : unread;
    $("bell").setAttribute("aria-label", `${unread} unread notifications`);
    $("empty").hidden = messages.length > 0;
    $("older").hidden = !hasOlder;
    // The marker is a position: what is unread are the newest ones.
    $("list").replaceChildren(...messages.map((message, i) => item(message, i >= messages.length - unread)).reverse());
  }

  function item({ seq, data, ts }, isUnread) {
    const button = document.createElement("button");
    button.append(element("b", data.title), element("time", ago(ts)), element("span", data.text));
    button.addEventListener("click", () => inbox.markRead(seq));
    const li = element("li");
    li.dataset.seq = seq;
    li.classList.toggle("unread", isUnread);
    li.append(button);
    return li;
  }

  inbox.subscribe(render);
  inbox.on(({ title }) => toast(title));
  client.connection.subscribe(() => ($("offline").hidden = client.status !== "offline"));
  $("read").addEventListener("click", () => inbox.markRead());
  $("older").addEventListener("click", () => inbox.loadOlder());
  setInterval(render, 60_000);
}

const element = (name, text = "") => Object.assign(document.createElement(name), { textContent: text });

function ago(ts) {
  const minutes = Math.floor((Date.now() - ts) / 60_000);
  if (minutes < 1) return "now";
  const relative = new Intl.RelativeTimeFormat("en", { style: "narrow" });
  if (minutes < 60) return relative.format(-minutes, "minute");
  return minutes < 1440 ? relative.format(-Math.floor(minutes / 60), "hour") : relative.format(-Math.floor(minutes / 1440), "day");
}

let fading;

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => ($("toast").hidden = true), 4_000);
}
