import assert from "node:assert/strict";
import test from "node:test";
import { Hono } from "hono";
import { parseListen, serve } from "./serve.ts";

const rows = [
  { text: "127.0.0.1:8080", address: { host: "127.0.0.1", port: 8080 } },
  { text: ":0", address: { host: "0.0.0.0", port: 0 } },
  { text: "[::1]:9090", address: { host: "::1", port: 9090 } },
  { text: "localhost:65535", address: { host: "localhost", port: 65_535 } },
];
for (const { text, address } of rows) test(`[GW9] --listen ${text}`, () => assert.deepEqual(parseListen(text), address));
for (const text of ["", "8080", "host", "host:", "host:65536", "http://host:80", "a:b:80", "host:80/x"])
  test(`[GW9] --listen ${JSON.stringify(text)} is refused`, () => assert.throws(() => parseListen(text), RangeError));

test("[GW9] port 0 takes a free port and says which; a second listener on it is refused", async () => {
  const app = new Hono().get("/", (c) => c.text("here"));
  const served = await serve(app, { host: "127.0.0.1", port: 0 });
  try {
    assert.equal(await (await fetch(served.url)).text(), "here");
    await assert.rejects(serve(app, { host: "127.0.0.1", port: served.port }), { code: "EADDRINUSE" });
  } finally {
    await served.close();
  }
  await assert.rejects(fetch(served.url));
});

test("[GW9] closing lets a running request end", async () => {
  let answer = () => {};
  const reached = Promise.withResolvers<void>();
  const app = new Hono().get("/", async (c) => {
    reached.resolve();
    await new Promise<void>((resolve) => (answer = resolve));
    return c.text("in the end");
  });
  const served = await serve(app, { host: "127.0.0.1", port: 0 });
  const request = fetch(served.url, { headers: { connection: "close" } });
  await reached.promise;
  const closed = served.close();
  answer();
  assert.equal(await (await request).text(), "in the end");
  await closed;
});

test("[GW9] a request that never ends is cut off", async () => {
  const reached = Promise.withResolvers<void>();
  const app = new Hono().get("/", () => {
    reached.resolve();
    return new Promise<Response>(() => {});
  });
  const served = await serve(app, { host: "127.0.0.1", port: 0 });
  const request = assert.rejects(fetch(served.url));
  await reached.promise;
  await served.close(1);
  await request;
});
