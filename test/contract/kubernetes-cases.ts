/** Beside kube.ts: what else the worker relies on in an API server, as cases for a real one and the simulated one alike. */
import assert from "node:assert/strict";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { fieldManagers } from "#protocol/api/annotations.ts";

/** `code` 200, 201, 404, 409, 422; the object where there is one. */
export type Answer = { code: number; object: KubeObject | undefined };

export type Api = {
  /** Where objects of this case live. */
  namespace: string;
  get(object: KubeObject): Promise<Answer>;
  create(object: KubeObject): Promise<Answer>;
  /** `apply-patch+yaml` with force, as kustomize-controller. */
  apply(object: KubeObject): Promise<Answer>;
  setFinalizers(object: KubeObject, finalizers: string[]): Promise<Answer>;
  delete(object: KubeObject): Promise<Answer>;
};

export type KubernetesCase = { title: string; run(api: Api): Promise<void> };

const configMap = ({ namespace }: Api, name: string, data: Record<string, string> = { value: "1" }): KubeObject =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data });

const deployment = ({ namespace }: Api, name: string): KubeObject => ({
  apiVersion: "apps/v1", kind: "Deployment", metadata: { name, namespace, finalizers: ["example.com/hold"] },
  spec: {
    replicas: 0, selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "c", image: "example.com/none" }] } },
  },
});

const under = (object: KubeObject, condition: { uid?: string; resourceVersion?: string }): KubeObject =>
  ({ ...object, metadata: { ...object.metadata, ...condition } });

const meta = ({ object }: Answer) => object?.metadata ?? assert.fail("no object");
const versionOf = (answer: Answer) => meta(answer).resourceVersion ?? assert.fail("no version");
const uidOf = (answer: Answer) => meta(answer).uid ?? assert.fail("no uid");

export const kubernetesCases: KubernetesCase[] = [
  { title: "[KB1] a POST creates once", async run(api) {
    assert.equal((await api.create(configMap(api, "post"))).code, 201);
    assert.equal((await api.create(configMap(api, "post"))).code, 409);
  } },
  { title: "[KB2] where there is no object, a resource version is no condition: without a uid the apply creates one", async run(api) {
    const made = await api.apply(configMap(api, "raised"));
    await api.delete(configMap(api, "raised"));
    assert.equal((await api.apply(under(configMap(api, "raised"), { resourceVersion: versionOf(made) }))).code, 201);
  } },
  { title: "[KB2] an apply that names the uid of a deleted object is refused, also when another has its name", async run(api) {
    const made = await api.apply(configMap(api, "uid"));
    await api.delete(configMap(api, "uid"));
    const late = under(configMap(api, "uid"), { uid: uidOf(made), resourceVersion: versionOf(made) });
    assert.equal((await api.apply(late)).code, 409);
    assert.equal((await api.get(late)).code, 404);
    const next = await api.apply(configMap(api, "uid"));
    assert.equal((await api.apply(under(configMap(api, "uid", { value: "2" }), { uid: uidOf(made), resourceVersion: versionOf(made) }))).code, 409);
    // Under the version of the other one it is the uid that is refused, and not as a conflict: a field that cannot change.
    const mixed = { uid: uidOf(made), resourceVersion: versionOf(next) };
    assert.equal((await api.apply(under(configMap(api, "uid", { value: "2" }), mixed))).code, 422);
  } },
  { title: "[KB5] a field that is applied no longer goes", async run(api) {
    await api.apply(configMap(api, "fewer", { value: "1", old: "yes" }));
    assert.deepEqual((await api.apply(configMap(api, "fewer"))).object?.["data"], { value: "1" });
  } },
  { title: "[KB5] the manager's fields stand in one entry of its own", async run(api) {
    const made = await api.apply(configMap(api, "manager"));
    assert.deepEqual(meta(made).managedFields?.map(({ manager, operation }) => [manager, operation]), [[fieldManagers.kustomization, "Apply"]]);
  } },
  { title: "[RC13] a deleted object with a finalizer stays, under a new generation, until its last finalizer goes", async run(api) {
    const object = deployment(api, "held");
    const made = await api.create(object);
    assert.equal((await api.delete(object)).code, 200);
    const leaving = await api.get(object);
    assert.ok(meta(leaving).deletionTimestamp);
    assert.ok((meta(leaving).generation ?? 0) > (meta(made).generation ?? 0));
    await api.setFinalizers(object, []);
    assert.equal((await api.get(object)).code, 404);
  } },
];
