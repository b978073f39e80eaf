package main

// A specsRequest takes digests of parts of a HelmRelease's spec, as Flux's status has them: observedPostRenderersDigest and
// observedCommonMetadataDigest. The fields' order is that of Flux's types.
type specsRequest struct {
	PostRenderers  []postRendererSpec  `json:"postRenderers"`
	CommonMetadata *commonMetadataSpec `json:"commonMetadata"`
}

type postRendererSpec struct {
	Kustomize *kustomizeSpec `json:"kustomize,omitempty"`
}

type kustomizeSpec struct {
	Patches []patchSpec `json:"patches,omitempty"`
	Images  []imageSpec `json:"images,omitempty"`
}

type patchSpec struct {
	Patch  string        `json:"patch"`
	Target *selectorSpec `json:"target,omitempty"`
}

type selectorSpec struct {
	Group              string `json:"group,omitempty"`
	Version            string `json:"version,omitempty"`
	Kind               string `json:"kind,omitempty"`
	Namespace          string `json:"namespace,omitempty"`
	Name               string `json:"name,omitempty"`
	AnnotationSelector string `json:"annotationSelector,omitempty"`
	LabelSelector      string `json:"labelSelector,omitempty"`
}

type imageSpec struct {
	Name    string `json:"name"`
	NewName string `json:"newName,omitempty"`
	NewTag  string `json:"newTag,omitempty"`
	Digest  string `json:"digest,omitempty"`
}

type commonMetadataSpec struct {
	Annotations map[string]string `json:"annotations,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
}

func (r specsRequest) run() (any, error) {
	digests := map[string]string{"postRenderersDigest": "", "commonMetadataDigest": ""}
	if r.PostRenderers != nil {
		digests["postRenderersDigest"] = digestJSON(r.PostRenderers)
	}
	if r.CommonMetadata != nil {
		digests["commonMetadataDigest"] = digestJSON(r.CommonMetadata)
	}
	return digests, nil
}
