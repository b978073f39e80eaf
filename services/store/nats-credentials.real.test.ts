/** NATS servers that ask who is there, as people run them: an operator's JWTs, NKeys, TLS, certificates on both sides. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { party, pem } from "../../test/kit/certificates.ts";
import { scratchFolder } from "../../test/kit/cluster.ts";
import { startConfigured, type ConfiguredNats } from "../../test/kit/nats-configured.ts";
import { createNkey, createOperator } from "../../test/kit/nats-users.ts";
import { systemClock } from "./clock.ts";
import { startHeartThread } from "./heart-thread.ts";
import { connectNats, type NatsAddress } from "./nats-connect.ts";
import type { NatsFiles } from "./nats-credentials.ts";
import { openNatsLog } from "./nats-log.ts";

const dir = scratchFolder();
let hearts = 0;
const file = (name: string, content: string): string => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};

const operator = createOperator();
const [nkey, unknownNkey] = [createNkey(), createNkey()];
const [authority, stranger] = [party("authority"), party("stranger")];
const [server, client] = [party("nats", authority), party("worker", authority)];
const [elsewhere, strange] = [party("elsewhere", authority, "localhost"), party("worker", stranger)];

const ca = file("ca.pem", authority.certificate);
const otherCa = file("other-ca.pem", stranger.certificate);
const [cert, key] = [file("cert.pem", client.certificate), file("key.pem", pem(client.key))];
const creds = file("flotilla.creds", operator.creds("flotilla"));
const seed = file("flotilla.nk", nkey.seed);
const damaged = nkey.seed.replace(/...\n$/, (end) => (end === "AAA\n" ? "BBB\n" : "AAA\n"));

/** An operator's, one with NKeys, one with TLS, one with TLS that wants certificates, one with somebody else's certificate, one that has nothing. */
const servers: Record<"jwt" | "nkey" | "tls" | "mutual" | "elsewhere" | "plain", ConfiguredNats> = {} as never;
const tlsOf = (of: typeof server, more: object = {}) =>
  ({ cert_file: file(`${of.name}.cert.pem`, of.certificate), key_file: file(`${of.name}.key.pem`, pem(of.key)), ca_file: ca, ...more });

before(async () => {
  const configurations = {
    jwt: operator.configuration,
    nkey: { authorization: { users: [{ nkey: nkey.publicKey }] } },
    tls: { tls: tlsOf(server), authorization: { users: [{ nkey: nkey.publicKey }] } },
    mutual: { tls: tlsOf(server, { verify: true }) },
    elsewhere: { tls: tlsOf(elsewhere) },
    plain: {},
  };
  for (const [name, configuration] of Object.entries(configurations))
    servers[name as keyof typeof servers] = await startConfigured(name, { ...configuration, jetstream: {} });
});
after(async () => {
  await Promise.all(Object.values(servers).map((each) => each.stop()));
});

const at = (to: keyof typeof servers, scheme: string, files: NatsFiles): NatsAddress => ({ url: `${scheme}://${servers[to].url}`, name: "test", files });

type Way = { name: string; address: () => NatsAddress };
const ways: Way[] = [
  { name: "a JWT and its seed in a credentials file", address: () => at("jwt", "nats", { creds }) },
  { name: "the same with a Windows editor's line ends", address: () => at("jwt", "nats", { creds: file("crlf.creds", operator.creds("crlf").replaceAll("\n", "\r\n")) }) },
  { name: "the seed of an NKey", address: () => at("nkey", "nats", { nkey: seed }) },
];
const tlsWays: Way[] = [
  { name: "TLS with an authority of one's own, and an NKey through it", address: () => at("tls", "tls", { ca, nkey: seed }) },
  { name: "TLS because an authority is named", address: () => at("tls", "nats", { ca, nkey: seed }) },
  { name: "a certificate of one's own", address: () => at("mutual", "tls", { ca, cert, key }) },
  { name: "a server by the name in its certificate", address: () => ({ ...at("elsewhere", "tls", { ca }), url: `tls://localhost:${servers.elsewhere.url.split(":")[1]}` }) },
];
for (const { name, address } of ways) test(`[NT33] ${name}: on the connection and on the heartbeat's`, () => connects(address()));
for (const { name, address } of tlsWays) test(`[NT35] ${name}: on the connection and on the heartbeat's`, () => connects(address()));

async function connects(address: NatsAddress): Promise<void> {
  const connection = await connectNats(address);
  const stream = "FL_credentials";
  await openNatsLog(connection, stream);
  const about = { capacity: 1, actors: 0, load: 0, draining: false, refuses: [] };
  const heart = startHeartThread(address, { stream, worker: `w${hearts++}`, about, onLost: () => undefined, stillOwns: async () => true });
  try {
    await heart.start();
    assert.ok(heart.state().leaseUntilMs > systemClock.monoMs());
  } finally {
    await heart.stop();
    await connection.close();
  }
}

type Refusal = Way & { code?: FaultCode; says: RegExp };
const refusals: Refusal[] = [
  { name: "nobody's credentials", address: () => at("jwt", "nats", {}), says: /refused the credentials/ },
  { name: "another operator's credentials", address: () => at("jwt", "nats", { creds: file("other.creds", createOperator().creds("other")) }), says: /refused the credentials/ },
  { name: "credentials that ran out", address: () => at("jwt", "nats", { creds: file("old.creds", operator.creds("old", { expiresInS: -60 })) }), says: /refused the credentials/ },
  { name: "an NKey nobody knows", address: () => at("nkey", "nats", { nkey: file("unknown.nk", unknownNkey.seed) }), says: /refused the credentials/ },
  { name: "no such file", code: "NatsFileUnusable", address: () => at("jwt", "nats", { creds: join(dir, "absent.creds") }), says: /absent\.creds: it cannot be read: ENOENT/ },
  { name: "credentials without a JWT", code: "NatsFileUnusable", address: () => at("jwt", "nats", { creds: seed }), says: /holds no JWT/ },
  { name: "an NKey file without a seed", code: "NatsFileUnusable", address: () => at("nkey", "nats", { nkey: ca }), says: /holds no seed/ },
  { name: "a damaged seed", code: "NatsFileUnusable", address: () => at("nkey", "nats", { nkey: file("damaged.nk", damaged) }), says: /seed is damaged/ },
];
const tlsRefusals: Refusal[] = [
  { name: "a server whose authority nobody named", address: () => at("tls", "tls", { nkey: seed }), says: /signed by nobody we trust.*--nats-ca/ },
  { name: "a server of another authority", address: () => at("tls", "tls", { ca: otherCa, nkey: seed }), says: /signed by nobody we trust/ },
  { name: "a server without TLS", address: () => at("plain", "tls", {}), says: /TLS is asked for/ },
  { name: "a certificate for another name than the one dialled", address: () => at("elsewhere", "tls", { ca }), says: /certificate is for another name/ },
  { name: "no certificate where one is wanted", address: () => at("mutual", "tls", { ca }), says: /no answer over TLS.*--nats-cert/ },
  { name: "a certificate of a stranger", address: () => at("mutual", "tls", { ca, cert: file("strange.pem", strange.certificate), key: file("strange.key", pem(strange.key)) }), says: /no answer over TLS.*--nats-cert/ },
  { name: "a key of another certificate", code: "NatsFileUnusable", address: () => at("mutual", "tls", { ca, cert, key: file("other.key", pem(stranger.key)) }), says: /other\.key: it is not the key of .*cert\.pem/ },
  { name: "a key where the certificate should be", code: "NatsFileUnusable", address: () => at("mutual", "tls", { ca, cert: key, key }), says: /holds no certificate/ },
];
for (const refusal of refusals) test(`[NT33] ${refusal.name} is told in one line without a secret`, () => refuses(refusal));
for (const refusal of tlsRefusals) test(`[NT35] ${refusal.name} is told in one line without a secret`, () => refuses(refusal));

const refuses = ({ address, code = "NatsUnreachable", says }: Refusal): Promise<void> =>
  assert.rejects(connectNats(address()), (thrown) => {
    assert.ok(thrown instanceof Fault, String(thrown));
    assert.equal(thrown.code, code, thrown.message);
    assert.match(thrown.message, says);
    assert.doesNotMatch(thrown.message, /\n|SU[A-Z2-7]{20}|eyJ|PRIVATE|MI[A-Z]/);
    return true;
  });

test("[NT34] credentials that are renewed in place count from the next connection on; a file that is damaged meanwhile ends nothing", async () => {
  const path = file("renewed.creds", operator.creds("first"));
  const connection = await connectNats(at("jwt", "nats", { creds: path }));
  const connected = async (): Promise<string> => {
    const response = await fetch(`${servers.jwt.monitorUrl}/connz?auth=1`);
    const { connections } = (await response.json()) as { connections: { jwt?: string }[] };
    return connections.map(({ jwt = "" }) => nameIn(jwt)).join();
  };
  try {
    await eventually("the first user connected", async () => (await connected()) === "first");
    writeFileSync(path, operator.creds("second"));
    await servers.jwt.restart();
    await eventually("the second user connected", async () => (await connected()) === "second");
    writeFileSync(path, "half written");
    await servers.jwt.restart();
    await eventually("connected again", async () => (await connected()) === "second");
    rmSync(path);
    await servers.jwt.restart();
    await eventually("connected again without the file", async () => (await connected()) === "second");
  } finally {
    await connection.close();
  }
});

test("[NT34] credentials that run out again and again, and come back, are only a pause", async () => {
  const path = file("short.creds", operator.creds("short", { expiresInS: 2 }));
  const connection = await connectNats(at("jwt", "nats", { creds: path }));
  try {
    let expired = 0;
    void (async () => {
      for await (const { type } of connection.status()) if (type === "disconnect") expired++;
    })();
    for (const [round, next] of [{ expiresInS: 2 }, { expiresInS: 2 }, {}].entries()) {
      await eventually("they ran out", () => expired > round);
      writeFileSync(path, operator.creds("short", next));
      await eventually("connected again", async () => (await connection.flush(), true));
    }
  } finally {
    await connection.close();
  }
});

const nameIn = (jwt: string): string => (JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString() || "{}") as { name?: string }).name ?? "";
