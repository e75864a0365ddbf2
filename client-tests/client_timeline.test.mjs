// The client's ordered list: unit tests, and random orders compared with a naive model.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Timeline } from "../client/dist/esm/timeline.js";
import { upTo } from "./support/clients.mjs";
import { chance } from "./support/random.mjs";

const message = (seq, epoch = "e") => ({ seq, id: `${epoch}${seq}` });
const some = (...seqs) => seqs.map((seq) => message(seq));
const range = (from, to, epoch) => Array.from({ length: to - from + 1 }, (_, i) => message(from + i, epoch));
const seqs = (messages) => messages.map(({ seq }) => seq);

function begun(...seqs) {
  const timeline = new Timeline();
  timeline.begin({ epoch: "e", seq: seqs.at(-1) ?? 0, messages: some(...seqs) });
  return timeline;
}

test("a list begins with the end of the log", () => {
  const timeline = begun(8, 9, 10);
  assert.deepEqual(seqs(timeline.list), [8, 9, 10]);
  assert.equal(timeline.hasOlder, true);
  assert.equal(timeline.gap, false);
  assert.equal(begun(1, 2).hasOlder, false);
  assert.equal(begun().hasOlder, false);
});

test("messages that come before the list has begun wait for it, and only those are new", () => {
  const timeline = new Timeline();
  assert.deepEqual(timeline.add(some(5, 4, 7)), []);
  assert.deepEqual(seqs(timeline.begin({ epoch: "e", seq: 6, messages: some(5, 6) })), [4, 5, 7]);
  assert.deepEqual(seqs(timeline.list), [5, 6, 7]);
});

test("messages behind a hole wait until it is filled, and come in order", () => {
  const timeline = begun(1, 2);
  assert.deepEqual(timeline.add(some(5)), []);
  assert.deepEqual(timeline.add(some(4)), []);
  assert.equal(timeline.missing, 3);
  assert.deepEqual(seqs(timeline.add(some(3))), [3, 4, 5]);
  assert.equal(timeline.missing, 0);
  assert.deepEqual(seqs(timeline.list), [1, 2, 3, 4, 5]);
});

test("a repeated message changes nothing", () => {
  const timeline = begun(1, 2);
  assert.deepEqual(timeline.add(some(2, 1)), []);
  assert.deepEqual(timeline.add(some(4)), []);
  assert.deepEqual(timeline.add(some(4)), []);
  assert.deepEqual(seqs(timeline.add(some(3, 4))), [3, 4]);
  assert.deepEqual(seqs(timeline.list), [1, 2, 3, 4]);
});

test("a page of history that begins later marks a gap", () => {
  const timeline = begun(1, 2);
  timeline.add(some(12));
  assert.deepEqual(seqs(timeline.fill(some(9, 10, 11), 12)), [9, 10, 11, 12]);
  assert.equal(timeline.gap, true);
  assert.deepEqual(timeline.list.filter(({ afterGap }) => afterGap).map(({ seq }) => seq), [9]);
});

test("messages that were held are kept, even if the log has them no more", () => {
  const timeline = begun(1, 2);
  timeline.add(some(5, 6));
  timeline.fill(some(9, 10), 10);
  timeline.fill(some(9, 10), 10);
  assert.deepEqual(seqs(timeline.list), [1, 2, 5, 6, 9, 10]);
  assert.deepEqual(timeline.list.filter(({ afterGap }) => afterGap).map(({ seq }) => seq), [5, 9]);
});

test("an empty page of history marks a gap before what is held, or before what comes next", () => {
  const held = begun(1);
  held.add(some(4));
  assert.deepEqual(seqs(held.fill([], 4)), [4]);
  assert.equal(held.list.at(-1).afterGap, true);

  const lost = begun(1);
  lost.add([], 7);
  assert.deepEqual(lost.fill([], 7), []);
  assert.equal(lost.gap, true);
  assert.deepEqual(seqs(lost.add(some(8))), [8]);
  assert.equal(lost.list.at(-1).afterGap, true);
});

test("what is missing before an empty list is no gap", () => {
  const timeline = begun();
  timeline.add([], 7);
  timeline.fill([], 7);
  timeline.add(some(8));
  assert.equal(timeline.gap, false);
});

test("a log that has begun anew replaces the list and is a gap", () => {
  const timeline = begun(5, 6, 7);
  timeline.add(some(9));
  const fresh = timeline.begin({ epoch: "f", seq: 2, messages: range(1, 2, "f") });
  assert.deepEqual(fresh.map(({ id }) => id), ["f1", "f2"]);
  assert.deepEqual(timeline.list.map(({ id }) => id), ["f1", "f2"]);
  assert.equal(timeline.gap, true);
  assert.equal(timeline.hasOlder, false);
});

test("a list that begins again at the end of the same log has no gap, and can have the rest", () => {
  const timeline = begun(1, 2);
  const fresh = timeline.begin({ epoch: "e", seq: 90, messages: range(88, 90) });
  assert.deepEqual(seqs(fresh), [88, 89, 90]);
  assert.equal(timeline.gap, false);
  assert.equal(timeline.hasOlder, true);
});

test("a list is trimmed at its beginning, and its gap goes with that", () => {
  const timeline = begun(1, 2);
  timeline.fill(some(5, 6, 7), 7);
  assert.equal(timeline.gap, true);
  timeline.trim(2);
  assert.deepEqual(seqs(timeline.list), [6, 7]);
  assert.equal(timeline.hasOlder, true);
  assert.equal(timeline.gap, false);
});

test("older pages come before the list", () => {
  const timeline = begun(8, 9);
  timeline.older(range(5, 7), true);
  timeline.older(range(1, 4), false);
  assert.deepEqual(seqs(timeline.list), upTo(9));
  assert.equal(timeline.hasOlder, false);
});

// One random history: messages come in any order, repeated, with pages of a log that is trimmed meanwhile. The model says: once
// everything is said, the list is what the log had, in order, each once; and each message is new exactly once.
function run(seed) {
  const next = chance(seed);
  const random = (below) => Math.floor(next() * below);
  const length = 1 + random(60);
  const start = random(length + 1);
  const history = random(5);
  const timeline = new Timeline();
  let trimmed = 0;
  const page = (after, limit) => range(Math.max(after, trimmed) + 1, Math.min(length, Math.max(after, trimmed) + limit));
  const fresh = [];
  const lost = new Set();
  const first = Math.max(start - history, 0);

  const waiting = [];
  for (let seq = first + 1; seq <= length; seq += 1) for (let n = 1 + random(2); n > 0; n -= 1) if (random(4) > 0) waiting.push(seq);
  waiting.sort(() => random(3) - 1);
  const early = waiting.splice(0, random(4));
  for (const seq of early) timeline.add([message(seq)]);
  fresh.push(...timeline.begin({ epoch: "e", seq: start, messages: range(first + 1, start) }));

  for (const seq of waiting) {
    fresh.push(...timeline.add([message(seq)]));
    if (random(6) === 0) trimmed = Math.max(trimmed, random(length));
    if (random(5) === 0 && timeline.missing > 0) fill();
  }
  timeline.add([], length);
  while (timeline.missing > 0) fill();

  function fill() {
    const messages = page(timeline.head, 1 + random(10));
    const to = messages[0]?.seq ?? Infinity;
    for (let seq = timeline.head + 1; seq < to && seq <= trimmed; seq += 1) lost.add(seq);
    fresh.push(...timeline.fill(messages, length));
  }

  const listed = seqs(timeline.list);
  assert.deepEqual(listed, [...new Set(listed)].sort((a, b) => a - b), `seed ${seed}: in order, each once`);
  for (let seq = first + 1; seq <= length; seq += 1) {
    if (!listed.includes(seq)) assert.ok(lost.has(seq), `seed ${seed}: ${seq} of ${length} is missing, though it was not lost`);
  }
  timeline.list.forEach(({ seq, afterGap }, i) => {
    const hole = i > 0 && listed[i - 1] !== seq - 1;
    assert.equal(Boolean(afterGap), hole, `seed ${seed}: a mark before ${seq}`);
  });
  const news = seqs(fresh);
  const live = news.filter((seq) => seq > start);
  assert.deepEqual(live, listed.filter((seq) => seq > start), `seed ${seed}: each is new once, in order`);
  const meanwhile = [...new Set(early)].filter((seq) => seq <= start).sort((a, b) => a - b);
  assert.deepEqual(news.filter((seq) => seq <= start), meanwhile, `seed ${seed}: what came before the list is new, too`);
  assert.equal(new Set(news).size, news.length, `seed ${seed}: nothing is new twice`);
}

test("any order, with repeats, holes and a log that is trimmed, leads to the list of a naive model", () => {
  for (let seed = 1; seed <= 20_000; seed += 1) run(seed);
});
