// The rooms with what is unread in them, and you with your status.

import { useState } from "react";
import { Avatar } from "./Avatar";
import { ROOMS, useClient, useUnread } from "./realtime";

export function Sidebar({ room, user, onSignOut }: { room: string; user: string; onSignOut: () => void }) {
  return (
    <header className="sidebar">
      <p className="brand">
        <img src="/icon.svg" alt="" width="24" height="24" /> Switchboard
      </p>
      <nav aria-label="Rooms">
        {ROOMS.map((name) => (
          <RoomLink key={name} name={name} current={name === room} />
        ))}
      </nav>
      <div className="user">
        <Avatar user={user} />
        <span className="who">
          <strong>{user}</strong>
          <StatusPicker />
        </span>
        <button onClick={onSignOut}>Leave</button>
      </div>
    </header>
  );
}

function RoomLink({ name, current }: { name: string; current: boolean }) {
  const unread = useUnread(name);
  return (
    <a href={`#${name}`} aria-current={current ? "page" : undefined}>
      <span className="name">{name}</span>
      {unread > 0 && (
        <span className="badge">
          {unread > 99 ? "99+" : unread}
          <span className="hidden"> unread</span>
        </span>
      )}
    </a>
  );
}

function StatusPicker() {
  const client = useClient();
  const [status, setStatus] = useState("online");
  const change = (next: string) => client.setStatus(next).then(() => setStatus(next), () => {});
  return (
    <select aria-label="Your status" value={status} onChange={(event) => change(event.target.value)}>
      <option value="online">Online</option>
      <option value="away">Away</option>
      <option value="busy">Busy</option>
    </select>
  );
}
