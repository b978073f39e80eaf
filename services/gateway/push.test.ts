import assert from "node:assert/strict";
import test from "node:test";
import { isOtherEvent, parsePush } from "./push.ts";

const commit = "4c1d9e2f00000000000000000000000000000001";
const rows = [
  {
    from: "GitHub",
    body: {
      ref: "refs/heads/main", after: commit,
      repository: { clone_url: "https://github.com/fleet/podinfo.git", ssh_url: "git@github.com:fleet/podinfo.git", html_url: "https://github.com/fleet/podinfo", url: "https://api.github.com/x" },
    },
    push: { urls: ["https://github.com/fleet/podinfo", "ssh://github.com/fleet/podinfo"], ref: "refs/heads/main", commit },
  },
  {
    from: "GitHub, a tag deleted",
    body: { ref: "refs/tags/v1", after: "0".repeat(40), deleted: true, repository: { clone_url: "https://github.com/fleet/podinfo.git" } },
    push: { urls: ["https://github.com/fleet/podinfo"], ref: "refs/tags/v1" },
  },
  {
    from: "GitLab",
    body: {
      object_kind: "push", ref: "refs/heads/main", after: commit,
      project: { git_http_url: "https://gitlab.example/fleet/podinfo.git", git_ssh_url: "git@gitlab.example:fleet/podinfo.git", web_url: "https://gitlab.example/fleet/podinfo" },
    },
    push: { urls: ["https://gitlab.example/fleet/podinfo", "ssh://gitlab.example/fleet/podinfo"], ref: "refs/heads/main", commit },
  },
  {
    from: "Gitea",
    body: { ref: "refs/heads/main", after: commit, repository: { clone_url: "http://Gitea.example:3000/fleet/podinfo.git", ssh_url: "ssh://git@gitea.example:2222/fleet/podinfo.git" } },
    push: { urls: ["http://gitea.example:3000/fleet/podinfo", "ssh://gitea.example:2222/fleet/podinfo"], ref: "refs/heads/main", commit },
  },
  {
    from: "Bitbucket Cloud",
    body: {
      push: { changes: [{ new: { type: "branch", name: "main", target: { hash: commit } } }] },
      repository: { links: { html: { href: "https://bitbucket.org/fleet/podinfo" } } },
    },
    push: { urls: ["https://bitbucket.org/fleet/podinfo"], ref: "refs/heads/main", commit },
  },
  {
    from: "Bitbucket Cloud, two branches: neither is singled out",
    body: {
      push: { changes: [{ new: { type: "branch", name: "a", target: { hash: commit } } }, { new: { type: "branch", name: "b", target: { hash: commit } } }] },
      repository: { links: { html: { href: "https://bitbucket.org/fleet/podinfo" } } },
    },
    push: { urls: ["https://bitbucket.org/fleet/podinfo"] },
  },
  {
    from: "Bitbucket Server",
    body: {
      changes: [{ ref: { id: "refs/heads/main" }, toHash: commit }],
      repository: { links: { clone: [{ href: "https://bb.example/scm/fleet/podinfo.git", name: "http" }, { href: "ssh://git@bb.example:7999/fleet/podinfo.git", name: "ssh" }] } },
    },
    push: { urls: ["https://bb.example/scm/fleet/podinfo", "ssh://bb.example:7999/fleet/podinfo"], ref: "refs/heads/main", commit },
  },
  { from: "a script, of a registry", body: { url: "oci://Registry.example:5000/team/shop" }, push: { urls: ["oci://registry.example:5000/team/shop"] } },
  {
    from: "Docker's registry",
    body: { events: [{ action: "push", target: { repository: "team/shop", tag: "latest" }, request: { host: "registry.example:5000" } }, { target: { repository: 7 } }] },
    push: { urls: ["oci://registry.example:5000/team/shop"] },
  },
  { from: "Azure's", body: { action: "push", target: { repository: "shop", tag: "v1" }, request: { host: "team.azurecr.io" } }, push: { urls: ["oci://team.azurecr.io/shop"] } },
  { from: "Docker Hub", body: { push_data: { tag: "latest" }, repository: { repo_name: "team/shop" } }, push: { urls: ["oci://docker.io/team/shop", "oci://index.docker.io/team/shop"] } },
  { from: "Harbor", body: { type: "PUSH_ARTIFACT", event_data: { resources: [{ resource_url: "harbor.example:8443/team/shop:v1" }, { resource_url: "harbor.example/team/web@sha256:abc" }] } }, push: { urls: ["oci://harbor.example:8443/team/shop", "oci://harbor.example/team/web"] } },
  { from: "Quay", body: { docker_url: "quay.io/team/shop", updated_tags: ["latest"] }, push: { urls: ["oci://quay.io/team/shop"] } },
  { from: "GitHub's packages", body: { action: "published", registry_package: { package_version: { package_url: "ghcr.io/team/shop:latest" } } }, push: { urls: ["oci://ghcr.io/team/shop"] } },
  { from: "a script", body: { url: "https://bot:hunter2@git.example/podinfo.git" }, push: { urls: ["https://git.example/podinfo"] } },
  { from: "a script, several", body: { urls: ["https://a.example/x", "https://b.example/x"], ref: "main", commit }, push: { urls: ["https://a.example/x", "https://b.example/x"], ref: "refs/heads/main", commit } },
  { from: "bad ref and commit: left out", body: { url: "https://git.example/a", ref: "a b", commit: "HEAD" }, push: { urls: ["https://git.example/a"] } },
];
for (const { from, body, push } of rows)
  test(`[GW4] a push from ${from}`, () => assert.deepEqual(parsePush(JSON.stringify(body), "application/json"), push));

test("[GW4] GitHub's form encoding", () => {
  const body = new URLSearchParams({ payload: JSON.stringify({ ref: "refs/heads/main", repository: { clone_url: "https://github.com/a/b.git" } }) });
  assert.deepEqual(parsePush(body.toString(), "application/x-www-form-urlencoded"), { urls: ["https://github.com/a/b"], ref: "refs/heads/main" });
});

const noPush = ["", "null", "[]", "{", '"text"', "{}", '{"url":7}', '{"url":"file:///etc/passwd"}', '{"url":"javascript:alert(1)"}', '{"repository":null}',
  '{"__proto__":{"url":"https://a/b"}}', `{"url":"https://a/${"x".repeat(3000)}"}`];
for (const body of noPush)
  test(`[GW4] no push: ${body.slice(0, 40)}`, () => assert.equal(parsePush(body, "application/json"), undefined));

test("[GW4] no more than 16 addresses are taken from one request", () => {
  const urls = Array.from({ length: 1000 }, (_, i) => `https://git.example/r${i}`);
  assert.equal(parsePush(JSON.stringify({ urls }), "")?.urls.length, 16);
});

const events = [
  { header: "x-github-event", value: "push", other: false }, { header: "x-github-event", value: "ping", other: true },
  { header: "x-gitlab-event", value: "Push Hook", other: false }, { header: "x-gitlab-event", value: "Tag Push Hook", other: false },
  { header: "x-gitlab-event", value: "Issue Hook", other: true }, { header: "x-gitea-event", value: "push", other: false },
  { header: "x-event-key", value: "repo:push", other: false }, { header: "x-event-key", value: "repo:refs_changed", other: false },
  { header: "x-event-key", value: "pullrequest:created", other: true }, { header: "x-unknown", value: "x", other: false },
];
for (const { header, value, other } of events)
  test(`[GW4] ${header}: ${value} is ${other ? "another event" : "a push"}`, () => assert.equal(isOtherEvent(new Headers({ [header]: value })), other));
