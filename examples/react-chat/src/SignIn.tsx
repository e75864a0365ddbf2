// Asks for a name. The server is in open mode and believes it; real apps send a token.

import type { FormEvent } from "react";

export function SignIn({ onSignIn }: { onSignIn: (name: string) => void }) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget).get("name")).trim();
    // A user's id has no white space.
    if (name) onSignIn(name.replace(/\s+/g, "-"));
  };
  return (
    <main className="sign-in">
      <form onSubmit={submit}>
        <img src="/icon.svg" alt="" width="48" height="48" />
        <h1>Switchboard chat</h1>
        <p>Pick a name and say hello.</p>
        <label>
          Your name
          <input name="name" autoComplete="nickname" maxLength={32} required autoFocus />
        </label>
        <button className="primary">Join</button>
      </form>
    </main>
  );
}
