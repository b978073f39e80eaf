//go:build wasip1

// Notation's own verifier, as a WebAssembly reactor. It knows what comes in with a call, and the time. It asks nobody: what
// the status of a certificate takes is told, and comes in with the next call. Requests and replies are JSON.
package main

import (
	"encoding/json"
	"fmt"
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

// release forgets a request or a reply.
//
//go:wasmexport release
func release(at uint32) { delete(buffers, uintptr(at)) }

// call verifies one signature, or says whether any is wanted.
//
//go:wasmexport call
func call(at, size uint32) uint64 {
	var asked request
	if err := json.Unmarshal(buffers[uintptr(at)][:size], &asked); err != nil {
		return answer(reply{Failure: &failure{"request", "not a request"}})
	}
	return answer(guarded(asked))
}

func main() {}

// guarded answers a panic over what a stranger wrote as a failure of that signature.
func guarded(asked request) (made reply) {
	defer func() {
		if thrown := recover(); thrown != nil {
			made = reply{Failure: &failure{"signature", fmt.Sprintf("it cannot be read: %.100v", thrown)}}
		}
	}()
	return asked.verify()
}

func keep(bytes []byte) uintptr {
	at := uintptr(unsafe.Pointer(&bytes[0]))
	buffers[at] = bytes
	return at
}

// answer packs where a reply is and how long: address in the upper half, length in the lower.
func answer(made reply) uint64 {
	text, err := json.Marshal(made)
	if err != nil {
		text = []byte(`{"failure":{"code":"request","message":"no reply"}}`)
	}
	return uint64(keep(text))<<32 | uint64(len(text))
}
