/** An account per worker, so that the API server's audit log tells them apart. All may do everything. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "../../deploy/local/eventually.ts";
import { pathOf, readKubeconfig, type Kube } from "../system/kube.ts";
import { object } from "../system/objects.ts";

export type Accounts = {
  /** A kubeconfig for one more worker, and the name under which the log has it. */
  next(): Promise<{ kubeconfig: string; user: string }>;
};

export async function openAccounts(kube: Kube, kubeconfig: string, namespace: string, dir: string): Promise<Accounts> {
  const { server, ca } = readKubeconfig(kubeconfig);
  await kube.create(object("Namespace", namespace));
  await kube.create(object("ClusterRoleBinding", namespace, {
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: `system:serviceaccounts:${namespace}` }],
  }));
  let made = 0;
  return {
    async next() {
      const name = `worker-${++made}`;
      const annotations = { "kubernetes.io/service-account.name": name };
      await kube.create(object("ServiceAccount", name, { metadata: { namespace } }));
      await kube.create(object("Secret", name, { type: "kubernetes.io/service-account-token", metadata: { namespace, annotations } }));
      const token = await eventually("the account's token", async () => (await kube.get(pathOf("Secret", namespace, name))).data?.["token"]);
      const file = join(dir, `${name}.kubeconfig`);
      await writeFile(file, JSON.stringify({
        apiVersion: "v1", kind: "Config", "current-context": "chaos",
        clusters: [{ name: "chaos", cluster: { server, "certificate-authority-data": Buffer.from(ca).toString("base64") } }],
        users: [{ name, user: { token: Buffer.from(token, "base64").toString() } }],
        contexts: [{ name: "chaos", context: { cluster: "chaos", user: name } }],
      }), { mode: 0o600 });
      return { kubeconfig: file, user: `system:serviceaccount:${namespace}:${name}` };
    },
  };
}
