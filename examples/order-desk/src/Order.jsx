// One order: where it is on its way, what was written about it, and a line to write more.

import { useState } from "react";
import { ask, who } from "./socket.js";

const STATES = ["placed", "packed", "shipped"];

export function Order({ number, user, item, quantity, state, notes, children }) {
  return (
    <li className="order" aria-label={`Order ${number}`}>
      <div className="bar">
        <div>
          <h3>
            Order {number} <small>{who.user === "desk" && `for ${user}`}</small>
          </h3>
          <p>
            {quantity} × {item}
          </p>
        </div>
        {children}
      </div>
      <ol className="states">
        {STATES.map((each) => (
          <li key={each} data-done={STATES.indexOf(each) <= STATES.indexOf(state)} aria-current={each === state ? "step" : undefined}>
            {each}
          </li>
        ))}
      </ol>
      <ul className="notes">
        {notes.map(({ id, from, text }) => (
          <li key={id}>
            <b>{from}</b> {text}
          </li>
        ))}
      </ul>
      <Note number={number} />
    </li>
  );
}

function Note({ number }) {
  const [text, setText] = useState("");
  const [error, setError] = useState();
  const submit = async (event) => {
    event.preventDefault();
    if (text.trim() === "") return;
    setText("");
    const ack = await ask("order.note", { number, id: crypto.randomUUID(), text: text.trim() });
    setError(ack.error?.message);
  };
  return (
    <form className="note" onSubmit={submit}>
      <input value={text} onChange={({ target }) => setText(target.value)} placeholder="A note" aria-label={`A note on order ${number}`} maxLength={500} />
      <button className="quiet">Send</button>
      {error && <p role="alert">{error}</p>}
    </form>
  );
}
