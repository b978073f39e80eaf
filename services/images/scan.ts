/** What a registry is asked about an image: which tags it has, and what one of them means (flux.md 3.1, 3.2). */
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { RegistryClient, TagList, Unchanged } from "#services/clients/registry/client.ts";
import { parseRepository, type Repository } from "#services/clients/registry/names.ts";

/** `spec.image` of an ImageRepository, with Flux's words for what it may not say. @throws Fault ImageNameInvalid */
export function readImage(image: string): Repository {
  const [scheme = "", more] = image.split("://", 2);
  const refused = (detail: string) => new Fault("ImageNameInvalid", "spec.image", { detail });
  const quoted = (text: string) => `'${JSON.stringify(text.slice(0, longestShown)).slice(1, -1)}'`; // on one line, whatever it holds
  if (more !== undefined) throw refused(`image ${quoted(image)} should not include URL scheme; remove ${quoted(`${scheme}://`)}`);
  const path = image.slice(image.indexOf("/") + 1);
  if (path.includes("@")) throw refused(`image ${quoted(image)} should not include a digest`);
  const [, tag] = path.split(":", 2);
  if (tag !== undefined) throw refused(`image ${quoted(image)} should not include a tag; remove ${quoted(`:${tag}`)}`);
  try {
    return parseRepository(image);
  } catch (error) {
    if (error instanceof RangeError) throw refused(error.message);
    throw error;
  }
}

const longestShown = 300;

/** @param known the registry's name for a list that is at hand @throws Fault ImageMissing, TagsTooMany, AuthenticationFailed, UpstreamUnreachable, TimedOut */
export const listTags = (registry: RegistryClient, known: string | undefined, signal: AbortSignal): Promise<TagList | Unchanged> =>
  ofImage(registry.tagList(signal, known));

/** What a tag means now. @throws Fault as above */
export const digestOfTag = (registry: RegistryClient, tag: string, signal: AbortSignal): Promise<string> => ofImage(registry.digestOf(tag, signal));

/** What an artifact's source is told to correct is another thing than what an image's is. */
const instead: Partial<Record<FaultCode, FaultCode>> = { ReferenceMissing: "ImageMissing", SourceTooLarge: "TagsTooMany", LayerInvalid: "ImageMissing", DigestMismatch: "ImageMissing" };

async function ofImage<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((error: unknown) => {
    const code = error instanceof Fault && instead[error.code];
    throw code ? new Fault(code, error.subject, { detail: error.detail, cause: error }) : error;
  });
}
