/** The sample's files: a repository to be cloned, and the resources that tell a cluster to run it. */
import { readFile, readdir } from "node:fs/promises";
import { join, relative, sep } from "node:path";

/** Where the files of `cluster/` say the repository is; the demo puts its own server's address there. */
export const sampleUrl = "http://git.example/shop.git";

export const environments = [
  { name: "shop-dev", replicas: 1 },
  { name: "shop-test", replicas: 2 },
  { name: "shop-prod", replicas: 3 },
] as const;

/** The change that the demo pushes. */
export const change = {
  file: "base/deployment.yaml",
  before: "nginxinc/nginx-unprivileged:1.28-alpine",
  after: "nginxinc/nginx-unprivileged:1.29-alpine",
  message: "Serve the shop with nginx 1.29",
};

/** The image that is looked after in dev: where its resources say it is, its tags, and how dev comes to take it. */
export const watchedImage = {
  sampleName: "registry.example/shop/web",
  name: "shop/web",
  file: "overlays/dev/kustomization.yaml",
  before: "1.29.0",
  after: "1.30.0",
  /** @param image with its registry */
  lines: (image: string) => `images:
  - name: nginxinc/nginx-unprivileged
    newName: ${image}
    newTag: "1.29.0" # {"$imagepolicy": "flux-system:web:tag"}
`,
  message: "Take the image of dev from our registry",
};

/** Content by path. */
export type Files = Record<string, string>;

export const repositoryFiles = (): Promise<Files> => readFolder(join(import.meta.dirname, "sample"));

/** What a Flux user would apply, with the repository at `url`. */
export async function clusterFiles(url: string): Promise<Files> {
  const files = await readFolder(join(import.meta.dirname, "cluster"));
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [name, text.replaceAll(sampleUrl, url)]));
}

/** @param image with its registry */
export async function imageFiles(image: string): Promise<Files> {
  const files = await readFolder(join(import.meta.dirname, "images"));
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [name, text.replaceAll(watchedImage.sampleName, image)]));
}

async function readFolder(folder: string): Promise<Files> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const name = (path: string) => relative(folder, path).split(sep).join("/");
  const files = paths.sort().map(async (path) => [name(path), await readFile(path, "utf8")]);
  return Object.fromEntries(await Promise.all(files)) as Files;
}
