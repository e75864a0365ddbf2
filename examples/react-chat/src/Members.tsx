// Who is in the room, with their status.

import { Avatar } from "./Avatar";
import { usePresence } from "./realtime";

export function Members({ room, user: me }: { room: string; user: string }) {
  const { count, users } = usePresence(room);
  return (
    <aside className="members" aria-label="Members">
      <h2>Here now</h2>
      <ul>
        {users.map(({ user, name, status }) => (
          <li key={user}>
            <Avatar user={user} />
            <span className="who">
              <span>
                {name ?? user}
                {user === me && <small> (you)</small>}
              </span>
              <small className="status" data-status={status}>
                {status}
              </small>
            </span>
          </li>
        ))}
      </ul>
      {count > users.length && <p>and {count - users.length} more</p>}
    </aside>
  );
}
