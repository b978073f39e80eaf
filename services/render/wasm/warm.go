package main

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
)

// A small overlay that uses what most do. Code runs slowly the first times: better then than in a user's build.
var sampleFiles = map[string]string{
	"base/kustomization.yaml": "resources: [deployment.yaml, service.yaml]\n",
	"base/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, ports: [{containerPort: 80}]}]}
`,
	"base/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n",
	"overlay/kustomization.yaml": `resources: [../base]
namePrefix: dev-
images: [{name: web, newTag: "2"}]
patches: [{path: replicas.yaml}]
configMapGenerator: [{name: settings, literals: [a=b]}]
`,
	"overlay/replicas.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n",
	"plain/config.yaml":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata: {key: value}\n",
}

// prepareRuntime does once what would slow down the first builds.
func prepareRuntime(samples int) {
	http.DefaultTransport = noNetwork{}
	resetSchemas()
	// Parsing leaves ten times as much garbage as schemas. Memory taken for it would never be given back, so until
	// here the collector comes often; builds can spare it more.
	runtime.GC()
	debug.SetGCPercent(400)
	if samples == 0 {
		return
	}
	var header artifactHeader
	var contents strings.Builder
	for name, content := range sampleFiles {
		header.Files = append(header.Files, artifactFile{Path: name, Size: len(content)})
		contents.WriteString(content)
	}
	artifacts["sample"] = newArtifact(header, []byte(contents.String()))
	for range samples {
		for _, directory := range []string{"overlay", "plain"} {
			buildRequest{Digest: "sample", Path: directory, Spec: buildSpec{TargetNamespace: "sample"}}.run()
		}
	}
	delete(artifacts, "sample")
}
