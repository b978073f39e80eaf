/** The worker's own renderers and decryptor, for one build on this machine. */
import { Decryptor } from "#services/decrypt/decryptor.ts";
import { HelmEngine } from "#services/render/helm/engine.ts";
import type { Helm } from "#services/render/helm/types.ts";
import { Renderer } from "#services/render/render.ts";

export type Builder = {
  renderer: Pick<Renderer, "render">;
  decryptor: Pick<Decryptor, "openFiles" | "openObjects" | "ignoreMac">;
  helm: Pick<Helm, "packageChart" | "composeValues" | "render" | "objects">;
  close(): Promise<unknown>;
};

export function openBuilder(): Builder {
  const [renderer, decryptor, helm] = [new Renderer(), new Decryptor(), new HelmEngine()];
  return { renderer, decryptor, helm, close: () => Promise.all([renderer.close(), decryptor.close(), helm.close()]) };
}
