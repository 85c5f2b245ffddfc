package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// A stranger is a host that speaks the protocol of links and does as it likes with what goes
// over them.

const (
	cupAdd  caps.Method[int64, int64] = "add"
	cupHold caps.Command[caps.Ref]    = "hold"
)

// cup counts, and holds something.
type cup struct {
	N    int64
	Held caps.Ref
}

func (c *cup) add(_ *sturdy.WriteTurn, n int64) (int64, error) { c.N += n; return c.N, nil }
func (c *cup) hold(_ *sturdy.WriteTurn, r caps.Ref) error      { c.N, c.Held = c.N+1000, r; return nil }

var cupKind = sturdy.Define("test.example/cup", sturdy.Method(cupAdd, (*cup).add), sturdy.Command(cupHold, (*cup).hold))

// victim is a world that strangers come to.
type victim struct {
	t    testing.TB
	rt   *sturdy.Runtime
	node *Node
	cup  caps.Ref
}

func newVictim(t testing.TB) *victim {
	t.Helper()
	v := &victim{t: t}
	var err error
	v.rt, err = sturdy.Open(filepath.Join(t.TempDir(), "w"), cupKind)
	v.must(err)
	v.node, err = Attach(v.rt, Options{Listen: "127.0.0.1:0"})
	v.must(err)
	t.Cleanup(func() {
		v.must(v.rt.Check(context.Background()))
		v.must(errors.Join(v.node.Close(), v.rt.Close()))
	})
	v.cup, err = v.rt.Root().Ensure(context.Background(), "cup", func(t *sturdy.WriteTurn) caps.Ref { return cupKind.New(t, cup{}) })
	v.must(err)
	return v
}

func (v *victim) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// holds fails unless the cup has n in it.
func (v *victim) holds(n int64) {
	v.t.Helper()
	if got, err := cupAdd.Call(context.Background(), v.cup, 0); got != n || err != nil {
		v.t.Errorf("the cup holds %d, %v; want %d", got, err, n)
	}
}

// save is a sturdy ref of the cup.
func (v *victim) save() caps.SturdyRef {
	v.t.Helper()
	s, _, err := v.rt.Save(context.Background(), v.cup, caps.Terms{For: "a stranger"})
	v.must(err)
	return s
}

// stranger is connected to a victim. What the victim asks of it stands in asked, and gets no
// answer but that of reply.
type stranger struct {
	v     *victim
	id    identity
	l     *link
	asked chan request
	notes []byte // what the last answer to a batch says of single letters
}

// intrude connects the host whose key comes from seed.
func intrude(v *victim, seed byte, reply func(request) (response, error)) *stranger {
	v.t.Helper()
	s := &stranger{v: v, id: newIdentity(v.t, seed), asked: make(chan request, 10_000)}
	raw, err := net.Dial("tcp", v.node.Address())
	v.must(err)
	conn, _, err := secure(context.Background(), raw, s.id, false, v.rt.Host(), Limits{})
	v.must(err)
	s.l = newLink(conn, v.rt.Host(), func(_ context.Context, _ *link, q request) (response, error) {
		s.asked <- q
		return reply(q)
	}, Limits{}, quiet())
	v.t.Cleanup(func() {
		s.l.close(nil)
		<-s.l.done()
	})
	return s
}

// takes is a reply that takes every letter and answers none.
func takes(q request) (response, error) {
	if q.op != opSend {
		return response{}, errors.New("nothing else")
	}
	return response{body: append([]byte{1}, make([]byte, len(lettersOf(q.body)))...)}, nil
}

// ask waits for a while only, so that a test says where it waits in vain.
func (s *stranger) ask(q request) (response, error) {
	s.v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.l.call(ctx, q)
}

// opens restores text, as an honest host would, and returns the token for that.
func (s *stranger) opens(text caps.SturdyRef) []byte {
	s.v.t.Helper()
	r, err := s.ask(request{op: opRestore, body: []byte(text.Reveal())})
	s.v.must(err)
	return r.slots[0]
}

// adds calls add(1) of what target designates.
func (s *stranger) adds(target []byte) error {
	_, err := s.ask(request{op: opCall, target: target, method: "add", body: []byte{1}})
	return err
}

// homeOf is a token as it goes back to who made it, with these rights left of it.
func homeOf(rights byte, token []byte) []byte { return append([]byte{2, rights}, token...) }

// text appends a byte string with its length in front.
func text(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }

// uvarints is numbers, one behind the other.
func uvarints(ns ...uint64) (b []byte) {
	for _, n := range ns {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// note is one letter of a batch: a message, with a verdict an answer, and with the number 0 one
// that was given up before it left.
type note struct {
	seq, number, box uint64
	channel          uint64 // that an answer's message came in; of what was read, that of its batch
	target           []byte
	verdict          string // "ran" or "not run" of an answer
	method           string
	body             string
	args             [][]byte
}

func (n note) append(b []byte) []byte {
	if n.number == 0 {
		return text(append(b, uvarints(n.seq, 0)...), string(n.target))
	}
	b = append(b, uvarints(n.seq, n.number, n.box)...)
	if n.verdict != "" {
		b = append(text(append(b, 1), n.verdict), uvarints(n.channel)...)
	} else {
		b = text(text(append(b, 0, 0), string(n.target)), n.method)
	}
	b = append(text(b, n.body), uvarints(uint64(len(n.args)))...)
	for _, a := range n.args {
		b = text(b, string(a))
	}
	return b
}

// batch is letters of a lineage.
func batch(lineage uint64, ns ...note) []byte {
	b := uvarints(1, lineage, 0)
	for _, n := range ns {
		b = n.append(b)
	}
	return b
}

// lettersOf reads a batch that a victim sends.
func lettersOf(b []byte) (all []note) {
	p := frameParser{rest: b}
	p.uvarint()
	lineage := p.uvarint()
	p.uvarint()
	for len(p.rest) > 0 && p.fault == nil {
		n := note{seq: p.uvarint(), number: p.uvarint(), channel: lineage}
		if n.number == 0 {
			n.target = p.bytes(1 << 20)
			all = append(all, n)
			continue
		}
		n.box = p.uvarint()
		if p.uvarint() == 1 {
			n.verdict = string(p.bytes(1 << 20))
			p.uvarint()
		} else {
			p.uvarint()
			n.target, n.method = p.bytes(1<<20), string(p.bytes(1<<20))
		}
		n.body = string(p.bytes(1 << 22))
		for c := p.uvarint(); c > 0 && p.fault == nil; c-- {
			n.args = append(n.args, p.bytes(1<<20))
		}
		all = append(all, n)
	}
	return all
}

// brings sends a batch and returns how many of its letters were dealt with.
func (s *stranger) brings(b []byte) (uint64, error) {
	s.v.t.Helper()
	r, err := s.ask(request{op: opSend, body: b})
	if err != nil {
		return 0, err
	}
	_, size := binary.Uvarint(r.body)
	if size <= 0 {
		s.v.t.Fatalf("the answer to a batch is %x", r.body)
	}
	s.notes = r.body[size:]
	return uint64(len(s.notes)), nil
}

// told waits for the next letter that the victim brings.
func (s *stranger) told() note {
	s.v.t.Helper()
	late := time.After(10 * time.Second)
	for {
		select {
		case q := <-s.asked:
			if ns := lettersOf(q.body); q.op == opSend && len(ns) > 0 {
				return ns[0]
			}
		case <-late:
			s.v.t.Fatal("nothing was brought")
		}
	}
}
