/** What somebody else does to applied objects is put back by an event, not at the next interval; what is not ours stays. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../../deploy/local/eventually.ts";
import type { KubeObject } from "../kube.ts";
import { configMap, deployment, file, object } from "../objects.ts";
import type { System } from "../system.ts";

const app = file(
  configMap("settings", { colour: "blue" }, { labels: { team: "a" } }),
  object("Secret", "login", { stringData: { user: "shop" } }),
  object("Service", "web", { spec: { ports: [{ port: 80 }], selector: { app: "web" } } }),
  deployment("web", "example.com/web:1", { replicas: 0 }),
);

const text = (value: string) => Buffer.from(value).toString("base64");
const ownerLabel = "kustomize.toolkit.fluxcd.io/name";

// The server notes who wrote a field, not who removed one.
const byHand = "configured \\(was changed by kubectl-edit\\)";

/** `spoil` is a merge patch; without one the object is deleted. `told` is `byHand` unless given. */
const rows: { title: string; kind: string; name: string; spoil?: object; told?: string; good(object: KubeObject): unknown }[] = [
  { title: "data of a ConfigMap", kind: "ConfigMap", name: "settings", spoil: { data: { colour: "red" } }, good: ({ data }) => data?.["colour"] === "blue" },
  { title: "data of a Secret", kind: "Secret", name: "login", spoil: { data: { user: text("thief") } }, good: ({ data }) => data?.["user"] === text("shop") },
  { title: "the image of a Deployment", kind: "Deployment", name: "web", spoil: imagePatch("example.com/web:9"), good: (found) => imageOf(found) === "example.com/web:1" },
  { title: "the replicas of a Deployment", kind: "Deployment", name: "web", spoil: { spec: { replicas: 1 } }, good: ({ spec }) => spec?.["replicas"] === 0 },
  { title: "a label", kind: "ConfigMap", name: "settings", spoil: { metadata: { labels: { team: null } } }, told: "configured$", good: ({ metadata }) => metadata.labels?.["team"] === "a" },
  { title: "the label that says whose it is", kind: "ConfigMap", name: "settings", spoil: { metadata: { labels: { [ownerLabel]: null } } }, told: "configured$", good: ({ metadata }) => metadata.labels?.[ownerLabel] === "shop" },
  { title: "a removed field", kind: "Service", name: "web", spoil: { spec: { selector: null } }, told: "configured$", good: ({ spec }) => JSON.stringify(spec?.["selector"]) === '{"app":"web"}' },
  { title: "a deleted object", kind: "ConfigMap", name: "settings", told: "created$", good: ({ data }) => data?.["colour"] === "blue" },
];

export function driftCases(system: System): void {
  for (const { title, kind, name, spoil, told = byHand, good } of rows)
    test(`[SY20] drift is put back: ${title}`, async () => {
      const t = await system.tenant();
      await t.start({ "shop/all.yaml": app }, "shop");
      const spoilt = spoil ? await t.edit(kind, name, spoil) : undefined;
      if (spoilt) assert.ok(!good(spoilt), "the edit was effective");
      else await t.remove(kind, name);
      await eventually("as in Git", async () => good(await t.get(kind, name)));
      await t.ready("Kustomization", "shop");
      await t.untilTold("Kustomization", "shop", "Normal", "DriftCorrected", new RegExp(`${kind}/${t.namespace}/${name} ${told}`));
    });

  for (const manager of ["somebodys-controller", "flux-client-side-apply"])
    test(`[SY21] what ${manager} adds is left alone: fields, labels, keys of data that Git does not name`, async () => {
      const t = await system.tenant();
      await t.start({ "shop/all.yaml": app }, "shop");
      await t.edit("ConfigMap", "settings", { data: { added: "theirs" }, metadata: { annotations: { note: "mine" } } }, manager);
      await t.edit("ConfigMap", "settings", { data: { colour: "red" } }, manager);
      await eventually("the drift put back", async () => (await t.get("ConfigMap", "settings")).data?.["colour"] === "blue");
      const after = await t.get("ConfigMap", "settings");
      assert.equal(after.data?.["added"], "theirs");
      assert.equal(after.metadata.annotations?.["note"], "mine");
    });

  test("[SY23] what kubectl adds goes, as with Flux, and it is told who did it", async () => {
    const t = await system.tenant();
    await t.start({ "shop/all.yaml": app }, "shop");
    await t.edit("ConfigMap", "settings", { data: { added: "by hand" }, metadata: { annotations: { note: "mine" } } });
    await eventually("as in Git", async () => {
      const { data, metadata } = await t.get("ConfigMap", "settings");
      return data?.["added"] === undefined && metadata.annotations?.["note"] === undefined;
    });
    await t.untilTold("Kustomization", "shop", "Normal", "DriftCorrected", new RegExp(`ConfigMap/${t.namespace}/settings ${byHand}`));
  });

  test("[SY24] a field that spec.ignore leaves to others is not put back, and nobody is told of it", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/all.yaml": app });
    await t.source();
    await t.unit("shop", { ignore: [{ paths: ["/spec/replicas"], target: { kind: "Deployment" } }] });
    await t.ready("Kustomization", "shop");
    for (const replicas of [2, 3]) {
      await t.edit("Deployment", "web", { spec: { replicas } }, "autoscaler");
      await t.edit("ConfigMap", "settings", { data: { colour: "red" } }); // once this is put back, the other one has been looked at too
      await eventually("the other drift put back", async () => (await t.get("ConfigMap", "settings")).data?.["colour"] === "blue");
      await t.ready("Kustomization", "shop");
      assert.equal((await t.get("Deployment", "web")).spec?.["replicas"], replicas);
    }
    assert.deepEqual(t.told("Kustomization", "shop").filter(({ message }) => /Deployment.* configured/.test(message)), []);
  });

  test("[SY21] an annotation on the live object takes it out of the unit's hands", async () => {
    const t = await system.tenant();
    await t.start({ "shop/all.yaml": app }, "shop");
    await t.edit("ConfigMap", "settings", { metadata: { annotations: { "kustomize.toolkit.fluxcd.io/reconcile": "disabled" } } });
    await t.edit("ConfigMap", "settings", { data: { colour: "red" } });
    await t.edit("Deployment", "web", { spec: { replicas: 1 } }); // once this is put back, the other one has been looked at too
    await eventually("the other drift put back", async () => (await t.get("Deployment", "web")).spec?.["replicas"] === 0);
    await t.reconciled("Kustomization", "shop");
    assert.equal((await t.get("ConfigMap", "settings")).data?.["colour"], "red");
  });

  test("[SY41] in warn mode drift is left and told, with its fields and who it was; a request puts it back", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/all.yaml": app });
    await t.source();
    await t.unit("shop");
    await t.ready("Kustomization", "shop");
    await t.edit("Kustomization", "shop", { metadata: { annotations: { "flotilla.dev/drift-detection": "Warn" } } });
    await t.reconciled("Kustomization", "shop"); // what the annotation says is known from here on
    await t.edit("ConfigMap", "settings", { data: { colour: "red" } });
    const first = await t.untilTold("Kustomization", "shop", "Warning", "DriftDetected", /settings/);
    assert.equal(first.message, `ConfigMap/${t.namespace}/settings differs (was changed by kubectl-edit): /data/colour "blue" -> "red"`);
    await t.edit("Secret", "login", { data: { user: text("thief") } });
    const { message } = await t.untilTold("Kustomization", "shop", "Warning", "DriftDetected", /login/);
    assert.match(message, /Secret\/\S+\/login differs \(was changed by kubectl-edit\): \/data\/user "\*{5}" -> "\*{5}"/);
    await t.remove("Service", "web");
    await t.untilTold("Kustomization", "shop", "Warning", "DriftDetected", /Service\/\S+\/web deleted/);
    assert.equal((await t.get("ConfigMap", "settings")).data?.["colour"], "red");
    assert.equal(await t.find("Service", "web"), undefined);
    await t.ready("Kustomization", "shop");
    await t.reconciled("Kustomization", "shop");
    assert.deepEqual([(await t.get("ConfigMap", "settings")).data?.["colour"], (await t.get("Secret", "login")).data?.["user"]], ["blue", text("shop")]);
    assert.ok(await t.find("Service", "web"));
    const told = JSON.stringify(t.told("Kustomization", "shop")) + JSON.stringify(system.flotilla.logs());
    assert.ok(!told.includes(text("thief")) && !told.includes(text("shop")));
  });

  test("[SY22] drift of one unit asks nothing of the source and writes one object", async () => {
    const t = await system.tenant();
    await t.start({ "shop/all.yaml": app }, "shop");
    const asked = () => system.git.requests.filter(({ path }) => path.startsWith(`/${t.namespace}.git/`)).length;
    const before = asked();
    const audit = await system.audit();
    await t.edit("ConfigMap", "settings", { data: { colour: "red" } });
    await eventually("as in Git", async () => (await t.get("ConfigMap", "settings")).data?.["colour"] === "blue");
    await t.untilTold("Kustomization", "shop", "Normal", "DriftCorrected", /settings configured/);
    const touched = (await audit.requests()).filter(({ namespace, resource, verb }) =>
      namespace === t.namespace && ["configmaps", "secrets", "services", "deployments"].includes(resource) && verb !== "watch" && verb !== "list");
    assert.deepEqual([...new Set(touched.map(({ name }) => name))], ["settings"]);
    assert.equal(asked(), before);
  });
}

function imagePatch(image: string): object {
  return { spec: { template: { spec: { containers: [{ name: "main", image }] } } } };
}

function imageOf({ spec }: KubeObject): string | undefined {
  const { template } = spec as { template: { spec: { containers: { image: string }[] } } };
  return template.spec.containers[0]?.image;
}
