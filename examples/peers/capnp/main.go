// Command capnp is a plain go-capnp server with one account, at a socket: what latency.c++ calls
// beside a Sturdy host. Its one method is the typed call balance of the bank's accounts. When
// examples/foreign is built as its README says, and its server runs:
//
//	cd examples/peers
//	foreign=../foreign/cpp/build
//	g++ -std=c++17 -O2 -I$foreign -o latency.out capnp/latency.c++ $foreign/*.capnp.o -lcapnp-rpc -lcapnp -lkj-async -lkj
//	go run ./capnp plain.sock &
//	for round in 1 2 3 4 5; do ./latency.out plain.sock; ./latency.out ../../world/sock branch; done
package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log"
	"net"
	"os"

	"capnproto.org/go/capnp/v3"
	"capnproto.org/go/capnp/v3/rpc"
	"capnproto.org/go/capnp/v3/server"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: capnp SOCKET")
	}
	_ = os.Remove(os.Args[1]) // of a run before
	door, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := door.Accept()
		if err != nil {
			log.Fatal(err)
		}
		rpc.NewConn(rpc.NewStreamTransport(conn), &rpc.Options{BootstrapClient: account()})
	}
}

// account is a capability to an account that holds 100.00.
func account() capnp.Client {
	sum := sha256.Sum256([]byte("sturdy interface bank.example/account"))
	balance := server.Method{
		Method: capnp.Method{InterfaceID: binary.BigEndian.Uint64(sum[:8]) | 1<<63, MethodID: 0},
		Impl: func(_ context.Context, call *server.Call) error {
			results, err := call.AllocResults(capnp.ObjectSize{DataSize: 8})
			if err == nil {
				results.SetUint64(0, 100_00)
			}
			return err
		},
	}
	return capnp.NewClient(server.New([]server.Method{balance}, nil, nil))
}
