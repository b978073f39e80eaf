import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { connect } from "nats";
import { stream, subject } from "#protocol/names/subject.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { tool } from "../../deploy/local/tools.ts";
import { openNatsLog } from "./nats-log.ts";
import { startNatsServer, type NatsServer } from "./nats-server.ts";

process.env["FLOTILLA_NATS_SERVER"] = await tool("nats-server");

async function inFolder(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "flotilla-nats-"));
  try {
    await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const logOn = async ({ url, token }: NatsServer) => {
  const connection = await connect({ servers: url, token, maxReconnectAttempts: -1, reconnectTimeWait: 20 });
  return { connection, log: await openNatsLog(connection, stream.cell("main")) };
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** A parent that dies as by kill -9, and leaves its server running. */
async function killedParent(dir: string): Promise<{ pid: number }> {
  const script = `import { startNatsServer } from ${JSON.stringify(new URL("nats-server.ts", import.meta.url).href)};
    const { url, token, pid } = await startNatsServer(${JSON.stringify(dir)});
    process.stdout.write(JSON.stringify({ url, token, pid }) + "\\n");`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const server = JSON.parse(line.toString()) as NatsServer;
  const { connection, log } = await logOn(server);
  await log.publish({ subject: subject.own(1), data: "kept" });
  await connection.close();
  parent.kill("SIGKILL");
  await once(parent, "exit");
  return server;
}

test("[WK10] a server left behind is ended before another starts on its store, and nothing is lost", () =>
  inFolder(async (dir) => {
    const left = await killedParent(dir);
    assert.ok(isAlive(left.pid));
    const next = await startNatsServer(dir);
    try {
      assert.notEqual(next.pid, left.pid);
      await eventually("the server left behind is gone", () => !isAlive(left.pid));
      const { connection, log } = await logOn(next);
      assert.equal((await log.read(subject.own(1)))?.data, "kept");
      await connection.close();
    } finally {
      await next.stop();
    }
  }));

test("[WK11] after a crash it is back on the same port with what it had acknowledged", () =>
  inFolder(async (dir) => {
    const restarts: string[] = [];
    const server = await startNatsServer(dir, (detail) => restarts.push(detail));
    try {
      const { connection, log } = await logOn(server);
      await log.publish({ subject: subject.own(2), data: "acknowledged" });
      process.kill(Number(await readFile(join(dir, "nats.pid"), "utf8")), "SIGKILL");
      await eventually("it was started again", () => restarts.length > 0);
      const stored = await eventually("it answers again", () => log.read(subject.own(2)).catch(() => undefined));
      assert.equal(stored.data, "acknowledged");
      await connection.close();
    } finally {
      await server.stop();
    }
  }));
