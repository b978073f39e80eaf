//go:build wasip1

package main

import (
	"encoding/json"
	"errors"
	"unsafe"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// How a lookup ends when it gives no object.
const (
	lookupNothing = -1
	lookupFailed  = -2
)

// lookup is the template function: an object, a list, or an empty map when there is none. With hosted false nobody is asked.
func lookup(hosted bool) func(apiVersion, kind, namespace, name string) (map[string]any, error) {
	return func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		if !hosted {
			return map[string]any{}, nil
		}
		asked, _ := json.Marshal(map[string]string{"apiVersion": apiVersion, "kind": kind, "namespace": namespace, "name": name})
		size := hostLookup(unsafe.Pointer(&asked[0]), uint32(len(asked)))
		switch {
		case size == lookupNothing:
			return map[string]any{}, nil
		case size < 0:
			return map[string]any{}, errors.New(string(takenFromHost(lookupFailed - size)))
		}
		var object map[string]any
		if err := utiljson.Unmarshal(takenFromHost(size), &object); err != nil {
			return map[string]any{}, errors.New("the object that was found is not one")
		}
		return object, nil
	}
}

// takenFromHost copies what the host holds; for a failure, its sentence.
func takenFromHost(size int32) []byte {
	if size <= 0 {
		return nil
	}
	answer := make([]byte, size)
	hostTaken(unsafe.Pointer(&answer[0]))
	return answer
}
