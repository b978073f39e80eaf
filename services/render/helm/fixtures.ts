/** For tests: charts from file contents, and the real engine. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { after } from "node:test";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { pack, type Files } from "../fixtures.ts";
import { buildWasm } from "../wasm-file.ts";
import { HelmEngine, type HelmOptions } from "./engine.ts";
import { helmProgram } from "./program.ts";
import type { ChartHandle, ComposedValues, RenderedRelease, RenderRequest } from "./types.ts";

/** An engine for one file's tests: built when it is missing, closed when they are done. */
export async function helmEngine(options: HelmOptions = {}): Promise<HelmEngine> {
  const made = new HelmEngine({ ...options, wasm: await buildWasm(() => {}, process.env, helmProgram) });
  after(() => made.close());
  return made;
}

export const chartYaml = (more = "", name = "web") => `apiVersion: v2\nname: ${name}\nversion: 1.2.3\nappVersion: "7.8"\n${more}`;

/** `loads` counts how often it was fetched. */
export async function chart(files: Files, name = "web"): Promise<ChartHandle & { loads: number; tgz: Uint8Array }> {
  const tgz = await pack(Object.entries({ "Chart.yaml": chartYaml("", name), ...files }).map(([path, content]) => ({ name: `${name}/${path}`, content })));
  const handle = { digest: `sha256:${hash("sha256", tgz)}`, loads: 0, tgz, load: async () => (handle.loads++, tgz) };
  return handle;
}

export const noValues: Pick<ComposedValues, "text"> = { text: "{}" };

/** What a render is asked that says nothing else. */
export const plainly = (of: ChartHandle, more: Partial<RenderRequest> = {}): RenderRequest => ({
  chart: of, values: noValues, release: { name: "shop", namespace: "apps", revision: 1, isUpgrade: false },
  capabilities: { kubeVersion: "v1.37.2", apiVersions: ["v1", "apps/v1", "apps/v1/Deployment"] }, ...more,
});

/** Renders files with values that are written as JSON. */
export async function renderFiles(engine: HelmEngine, files: Files, values: unknown = {}, more: Partial<RenderRequest> = {}): Promise<RenderedRelease> {
  return engine.render(plainly(await chart(files), { values: { text: JSON.stringify(values) }, ...more }), new AbortController().signal);
}

export const faultOf = (work: Promise<unknown>): Promise<FaultData> =>
  work.then(() => assert.fail("it succeeded"), (thrown: unknown) => Fault.from(thrown, "").toJSON());
