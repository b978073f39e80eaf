//go:build wasip1

// The renderer: kustomize, and what Flux does around it, and CEL, as a WebAssembly reactor. Everything it knows comes in with a
// call. Requests and replies are JSON; an artifact's files follow its JSON header as plain bytes.
package main

import (
	"encoding/binary"
	"encoding/json"
	"unsafe"
)

// What the host may still read or write: an entry keeps its bytes from being collected.
var buffers = map[uintptr][]byte{}

// alloc gives the host a place to write a request to.
//
//go:wasmexport alloc
func alloc(size uint32) uint32 {
	return uint32(keep(make([]byte, max(size, 1))))
}

// release forgets a request or a reply, and wipes it: it may hold a Secret.
//
//go:wasmexport release
func release(at uint32) {
	clear(buffers[uintptr(at)])
	delete(buffers, uintptr(at))
}

// warm comes first: it parses the built-in schemas, and builds a sample some times over.
//
//go:wasmexport warm
func warm(samples uint32) { prepareRuntime(int(samples)) }

// load keeps an artifact: a header's length in 4 bytes (little endian), the header, the contents one after the other.
// The buffer becomes the artifact's own, so the host must not release it.
//
//go:wasmexport load
func load(at, size uint32) uint64 {
	digest, tree, err := unpacked(at, size)
	if err != nil {
		return answer(failure{Code: "request", Message: err.Error()}.reply())
	}
	artifacts[digest] = tree
	return answer([]byte("{}"))
}

// lay takes files that the next build sees instead of the artifact's. They come as load takes an artifact.
//
//go:wasmexport lay
func lay(at, size uint32) uint64 {
	_, tree, err := unpacked(at, size)
	if err != nil {
		return answer(failure{Code: "request", Message: err.Error()}.reply())
	}
	laid = tree.files
	return answer([]byte("{}"))
}

func unpacked(at, size uint32) (digest string, tree *artifact, err error) {
	input := taken(at, size)
	delete(buffers, uintptr(at))
	length := binary.LittleEndian.Uint32(input)
	var header artifactHeader
	if err := json.Unmarshal(input[4:4+length], &header); err != nil {
		return "", nil, err
	}
	return header.Digest, newArtifact(header, input[4+length:]), nil
}

// drop forgets an artifact.
//
//go:wasmexport drop
func drop(at, size uint32) { delete(artifacts, string(taken(at, size))) }

// build renders one directory of a loaded artifact.
//
//go:wasmexport build
func build(at, size uint32) uint64 {
	var request buildRequest
	if err := json.Unmarshal(taken(at, size), &request); err != nil {
		return answer(failure{Code: "request", Message: err.Error()}.reply())
	}
	defer wipeLaid()
	return answer(request.run())
}

// substitute puts values of variables into objects.
//
//go:wasmexport substitute
func substitute(at, size uint32) uint64 {
	var request substituteRequest
	if err := json.Unmarshal(taken(at, size), &request); err != nil {
		return answer(failure{Code: "request", Message: "not a request"}.reply())
	}
	return answer(request.run())
}

// evaluate compiles CEL expressions and, given values, evaluates them.
//
//go:wasmexport evaluate
func evaluate(at, size uint32) uint64 {
	var request celRequest
	if err := json.Unmarshal(taken(at, size), &request); err != nil {
		return answer(failure{Code: "request", Message: err.Error()}.reply())
	}
	return answer(request.run())
}

// set puts images into the files that have markers for them.
//
//go:wasmexport set
func set(at, size uint32) uint64 {
	var request setterRequest
	if err := json.Unmarshal(taken(at, size), &request); err != nil {
		return answer(failure{Code: "request", Message: err.Error()}.reply())
	}
	return answer(request.run())
}

// message makes a commit's message of its template.
//
//go:wasmexport message
func message(at, size uint32) uint64 {
	var request messageRequest
	if err := json.Unmarshal(taken(at, size), &request); err != nil {
		return answer(failure{Code: "request", Message: err.Error()}.reply())
	}
	return answer(request.run())
}

func main() {}

func taken(at, size uint32) []byte { return buffers[uintptr(at)][:size] }

func keep(bytes []byte) uintptr {
	at := uintptr(unsafe.Pointer(&bytes[0]))
	buffers[at] = bytes
	return at
}

// answer packs where a reply is and how long: address in the upper half, length in the lower.
func answer(reply []byte) uint64 {
	return uint64(keep(reply))<<32 | uint64(len(reply))
}
