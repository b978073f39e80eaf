package main

import (
	"bytes"
	"errors"
	"fmt"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// mostUnfolded is how many values a file may have once its aliases stand for what they name. Nobody writes that many by hand,
// and kustomize, which unfolds them, would take minutes and gigabytes for a page of text that doubles ten times over.
const mostUnfolded = 200_000

var errUnfolds = fmt.Errorf("its aliases unfold to more than %d values", mostUnfolded)

// refuseBomb looks at what a file would unfold to without unfolding it. What is no YAML is left to whoever reads it.
func refuseBomb(content []byte) error {
	if !bytes.ContainsRune(content, '*') || !bytes.ContainsRune(content, '&') {
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document yaml.Node
		if decoder.Decode(&document) != nil {
			return nil
		}
		if _, err := (weights{}).of(&document); err != nil {
			return err
		}
	}
}

// weights holds how many values each node stands for; 0 while that is being found out.
type weights map[*yaml.Node]int

func (known weights) of(node *yaml.Node) (int, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	weight, isKnown := known[node]
	switch {
	case isKnown && weight == 0:
		return 0, errors.New("an alias stands for what it is a part of")
	case isKnown:
		return weight, nil
	}
	known[node] = 0
	weight = 1
	for _, child := range node.Content {
		more, err := known.of(child)
		if err != nil {
			return 0, err
		}
		if weight += more; weight > mostUnfolded {
			return 0, errUnfolds
		}
	}
	known[node] = weight
	return weight, nil
}
