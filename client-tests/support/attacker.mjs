// A process of its own that attacks a server at random until it is told to stop (its standard input ends) and has made each attack once, so that what it computes
// delays nobody whose waiting is measured. Prints how often it did what.

import { ATTACKS, Foe } from "./attacks.mjs";
import { chance } from "./random.mjs";

const { port, address, seed, hold, only } = JSON.parse(process.argv[2]);
const random = chance(seed);
const names = Object.keys(ATTACKS).filter((name) => !only || name === only);
const counts = Object.fromEntries(names.map((name) => [name, 0]));

let over = false;
process.stdin.resume().on("end", () => (over = true));

// One of each kind, in an order that is new each time, so that none is left out.
function round() {
  const left = [...names];
  return names.map(() => left.splice(Math.floor(random() * left.length), 1)[0]);
}

while (!over) {
  for (const name of round()) {
    const foe = new Foe({ port, address, random, hold });
    await ATTACKS[name](foe);
    foe.release();
    counts[name] += 1;
  }
}
process.stdout.write(JSON.stringify(counts), () => process.exit(0));
