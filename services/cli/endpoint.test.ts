import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { findEndpoint, writeEndpoint } from "./endpoint.ts";

async function inFolder(use: (data: string) => Promise<void>): Promise<void> {
  const data = await mkdtemp(join(tmpdir(), "flotilla-endpoint-"));
  try {
    await use(data);
  } finally {
    await rm(data, { recursive: true });
  }
}

const tokens = { token: "t", webhookToken: "w" };

test("[FL8] a worker is found by the commands of its machine, and its note goes when it ends", () =>
  inFolder(async (data) => {
    const remove = await writeEndpoint(data, { url: "http://127.0.0.1:41001", worker: "a-1", ...tokens });
    assert.deepEqual(await findEndpoint({ data }, {}), { url: "http://127.0.0.1:41001", token: "t" });
    const file = join(data, "workers/a-1.json");
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.equal((JSON.parse(await readFile(file, "utf8")) as { pid: number }).pid, process.pid);
    await remove();
    await assert.rejects(findEndpoint({ data }, {}), /no running Flotilla/);
  }));

test("[FL8] what died without a farewell is passed over; a token goes to its own address only", () =>
  inFolder(async (data) => {
    const gone = { url: "http://127.0.0.1:1", token: "old", pid: 2 ** 22 + 1 }; // above the largest process id there is
    await writeFile(join(data, "endpoint.json"), JSON.stringify(gone));
    assert.equal((await findEndpoint({ data }, {})).url, gone.url, "there is nothing better to say");
    await writeEndpoint(data, { url: "http://127.0.0.1:2", worker: "b-2", ...tokens });
    assert.equal((await findEndpoint({ data }, {})).url, "http://127.0.0.1:2");
    assert.deepEqual(await findEndpoint({ data, server: "http://127.0.0.1:2/" }, {}), { url: "http://127.0.0.1:2", token: "t" });
    await assert.rejects(findEndpoint({ data, server: "http://127.0.0.1:3" }, {}), /no token for/);
  }));
