import assert from "node:assert/strict";
import test from "node:test";
import { cluster } from "../../test/kit/cluster.ts";
import { eventually } from "./eventually.ts";

const { kubectl, get, namespace } = await cluster();

const deployment = (name: string, image: string, annotations: Record<string, string> = {}) =>
  JSON.stringify({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations },
        // a namespace is gone only after the grace period of its pods
        spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "main", image }] },
      },
    },
  });

type Deployment = { status: { availableReplicas?: number } };
type Pods = { items: { status: { phase: string; containerStatuses?: { state: { waiting?: { reason: string } } }[] } }[] };

test("a Deployment of two replicas becomes available, and deleting its namespace removes it", async () => {
  const ns = await namespace();
  await kubectl(["apply", "-n", ns, "-f", "-"], deployment("web", "example.com/web:1"));
  await eventually("two available replicas", async () => {
    const { status } = await get<Deployment>("deployment", "web", "-n", ns);
    return status.availableReplicas === 2;
  });
  const { items } = await get<Pods>("pods", "-n", ns);
  assert.deepEqual(items.map(({ status }) => status.phase), ["Running", "Running"]);

  await kubectl(["delete", "namespace", ns, "--wait=false"]);
  await eventually("the namespace gone", async () => (await kubectl(["get", "namespace", ns, "--ignore-not-found"])) === "");
});

const failures = [
  { title: "an image tagged :missing", image: "example.com/web:missing", annotations: {}, reason: "ImagePullBackOff" },
  {
    title: "the annotation never-ready",
    image: "example.com/web:1",
    annotations: { "flotilla.test/never-ready": "CrashLoopBackOff" },
    reason: "CrashLoopBackOff",
  },
];
for (const { title, image, annotations, reason } of failures)
  test(`pods do not come up with ${title}`, async () => {
    const ns = await namespace();
    await kubectl(["apply", "-n", ns, "-f", "-"], deployment("bad", image, annotations));
    await eventually(`two pods waiting: ${reason}`, async () => {
      const { items } = await get<Pods>("pods", "-n", ns);
      const reasons = items.map(({ status }) => status.containerStatuses?.[0]?.state.waiting?.reason);
      return reasons.length === 2 && reasons.every((each) => each === reason);
    });
    assert.equal((await get<Deployment>("deployment", "bad", "-n", ns)).status.availableReplicas ?? 0, 0);
  });

test("a Job completes", async () => {
  const ns = await namespace();
  await kubectl(["create", "job", "once", "-n", ns, "--image=example.com/once:1"]);
  await kubectl(["wait", "job/once", "-n", ns, "--for=condition=Complete", "--timeout=60s"]);
});

test("the API server says which version it is", async () => {
  const { serverVersion } = JSON.parse(await kubectl(["version", "-o", "json"])) as { serverVersion: { gitVersion: string } };
  assert.match(serverVersion.gitVersion, /^v1\.37\./);
});
