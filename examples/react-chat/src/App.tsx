// Who you are, and then the chat. The client is the provider's: signing out closes it.

import { useState, useSyncExternalStore } from "react";
import { Composer } from "./Composer";
import { ConnectionBanner } from "./ConnectionBanner";
import { MessageList } from "./MessageList";
import { Members } from "./Members";
import { ROOMS, SERVER, SwitchboardProvider } from "./realtime";
import { RoomHeader } from "./RoomHeader";
import { Sidebar } from "./Sidebar";
import { SignIn } from "./SignIn";

export function App() {
  // Per tab, so that two tabs can be two people. With tokens, `auth` is a function that fetches one.
  const [user, setUser] = useState(() => sessionStorage.getItem("user"));
  const remember = (name: string | null) => {
    if (name) sessionStorage.setItem("user", name);
    else sessionStorage.removeItem("user");
    setUser(name);
  };
  if (!user) return <SignIn onSignIn={remember} />;
  return (
    <SwitchboardProvider key={user} url={SERVER} auth={{ user }} queue={{ storage: localStorage, key: user }}>
      <Chat user={user} onSignOut={() => remember(null)} />
    </SwitchboardProvider>
  );
}

function Chat({ user, onSignOut }: { user: string; onSignOut: () => void }) {
  const room = useRoomOfAddress();
  return (
    <div className="chat">
      <Sidebar room={room} user={user} onSignOut={onSignOut} />
      <main key={room}>
        <RoomHeader room={room} />
        <ConnectionBanner />
        <MessageList room={room} user={user} />
        <Composer room={room} />
      </main>
      <Members room={room} user={user} />
    </div>
  );
}

// The rooms are links: #design is the room "design".
function useRoomOfAddress() {
  const hash = useSyncExternalStore(followAddress, () => location.hash);
  return ROOMS.find((room) => hash === `#${room}`) ?? ROOMS[0];
}

function followAddress(listener: () => void) {
  window.addEventListener("hashchange", listener);
  return () => window.removeEventListener("hashchange", listener);
}
