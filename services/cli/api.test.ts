import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { Hono } from "hono";
import { serve } from "#services/gateway/serve.ts";
import { openApi } from "./api.ts";
import { dataDirOf, findEndpoint } from "./endpoint.ts";

const folders = [
  { given: "/d", env: { XDG_DATA_HOME: "/x" }, dir: "/d" },
  { given: undefined, env: { XDG_DATA_HOME: "/x", HOME: "/h" }, dir: "/x/flotilla" },
  { given: undefined, env: { HOME: "/h" }, dir: "/h/.local/share/flotilla" },
];
for (const { given, env, dir } of folders) test(`[CL10] data folder: ${JSON.stringify({ given, env })} -> ${dir}`, () => assert.equal(dataDirOf(given, env), dir));

async function withFile(text: string | undefined, use: (data: string) => Promise<void>): Promise<void> {
  const data = await mkdtemp(join(tmpdir(), "flotilla-cli-"));
  try {
    if (text !== undefined) await writeFile(join(data, "endpoint.json"), text, { mode: 0o600 });
    await use(data);
  } finally {
    await rm(data, { recursive: true });
  }
}

const kept = { url: "http://127.0.0.1:9090", token: "kept" };
const endpoints: { why: string; server?: string; env?: Record<string, string>; file?: string; found?: object; fails?: RegExp }[] = [
  { why: "the file", file: JSON.stringify({ ...kept, webhookToken: "w" }), found: kept },
  { why: "server and token by environment", env: { FLOTILLA_SERVER: "http://s", FLOTILLA_TOKEN: "t" }, found: { url: "http://s", token: "t" } },
  { why: "--server before the environment", server: "http://o", env: { FLOTILLA_SERVER: "http://s", FLOTILLA_TOKEN: "t" }, found: { url: "http://o", token: "t" } },
  { why: "--server that the file names too", server: "http://127.0.0.1:9090/", file: JSON.stringify(kept), found: kept },
  { why: "the file's token goes nowhere else", server: "http://evil", file: JSON.stringify(kept), fails: /^no token for http:\/\/evil: set FLOTILLA_TOKEN$/ },
  { why: "nothing", fails: /^no running Flotilla found in .+: start one with "flotilla up"/ },
  { why: "a damaged file is not quoted", file: '{"token":"hunter2"', fails: /^(?!.*hunter2).*is damaged/ },
  { why: "an address that is none", file: JSON.stringify({ url: "javascript:1", token: "hunter2" }), fails: /^(?!.*hunter2).*is damaged/ },
];
for (const { why, server, env = {}, file, found, fails } of endpoints)
  test(`[CL10] endpoint: ${why}`, () =>
    withFile(file, async (data) => {
      const search = findEndpoint({ ...(server && { server }), data }, env);
      if (fails) await assert.rejects(search, { message: fails });
      else assert.deepEqual(await search, found);
    }));

async function withServer(app: Hono, use: (url: string) => Promise<void>): Promise<void> {
  const served = await serve(app, { host: "127.0.0.1", port: 0 });
  try {
    await use(served.url);
  } finally {
    await served.close(100);
  }
}
const open = (server: string, token = "t") => openApi({ server }, { FLOTILLA_TOKEN: token });

test("[CL11] the API is asked with the token, and its answer is checked", () =>
  withServer(
    new Hono()
      .get("/api/v1/traces", (c) => c.json({ traces: [{ v: 1, traceId: c.req.header("authorization"), atMs: 1, commit: c.req.query("commit"), unit: c.req.query("unit") }] }))
      .get("/api/v1/traces/:id", (c) => c.json({ spans: [{ traceId: c.req.param("id"), spanId: "s", name: "n", startMs: 1, endMs: 2 }] })),
    async (url) => {
      const api = await open(url);
      assert.deepEqual((await api.tracesOfCommit("4c1d")).map(({ traceId, commit }) => [traceId, commit]), [["Bearer t", "4c1d"]]);
      assert.equal((await api.tracesOfUnit("ks/a&commit=x"))[0]?.unit, "ks/a&commit=x");
      assert.equal((await api.spans("abc"))[0]?.traceId, "abc");
    },
  ));

const answers: { why: string; app: Hono; says: RegExp }[] = [
  { why: "a refused token", app: new Hono().get("*", (c) => c.json({}, 401)), says: /refused the token: set FLOTILLA_TOKEN/ },
  { why: "a refusal with a reason", app: new Hono().get("*", (c) => c.json({ error: { code: "X", message: "the trace stream did not answer" } }, 503)), says: /^the trace stream did not answer$/ },
  { why: "something else on that port", app: new Hono().get("*", (c) => c.html("<h1>hello</h1>")), says: /did not answer as Flotilla does/ },
  { why: "a redirect is not followed: the token is for this address", app: new Hono().get("*", (c) => c.redirect("http://127.0.0.1:1/")), says: /no answer from Flotilla at/ },
];
for (const { why, app, says } of answers)
  test(`[CL11] ${why}`, () => withServer(app, async (url) => assert.rejects((await open(url)).recentTraces(), { message: says })));

test("[CL11] nobody there", async () => assert.rejects((await open("http://127.0.0.1:1")).recentTraces(), { message: /^no answer from Flotilla at http:\/\/127\.0\.0\.1:1: is "flotilla up" running there\?$/ }));
