// Package wires tests that the contract holds on every wire: grpc-go, net/http, the protocols of Connect, and gateways. It runs the same
// cases over real connections, and writes docs/wires.md.
//
//	go -C internal/wires test -run TestContract -args -write
package wires
