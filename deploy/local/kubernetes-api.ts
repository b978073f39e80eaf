/** The few requests the set-up itself makes to a local API server; everything else uses services/clients. */
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";

export type KubernetesApi = {
  /** @throws Error when there is no answer; a refusal is an answer */
  call(method: string, path: string, body?: object): Promise<{ status: number; body: string }>;
  close(): void;
};

const timeoutMs = 10_000;

export function kubernetesApi({ url, ca, token }: { url: string; ca: string; token: string }): KubernetesApi {
  const agent = new Agent({ keepAlive: true, ca });
  return {
    call: (method, path, body) =>
      new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
        const outgoing = request(`${url}${path}`, { agent, method, headers, timeout: timeoutMs });
        outgoing.on("timeout", () => outgoing.destroy(new Error(`${method} ${path}: no answer in ${timeoutMs} ms`)));
        outgoing.on("error", reject);
        outgoing.on("response", (answer) => {
          text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
        });
        outgoing.end(body && JSON.stringify(body));
      }),
    close: () => agent.destroy(),
  };
}
