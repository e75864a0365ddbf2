// The room's name and who is there.

import { Avatar } from "./Avatar";
import { usePresence } from "./realtime";

const SHOWN = 4;

export function RoomHeader({ room }: { room: string }) {
  const { count, users } = usePresence(room);
  const names = users.map(({ user, name }) => name ?? user);
  return (
    <header className="room-header">
      <h1>{room}</h1>
      <p className="here" title={names.join(", ")}>
        {users.slice(0, SHOWN).map(({ user }) => (
          <Avatar key={user} user={user} />
        ))}
        <span>{count === 1 ? "1 person" : `${count} people`} here</span>
      </p>
    </header>
  );
}
