package main

import (
	"fmt"
	"path"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
)

// The part of a Kustomization's spec that changes its kustomization file.
type buildSpec struct {
	TargetNamespace string `json:"targetNamespace"`
	NamePrefix      string `json:"namePrefix"`
	NameSuffix      string `json:"nameSuffix"`
	Patches         []struct {
		Patch  string    `json:"patch"`
		Target *selector `json:"target"`
	} `json:"patches"`
	Images []struct {
		Name    string `json:"name"`
		NewName string `json:"newName"`
		NewTag  string `json:"newTag"`
		Digest  string `json:"digest"`
	} `json:"images"`
	Components              []string `json:"components"`
	IgnoreMissingComponents bool     `json:"ignoreMissingComponents"`
	BuildMetadata           []string `json:"buildMetadata"`
}

type selector struct {
	Group              string `json:"group"`
	Version            string `json:"version"`
	Kind               string `json:"kind"`
	Name               string `json:"name"`
	Namespace          string `json:"namespace"`
	LabelSelector      string `json:"labelSelector"`
	AnnotationSelector string `json:"annotationSelector"`
}

func (spec buildSpec) amend(v *view, relative string, to *types.Kustomization) error {
	replace(&to.Namespace, spec.TargetNamespace)
	replace(&to.NamePrefix, spec.NamePrefix)
	replace(&to.NameSuffix, spec.NameSuffix)
	for i, patch := range spec.Patches {
		if err := refuseBomb([]byte(patch.Patch)); err != nil {
			return fmt.Errorf("spec.patches[%d]: %w", i, err)
		}
		to.Patches = append(to.Patches, types.Patch{Patch: patch.Patch, Target: patch.Target.forKustomize()})
	}
	for _, component := range spec.Components {
		if isURL(component) || isRepository(component) || path.IsAbs(component) {
			return fmt.Errorf("component path '%s' must be local and relative", withoutPassword(component))
		}
		if spec.IgnoreMissingComponents && !v.Exists(path.Join(mount, relative, component)) {
			continue
		}
		to.Components = append(to.Components, component)
	}
	for _, image := range spec.Images {
		mergeImage(to, types.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
	}
	if len(spec.BuildMetadata) > 0 {
		to.BuildMetadata = spec.BuildMetadata
	}
	return nil
}

func replace(field *string, value string) {
	if value != "" {
		*field = value
	}
}

// mergeImage changes only the fields given. Tag and digest choose the version together: giving either replaces both.
func mergeImage(to *types.Kustomization, image types.Image) {
	for i := range to.Images {
		if to.Images[i].Name != image.Name {
			continue
		}
		replace(&to.Images[i].NewName, image.NewName)
		if image.NewTag != "" || image.Digest != "" {
			to.Images[i].NewTag, to.Images[i].Digest = image.NewTag, image.Digest
		}
		return
	}
	to.Images = append(to.Images, image)
}

func (s *selector) forKustomize() *types.Selector {
	if s == nil {
		return nil
	}
	return &types.Selector{
		ResId: resid.ResId{
			Gvk:  resid.Gvk{Group: s.Group, Version: s.Version, Kind: s.Kind},
			Name: s.Name, Namespace: s.Namespace,
		},
		LabelSelector:      s.LabelSelector,
		AnnotationSelector: s.AnnotationSelector,
	}
}
