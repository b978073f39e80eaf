/** Watches that lose their server: against a control plane of its own, reached through a wire that can be cut. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { eventually } from "../../../deploy/local/eventually.ts";
import { startControlPlane, type ControlPlane } from "../../../deploy/local/control-plane.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { createKubeClient, type KubeClient } from "./client.ts";
import { watch, type WatchKey, type Watched } from "./watch.ts";

const dir = scratchFolder();
const stop = new AbortController();
let plane: ControlPlane;
let wire: Wire;
/** By the wire, and past it. */
let client: KubeClient;
let direct: KubeClient;
before(async () => {
  plane = await startControlPlane({ dir });
  wire = await openWire(plane.url);
  const ca = await readFile(plane.caFile, "utf8");
  const authorization = () => `Bearer ${plane.token}`;
  client = createKubeClient({ server: wire.url, ca, authorization });
  direct = createKubeClient({ server: plane.url, ca, authorization });
}, { timeout: 100_000 });
after(async () => {
  stop.abort();
  await Promise.all([client.close(), direct.close()]);
  await wire.close();
  await plane.stop();
});

const maps = "/api/v1/namespaces/default/configmaps";
const create = (name: string) => direct.request({ method: "POST", path: maps, body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name, labels: { watched: "yes" } } } });
const remove = (name: string) => direct.request({ method: "DELETE", path: `${maps}/${name}` });

type Held = { names: Set<string>; synced: number; lost: string[]; upserts: number };

function follow(metadataOnly: boolean): Held {
  const held: Held = { names: new Set(), synced: 0, lost: [], upserts: 0 };
  void watch<Watched>(client, { path: maps, metadataOnly, labelSelector: "watched=yes" }, {
    upsert({ metadata }) {
      held.names.add(metadata.name);
      held.upserts++;
    },
    remove: ({ name }) => void held.names.delete(name),
    *held() {
      for (const name of held.names) yield { namespace: "default", name } satisfies WatchKey;
    },
    synced: () => void held.synced++,
    lost: ({ message }) => void held.lost.push(message),
  }, stop.signal);
  return held;
}
const holds = (held: Held, ...names: string[]) =>
  eventually(`the watch holds ${names.join(", ")}`, () => [...held.names].sort().join() === names.join() && held.synced > 0);

test("[AP38] a watch goes on where it was, and after a restart of the server it lists anew", { timeout: 110_000 }, async () => {
  await create("a");
  await create("b");
  const [whole, bare] = [follow(false), follow(true)];
  await Promise.all([holds(whole, "a", "b"), holds(bare, "a", "b")]);

  await create("c");
  await Promise.all([holds(whole, "a", "b", "c"), holds(bare, "a", "b", "c")]);
  const [upserts, synced] = [whole.upserts, whole.synced];

  wire.cut();
  await eventually("the loss is told", () => whole.lost.length > 0 && bare.lost.length > 0);
  await assert.rejects(client.request({ method: "POST", path: maps, body: {} }), { code: "ClusterUnreachable" });
  wire.mend();
  await create("d");
  await Promise.all([holds(whole, "a", "b", "c", "d"), holds(bare, "a", "b", "c", "d")]);
  assert.deepEqual([whole.upserts - upserts, whole.synced - synced], [1, 0], "only what is new was told");

  // A server that starts afresh knows no versions from before its start.
  wire.cut();
  await remove("a");
  await create("e");
  await plane.stop();
  plane = await startControlPlane({ dir });
  wire.mend(plane.url);
  await Promise.all([holds(whole, "b", "c", "d", "e"), holds(bare, "b", "c", "d", "e")]);
  assert.ok(whole.synced > synced && bare.synced > 0);
});

type Wire = { url: string; cut(): void; mend(url?: string): void; close(): Promise<void> };

/** A port of its own that passes bytes on, until it is told not to. */
async function openWire(url: string): Promise<Wire> {
  let target = new URL(url);
  let whole = true;
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    if (!whole) return void near.destroy();
    const far = connect(Number(target.port), target.hostname);
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from);
      from.on("error", () => to.destroy()).on("close", () => {
        sockets.delete(from);
        to.destroy();
      }).pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cutAll = () => sockets.forEach((socket) => socket.destroy());
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      whole = false;
      cutAll();
    },
    mend(next) {
      if (next) target = new URL(next);
      whole = true;
    },
    async close() {
      cutAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
