/** The command line, against the running `up`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../../deploy/local/eventually.ts";
import { runCommand, type Ran } from "../flotilla.ts";
import { configMap, file } from "../objects.ts";
import type { System } from "../system.ts";
import type { Tenant } from "../tenant.ts";

type View = { kind: string; namespace: string; name: string; revision: string; suspended: boolean; ready: string; message: string };

export function commandCases(system: System): void {
  const onCluster = (t: Tenant, ...args: string[]) => runCommand([...args, "-n", t.namespace, "--kubeconfig", system.kubeconfig]);
  const onServer = (...args: string[]) => runCommand([...args, "--data", system.flotilla.data]);

  test("[SY50] get shows both kinds with revision and readiness, as a table and as JSON", async () => {
    const t = await system.tenant();
    const sha = await t.start({ "shop/a.yaml": file(configMap("a", {})) }, "shop");
    const text = await onCluster(t, "get", "all");
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, new RegExp(`gitrepository/app\\s+main@sha1:${sha.slice(0, 8)}\\s+False\\s+True\\s+stored artifact`));
    assert.match(text.stdout, new RegExp(`kustomization/shop\\s+main@sha1:${sha.slice(0, 8)}\\s+False\\s+True\\s+Applied revision`));

    const views = parsed<View[]>(await onCluster(t, "get", "all", "--json"));
    assert.deepEqual(views, [
      { kind: "GitRepository", namespace: t.namespace, name: "app", revision: `main@sha1:${sha}`, suspended: false, ready: "True", message: `stored artifact for revision 'main@sha1:${sha}'` },
      { kind: "Kustomization", namespace: t.namespace, name: "shop", revision: `main@sha1:${sha}`, suspended: false, ready: "True", message: `Applied revision: main@sha1:${sha}` },
    ]);
    assert.equal((await onCluster(t, "get", "ks", "nothing")).code, 1);
  });

  test("[SY51] reconcile source git and reconcile kustomization --with-source bring a commit nobody announced", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", { n: "1" })) }, "shop");
    const second = await t.commit({ "shop/a.yaml": file(configMap("a", { n: "2" })) });
    const fetched = await onCluster(t, "reconcile", "source", "git", "app");
    assert.equal(fetched.code, 0, fetched.stderr);
    assert.match(fetched.stderr, new RegExp(`fetched revision main@sha1:${second}`));

    const third = await t.commit({ "shop/a.yaml": file(configMap("a", { n: "3" })) });
    const [applied] = parsed<View[]>(await onCluster(t, "reconcile", "kustomization", "shop", "--with-source", "--json"));
    assert.equal(applied?.revision, `main@sha1:${third}`);
    assert.equal((await t.get("ConfigMap", "a")).data?.["n"], "3");
  });

  test("[SY51] reconcile fails with the reason when the object does", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", {})) }, "shop");
    await t.push({ "shop/a.yaml": "not: [valid" });
    await t.failing("Kustomization", "shop", "BuildFailed");
    const { code, stderr } = await onCluster(t, "reconcile", "kustomization", "shop", "--timeout", "20s");
    assert.equal(code, 1);
    assert.match(stderr, /✗ .*a\.yaml/s);
    assert.equal((await onCluster(t, "reconcile", "kustomization", "nothing")).code, 1);
  });

  test("[SY52] suspend and resume", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", { n: "1" })) }, "shop");
    assert.equal((await onCluster(t, "suspend", "kustomization", "shop")).code, 0);
    assert.equal((await t.get("Kustomization", "shop")).spec?.["suspend"], true);
    const refused = await onCluster(t, "reconcile", "kustomization", "shop");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /suspended.*resume/);
    const sha = await t.push({ "shop/a.yaml": file(configMap("a", { n: "2" })) });
    await t.ready("GitRepository", "app", sha);
    const resumed = await onCluster(t, "resume", "kustomization", "shop");
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.match(resumed.stderr, new RegExp(`applied revision main@sha1:${sha}`));
    assert.equal((await t.get("ConfigMap", "a")).data?.["n"], "2");
  });

  test("[SY53] trace explains a change from the commit to each object, by commit and by unit", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", { n: "1" })) }, "shop");
    const sha = await t.push({ "shop/a.yaml": file(configMap("a", { n: "2" })) }, { message: "Turn it up to two" });
    await t.ready("Kustomization", "shop", sha);
    await t.untilTold("Kustomization", "shop", "Normal", "ReconciliationSucceeded");

    type Trace = { traceId: string; spans: { name: string }[] };
    const { spans } = await untilTraced(() => onServer("trace", sha.slice(0, 12), "--json"), /configured/);
    const names = spans.map(({ name }) => name);
    for (const wanted of ["fetch", "build", "apply", `configured ConfigMap/${t.namespace}/a`]) assert.ok(names.includes(wanted), `${wanted} in ${names.join(", ")}`);

    const text = await onServer("trace", `kustomization/${t.namespace}/shop`);
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /Turn it up to two/);
    assert.match(text.stdout, /apply/);
    assert.equal((await onServer("trace", "0123456789abcdef")).code, 1);

    async function untilTraced(run: () => Promise<Ran>, pattern: RegExp): Promise<Trace> {
      return eventually("the spans of the change", async () => {
        const { stdout } = done(await run());
        assert.match(stdout, pattern);
        return JSON.parse(stdout) as Trace;
      });
    }
  });

  test("[SY54] version; misuse exits with 2 and says what would have been right", async () => {
    const version = await runCommand(["version", "--json"]);
    assert.equal(version.code, 0, version.stderr);
    assert.match(version.stdout, /"\d+\.\d+\.\d+"/);
    for (const args of [[], ["frobnicate"], ["reconcile"], ["get", "nonsense"]]) {
      const { code, stderr } = await runCommand(args);
      assert.equal(code, 2, `${args.join(" ")}: ${stderr}`);
      assert.notEqual(stderr, "");
    }
    const help = await runCommand(["help", "reconcile"]);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /Examples:/);
  });
}

function done(ran: Ran): Ran {
  assert.equal(ran.code, 0, ran.stderr);
  return ran;
}

const parsed = <T>(ran: Ran): T => JSON.parse(done(ran).stdout) as T;
