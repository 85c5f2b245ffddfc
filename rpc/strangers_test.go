package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const (
	mugAdd caps.Method[int64, int64] = "add"
	mugBig caps.Query[bigAndRef]     = "big"
)

type bigAndRef struct {
	Body []byte
	Ref  caps.Ref
}
type mug struct{ N int64 }

func (c *mug) add(_ *sturdy.WriteTurn, n int64) (int64, error) { c.N += n; return c.N, nil }
func (c *mug) big(t *sturdy.ReadTurn) (bigAndRef, error) {
	return bigAndRef{make([]byte, 900_000), t.Self()}, nil
}

var mugKind = sturdy.Define("test.example/mug", sturdy.Method(mugAdd, (*mug).add), sturdy.Query(mugBig, (*mug).big))

func besieged(t testing.TB, o Options) (*sturdy.Runtime, *Node, caps.Ref) {
	rt, err := sturdy.Open(filepath.Join(t.TempDir(), "w"), mugKind)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Attach(rt, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(n.Close(), rt.Close()); err != nil {
			t.Error(err)
		}
	})
	r, err := rt.Root().Ensure(context.Background(), "mug", func(t *sturdy.WriteTurn) caps.Ref { return mugKind.New(t, mug{}) })
	if err != nil {
		t.Fatal(err)
	}
	return rt, n, r
}

func barge(t testing.TB, n *Node, seed byte, serve handler) *link {
	id := newIdentity(t, seed)
	raw, err := net.Dial("tcp", n.Address())
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := secure(context.Background(), raw, id, false, n.rt.Host(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(conn, n.rt.Host(), serve, Limits{}, quiet())
	t.Cleanup(func() { l.close(nil); <-l.done() })
	return l
}

func sized(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }

func TestRefusedLettersAreNotTheProgramsDebt(t *testing.T) {
	rt, n, r := besieged(t, Options{Listen: "127.0.0.1:0"})
	l := barge(t, n, 7, func(context.Context, *link, request) (response, error) { return response{}, errors.New("no") })
	seq := uint64(0)
	for range 40 {
		b := []byte{1, 1, 0}
		for range 500 {
			seq++
			b = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(b, seq), seq), 9)
			b = sized(sized(sized(append(b, 0), "bad"), "m"), "")
			b = append(b, 0)
		}
		if _, err := l.call(t.Context(), request{op: opSend, body: b}); err != nil {
			t.Log(err)
			break
		}
	}
	waits := 0
	for range rt.Activity().Letters(t.Context()) {
		waits++
	}
	if waits > 10_000 {
		t.Errorf("%d answers wait for a stranger who takes none", waits)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := mugAdd.Send(ctx, r, 1).Await(ctx); err != nil {
		t.Error("the program may not send any more:", err)
	}
}

func TestStrangersLeaveNothing(t *testing.T) {
	rt, n, _ := besieged(t, Options{Listen: "127.0.0.1:0"})
	for i := range 20 {
		l := barge(t, n, byte(i), echo)
		_, err := l.call(t.Context(), request{op: opSend, body: []byte{1, 1, 0}})
		if err != nil {
			t.Fatal(err)
		}
	}
	ks, err := rt.Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ks {
		if k.Name == "sturdy/peer" && k.Objects > 0 {
			t.Error("objects that strangers have made:", k.Objects)
		}
	}
}

func TestARefDoesNotKeepItsMessage(t *testing.T) {
	a, _, mugRef := besieged(t, Options{Listen: "127.0.0.1:0"})
	b, _, _ := besieged(t, Options{})
	s, _, err := a.Save(t.Context(), mugRef, caps.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	r, err := b.Restore(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	var keep []caps.Ref
	for range 20 {
		s, _, err := a.Save(t.Context(), mugRef, caps.Terms{}) // another token each
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Restore(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		keep = append(keep, r)
	}
	keep = append(keep, r)
	var held []caps.Ref
	b.Evict()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, r := range keep {
		got, err := mugBig.Call(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, got.Ref)
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 5<<20 {
		t.Errorf("%d Refs out of large results keep %d bytes", len(held), grown)
	}
	runtime.KeepAlive(held)
}

func TestAnAnswerDoesNotSteerTheTerminal(t *testing.T) {
	rt, n, _ := besieged(t, Options{Listen: "127.0.0.1:0"})
	var l *link
	serve := func(_ context.Context, _ *link, q request) (response, error) {
		if q.op != opSend {
			return response{}, errors.New("no")
		}
		b := q.body[1:]
		channel, k := binary.Uvarint(b)
		b = b[k:]
		for range 2 { // the lineage that it is for, and the place
			_, k = binary.Uvarint(b)
			b = b[k:]
		}
		number, k := binary.Uvarint(b)
		box, _ := binary.Uvarint(b[k:])
		go func() {
			ans := []byte{1, 1, 0}
			ans = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(ans, 1), number), box)
			ans = binary.AppendUvarint(sized(append(ans, 1), "not run"), channel)
			body := "\x81\xa3Err\x82\xa4Code\xa1x\xa4Text\xa6\x1b[2Jhi"
			ans = append(sized(ans, body), 0)
			_, err := l.call(context.Background(), request{op: opSend, body: ans})
			t.Log(err)
		}()
		return response{body: []byte{1, 0}}, nil
	}
	l = barge(t, n, 7, serve)
	tok := append([]byte{1, 5, 1, 15, 0, 0}, make([]byte, 20)...)
	r, err := rt.Import(tok, newIdentity(t, 7).host, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = mugAdd.Send(t.Context(), r, 1).Await(t.Context())
	if err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
}

func TestAnAnswerIsNotTakenForABrokenLink(t *testing.T) {
	rt, _, _ := besieged(t, Options{})
	id := newIdentity(t, 7)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var mu sync.Mutex
	ran := map[string]int{} // by their arguments: what was begun may run when its caller has gone on
	go func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			conn, _, err := secure(context.Background(), raw, id, true, "", Limits{})
			if err != nil {
				return
			}
			var l *link
			made := make(chan struct{})
			l = newLink(conn, "v", func(_ context.Context, _ *link, q request) (response, error) {
				<-made
				mu.Lock()
				ran[string(q.body)]++
				mu.Unlock()
				go l.close(nil)
				return response{}, &caps.Error{Code: caps.ErrNotDelivered, Text: "what the method called was not there"}
			}, Limits{}, quiet())
			close(made)
		}
	}()
	tok := append([]byte{1, 5, 1, 15, 0, 0}, make([]byte, 20)...)
	r, err := rt.Import(tok, id.host, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(200) {
		_, _ = mugAdd.Call(t.Context(), r, i)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ran) < 100 {
		t.Errorf("only %d calls have come there", len(ran))
	}
	for call, times := range ran {
		if times > 1 {
			t.Errorf("call %x ran %d times", call, times)
		}
	}
}

func TestIdleStrangersDoNotKeepTheOwnerOut(t *testing.T) {
	rt, n, _ := besieged(t, Options{Listen: "127.0.0.1:0", Limits: Limits{Connections: 8}})
	_, m, _ := besieged(t, Options{})
	for range 8 {
		raw, err := net.Dial("tcp", n.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
	}
	for {
		n.mu.Lock()
		seated := len(n.seats)
		n.mu.Unlock()
		if seated == 8 {
			break
		}
	}
	if _, err := m.Root(t.Context(), SocketOf(rt.Dir())); err != nil {
		t.Error("the owner:", err)
	}
}
