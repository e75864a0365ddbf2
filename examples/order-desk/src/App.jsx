// Who you are, and then the shop or its desk.

import { Desk } from "./Desk.jsx";
import { useConnected, useRefusal } from "./live.js";
import { Shop } from "./Shop.jsx";
import { signIn, who } from "./socket.js";

export const App = () => (who ? <Page /> : <SignIn />);

function Page() {
  const connected = useConnected();
  const refusal = useRefusal();
  const isDesk = who.user === "desk";
  return (
    <>
      <header>
        <h1>Tea &amp; Co.{isDesk && " – the desk"}</h1>
        <output data-connected={connected}>{connected ? who.user : "offline"}</output>
        <button className="quiet" onClick={() => signIn(null)}>
          Sign out
        </button>
      </header>
      {refusal ? <p role="alert">{refusal}</p> : isDesk ? <Desk /> : <Shop />}
    </>
  );
}

function SignIn() {
  const submit = (event) => {
    event.preventDefault();
    const { user, pin } = Object.fromEntries(new FormData(event.target));
    signIn(pin === undefined ? { user } : { user: "desk", pin });
  };
  return (
    <main className="sign-in">
      <h1>Tea &amp; Co.</h1>
      <form onSubmit={submit}>
        <label>
          Your name <input name="user" required pattern="[\w.\-]+" maxLength={40} autoComplete="username" />
        </label>
        <button>Go shopping</button>
      </form>
      <form onSubmit={submit}>
        <label>
          The desk’s PIN <input name="pin" type="password" required autoComplete="off" />
        </label>
        <button className="quiet">To the desk</button>
        <p className="hint">It is 1234.</p>
      </form>
    </main>
  );
}
