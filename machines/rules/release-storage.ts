/** What stands in Helm's storage of a release, in one word. */
import { hash64 } from "./drift.ts";

type Standing = { version: number; uid: string; resourceVersion: string };

/** Another one whenever a revision was made, changed or deleted, whoever did it. */
export const storageMark = (revisions: Iterable<Standing>): string =>
  hash64([...revisions].map(({ version, uid, resourceVersion }) => `${version} ${uid} ${resourceVersion}`).sort().join("\n"));

/** `<storage namespace>/<release name>` */
export const storagePlace = ({ storageNamespace, name }: { storageNamespace: string; name: string }): string => `${storageNamespace}/${name}`;
