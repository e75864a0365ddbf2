// The business of this back end: an order goes its way, and whoever placed it is told at each step, present or not.

import { setTimeout as pause } from "node:timers/promises";
import { notify } from "./switchboard.mjs";

export const PRODUCTS = { tea: "Darjeeling, first flush", cups: "Two cups, hand-thrown", kettle: "Copper kettle" };

const STEPS = [
  ["received", "Thank you. We are packing it."],
  ["packed", "It waits for the courier."],
  ["on its way", "It should be with you today."],
  ["delivered", "It is at your door."],
];
const seconds = Number(process.env.STEP_SECONDS ?? 5);
let orders = 1040;

export function placeOrder(user, product) {
  const number = (orders += 1);
  advance(user, product, number).catch((error) => console.error(`order ${number}: ${error.message}`));
  return number;
}

async function advance(user, product, number) {
  for (const [i, [step, text]] of STEPS.entries()) {
    if (i > 0) await pause(1000 * seconds);
    const data = { title: `Order ${number} ${step}`, text: `${PRODUCTS[product]}. ${text}` };
    await notify(user, `order-${started}-${number}-${i}`, data);
  }
}

// Numbers begin anew when this process does.
const started = Date.now();
