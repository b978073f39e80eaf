/** Objects as a user writes them; between them they use every field. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";

export type Sample = {
  apiVersion: string;
  kind: string;
  metadata: { name: string; annotations?: Record<string, string> };
  spec: Record<string, unknown>;
};

const folder = join(import.meta.dirname, "samples");

export const samples: Sample[] = readdirSync(folder).flatMap((file) =>
  parseAllDocuments(readFileSync(join(folder, file), "utf8")).map((document) => document.toJS() as Sample),
);

/** As the API server would return it. */
export const stored = (sample: Sample) => ({
  ...sample,
  metadata: { ...sample.metadata, namespace: "apps", uid: "7c5e", resourceVersion: "1", generation: 1 },
});
