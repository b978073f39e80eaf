/** The simulated API server, by the cases that hold for the real one. */
import test from "node:test";
import { fieldManagers } from "#protocol/api/annotations.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { pathOf, Refusal, SimulatedKube, type By } from "../simulate/kube.ts";
import { kubernetesCases, type Answer, type Api } from "./kubernetes-cases.ts";

const by: By = { worker: "somebody" };

function simulated(): Api {
  const kube = new SimulatedKube(() => Date.now());
  const ask = async (work: () => Answer): Promise<Answer> => {
    try {
      return work();
    } catch (thrown) {
      if (thrown instanceof Refusal) return { code: thrown.code, object: undefined };
      throw thrown;
    }
  };
  return {
    namespace: "contract",
    get: (object) => ask(() => {
      const found = kube.get(pathOf(object));
      return { code: found ? 200 : 404, object: found };
    }),
    create: (object) => ask(() => ({ code: 201, object: kube.create(object, "kubectl", by) })),
    apply: (object) => ask(() => kube.apply({ object, manager: fieldManagers.kustomization }, by)),
    setFinalizers: (object, finalizers) => ask(() => {
      const given = (live: KubeObject) => ({ ...live, metadata: { ...live.metadata, finalizers } });
      return { code: 200, object: kube.update(pathOf(object), given, "kubectl", by) };
    }),
    delete: (object) => ask(() => {
      kube.delete(pathOf(object), by);
      return { code: 200, object: undefined };
    }),
  };
}

for (const { title, run } of kubernetesCases) test(`${title} (simulated)`, () => run(simulated()));
