//go:build wasip1

// The Helm engine: Helm's own chart loader, values, templates and sorting, and what Flux's helm-controller does around them, as
// a WebAssembly reactor. It knows what comes in with a call, the time, and chance; and it may ask the host for objects of the
// cluster while a template runs. Requests and replies are JSON; a chart's bytes follow the digest they are kept under.
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

// release forgets a request or a reply, and wipes it: it may hold a secret value.
//
//go:wasmexport release
func release(at uint32) {
	clear(buffers[uintptr(at)])
	delete(buffers, uintptr(at))
}

// warm comes first.
//
//go:wasmexport warm
func warm(samples uint32) { prepareRuntime(int(samples)) }

// load keeps a chart: the length of its digest in 4 bytes (little endian), the digest, the tgz.
//
//go:wasmexport load
func load(at, size uint32) uint64 {
	input := taken(at, size)
	length := binary.LittleEndian.Uint32(input)
	return answer(guarded(func() (any, error) {
		loaded, err := loadArchive(input[4+length:])
		if err != nil {
			return nil, err
		}
		charts[string(input[4:4+length])] = loaded
		return struct{}{}, nil
	}))
}

// drop forgets a chart.
//
//go:wasmexport drop
func drop(at, size uint32) { delete(charts, string(taken(at, size))) }

// call does one thing that a request asks for.
//
//go:wasmexport call
func call(at, size uint32) uint64 {
	input := taken(at, size)
	return answer(guarded(func() (any, error) {
		var request request
		if err := json.Unmarshal(input, &request); err != nil {
			return nil, failure{"request", "not a request"}
		}
		return request.run()
	}))
}

// What an object of the cluster is, as JSON; the host keeps it until it is taken. Its size, or how it ended: see lookup.go.
//
//go:wasmimport flotilla lookup
func hostLookup(at unsafe.Pointer, size uint32) int32

//go:wasmimport flotilla taken
func hostTaken(at unsafe.Pointer)

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
