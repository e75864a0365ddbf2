// Runs the client tests: `node run.mjs [--only TEXT] [--at-once N] [FILE...]`, all files unless some are named, and of their tests all
// unless TEXT is in their names. Tests mostly wait, so several files run at once; those of ALONE come afterwards, one by one.

import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { compose } from "node:stream";
import { run } from "node:test";
import { spec as Spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

// The files that cannot share the machine, and what they measure. Every other file has to succeed on a busy machine.
const ALONE = {
  "hostile.test.mjs": "how long 200 clients wait for acks under attack",
  "slow.test.mjs": "how long acks take beside a client that does not read",
  "page_admin_load.test.mjs": "how long the dashboard blocks with thousands of connections and rooms",
  "nodes_burst.test.mjs": "that nodes take messages as fast as they can, which Redis has to answer in time",
};

const here = fileURLToPath(new URL(".", import.meta.url));

// A file that takes longer, in milliseconds, hangs.
const LONGEST = process.env.SWITCHBOARD_LONG === "1" ? 1_200_000 : 600_000;

const { values: options, positionals } = parseArgs({
  options: { only: { type: "string" }, "at-once": { type: "string", default: `${availableParallelism() + 1}` } },
  allowPositionals: true,
});

const isTest = (name) => name.endsWith(".test.mjs");
const files = positionals.length > 0 ? positionals.map((path) => basename(path)) : readdirSync(here).filter(isTest);
for (const name of [...files, ...Object.keys(ALONE)]) {
  if (!existsSync(join(here, name))) throw new Error(`client-tests/ has no ${name}`);
}

const phases = [
  { names: files.filter((name) => !(name in ALONE)), concurrency: Number(options["at-once"]) },
  { names: files.filter((name) => name in ALONE), concurrency: 1 },
];

// What happens in all phases, file by file, as one report.
async function* events() {
  const began = performance.now();
  const counts = { pass: 0, fail: 0, skipped: 0, todo: 0 };
  let heading;
  for (const { names, concurrency } of phases) {
    if (names.length === 0) continue;
    const paths = names.sort().map((name) => join(here, name));
    const patterns = options.only === undefined ? {} : { testNamePatterns: [options.only] };
    for await (const event of run({ files: paths, concurrency, timeout: LONGEST, ...patterns })) {
      const { type, data } = event;
      // What has no file sums up a phase; how files are queued is of no interest.
      if (!data.file || !REPORTED.has(type)) continue;
      if (data.file !== heading) {
        heading = data.file;
        yield says(`\n${basename(heading)}\n`);
      }
      count(counts, event);
      yield event;
    }
  }
  if (counts.fail > 0) process.exitCode = 1;
  const total = Object.entries(counts).map(([name, n]) => `${n} ${name}`);
  yield says(`\n${total.join(", ")}, ${files.length} files in ${Math.round((performance.now() - began) / 1000)} s\n`);
}

const REPORTED = new Set(["test:start", "test:pass", "test:fail", "test:diagnostic", "test:stdout", "test:stderr"]);

const says = (message) => ({ type: "test:stdout", data: { message } });

function count(counts, { type, data }) {
  if (type !== "test:pass" && type !== "test:fail") return;
  if (data.skip !== undefined) counts.skipped += 1;
  else if (data.todo !== undefined) counts.todo += 1;
  else counts[type === "test:pass" ? "pass" : "fail"] += 1;
}

compose(events, new Spec()).pipe(process.stdout);
