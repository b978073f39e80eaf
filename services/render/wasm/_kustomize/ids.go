package resmap

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// few resources are added faster than those that are there already are indexed.
const few = 16

// Ids finds resources by their current id, as long as every change of one is told.
type Ids struct {
	byId map[resid.ResId][]*resource.Resource
	of   map[*resource.Resource]resid.ResId
}

func NewIds(resources []*resource.Resource) *Ids {
	ids := &Ids{
		byId: make(map[resid.ResId][]*resource.Resource, len(resources)),
		of:   make(map[*resource.Resource]resid.ResId, len(resources)),
	}
	for _, r := range resources {
		ids.put(r)
	}
	return ids
}

// Changed takes a resource's id as it is now. It returns all that have this id, the resource among them.
func (ids *Ids) Changed(r *resource.Resource) []*resource.Resource {
	if before, known := ids.of[r]; known {
		var rest []*resource.Resource
		for _, other := range ids.byId[before] {
			if other != r {
				rest = append(rest, other)
			}
		}
		ids.byId[before] = rest
	}
	return ids.byId[ids.put(r)]
}

func (ids *Ids) put(r *resource.Resource) resid.ResId {
	id := r.CurId()
	// So that two are the same key when Equals says that they are the same id.
	id.Namespace = id.EffectiveNamespace()
	ids.of[r] = id
	ids.byId[id] = append(ids.byId[id], r)
	return id
}

// appendMany does what Append does for each.
func (m *resWrangler) appendMany(list []*resource.Resource) error {
	ids := NewIds(m.rList)
	for _, r := range list {
		if len(ids.Changed(r)) > 1 {
			return fmt.Errorf("may not add resource with an already registered id: %s", r.CurId())
		}
		m.append(r)
	}
	return nil
}

func manyAsResMap(list []*resource.Resource) (ResMap, error) {
	m := newOne()
	if err := m.appendMany(list); err != nil {
		return nil, err
	}
	return m, nil
}

// withId finds what GetMatchingResourcesByCurrentId finds. Names differ most often, and are compared without making an id.
func (m *resWrangler) withId(id resid.ResId) []*resource.Resource {
	var found []*resource.Resource
	for _, r := range m.rList {
		if mayBeNamed(r.YNode(), id.Name) && id.Equals(r.CurId()) {
			found = append(found, r)
		}
	}
	return found
}

// mayBeNamed is false only when there is a name, and it is another.
func mayBeNamed(node *yaml.Node, name string) bool {
	named := false
	for _, metadata := range valuesOf(node, yaml.MetadataField) {
		for _, value := range valuesOf(metadata, yaml.NameField) {
			if value.Value == name {
				return true
			}
			named = true
		}
	}
	return !named
}

// valuesOf gives those under a key of a mapping; one, unless a key is there twice.
func valuesOf(node *yaml.Node, key string) []*yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return append(node.Content[i+1:i+2:i+2], valuesAfter(node.Content[i+2:], key)...)
		}
	}
	return nil
}

func valuesAfter(content []*yaml.Node, key string) (found []*yaml.Node) {
	for i := 0; i+1 < len(content); i += 2 {
		if content[i].Value == key {
			found = append(found, content[i+1])
		}
	}
	return found
}
