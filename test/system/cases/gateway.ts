/** What comes in over HTTP. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { configMap, file } from "../objects.ts";
import type { System } from "../system.ts";

export function gatewayCases(system: System): void {
  const { url, token, webhookToken } = system.flotilla;

  test("[SY60] probes answer, and metrics count actors, requests and reconciles", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", {})) }, "shop");
    for (const path of ["/livez", "/readyz"]) assert.equal((await fetch(`${url}${path}`)).status, 200, path);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    for (const name of ["flotilla_actors", "flotilla_api_requests_total", "gotk_reconcile_duration_seconds_count", "process_resident_memory_bytes"])
      assert.match(metrics, new RegExp(`^${name}\\{?`, "m"));
    assert.match(metrics, /flotilla_actors\{[^}]*kind="kustomization"[^}]*\} [1-9]/);
  });

  test("[SY61] the API is closed to whoever does not bring its token", async () => {
    assert.equal((await fetch(`${url}/api/v1/actors`)).status, 401);
    assert.equal((await fetch(`${url}/api/v1/actors`, { headers: { authorization: `Bearer ${webhookToken}` } })).status, 401);
    assert.equal((await fetch(`${url}/api/v1/actors`, { headers: { authorization: `Bearer ${token}` } })).status, 200);
  });

  test("[SY62] a push with a good signature is looked at at once; one with a bad signature changes nothing", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", { n: "1" })) }, "shop");
    const looks = () => system.git.requests.filter(({ path }) => path.startsWith(`/${t.namespace}.git/`)).length;
    const sha = await t.commit({ "shop/a.yaml": file(configMap("a", { n: "2" })) });
    const body = JSON.stringify({ ref: "refs/heads/main", after: sha, repository: { clone_url: t.url } });
    const post = (secret: string) => {
      const signature = `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
      return fetch(`${url}/hook/push`, { method: "POST", body, headers: { "content-type": "application/json", "x-github-event": "push", "x-hub-signature-256": signature } });
    };
    const before = looks();
    assert.equal((await post("guessed")).status, 401);
    assert.equal((await fetch(`${url}/hook/push`, { method: "POST", body })).status, 401);
    assert.equal(looks(), before);
    const accepted = await post(webhookToken);
    assert.equal(accepted.status, 202);
    assert.deepEqual(await accepted.json(), { matched: 1 });
    await t.ready("Kustomization", "shop", sha);
  });
}
