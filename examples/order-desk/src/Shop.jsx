// For customers: a form that places an order, their orders, and their inbox.

import { useState } from "react";
import { useInbox, useOrders } from "./live.js";
import { Order } from "./Order.jsx";
import { ask } from "./socket.js";

const TEAS = ["Darjeeling, first flush", "Lapsang souchong", "Sencha"];

export function Shop() {
  const { orders, add } = useOrders();
  const inbox = useInbox();
  return (
    <main className="columns">
      <div>
        <OrderForm onOrder={add} />
        <section aria-labelledby="orders">
          <h2 id="orders">Your orders</h2>
          {orders.length === 0 && <p className="hint">None yet.</p>}
          <ul className="orders">
            {orders.map((order) => (
              <Order key={order.number} {...order} />
            ))}
          </ul>
        </section>
      </div>
      <section aria-labelledby="inbox">
        <h2 id="inbox">Inbox</h2>
        {inbox.length === 0 && <p className="hint">You are told here when an order moves on, also of what you missed.</p>}
        <ol className="inbox">
          {inbox.map(({ seq, data, ts }) => (
            <li key={seq}>
              <b>{data.title}</b> <time>{new Date(ts).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}</time>
              <span>{data.text}</span>
            </li>
          ))}
        </ol>
      </section>
    </main>
  );
}

function OrderForm({ onOrder }) {
  const [outcome, setOutcome] = useState();
  const [isAsking, setIsAsking] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const { item, quantity } = Object.fromEntries(new FormData(event.target));
    setIsAsking(true);
    setOutcome("Placing your order…");
    // With an id of its own, it is one order however often it has to be sent.
    const ack = await ask("order.create", { id: crypto.randomUUID(), item, quantity: Number(quantity) });
    setIsAsking(false);
    setOutcome(ack.ok ? `Thank you. Your order has the number ${ack.order.number}.` : ack.error.message);
    if (ack.ok) onOrder(ack.order);
  };
  return (
    <section aria-labelledby="place">
      <h2 id="place">Place an order</h2>
      <form className="place" onSubmit={submit}>
        <label>
          Tea
          <select name="item">
            {TEAS.map((tea) => (
              <option key={tea}>{tea}</option>
            ))}
          </select>
        </label>
        <label>
          Packets <input name="quantity" type="number" min="1" max="99" defaultValue="1" required />
        </label>
        <button disabled={isAsking}>Order</button>
      </form>
      <p className="hint" role="status">
        {outcome}
      </p>
    </section>
  );
}
