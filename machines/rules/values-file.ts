/** Which file of a source's artifact `valuesKey` means (docs/spec/releases.md, HR18). */

/** As much as a Secret or ConfigMap can hold, in bytes. */
export const mostValuesBytes = 1024 * 1024;

/**
 * The path in the artifact, with "/" between and without "./"; or what is wrong with it.
 *
 * Unlike `spec.path` of a Kustomization it is not forced into the root: a path that leads out of it was meant for another file.
 */
export function valuesPath(valuesKey: string | undefined): { path: string } | { wrong: string } {
  if (!valuesKey) return { wrong: "needed with a source: the path of a file in its artifact" };
  if (valuesKey.startsWith("/")) return { wrong: `${valuesKey} is an absolute path: name the file from the root of the artifact` };
  const parts: string[] = [];
  for (const part of valuesKey.split("/"))
    if (part === "..") {
      if (parts.pop() === undefined) return { wrong: `${valuesKey} leads out of the artifact` };
    } else if (part !== "" && part !== ".") parts.push(part);
  return parts.length > 0 && !valuesKey.endsWith("/") ? { path: parts.join("/") } : { wrong: `${valuesKey} names a directory, not a file` };
}
