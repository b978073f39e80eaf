/** What flags and variables about the NATS become. */
import assert from "node:assert/strict";
import test from "node:test";
import type { OptionValues } from "./command.ts";
import { Misuse } from "./failure.ts";
import { FakeShell } from "./fake-shell.ts";
import { natsOf } from "./nats.ts";

const nats = "nats://n:4222";

type Row = { options?: OptionValues; env?: Record<string, string>; becomes?: object | undefined; misuse?: RegExp };
const rows: Row[] = [
  { becomes: undefined },
  { options: { nats }, becomes: { url: nats } },
  { env: { FLOTILLA_NATS: nats, FLOTILLA_NATS_CREDS: "" }, becomes: { url: nats } },
  { options: { nats: "tls://a,tls://b" }, env: { FLOTILLA_NATS: nats }, becomes: { url: "tls://a,tls://b" } },
  { options: { nats, natsCreds: "/c" }, becomes: { url: nats, files: { creds: "/c" } } },
  { options: { nats }, env: { FLOTILLA_NATS_CREDS: "/c", FLOTILLA_NATS_CA: "/ca" }, becomes: { url: nats, files: { creds: "/c", ca: "/ca" } } },
  { options: { nats, natsNkey: "/n" }, env: { FLOTILLA_NATS_CREDS: "/c" }, becomes: { url: nats, files: { nkey: "/n" } } },
  { options: { nats, natsCert: "/x", natsKey: "/y" }, env: { FLOTILLA_NATS_CERT: "/z" }, becomes: { url: nats, files: { cert: "/x", key: "/y" } } },
  { options: { natsCreds: "/c" }, misuse: /--nats-creds: for which NATS/ },
  { env: { FLOTILLA_NATS_CA: "/ca" }, misuse: /--nats-ca: for which NATS/ },
  { options: { nats, natsCreds: "/c", natsNkey: "/n" }, misuse: /one of them/ },
  { options: { nats: "nats://user:pass@n:4222", natsCreds: "/c" }, misuse: /^--nats-creds: the address names a user or token already$/ },
  { options: { nats, natsCert: "/x" }, misuse: /--nats-key/ },
  { options: { nats, natsKey: "/y" }, env: { FLOTILLA_NATS_CERT: "/z" }, misuse: /its certificate is missing/ },
];
for (const { options = {}, env = {}, becomes, misuse } of rows)
  test(`[CL12] ${JSON.stringify({ ...options, ...env })} -> ${misuse ?? JSON.stringify(becomes)}`, () => {
    const shell = new FakeShell();
    shell.env = env;
    const read = () => natsOf({ options, shell });
    if (misuse) assert.throws(read, (thrown) => thrown instanceof Misuse && misuse.test(thrown.message) && !thrown.message.includes("pass"));
    else assert.deepEqual(read(), becomes);
  });

test("[CL12] a file is meant from the folder the command is started in", () => {
  assert.deepEqual(natsOf({ options: { nats, natsCreds: "c" }, shell: new FakeShell() })?.files, { creds: `${process.cwd()}/c` });
});
