import assert from "node:assert/strict";
import test from "node:test";
import { actorId } from "#protocol/names/actor.ts";
import { Contents } from "./contents.ts";

const put = (contents: Contents, kind: string, name: string, spec: object | undefined) =>
  contents.setFlux({ kind, namespace: "apps", name }, spec && { metadata: { name, namespace: "apps", resourceVersion: "1" }, spec });

test("[IM69] a push that a registry tells of concerns the images it was pushed to, however they are written, and artifacts of that address", () => {
  const contents = new Contents();
  put(contents, "imagerepository", "shop", { image: "ghcr.io/team/shop" });
  put(contents, "ocirepository", "shop", { url: "oci://ghcr.io/team/shop" });
  put(contents, "imagerepository", "hub", { image: "team/shop" });
  put(contents, "imagerepository", "wrong", { image: "https://ghcr.io/team/shop" });
  put(contents, "imagepolicy", "shop", { url: "oci://ghcr.io/team/shop" });
  const matching = (...urls: string[]) => contents.matching(urls).map(actorId).sort();
  assert.deepEqual(matching("oci://ghcr.io/team/shop"), ["imagerepository/apps/shop", "ocirepository/apps/shop"]);
  assert.deepEqual(matching("oci://docker.io/team/shop", "oci://index.docker.io/team/shop"), ["imagerepository/apps/hub"]);
  put(contents, "imagerepository", "shop", { image: "ghcr.io/team/other" });
  put(contents, "ocirepository", "shop", undefined);
  assert.deepEqual(matching("oci://ghcr.io/team/shop"), []);
});
