/**
 * A request that is given up while its body waits for the server to take it. The client is a process of its own: one that
 * goes round for ever cannot be stopped from within.
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { party, pem } from "../../../test/kit/certificates.ts";
import { createKubeClient } from "./client.ts";

const [, , role = "", server = "", what = ""] = process.argv;
if (role === "client") await giveUp(server, what);
else {
  let api: Http2SecureServer;
  const taking = new Set<ServerHttp2Stream>();
  before(async () => {
    const self = party("api");
    // A window smaller than the body: the rest of it waits in the client.
    api = createSecureServer({ key: pem(self.key), cert: self.certificate, settings: { initialWindowSize: 1_000 } });
    api.on("stream", (stream, { ":method": method, ":path": path }) => {
      stream.on("error", () => undefined);
      if (method === "PATCH") taking.add(stream);
      if (path === "/take") for (const each of taking) each.resume();
      if (method === "PATCH" && path !== "/late") return void stream.on("end", () => answer(stream)).pause();
      if (method === "GET") answer(stream);
    });
    api.listen(0, "127.0.0.1");
    await once(api, "listening");
  });
  after(() => api.close());

  for (const { given, path } of [
    { given: "its task is called off", path: "/slow" },
    { given: "no answer comes in time", path: "/late" },
  ])
    test(`[AP60] a body that is not all sent when ${given}: the client goes on`, async () => {
      const { port } = api.address() as AddressInfo;
      const client = fork(import.meta.filename, ["client", `https://127.0.0.1:${port}`, path], { execArgv: ["--no-warnings"], stdio: ["ignore", "pipe", "inherit", "ipc"] });
      const kill = setTimeout(() => client.kill("SIGKILL"), 20_000); // before it has taken the machine's memory
      let said = "";
      client.stdout?.on("data", (chunk: Buffer) => { said += chunk; });
      const [code] = (await once(client, "exit")) as [number | null];
      clearTimeout(kill);
      assert.deepEqual([code, said], [0, path === "/slow" ? "200 after 200" : "200 after ClusterUnreachable"]);
    });
}

function answer(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200 });
  stream.end("{}");
}

/** In the other process: what became of the write, and whether another request is answered afterwards. */
async function giveUp(url: string, path: string): Promise<void> {
  const client = createKubeClient({ server: url, insecure: true }, { writeTimeoutMs: path === "/late" ? 500 : 20_000 });
  await client.request({ method: "GET", path: "/version" });
  const stop = new AbortController();
  const write = client.request({ method: "PATCH", path, body: { text: "x".repeat(100_000) }, signal: stop.signal }).then(({ code }) => code, ({ code }: { code: string }) => code);
  await client.request({ method: "GET", path: "/begun" }); // what was sent before it has arrived
  if (path === "/late") await write;
  else stop.abort();
  await client.request({ method: "GET", path: "/take" }); // the server asks for more
  const outcome = await write;
  const { code } = await client.request({ method: "GET", path: "/version" });
  process.stdout.write(`${code} after ${outcome}`);
  await client.close();
  process.exit();
}
