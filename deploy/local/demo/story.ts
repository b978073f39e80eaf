/** The story: a repository becomes running pods, a commit changes them, a hand edit is put back, an image comes by itself, one trace tells it. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ociManifest, type LocalRegistry } from "../registry.ts";
import { change, environments, watchedImage } from "./sample.ts";
import type { Screen } from "./screen.ts";
import type { Stage } from "./stage.ts";
import { imageOf, isReady, isRolledOut, readiness, type Live, type View } from "./view.ts";

const namespace = "flux-system"; // where Flux's users keep their resources
const readyWithinMs = 120_000;
const foreignImage = "nginxinc/nginx-unprivileged:1.27-alpine";
const imageColumns = "custom-columns=NAMESPACE:.metadata.namespace,READY:.status.readyReplicas,IMAGE:..image";

export async function deploy({ view, kubectl, resources }: Stage, screen: Screen): Promise<void> {
  screen.step("Hand over the resources", "A GitRepository and three Kustomizations, as for Flux. Nothing else is needed.");
  screen.command(`kubectl apply -f ${resources}`);
  screen.restartClock();
  await kubectl("apply", "-f", resources);
  screen.done("applied");
  const source = view.until({
    what: "GitRepository shop is Ready",
    look: () => ready(view.get("GitRepository", namespace, "shop")),
    instead: () => readiness(view.get("GitRepository", namespace, "shop")),
    withinMs: readyWithinMs,
  }).then(({ status }) => screen.done(`GitRepository shop: fetched ${short(status?.artifact?.revision)}`));
  const units = environments.map(async ({ name, replicas }) => {
    const { status } = await view.until({
      what: `Kustomization ${name} is Ready`,
      look: () => ready(view.get("Kustomization", namespace, name)),
      instead: () => readiness(view.get("Kustomization", namespace, name)),
      withinMs: readyWithinMs,
    });
    const objects = status?.inventory?.entries?.length ?? 0;
    screen.done(`Kustomization ${name}: ${objects} objects applied, ${replicas} of ${replicas} pods running`);
  });
  await Promise.all([source, ...units]);
  screen.command("kubectl get pods -A");
  screen.block(await kubectl("get", "pods", "-A"));
}

/** @returns the commit */
export async function pushChange({ view, kubectl, repository }: Stage, screen: Screen): Promise<string> {
  screen.step("Push a commit", "A newer image for all three environments. The Git server calls Flotilla's webhook.");
  const file = join(repository.clone, change.file);
  await writeFile(file, (await readFile(file, "utf8")).replace(change.before, change.after));
  screen.note(`${change.file}: ${change.before} becomes ${change.after.split(":")[1]}`);
  screen.command(`git commit -am "${change.message}" && git push`);
  await repository.git("commit", "--quiet", "-am", change.message);
  const sha = await repository.git("rev-parse", "HEAD");

  screen.restartClock();
  const push = repository.git("push").then((said) => screen.done(`pushed ${sha.slice(0, 8)} (${remoteLine(said)})`));
  await Promise.all([push, ...environments.map((environment) => followRollout(view, screen, environment, sha))]);
  screen.command(`kubectl get deployments -A -o ${imageColumns}`);
  screen.block(await kubectl("get", "deployments", "-A", "-o", imageColumns));
  return sha;
}

type Environment = (typeof environments)[number];

async function followRollout(view: View, screen: Screen, { name, replicas }: Environment, sha: string): Promise<void> {
  const deployment = () => view.get("Deployment", name, "web");
  const unit = () => view.get("Kustomization", namespace, name);
  await view.until({
    what: `Deployment web in ${name} runs ${change.after}`,
    look: () => imageOf(deployment()) === change.after || undefined,
    instead: () => `it runs ${imageOf(deployment())}; its Kustomization: ${readiness(unit())}`,
    withinMs: readyWithinMs,
  });
  screen.done(`${name}: the new image is applied`);
  await view.until({
    what: `Kustomization ${name} is Ready at ${sha.slice(0, 8)}, with all pods new`,
    look: () => {
      const applied = ready(unit())?.status?.lastAppliedRevision?.endsWith(sha);
      return (applied && rolledOut(deployment())) || undefined;
    },
    instead: () => readiness(unit()),
    withinMs: readyWithinMs,
  });
  screen.done(`${name}: Ready, ${replicas} of ${replicas} pods are new`);
}

export async function editByHand({ view, kubectl }: Stage, screen: Screen): Promise<void> {
  const { name, replicas } = environments[2];
  screen.step("Change something by hand", "Somebody sets an old image in prod. Git says otherwise; nobody pushes anything.");
  const args = ["-n", name, "set", "image", "deployment", "web", `web=${foreignImage}`];
  screen.command(`kubectl ${args.join(" ")}`);
  const sees = (image: string) =>
    view.until({
      what: `Deployment web in ${name} has the image ${image}`,
      look: () => (imageOf(view.get("Deployment", name, "web")) === image ? performance.now() : undefined),
      instead: () => `it has ${imageOf(view.get("Deployment", name, "web"))}`,
      withinMs: 30_000,
    });
  screen.restartClock();
  const correction = sees(foreignImage).then(async (editedMs) => (await sees(change.after)) - editedMs);
  const [, correctedMs] = await Promise.all([kubectl(...args), correction]);
  screen.measured(correctedMs, "after the edit, the image from Git was back: a watch saw it, no interval had to pass");
  const told = await view.until({
    what: "an event that names who changed it",
    look: () => view.all("Event").map(({ message = "" }) => /^.*was changed by.*$/m.exec(message)?.[0]).find(Boolean),
    instead: () => "there is none",
    withinMs: 30_000,
  });
  screen.note(`It is told as an event: ${told}`);
  await view.until({
    what: `${replicas} of ${replicas} pods run the image from Git`,
    look: () => rolledOut(view.get("Deployment", name, "web")),
    instead: () => JSON.stringify(view.get("Deployment", name, "web")?.status),
    withinMs: readyWithinMs,
  });
  screen.done(`${replicas} of ${replicas} pods run the image from Git`);
}

export async function pushImage({ view, kubectl, command, registry, repository, images }: Stage, screen: Screen): Promise<void> {
  const { name: unit } = environments[0];
  const { name, file, before, after, lines, message } = watchedImage;
  const image = `${registry.host}/${name}`;
  screen.step("Push an image", "Three more resources look after the image of dev, where a marker says what belongs to it. Nobody commits.");
  await pushTag(registry, before);
  await writeFile(join(repository.clone, file), `${await readFile(join(repository.clone, file), "utf8")}${lines(image)}`);
  await repository.git("commit", "--quiet", "-am", message);
  await repository.git("push", "--quiet");
  screen.note(`${file}: newTag: "${before}" # {"$imagepolicy": "flux-system:web:tag"}`);
  screen.command(`kubectl apply -f ${images}`);
  await kubectl("apply", "-f", images);
  const runs = (tag: string) =>
    view.until({
      what: `Deployment web in ${unit} runs ${image}:${tag}`,
      look: () => (imageOf(view.get("Deployment", unit, "web")) === `${image}:${tag}` ? rolledOut(view.get("Deployment", unit, "web")) : undefined),
      instead: () => `it runs ${imageOf(view.get("Deployment", unit, "web"))}; its automation: ${readiness(view.get("ImageUpdateAutomation", namespace, "shop"))}`,
      withinMs: readyWithinMs,
    });
  const elects = (tag: string) =>
    view.until({
      what: `ImagePolicy web elects ${tag}`,
      look: () => (view.get("ImagePolicy", namespace, "web")?.status?.latestRef?.tag === tag ? tag : undefined),
      instead: () => readiness(view.get("ImagePolicy", namespace, "web")),
      withinMs: readyWithinMs,
    });
  await Promise.all([runs(before), elects(before)]);

  screen.command(`docker push ${image}:${after}`);
  screen.command("npx flotilla reconcile image repository web");
  screen.restartClock();
  await pushTag(registry, after);
  screen.done("pushed");
  const elected = elects(after).then(() => screen.done(`ImagePolicy web: ${after} is the latest`));
  const committed = view.until({
    what: "ImageUpdateAutomation shop has pushed a commit",
    look: () => view.get("ImageUpdateAutomation", namespace, "shop")?.status?.lastPushCommit,
    instead: () => readiness(view.get("ImageUpdateAutomation", namespace, "shop")),
    withinMs: readyWithinMs,
  });
  const told = committed.then((sha) => screen.done(`committed ${sha.slice(0, 8)}: Serve web ${after} in dev`));
  const rolled = runs(after).then(() => screen.done(`${unit}: 1 of 1 pods is new`));
  await Promise.all([command("reconcile", "image", "repository", "web", "-n", namespace), elected, told, rolled]);
  screen.note(`The way from the scan to the pod is one trace: npx flotilla trace ${(await committed).slice(0, 8)}`);
}

async function pushTag(registry: LocalRegistry, tag: string): Promise<void> {
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: await registry.pushBlob(watchedImage.name, Buffer.from("{}")), size: 2 };
  await registry.pushManifest(watchedImage.name, tag, ociManifest, { schemaVersion: 2, mediaType: ociManifest, config, layers: [], annotations: { tag } });
}

export async function showTrace({ command, data }: Stage, screen: Screen, sha: string): Promise<void> {
  screen.step("See where the time went", "One trace per commit, up to the healthy object. No other program is needed.");
  screen.command(`npx flotilla trace ${sha.slice(0, 8)} --data ${data}`);
  screen.block(await command("trace", sha.slice(0, 8), "--data", data));
  screen.note("Before the first bar: the way from the commit, whose time Git keeps in whole seconds, to the webhook.");
}

const ready = (object: Live | undefined) => (object && isReady(object) ? object : undefined);
const rolledOut = (object: Live | undefined) => (object && isRolledOut(object) ? object : undefined);

/** `main@sha1:4c1d2e3f` */
const short = (revision = "") => revision.replace(/(?<=:[0-9a-f]{8})[0-9a-f]+$/, "");

/** What the webhook's hook said, without git's prefix. */
const remoteLine = (said: string): string =>
  /^remote: (webhook: .*?)\s*$/m.exec(said)?.[1] ?? "the webhook said nothing";
