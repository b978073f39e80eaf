/** A real API server, by the cases that hold for the simulated one. Plain requests: what is proven is the server. */
import { readFile } from "node:fs/promises";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import test from "node:test";
import { fieldManagers } from "#protocol/api/annotations.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { cluster } from "../kit/cluster.ts";
import { kubernetesCases, type Answer, type Api } from "./kubernetes-cases.ts";

const { kubeconfig, namespace } = await cluster();
const api = await real(await readFile(kubeconfig, "utf8"), await namespace("contract"));

for (const { title, run } of kubernetesCases) test(`${title} (kube-apiserver)`, () => run(api));

async function real(config: string, inNamespace: string): Promise<Api> {
  const field = (name: string) => new RegExp(`"?${name}"?: *"?([^",\\s]+)`).exec(config)?.[1] ?? "";
  const ca = Buffer.from(field("certificate-authority-data"), "base64");

  const call = (method: string, path: string, contentType: string, body?: object): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = body ? JSON.stringify(body) : "";
      const headers = { authorization: `Bearer ${field("token")}`, "content-type": contentType, "content-length": Buffer.byteLength(sent) };
      const outgoing = request(`${field("server")}${path}`, { ca, method, headers, timeout: 10_000 }, (answer) => {
        text(answer).then((said) => {
          const object = JSON.parse(said) as KubeObject;
          resolve({ code: answer.statusCode ?? 0, object: object.kind === "Status" ? undefined : object });
        }, reject);
      });
      outgoing.on("error", reject);
      outgoing.end(sent);
    });

  const collection = ({ kind }: KubeObject) =>
    kind === "ConfigMap" ? `/api/v1/namespaces/${inNamespace}/configmaps` : `/apis/apps/v1/namespaces/${inNamespace}/deployments`;
  const item = (object: KubeObject) => `${collection(object)}/${object.metadata.name}`;
  return {
    namespace: inNamespace,
    get: (object) => call("GET", item(object), "application/json"),
    create: (object) => call("POST", `${collection(object)}?fieldManager=kubectl`, "application/json", object),
    apply: (object) =>
      call("PATCH", `${item(object)}?force=true&fieldManager=${fieldManagers.kustomization}`, "application/apply-patch+yaml", object),
    setFinalizers: (object, finalizers) => call("PATCH", item(object), "application/merge-patch+json", { metadata: { finalizers } }),
    delete: (object) => call("DELETE", item(object), "application/json"),
  };
}
