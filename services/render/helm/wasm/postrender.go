package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"

	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/kio"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// A postRender is what Flux does to manifests between templates and the release: kustomize, common metadata, labels of the
// HelmRelease, in this order.
type postRender struct {
	Renderers []struct {
		Kustomize *struct {
			Patches []types.Patch `json:"patches"`
			Images  []types.Image `json:"images"`
		} `json:"kustomize"`
	} `json:"renderers"`
	CommonMetadata *commonMetadata `json:"commonMetadata"`
	Origin         *origin         `json:"origin"`
	Strategy       string          `json:"strategy"`
}

type commonMetadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type origin struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

const group = "helm.toolkit.fluxcd.io"

// Helm marks each document with its file while it is in the hands of a post-renderer, and reads it back.
const fileAnnotation = "postrenderer.helm.sh/postrender-filename"

// run takes and gives contents by template file. Combined: hooks and manifests in one; separate: one after the other, so that both
// may have an object of the same name; nohooks: manifests only.
func (p *postRender) run(files map[string]string) (map[string]string, error) {
	if p.Strategy == "" || p.Strategy == "combined" {
		return p.through(files, "")
	}
	if p.Strategy != "separate" && p.Strategy != "nohooks" {
		return nil, fmt.Errorf("unknown post-render strategy: '%s'", p.Strategy)
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, err
	}
	hookFiles, manifestFiles := map[string]string{}, map[string]string{}
	for _, hook := range hooks {
		addDocument(hookFiles, hook.Path, hook.Manifest)
	}
	for _, one := range manifests {
		addDocument(manifestFiles, one.Name, one.Content)
	}
	if p.Strategy == "separate" {
		if hookFiles, err = p.through(hookFiles, "hooks"); err != nil {
			return nil, err
		}
	}
	if manifestFiles, err = p.through(manifestFiles, "manifests"); err != nil {
		return nil, err
	}
	for _, file := range slices.Sorted(maps.Keys(manifestFiles)) {
		addDocument(hookFiles, file, manifestFiles[file])
	}
	return hookFiles, nil
}

func addDocument(files map[string]string, name, document string) {
	if before, there := files[name]; there {
		document = before + "\n---\n" + document
	}
	files[name] = document
}

func (p *postRender) through(files map[string]string, part string) (map[string]string, error) {
	if part != "" && len(files) == 0 {
		return files, nil
	}
	text, err := merged(files)
	if err != nil {
		return nil, err
	}
	if text, err = p.rendered(text); err != nil {
		of := part
		if of == "" {
			of = "files"
		}
		return nil, fmt.Errorf("error while running post render on %s: %w", of, err)
	}
	return apart(text, part)
}

func (p *postRender) rendered(text string) (string, error) {
	var err error
	for _, renderer := range p.Renderers {
		if renderer.Kustomize == nil {
			continue
		}
		if text, err = kustomized(text, renderer.Kustomize.Patches, renderer.Kustomize.Images); err != nil {
			return "", err
		}
	}
	if p.CommonMetadata != nil {
		if text, err = withMetadata(text, *p.CommonMetadata); err != nil {
			return "", err
		}
	}
	if p.Origin == nil {
		return text, nil
	}
	labels := map[string]string{group + "/name": p.Origin.Name, group + "/namespace": p.Origin.Namespace}
	return withMetadata(text, commonMetadata{Labels: labels})
}

// merged is one stream of all documents, by file and place in it; what is no YAML with fields fails, as with Helm.
func merged(files map[string]string) (string, error) {
	var documents []*kyaml.RNode
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(path.Base(file), "_") || strings.TrimSpace(files[file]) == "" {
			continue
		}
		split := releaseutil.SplitManifests(files[file])
		keys := slices.Collect(maps.Keys(split))
		sort.Sort(releaseutil.BySplitManifestsOrder(keys))
		for _, key := range keys {
			if strings.TrimSpace(split[key]) == "" {
				continue
			}
			nodes, err := kio.ParseAll(split[key])
			if err != nil {
				return "", fmt.Errorf("parsing %s: %w", file, err)
			}
			for _, node := range nodes {
				if err := node.PipeE(kyaml.SetAnnotation(fileAnnotation, file)); err != nil {
					return "", fmt.Errorf("annotating %s: %w", file, err)
				}
			}
			documents = append(documents, nodes...)
		}
	}
	return kio.StringAll(documents)
}

func apart(text, part string) (map[string]string, error) {
	nodes, err := kio.ParseAll(text)
	if err != nil {
		return nil, err
	}
	byFile := map[string][]*kyaml.RNode{}
	for i, node := range nodes {
		meta, err := node.GetMeta()
		if err != nil {
			return nil, err
		}
		file := meta.Annotations[fileAnnotation]
		if file == "" {
			prefix := part
			if prefix != "" {
				prefix += "-"
			}
			file = fmt.Sprintf("generated-by-postrender-%s%d.yaml", prefix, i)
		}
		if err := node.PipeE(kyaml.ClearAnnotation(fileAnnotation)); err != nil {
			return nil, err
		}
		byFile[file] = append(byFile[file], node)
	}
	files := make(map[string]string, len(byFile))
	for file, nodes := range byFile {
		if files[file], err = kio.StringAll(nodes); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func kustomized(text string, patches []types.Patch, images []types.Image) (string, error) {
	for _, patch := range patches {
		if patch.Path != "" {
			return "", fmt.Errorf("a patch of a post-renderer is written in patch, not in a file")
		}
	}
	const input = "helm-output.yaml"
	file := types.Kustomization{
		TypeMeta:  types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Resources: []string{input}, Patches: patches, Images: images,
	}
	kustomization, err := json.Marshal(file)
	if err != nil {
		return "", err
	}
	system := filesys.MakeFsInMemory()
	for name, content := range map[string][]byte{input: []byte(text), "kustomization.yaml": kustomization} {
		if err := system.WriteFile(name, content); err != nil {
			return "", err
		}
	}
	options := &krusty.Options{LoadRestrictions: types.LoadRestrictionsNone, PluginConfig: types.DisabledPluginConfig()}
	built, err := krusty.MakeKustomizer(options).Run(system, ".")
	if err != nil {
		return "", err
	}
	yaml, err := built.AsYaml()
	return string(yaml), err
}

func withMetadata(text string, wanted commonMetadata) (string, error) {
	if wanted.Labels == nil && wanted.Annotations == nil {
		return text, nil
	}
	resources, err := resmap.NewFactory(provider.NewDefaultDepProvider().GetResourceFactory()).NewResMapFromBytes([]byte(text))
	if err != nil {
		return "", err
	}
	if wanted.Labels != nil {
		specs := []types.FieldSpec{{Path: "metadata/labels", CreateIfNotPresent: true}}
		if err := (&builtins.LabelTransformerPlugin{Labels: wanted.Labels, FieldSpecs: specs}).Transform(resources); err != nil {
			return "", err
		}
	}
	if wanted.Annotations != nil {
		specs := []types.FieldSpec{{Path: "metadata/annotations", CreateIfNotPresent: true}}
		if err := (&builtins.AnnotationsTransformerPlugin{Annotations: wanted.Annotations, FieldSpecs: specs}).Transform(resources); err != nil {
			return "", err
		}
	}
	yaml, err := resources.AsYaml()
	return string(yaml), err
}
