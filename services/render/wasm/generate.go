package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

var kustomizationNames = konfig.RecognizedKustomizationFileNames()

// prepare lays the kustomization file over the artifact that Flux would write into the directory (docs/spec/render.md
// RN1 to RN4): its own, or one generated from the manifests found, with the amendments of the Kustomization object.
func (v *view) prepare(relative string, spec buildSpec) error {
	parsed, name, found, err := v.kustomizationFile(relative)
	if err != nil {
		return err
	}
	if !found {
		if parsed, err = v.generate(relative); err != nil {
			return err
		}
		name = path.Join(relative, konfig.DefaultKustomizationFileName())
	}
	if err := spec.amend(v, relative, &parsed); err != nil {
		return err
	}
	content, err := yaml.Marshal(parsed)
	if err != nil {
		return err
	}
	v.overlay[name] = content
	return nil
}

// kustomizationFile reads the directory's own file, the first of the names kustomize knows.
func (v *view) kustomizationFile(relative string) (parsed types.Kustomization, name string, found bool, err error) {
	parsed = types.Kustomization{TypeMeta: typeMeta}
	for _, base := range kustomizationNames {
		name = path.Join(relative, base)
		if v.kindOf(name) != file {
			continue
		}
		content, err := v.ReadFile(name)
		if err != nil {
			return parsed, name, false, err
		}
		if err := yaml.Unmarshal(content, &parsed); err != nil {
			return parsed, name, false, fmt.Errorf("%s: %w", name, err)
		}
		if len(parsed.Resources) == 0 {
			// As Flux does: kustomize calls a file without resources empty, unless it holds something else.
			parsed.BuildMetadata = []string{types.OriginAnnotations}
		}
		return parsed, name, true, nil
	}
	return parsed, "", false, nil
}

var typeMeta = types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind}

// generate lists the manifests below a directory as a kustomization file's resources. A directory below that has such
// a file of its own is one resource; every other .yaml or .yml must hold Kubernetes objects.
func (v *view) generate(relative string) (types.Kustomization, error) {
	generated := types.Kustomization{TypeMeta: typeMeta}
	root := path.Join(mount, relative)
	err := v.Walk(root, func(at string, info os.FileInfo, err error) error {
		if err != nil || at == root {
			return err
		}
		resource := "." + strings.TrimPrefix(at, root)
		if info.IsDir() {
			if !v.hasKustomization(at) {
				return nil
			}
			generated.Resources = append(generated.Resources, resource)
			return filepath.SkipDir
		}
		if extension := path.Ext(at); extension != ".yaml" && extension != ".yml" {
			return nil
		}
		content, err := v.ReadFile(at)
		if err != nil {
			return err
		}
		if err := decodes(content); err != nil {
			return fmt.Errorf("failed to decode Kubernetes YAML from %s: %w", at, err)
		}
		generated.Resources = append(generated.Resources, resource)
		return nil
	})
	if len(generated.Resources) == 0 {
		generated.Namespace = "_placeholder" // kustomize refuses a file that says nothing
	}
	return generated, err
}

func (v *view) hasKustomization(at string) bool {
	for _, base := range kustomizationNames {
		if name := path.Join(at, base); v.Exists(name) && !v.IsDir(name) {
			return true
		}
	}
	return false
}

var manifests = provider.NewDefaultDepProvider().GetResourceFactory()

// decodes says whether kustomize reads the text as objects. Its parser panics on some texts.
func decodes(content []byte) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("%v", reason)
		}
	}()
	_, err = manifests.SliceFromBytes(content)
	return err
}
