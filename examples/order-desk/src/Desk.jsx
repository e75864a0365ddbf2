// For the staff: every order, and the button that moves it on.

import { useState } from "react";
import { useOrders } from "./live.js";
import { Order } from "./Order.jsx";
import { ask } from "./socket.js";

const NEXT = { placed: "packed", packed: "shipped" };

export function Desk() {
  const { orders } = useOrders();
  return (
    <main className="desk">
      <section aria-labelledby="orders">
        <h2 id="orders">Orders</h2>
        {orders.length === 0 && <p className="hint">None yet. Open this page in another tab, and place one.</p>}
        <ul className="orders">
          {orders.map((order) => (
            <Order key={order.number} {...order}>
              <Move {...order} />
            </Order>
          ))}
        </ul>
      </section>
    </main>
  );
}

function Move({ number, state }) {
  const [error, setError] = useState();
  const [isAsking, setIsAsking] = useState(false);
  const next = NEXT[state];
  if (!next) return null;
  const move = async () => {
    setIsAsking(true);
    const ack = await ask("order.move", { number, state: next });
    setIsAsking(false);
    setError(ack.error?.message);
  };
  return (
    <>
      {error && <p role="alert">{error}</p>}
      <button onClick={move} disabled={isAsking} aria-label={`Mark as ${next}, order ${number}`}>
        Mark as {next}
      </button>
    </>
  );
}
