/**
 * Many units that nothing happens to: what they cost a host, and how long a worker takes to take all of them over from a
 * real NATS, with what it then needs. No API server: a stand-in shows the objects, as a watch would.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { connect } from "nats";
import { subject } from "#protocol/names/subject.ts";
import type { Message } from "#services/store/log.ts";
import { openNatsLog } from "#services/store/nats-log.ts";
import { startNats } from "../../deploy/local/nats.ts";
import { measure, settled } from "./idle.ts";
import { print, say } from "./report.ts";
import { recordOfUnit, unitKey } from "./residence-worker.ts";

const counts = (process.env["UNITS"] ?? "10000,100000").split(",").map(Number);
const batch = 500;

export async function runResidence(): Promise<void> {
  await measure(1_000); // code that is compiled meanwhile would count as theirs
  for (const count of counts) {
    say(`${count} units at rest ...`);
    print("residence", { ...(await measure(count)), ...(await takeOver(count)) });
  }
}

async function takeOver(count: number): Promise<Record<string, number>> {
  const dir = await mkdtemp(join(tmpdir(), "flotilla-bench-"));
  const nats = await startNats({ dir });
  try {
    const connection = await connect({ servers: nats.url, token: nats.token });
    const log = await openNatsLog(connection, "FL_main");
    const template = settled(Date.now());
    for (let from = 0; from < count; from += batch)
      await log.publishAll(Array.from({ length: Math.min(batch, count - from) }, (_, i): Message =>
        ({ subject: subject.snapshot(unitKey(from + i)), data: JSON.stringify(recordOfUnit(from + i, template)) })));
    await connection.close();
    const worker = join(import.meta.dirname, "residence-worker.ts");
    const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", worker, nats.url, nats.token, String(count)], { timeout: 300_000 });
    return JSON.parse(stdout) as Record<string, number>;
  } finally {
    await nats.stop();
    await rm(dir, { recursive: true, force: true });
  }
}
