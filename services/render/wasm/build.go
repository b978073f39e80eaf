package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/openapi/kubernetesapi"
)

type buildRequest struct {
	Digest string    `json:"digest"`
	Path   string    `json:"path"` // relative to the root, which is ""
	Spec   buildSpec `json:"spec"`
	// Whether the host fetches what is missing, and what it has fetched already.
	Fetches bool          `json:"fetches"`
	Bases   []fetchedBase `json:"bases"`
}

// A failure's code is what the host branches on: "absent" (the artifact is not loaded), "path", "build", "request".
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f failure) reply() []byte {
	reply, _ := json.Marshal(map[string]failure{"failure": f}) // two strings always encode
	return reply
}

func (r buildRequest) run() []byte {
	tree, loaded := artifacts[r.Digest]
	if !loaded {
		return failure{Code: "absent"}.reply()
	}
	v := newView(tree)
	v.laid = laid
	v.fetches = r.Fetches
	v.bases = map[string]fetchedBase{}
	for _, base := range r.Bases {
		v.bases[base.Reference] = base
	}
	switch v.kindOf(r.Path) {
	case absent:
		return failure{Code: "path", Message: readable(r.Path + ": no such directory")}.reply()
	case file:
		return failure{Code: "build", Message: "not a directory"}.reply()
	}
	reply, err := r.render(v)
	if err != nil {
		return failure{Code: "build", Message: readable(v.readableBases(err.Error()))}.reply()
	}
	return reply
}

// render recovers: kustomize panics on some objects, and a remote base is thrown.
func (r buildRequest) render(v *view) (reply []byte, err error) {
	defer restoreSchemas()
	defer func() {
		switch reason := recover().(type) {
		case nil:
		case remoteBase:
			err = reason
		case missingBases:
			reply, err = reason.reply()
		default:
			err = fmt.Errorf("kustomize build failed: %v", reason)
		}
	}()
	if err := v.prepare(r.Path, r.Spec); err != nil {
		return nil, err
	}
	rendered, err := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: types.LoadRestrictionsNone, // the view refuses what leaves the artifact
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(v, path.Join(mount, r.Path))
	if err != nil {
		return nil, fmt.Errorf("kustomize build failed: %w", err)
	}
	return encode(rendered, v.seen)
}

// encode writes objects as the JSON text kustomize gives, which keeps every digit of an integer.
func encode(rendered resmap.ResMap, seen readSet) ([]byte, error) {
	var reply bytes.Buffer
	reply.WriteString(`{"objects":[`)
	for i, object := range rendered.Resources() {
		if object.GetName() == "" || object.GetKind() == "" || object.GetApiVersion() == "" {
			return nil, fmt.Errorf("object %d of the build (kind %q, name %q, apiVersion %q): "+
				"apiVersion, kind and metadata.name are needed",
				i+1, object.GetKind(), object.GetName(), object.GetApiVersion())
		}
		text, err := object.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if i > 0 {
			reply.WriteByte(',')
		}
		reply.Write(text)
	}
	text, err := json.Marshal(seen)
	if err != nil {
		return nil, err
	}
	reply.WriteString(`],"readSet":`)
	reply.Write(text)
	reply.WriteByte('}')
	return reply.Bytes(), nil
}

// longest is the length of a message in bytes; kustomize quotes whole patches in some.
const longest = 4096

// readable shows paths from the artifact's root on, no password, and no more than fits a condition.
func readable(message string) string {
	message = strings.ReplaceAll(message, mount+"/", "")
	message = strings.ReplaceAll(message, mount, ".")
	message = strings.TrimSpace(withoutPassword(message))
	if len(message) > longest {
		message = strings.ToValidUTF8(message[:longest], "") + " …"
	}
	return message
}

// restoreSchemas undoes what a kustomization file did to the schemas, which are global in kustomize.
func restoreSchemas() {
	if openapi.GetSchemaVersion() != kubernetesapi.DefaultOpenAPI {
		resetSchemas()
	}
}

// resetSchemas loads the built-in ones at once, so that a kustomization's own schema adds to them, as with Flux.
func resetSchemas() {
	openapi.ResetOpenAPI()
	openapi.Schema()
}
