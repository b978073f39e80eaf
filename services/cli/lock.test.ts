import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { lockFolder } from "./lock.ts";

async function inFolder(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "flotilla-lock-"));
  try {
    await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

test("[CL20] a folder that a living Flotilla holds is refused, by the number of its process", () =>
  inFolder(async (dir) => {
    const holder = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", "flotilla"], { stdio: "ignore" });
    try {
      await once(holder, "spawn");
      await writeFile(join(dir, "up.pid"), String(holder.pid));
      await assert.rejects(lockFolder(dir), (thrown) => thrown instanceof Fault && thrown.code === "DataInUse" && thrown.message.includes(String(holder.pid)));
    } finally {
      holder.kill("SIGKILL");
      await once(holder, "exit");
    }
    const release = await lockFolder(dir); // its holder is dead now
    await release();
    assert.deepEqual(await readdir(dir), []);
  }));

for (const stale of ["", "nonsense", "0", String(process.pid)])
  test(`[CL20] a lock that says ${JSON.stringify(stale)} holds nobody off`, () =>
    inFolder(async (dir) => {
      await writeFile(join(dir, "up.pid"), stale);
      await (await lockFolder(dir))();
    }));
