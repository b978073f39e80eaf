/** The message of a commit that sets images: a Go template with sprig's functions that depend on nothing else (wasm/message.go). */
import { callOnce, type OneCallOptions } from "./one-call.ts";
import { readReply } from "./reply.ts";
import type { Change } from "./setters.ts";

export type MessageData = {
  automation: { namespace: string; name: string };
  changes: readonly Change[];
  /** `spec.git.commit.messageTemplateValues`. */
  values: Record<string, string>;
};

const defaultTemplate = "Update from image update automation";

/**
 * @param template `spec.git.commit.messageTemplate`; empty for the usual message
 * @throws Fault MessageTemplateFailed, TemplateFieldRemoved, RendererMissing; the signal's reason
 */
export async function renderMessage(template: string, data: MessageData, options: OneCallOptions): Promise<string> {
  if (template === "" || template === defaultTemplate) return defaultTemplate;
  const request = JSON.stringify({ template, ...data });
  const reply = await callOnce({ run: "message", request, what: "the template" }, "MessageTemplateFailed", options);
  return readReply<{ message: string }>(reply, options.subject, (code) => (code === "removed" ? "TemplateFieldRemoved" : "MessageTemplateFailed")).message;
}
