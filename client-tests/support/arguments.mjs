// Arguments of events of every kind, and how they arrive.

const same = Buffer.from([7, 8, 9]);

// Doubles of every magnitude, the same in each run.
function doubles(n) {
  const view = new DataView(new ArrayBuffer(8));
  const found = [];
  for (let state = 1n; found.length < n; ) {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    view.setBigUint64(0, state ^ (state >> 32n));
    if (Number.isFinite(view.getFloat64(0))) found.push(view.getFloat64(0));
  }
  return found;
}

// What is sent, and what arrives where that is something else: JSON has no undefined, no dates and no NaN.
export const ARGUMENTS = {
  "no argument": [[]],
  "one argument": [[{ a: 1 }]],
  "five arguments": [[1, "two", [3, [4]], { five: { six: null } }, true]],
  "null": [[null]],
  "an undefined in the middle": [[1, undefined, 3], [1, null, 3]],
  "buffers in objects in arrays": [[[{ a: { b: Buffer.from([1, 2, 3]) } }, [[{ c: Buffer.alloc(0) }]]], "text", 4]],
  "the same buffer twice": [[same, { again: [same] }]],
  "a buffer alone": [[Buffer.from("binary")]],
  "a date": [[new Date(0), 1], ["1970-01-01T00:00:00.000Z", 1]],
  "strings of every kind": [[["", "\u0000\u001f", "\u2028\u2029", "🦀", '"\\/\b\f\n\r\t'], 1]],
  "keys of every kind": [[{ 'quo"te': 1, "": 2 }, { "back\\slash": { "new\nline": Buffer.from([1]) } }, { "🦀": 3 }, { 7: 4, "\u2028": 5 }]],
  "numbers of every kind": [
    [0, -1, 0.1 + 0.2, 1e21, 5e-324, 1.7976931348623157e308, 2 ** 53 - 1, 2 ** 63, 2 ** 64, NaN, doubles(500)],
    [0, -1, 0.1 + 0.2, 1e21, 5e-324, 1.7976931348623157e308, 2 ** 53 - 1, 2 ** 63, 2 ** 64, null, doubles(500)],
  ],
  "what looks like a placeholder": [[{ _placeholder: false, num: 3 }, { num: 0 }, { _placeholder: "yes" }]],
  "a string at the end": [[1, "text"]],
};

// The last argument of a client that can be recovered: an event that ends in a string has its offset behind it, as with the
// connection state recovery of Socket.IO's own server, because clients take a string at the end for that, an event's name included.
export function withoutOffset(args) {
  const ends = /^\d+~$/.test(args.at(-1)) && (args.length === 1 || typeof args.at(-2) === "string");
  return ends ? args.slice(0, -1) : args;
}
