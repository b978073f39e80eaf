/** What is read beside the clock: the worker's own counters and the kernel's view of its process. */
import { readFile } from "node:fs/promises";

export type Reading = { requests: number; writes: number; renders: number; cpuMs: number; rssMb: number };

const ticksPerSecond = 100; // USER_HZ, the same on every Linux

/** `watch` requests are left out: they are opened once and stay; leases there are none. */
export async function read(gatewayUrl: string, pid: number): Promise<Reading> {
  const [text, stat, status] = await Promise.all([
    fetch(`${gatewayUrl}/metrics`).then((answer) => answer.text()),
    readFile(`/proc/${pid}/stat`, "utf8"),
    readFile(`/proc/${pid}/status`, "utf8"),
  ]);
  let [requests, writes, renders] = [0, 0, 0];
  for (const line of text.split("\n")) {
    const [, name, labels = "", value] = /^(flotilla_api_requests_total|flotilla_renders_total)(?:\{([^}]*)\})? (\S+)/.exec(line) ?? [];
    if (name === "flotilla_renders_total") renders += Number(value);
    const verb = /verb="([^"]*)"/.exec(labels)?.[1] ?? "";
    if (name !== "flotilla_api_requests_total" || verb === "watch") continue;
    requests += Number(value);
    if (!["get", "list", "dry-run", "dryrun"].includes(verb)) writes += Number(value);
  }
  return { requests, writes, renders, cpuMs: cpuMsIn(stat), rssMb: rssMbIn(status) };
}

/** Resident memory of a process. */
export const rssMbOf = async (pid: number): Promise<number> => rssMbIn(await readFile(`/proc/${pid}/status`, "utf8"));

const rssMbIn = (status: string): number => Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;

/** CPU time a process has used so far. */
export const cpuMsOf = async (pid: number): Promise<number> => cpuMsIn(await readFile(`/proc/${pid}/stat`, "utf8"));

function cpuMsIn(stat: string): number {
  // Fields 14 and 15 of proc_pid_stat(5), counted behind the name, which may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
}

export const percentile = (values: number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
};

export const rounded = (value: number, digits = 1): number => Number(value.toFixed(digits));
