/** Artifacts in S3, on one `flotilla up`: published, served, lost, damaged, and kept elsewhere from one start to the next. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { eventually } from "../../deploy/local/eventually.ts";
import { startS3 } from "../../deploy/local/s3-server.ts";
import { ownCluster, scratchFolder } from "../kit/cluster.ts";
import { startFlotilla } from "./flotilla.ts";
import { configMap, file } from "./objects.ts";
import { startSystem } from "./system.ts";

const key = { id: "AKIAFLOTILLA", secret: "correct-horse", token: "" };
Object.assign(process.env, { AWS_ACCESS_KEY_ID: key.id, AWS_SECRET_ACCESS_KEY: key.secret }); // `up` inherits them
const s3 = await startS3({ dir: scratchFolder(), bucket: "flotilla", keys: [key], region: "garage" });
const args = ["--artifacts", `s3://flotilla/one?endpoint=http://${s3.host}&region=garage`];
const { kubeconfig, auditLog } = await ownCluster();
const system = await startSystem({ kubeconfig, auditLog, args });
after(async () => {
  await system.close();
  await s3.stop();
});

/** A worker that starts has everything else to look at too. */
const patience = { withinMs: 180_000 };

type Status = { artifact: { url: string; digest: string; path: string } };
/** Keys under which artifacts were stored so far. */
const stored = (path: string) => s3.requests.filter(({ method, path: at }) => method === "PUT" && decodeURIComponent(at).startsWith(`/flotilla/one/${path}/`)).map(({ path: at }) => decodeURIComponent(at).slice("/flotilla/".length));

/** Started again on the same data and address, with nothing kept on disk. */
async function again(more: string[], whileDown: () => Promise<void> = async () => undefined): Promise<void> {
  const { data, url } = system.flotilla;
  await system.flotilla.crash();
  await rm(join(data, "artifacts"), { recursive: true, force: true });
  await whileDown();
  system.flotilla = await startFlotilla({ kubeconfig: system.kubeconfig, data, listen: new URL(url).host, args: more });
}

test("[SR40] [SR47] [SR49] artifacts in S3 are served and applied; what is damaged, lost or elsewhere is fetched anew", async () => {
  const t = await system.tenant();
  await t.start({ "shop/a.yaml": file(configMap("a", { n: "1" })) }, "shop");
  const { url, digest, path } = ((await t.get("GitRepository", "app")).status as unknown as Status).artifact;
  const isServed = async () => {
    const answer = await fetch(url);
    return answer.ok && `sha256:${createHash("sha256").update(await answer.bytes()).digest("hex")}` === digest;
  };
  assert.ok(await isServed());
  const [first = assert.fail("nothing in S3")] = stored(path);

  await again(args, () => s3.put(first, randomBytes(100)));
  await eventually("it is stored anew", async () => (await isServed().catch(() => false)) && stored(path).length > 1, patience);

  s3.spoil = () => ({ status: 503 });
  await again(args);
  await eventually("it is not ready", async () => /the artifact store, s3:\/\/flotilla\/one, does not work: .*HTTP 503/.test(await (await fetch(`${system.flotilla.url}/readyz`)).text()), patience);
  s3.spoil = undefined;
  await eventually("it is ready", async () => (await fetch(`${system.flotilla.url}/readyz`)).ok, patience);

  await again([]); // in NATS, where nothing is
  await t.request("GitRepository", "app");
  await eventually("it is fetched anew", async () => isServed().catch(() => false), patience);
  const sha = await t.push({ "shop/a.yaml": file(configMap("a", { n: "2" })) });
  await t.ready("Kustomization", "shop", sha);
});
