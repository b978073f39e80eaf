/** What the kind of a source changes in what the one chart says. */
import type { SourceWords } from "#protocol/api/kind.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { parseActorId } from "#protocol/names/actor.ts";

const plain: SourceWords = { stored: "stored artifact for revision" };

export const wordsOf = (key: string): SourceWords => kindOf(parseActorId(key).kind)?.source ?? plain;
