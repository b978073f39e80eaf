/** A thread that reads manifests. */
import { answerJobs } from "#services/threads/answer.ts";
import { parseManifest, type ManifestJobs } from "./manifest.ts";

answerJobs<ManifestJobs>({ parse: ({ text, subject }) => JSON.stringify(parseManifest(text, subject)) }, { subjectOf: ({ subject }) => subject });
