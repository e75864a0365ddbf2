// What a process has used. Linux only: it is read from /proc.

import { readFileSync } from "node:fs";

// CPU time in seconds, and resident memory in bytes.
export function usage({ pid }) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  const memory = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+) kB/)[1];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, memory: memory * 1024 };
}
