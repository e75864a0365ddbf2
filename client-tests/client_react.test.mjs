// The hooks of @switchboard/client/react, in React 18 and 19, under StrictMode, with the real server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "eventsource";
import { clientOf, countEmits, joined, mount, reacts } from "./support/react.mjs";
import { network } from "./support/proxy.mjs";
import { eventually } from "./support/scope.mjs";
import { serve, UNLIMITED } from "./support/server.mjs";
import { call, metric } from "./support/web.mjs";

const API_KEY = "an-example-key-of-32-characters-x";
const texts = (messages) => messages.map(({ data }) => data);
const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1);

for (const [version, kit] of reacts) {
  const { React, hooks, renderToString, hydrateRoot, testing, subscribe } = kit;
  const { createElement: h, useState } = React;
  const { SwitchboardProvider } = hooks;
  const inReact = (name, run) => test(`React ${version}: ${name}`, run);

  // A provider that makes its client, as user `alice`.
  const provider = (server, children, props = {}) =>
    h(SwitchboardProvider, { url: server.url, auth: { user: "alice" }, reconnect: { minDelay: 50, maxDelay: 200 }, ...props }, children);

  // A component that calls `use` and keeps what it returned last, and how often it rendered.
  function probe(use) {
    const seen = { renders: 0, value: undefined };
    seen.element = h(function Probe() {
      const value = use();
      // StrictMode renders twice; effects run once for each commit.
      React.useEffect(() => {
        seen.renders += 1;
      });
      seen.value = value;
      return null;
    });
    return seen;
  }

  const status = (seen, expected) => eventually(() => seen.value.status === expected, `the status ${expected}, not ${seen.value?.status},`);

  inReact("fifty components make one connection and one join", async (t) => {
    const server = await serve(t);
    const joins = countEmits(t, "join");
    const many = upTo(50).map(() =>
      probe(() => {
        hooks.useUnread("team");
        hooks.useTyping("team");
        return [hooks.useRoom("team"), hooks.useMessages("team"), hooks.usePresence("team")];
      }),
    );
    mount(t, kit, provider(server, many.map(({ element }, key) => React.cloneElement(element, { key }))));
    await eventually(() => many.every(({ value }) => value[0].status === "joined" && value[2].count === 1), "everybody in the room");
    assert.equal(await metric(server, "switchboard_connections"), 1);
    assert.deepEqual(joins.rooms, ["team"]);
    const [[room, messages, members]] = many.map(({ value }) => value);
    for (const { value } of many) {
      assert.equal(value[0], room);
      assert.equal(value[1], messages);
      assert.equal(value[2], members);
    }
  });

  inReact("a component renders only if the part that it uses has changed", async (t) => {
    const server = await serve(t);
    const room = probe(() => hooks.useRoom("team"));
    const messages = probe(() => hooks.useMessages("team"));
    const presence = probe(() => hooks.usePresence("team"));
    const typing = probe(() => hooks.useTyping("team"));
    const unread = probe(() => hooks.useUnread("team"));
    const all = [room, messages, presence, typing, unread];
    const rendered = () => all.map((each) => each.renders);
    mount(t, kit, provider(server, h(React.Fragment, null, ...all.map(({ element }) => element))));
    await status(room, "joined");
    const bob = await joined(t, clientOf(t, kit, server, "bob"), "team");
    await eventually(() => presence.value.count === 2, "bob's coming");

    let before = rendered();
    bob.typing.keystroke();
    await eventually(() => typing.value.sentence === "bob is typing", "that bob is typing");
    assert.deepEqual(changes(before, rendered()), [false, false, false, true, false], "typing");

    bob.typing.stop();
    await eventually(() => typing.value.sentence === "", "that bob stopped");
    before = rendered();
    await bob.send({ text: "hello" });
    await eventually(() => messages.value.messages.length === 1 && unread.value === 1, "bob's message");
    assert.deepEqual(changes(before, rendered()), [false, true, false, false, true], "a message");
  });

  inReact("the functions of a room never change, and its state is the same object until it changes", async (t) => {
    const server = await serve(t);
    const seen = new Set();
    const room = probe(() => {
      const state = hooks.useRoom("team");
      for (const name of ["send", "publish", "loadOlder", "markRead", "typing"]) seen.add(state[name]);
      return state;
    });
    const view = mount(t, kit, provider(server, room.element));
    await status(room, "joined");
    const state = room.value;
    view.update(provider(server, React.cloneElement(room.element)));
    assert.equal(room.value, state);
    assert.equal(seen.size, 5);
    const { send } = state;
    assert.deepEqual((await send({ text: "without this" })).data, { text: "without this" });
  });

  inReact("on a server everything is idle, nothing is connected, and the page hydrates without a difference", async (t) => {
    const server = await serve(t);
    const Page = () => {
      const { status } = hooks.useRoom("team");
      const { messages } = hooks.useMessages("team");
      const { count } = hooks.usePresence("team");
      const { sentence } = hooks.useTyping("team");
      const connection = hooks.useConnection();
      const { unread } = hooks.useNotifications();
      hooks.useEvent("team", "message", () => {});
      hooks.useSignal("call", () => {});
      return JSON.stringify({ status, connection, messages, count, sentence, unread, team: hooks.useUnread("team") });
    };
    const joins = countEmits(t, "join");
    const path = await network(t, server);
    const html = renderToString(provider(path, h(Page)));
    assert.deepEqual(JSON.parse(html.replaceAll("&quot;", '"')), {
      status: "idle",
      connection: { status: "idle", attempt: 0, maxAttempts: 0 },
      messages: [],
      count: 0,
      sentence: "",
      unread: 0,
      team: 0,
    });
    assert.equal(await metric(server, "switchboard_connections"), 0);
    assert.equal(path.connections, 0);
    assert.equal(joins.count, 0);

    const container = document.createElement("div");
    container.innerHTML = html;
    const errors = [];
    const root = hydrateRoot(container, h(React.StrictMode, null, provider(path, h(Page))), { onRecoverableError: (e) => errors.push(e) });
    t.after(() => root.unmount());
    await eventually(() => container.textContent.includes('"status":"joined"'), "the joined room after hydration");
    assert.deepEqual(errors, []);
  });

  inReact("a component that comes back at once stays in the room, one that is gone for a second leaves it", async (t) => {
    const server = await serve(t, { "presence-grace": "100ms" });
    const joins = countEmits(t, "join");
    const watcher = clientOf(t, kit, server, "bob");
    const watched = await joined(t, watcher, "team");
    const events = [];
    watcher.on("presence", ({ room, event, user }) => room === "team" && events.push(`${event} ${user}`));
    const room = probe(() => hooks.useRoom("team"));
    const view = mount(t, kit, provider(server, room.element));
    await status(room, "joined");
    await eventually(() => watched.getSnapshot().members.count === 2, "that alice has come");
    for (let times = 0; times < 3; times += 1) {
      view.update(provider(server, null));
      view.update(provider(server, room.element));
    }
    assert.equal(room.value.status, "joined");
    assert.equal(joins.rooms.length, 2, "one join for each of the two users");
    view.update(provider(server, null));
    await eventually(() => watched.getSnapshot().members.count === 1, "that alice has left");
    assert.deepEqual(events, ["join alice", "leave alice"]);
    assert.equal(await metric(server, "switchboard_connections"), 2, "alice is still connected");
  });

  inReact("another room's name leaves the room and shows the other", async (t) => {
    const server = await serve(t, { "presence-grace": "100ms" });
    const bob = clientOf(t, kit, server, "bob");
    for (const name of ["a", "b"]) await bob.room(name).send(`in ${name}`);
    const handled = [];
    const list = probe(() => null);
    function Room({ name }) {
      hooks.useEvent(name, "message", (data, { room }) => handled.push([room, data]));
      list.value = hooks.useMessages(name);
      return null;
    }
    const view = mount(t, kit, provider(server, h(Room, { name: "a" })));
    await eventually(() => texts(list.value.messages).join() === "in a", "the message in a");
    view.update(provider(server, h(Room, { name: "b" })));
    assert.deepEqual(texts(list.value.messages), [], "not those of the room before");
    await eventually(() => texts(list.value.messages).join() === "in b", "the message in b");
    const left = await joined(t, bob, "a");
    await eventually(() => left.getSnapshot().members.users.every(({ user }) => user !== "alice"), "that alice has left a");
    await bob.room("a").send("nobody is here");
    await bob.room("b").send("hello");
    await eventually(() => handled.length > 0, "the event in b");
    assert.deepEqual(handled, [["b", "hello"]]);
  });

  inReact("two providers are two users", async (t) => {
    const server = await serve(t);
    const [alice, bob] = ["alice", "bob"].map((user) => {
      const messages = probe(() => ({ ...hooks.useMessages("team"), me: hooks.useConnection(({ user }) => user) }));
      return { messages, element: provider(server, messages.element, { auth: { user }, key: user }) };
    });
    mount(t, kit, h(React.Fragment, null, alice.element, bob.element));
    await eventually(() => alice.messages.value.me === "alice" && bob.messages.value.me === "bob", "both users");
    await alice.messages.value.send("hello bob");
    await bob.messages.value.send("hello alice");
    for (const { messages } of [alice, bob]) {
      await eventually(() => texts(messages.value.messages).join() === "hello bob,hello alice", "both messages");
      assert.deepEqual(messages.value.messages.map(({ from, state }) => [from.user, state]), [["alice", "sent"], ["bob", "sent"]]);
    }
  });

  inReact("of a burst of 1,000 messages handlers get each once and in order, and the list renders some tens of times", async (t) => {
    const server = await serve(t, UNLIMITED);
    const [first, second] = [[], []];
    const messages = probe(() => hooks.useMessages("team"));
    const room = probe(() => hooks.useRoom("team"));
    const order = [];
    const Handler = ({ into, name }) => {
      hooks.useEvent("team", "message", (data) => {
        into.push(data);
        order.push(name);
      });
      return null;
    };
    mount(t, kit, provider(server, [
      h(Handler, { key: 1, into: first, name: "first" }),
      h(Handler, { key: 2, into: second, name: "second" }),
      React.cloneElement(messages.element, { key: 3 }),
      React.cloneElement(room.element, { key: 4 }),
    ]));
    await status(room, "joined");
    const bob = clientOf(t, kit, server, "bob", { queue: { max: 2000 } }).room("team");
    await Promise.all(upTo(1000).map((n) => bob.send(n)));
    await eventually(() => second.length >= 1000 && messages.value.messages.length >= 1000, "the burst");
    assert.deepEqual(first, upTo(1000));
    assert.deepEqual(second, upTo(1000));
    assert.deepEqual(texts(messages.value.messages), upTo(1000));
    assert.ok(order.every((name, i) => name === (i % 2 ? "second" : "first")), "handlers in the order of their components");
    assert.ok(messages.renders < 150, `the list rendered ${messages.renders} times`);
    t.diagnostic(`the list rendered ${messages.renders} times`);
  });

  inReact("the latest handler is called, without subscribing again and without rendering", async (t) => {
    const server = await serve(t);
    const client = clientOf(t, kit, server, "alice");
    const subscriptions = [];
    const team = client.room("team");
    const on = team.on.bind(team);
    team.on = (event, handler) => {
      subscriptions.push(event);
      return on(event, handler);
    };
    const heard = [];
    let setPrefix;
    let renders = 0;
    function Listener() {
      const [prefix, set] = useState("first");
      setPrefix = set;
      renders += 1;
      hooks.useEvent("team", "message", (data) => heard.push(`${prefix} ${data}`));
      return null;
    }
    const room = probe(() => hooks.useRoom("team"));
    mount(t, kit, h(SwitchboardProvider, { client }, h(Listener), room.element));
    await status(room, "joined");
    const before = { renders, subscriptions: subscriptions.length };
    await team.send(1);
    await eventually(() => heard.length === 1, "the first event");
    assert.deepEqual({ renders, subscriptions: subscriptions.length }, before);
    testing.act(() => setPrefix("second"));
    await team.send(2);
    await eventually(() => heard.length === 2, "the second event");
    assert.deepEqual(heard, ["first 1", "second 2"]);
    assert.equal(subscriptions.length, before.subscriptions);
  });

  inReact("a signal is answered with what the handler returns", async (t) => {
    const server = await serve(t);
    const room = probe(() => hooks.useRoom("team"));
    function Phone() {
      hooks.useSignal("call", async (data, from) => `${from.user} ${data}: yes`);
      return null;
    }
    mount(t, kit, provider(server, h(React.Fragment, null, h(Phone), room.element)));
    await status(room, "joined");
    const bob = clientOf(t, kit, server, "bob");
    await joined(t, bob, "team");
    const { replies } = await bob.signal({ user: "alice" }, "call", "now?");
    assert.deepEqual(replies.map(({ data }) => data), ["bob now?: yes"]);
  });

  inReact("the connection's state is followed over a restart, and a selection of it renders only when it changes", async (t) => {
    const server = await serve(t);
    const connection = probe(() => hooks.useConnection());
    const isOnline = probe(() => hooks.useConnection(({ status }) => ({ online: status === "connected" })));
    const messages = probe(() => hooks.useMessages("team"));
    mount(t, kit, provider(server, h(React.Fragment, null, connection.element, isOnline.element, messages.element)));
    await status(connection, "connected");
    const { renders } = isOnline;
    await server.kill();
    await status(connection, "offline");
    await eventually(() => connection.value.attempt >= 3, "three attempts");
    assert.ok(connection.value.maxAttempts >= connection.value.attempt);
    assert.equal(isOnline.value.online, false);
    messages.value.send("while offline").catch(() => {});
    await eventually(() => messages.value.messages[0]?.state === "pending", "the pending message");
    await server.start();
    await eventually(() => messages.value.messages[0]?.state === "sent", "the stored message");
    await status(connection, "connected");
    await eventually(() => isOnline.value.online, "being online");
    assert.equal(isOnline.renders, renders + 2);
  });

  inReact("notifications are listed, counted, handled and marked as read", async (t) => {
    const server = await serve(t, { "auth-api-keys": API_KEY, "auth-hmac-secret": "" });
    const shown = [];
    const inbox = probe(() => hooks.useNotifications((data) => shown.push(data)));
    mount(t, kit, provider(server, inbox.element));
    await status(inbox, "joined");
    const body = { event: "notification", data: "your order is on its way" };
    const answer = await call(server, "POST", "/v1/rooms/user:alice/messages", { key: API_KEY, body });
    assert.equal(answer.status, 201, answer.text);
    await eventually(() => inbox.value.unread === 1 && shown.length === 1, "the notification");
    assert.deepEqual(shown, [body.data]);
    assert.deepEqual(texts(inbox.value.messages), [body.data]);
    await inbox.value.markRead();
    await eventually(() => inbox.value.unread === 0, "no unread notifications");
  });

  inReact("who is typing is said in the language of the templates", async (t) => {
    const server = await serve(t);
    const templates = { one: "{names} schreibt", other: "{names} schreiben", several: "{count} Personen schreiben" };
    const german = probe(() => hooks.useTyping("team", { locale: "de", templates, max: 2 }));
    const own = probe(() => hooks.useTyping("team", { sentence: (typists) => `${typists.length}` }));
    const room = probe(() => hooks.useRoom("team"));
    mount(t, kit, provider(server, h(React.Fragment, null, german.element, own.element, room.element)));
    await status(room, "joined");
    const others = [];
    const expected = ["", "bob schreibt", "bob und carol schreiben", "3 Personen schreiben"];
    for (const user of ["bob", "carol", "dave"]) {
      const other = await joined(t, clientOf(t, kit, server, user), "team");
      others.push(other);
      others.forEach((each) => each.typing.keystroke());
      await eventually(() => own.value.sentence === `${others.length}`, `${others.length} who type`);
      assert.equal(german.value.sentence, expected[others.length]);
    }
    german.value.keystroke();
    await eventually(() => others[0].getSnapshot().typing.some(({ user }) => user === "alice"), "alice's typing");
    german.value.stop();
    await eventually(() => others[0].getSnapshot().typing.every(({ user }) => user !== "alice"), "the end of alice's typing");
  });

  inReact("what is unread is counted, until it is marked as read", async (t) => {
    const server = await serve(t);
    const unread = probe(() => hooks.useUnread("team"));
    const room = probe(() => hooks.useRoom("team"));
    mount(t, kit, provider(server, h(React.Fragment, null, unread.element, room.element)));
    await status(room, "joined");
    const bob = clientOf(t, kit, server, "bob").room("team");
    for (const n of upTo(3)) await bob.send(n);
    await eventually(() => unread.value === 3, "three unread messages");
    await room.value.markRead();
    await eventually(() => unread.value === 0, "none unread");
  });

  inReact("rooms are followed over Server-Sent Events, by one component or by several with one stream", async (t) => {
    const server = await serve(t);
    const bob = clientOf(t, kit, server, "bob");
    const handled = [];
    const options = { EventSource, auth: { user: "alice" }, on: { message: (data) => handled.push(data) } };
    const own = probe(() => hooks.useEvents(server.url, ["a", "b"], options));
    const shared = subscribe(server.url, "a", { EventSource, auth: { user: "alice" } });
    const both = [probe(() => hooks.useEventStream(shared)), probe(() => hooks.useEventStream(shared))];
    const all = [own, ...both];
    const view = mount(t, kit, h(React.Fragment, null, ...all.map(({ element }) => element)));
    assert.deepEqual(own.value, { status: "idle", messages: [], gap: false });
    for (const each of all) await status(each, "connected");
    assert.equal(await metric(server, "switchboard_event_streams"), 2);
    await bob.room("a").send("in a");
    await bob.room("b").send("in b");
    await eventually(() => own.value.messages.length === 2 && both.every(({ value }) => value.messages.length === 1), "the messages");
    assert.deepEqual(handled, ["in a", "in b"]);
    assert.equal(both[0].value, both[1].value);
    view.unmount();
    await eventually(async () => (await metric(server, "switchboard_event_streams")) === 0, "the end of both streams");
  });

  inReact("a provider closes its client after it is gone, asks the newest auth, and follows its url", async (t) => {
    const [server, other] = [await serve(t), await serve(t)];
    const client = probe(() => hooks.useClient());
    const connection = probe(() => hooks.useConnection());
    const room = probe(() => hooks.useRoom("team"));
    const children = h(React.Fragment, null, client.element, connection.element, room.element);
    const asked = [];
    const auth = (name) => () => {
      asked.push(name);
      return { user: "alice" };
    };
    const view = mount(t, kit, provider(server, children, { auth: auth("first") }));
    await status(room, "joined");
    const first = client.value;
    view.update(provider(server, children, { auth: auth("second") }));
    assert.equal(client.value, first);
    await server.kill();
    await server.start();
    await eventually(() => asked.includes("second"), "the newest auth");
    await status(connection, "connected");

    view.update(provider(other, children));
    assert.notEqual(client.value, first);
    await eventually(() => first.status === "closed", "the end of the first client");
    await eventually(async () => (await metric(other, "switchboard_connections")) === 1, "a connection to the other server");
    await eventually(async () => (await metric(server, "switchboard_connections")) === 0, "no connection to the first server");

    const second = client.value;
    view.unmount();
    assert.notEqual(second.status, "closed");
    await eventually(() => second.status === "closed", "the end of the second client");
  });

  // React 18 hides nothing.
  if (React.Activity) {
    inReact("a provider that was hidden for long is used again when it is shown", async (t) => {
      const server = await serve(t);
      const room = probe(() => ({ ...hooks.useRoom("team"), client: hooks.useClient() }));
      const shown = (mode) => h(React.Activity, { mode }, provider(server, room.element));
      const view = mount(t, kit, shown("visible"));
      await status(room, "joined");
      const first = room.value.client;
      view.update(shown("hidden"));
      await eventually(() => first.status === "closed", "the end of the client");
      view.update(shown("visible"));
      await eventually(() => room.value.client !== first && room.value.status === "joined", "another client in the room");
    });
  }

  inReact("a client that was given is not closed", async (t) => {
    const server = await serve(t);
    const client = clientOf(t, kit, server, "alice");
    const room = probe(() => hooks.useRoom("team"));
    const view = mount(t, kit, h(SwitchboardProvider, { client }, room.element));
    await status(room, "joined");
    view.unmount();
    await eventually(() => client.room("team").getSnapshot().status === "idle", "that the room was left");
    assert.equal(client.status, "connected");
  });

  inReact("a hook without a provider says what is missing", (t) => {
    t.mock.method(console, "error", () => {});
    assert.throws(() => renderToString(h(() => hooks.useRoom("team").status)), /SwitchboardProvider/);
  });
}

const changes = (before, after) => after.map((count, i) => count > before[i]);
