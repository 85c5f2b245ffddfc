package rpc_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type copyWire struct {
	rpc func(ctx context.Context, host string, b []byte) ([]byte, error)
}

func (w copyWire) Deliver(ctx context.Context, host, at string, to []byte, m caps.Message) (caps.Reply, error) {
	return caps.Reply{}, caps.ErrNotDelivered
}

func (w copyWire) Describe(ctx context.Context, host, at string, to []byte) (sturdy.ObjectInfo, error) {
	return sturdy.ObjectInfo{}, caps.ErrNotDelivered
}

func (w copyWire) Send(ctx context.Context, host, at string, b []byte) ([]byte, error) {
	return w.rpc(ctx, host, b)
}

func (w copyWire) Restore(ctx context.Context, s caps.SturdyRef) (caps.Ref, error) {
	return caps.Ref{}, caps.ErrNotDelivered
}
func (w copyWire) Address() string { return "" }

func copyOf(t *testing.T, dir string) *host {
	h := &host{t: t, dir: dir}
	rt, err := sturdy.Open(dir, deskKind, drawerKind)
	must(t, err)
	h.rt = rt
	h.desk, err = rt.Root().Ensure(context.Background(), "desk", func(t *sturdy.WriteTurn) caps.Ref { return deskKind.New(t, desk{}) })
	must(t, err)
	return h
}

// give hands a's desk to b, as a call's result would.
func give(t *testing.T, a, b *host) caps.Ref {
	tok, err := a.rt.Export(a.ctx(), a.desk, b.rt.Host())
	must(t, err)
	r, err := b.rt.Import(tok, a.rt.Host(), "")
	must(t, err)
	return r
}

// The answer to a batch is lost; before it is brought again the grant is revoked at the sender.
func TestALetterThatRanIsNotRevokedAfterwards(t *testing.T) {
	a, b := copyOf(t, t.TempDir()+"/a"), copyOf(t, t.TempDir()+"/b")
	defer a.rt.Close()
	defer b.rt.Close()
	r := give(t, a, b)
	var s caps.Ref
	var g sturdy.Grant
	must(t, b.rt.Update(b.ctx(), func(t *sturdy.WriteTurn) error { s, g = t.Grant(r, caps.Terms{For: "x"}); return nil }))
	n := 0
	again, went := make(chan bool), make(chan bool)
	must(t, connect(b.rt, copyWire{func(ctx context.Context, host string, batch []byte) ([]byte, error) {
		if n++; n == 1 {
			_, err := a.rt.Accept(ctx, b.rt.Host(), "", batch)
			if err != nil {
				t.Error(err)
			}
			close(went)
			return nil, caps.ErrMaybeExecuted // the answer is lost
		}
		<-again
		return a.rt.Accept(ctx, b.rt.Host(), "", batch)
	}}))
	p := deskAdd.Send(b.ctx(), s, 5)
	c5, cc := context.WithTimeout(b.ctx(), 2*time.Second)
	defer cc()
	<-went
	must(t, g.Revoke(b.ctx()))
	close(again)
	got, err := p.Await(c5)
	t.Log("the sender is told:", got, err)
	v, err2 := deskAdd.Call(a.ctx(), a.desk, 0)
	t.Log("at the target:", v, err2)
	dead := 0
	for l := range b.rt.Activity().DeadLetters(b.ctx()) {
		t.Log("dead:", l.Method, l.Error)
		dead++
	}
	if v == 5 && dead > 0 {
		t.Error("it ran, and its sender is told that it never did")
	}
}

// The sender's world is brought back from a backup; an answer to a letter that the backup does not know comes.
func TestAnAnswerToABackupsLetterIsNotTaken(t *testing.T) {
	dir := t.TempDir()
	a, b := copyOf(t, dir+"/a"), copyOf(t, dir+"/b")
	defer a.rt.Close()
	r := give(t, a, b)
	must(t, deskPut.Call(b.ctx(), b.desk, r))
	must(t, b.rt.Close())
	must(t, os.CopyFS(dir+"/backup", os.DirFS(dir+"/b")))
	b = copyOf(t, dir+"/b")
	hb := b.rt.Host()
	r, err := deskGet.Call(b.ctx(), b.desk)
	must(t, err)
	var batch []byte
	sent := make(chan bool, 100)
	must(t, connect(b.rt, copyWire{func(ctx context.Context, host string, x []byte) ([]byte, error) {
		n, err := a.rt.Accept(ctx, hb, "", x)
		sent <- true
		return n, err
	}}))
	_ = deskAdd.Send(b.ctx(), r, 77)
	<-sent
	must(t, b.rt.Close()) // the disk of b burns down; the answer waits at a
	// b comes back from the backup
	b = copyOf(t, dir+"/backup")
	defer b.rt.Close()
	t.Log("copied:", b.rt.Copied())
	r, err = deskGet.Call(b.ctx(), b.desk)
	must(t, err)
	p := deskAdd.Send(b.ctx(), r, 1)
	_ = batch
	must(t, connect(a.rt, copyWire{func(ctx context.Context, host string, x []byte) ([]byte, error) {
		return b.rt.Accept(ctx, a.rt.Host(), "", x)
	}}))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	got, err := p.Await(ctx)
	v, _ := deskAdd.Call(a.ctx(), a.desk, 0)
	t.Log("the promise of the new letter, which never left:", got, err, "at the target:", v)
	if err == nil && v == 77 {
		t.Error("the answer to a letter of another lineage has settled this one's promise, and the letter is lost")
	}
}

// The receiver is brought back from a backup: it has forgotten a letter that it had accepted.
func TestLettersThatABackupForgotAreBroughtAgain(t *testing.T) {
	dir := t.TempDir()
	a, b := copyOf(t, dir+"/a"), copyOf(t, dir+"/b")
	ha, hb := a.rt.Host(), b.rt.Host()
	r := give(t, a, b)
	must(t, deskPut.Call(b.ctx(), b.desk, r))
	var mu sync.Mutex
	sent := make(chan bool, 100)
	wire := copyWire{func(ctx context.Context, host string, x []byte) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		n, err := a.rt.Accept(ctx, hb, "", x)
		select {
		case sent <- true:
		default:
		}
		return n, err
	}}
	must(t, connect(b.rt, wire))
	must(t, a.rt.Close())
	must(t, os.CopyFS(dir+"/backup", os.DirFS(dir+"/a")))
	a = copyOf(t, dir+"/a")
	one := deskAdd.Send(b.ctx(), r, 1) // accepted by a, whose disk burns down before it answers
	must(t, deskPut.Call(b.ctx(), b.desk, one.Ref()))
	<-sent
	must(t, a.rt.Close())
	mu.Lock()
	a = copyOf(t, dir+"/backup")
	defer func() { a.rt.Close() }()
	must(t, a.rt.Adopt(a.ctx()))
	must(t, connect(a.rt, copyWire{func(ctx context.Context, host string, x []byte) ([]byte, error) {
		mu.Lock()
		rt := b.rt
		mu.Unlock()
		return rt.Accept(ctx, ha, "", x)
	}}))
	mu.Unlock()
	two := deskAdd.Send(b.ctx(), r, 10)
	got, err := two.Await(b.ctx())
	t.Log("the second:", got, err)
	// b restarts, and brings the first again
	mu.Lock()
	must(t, b.rt.Close())
	b = copyOf(t, dir+"/b")
	must(t, connect(b.rt, wire))
	mu.Unlock()
	defer b.rt.Close()
	held, err := deskGet.Call(b.ctx(), b.desk)
	must(t, err)
	_ = held
	<-time.After(2 * time.Second)
	v, _ := deskAdd.Call(a.ctx(), a.desk, 0)
	for l := range b.rt.Activity().Letters(b.ctx()) {
		t.Errorf("waits for ever: %+v; at the target %d", l, v)
	}
}

// A peer that takes small messages only.
func TestABatchThatIsTooLargeIsSplit(t *testing.T) {
	a := newHost(t, rpc.Options{Listen: "127.0.0.1:0", Limits: rpc.Limits{MessageBytes: 64 << 10}})
	b := newHost(t, rpc.Options{})
	r := b.opens(a.save(caps.Terms{For: "b"}))
	a.stop()
	big := caps.Method[string, int64]("none")
	for range 100 {
		_ = big.Send(b.ctx(), r, strings.Repeat("x", 1000))
	}
	p := deskAdd.Send(b.ctx(), r, 1)
	a.start()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := p.Await(ctx)
	n := 0
	for range b.rt.Activity().Letters(b.ctx()) {
		n++
	}
	t.Log(got, err, "letters that wait:", n)
	if err != nil {
		t.Error("blocked for ever: the batch is more than the peer takes, each time")
	}
}

// Of two links to a host, that which is called over breaks.
func TestTheOtherLinkServesWhenOneBreaks(t *testing.T) {
	a := newHost(t, rpc.Options{Listen: "127.0.0.1:0"})
	x := newHost(t, rpc.Options{})
	door, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var mu sync.Mutex
	var cs []net.Conn
	go func() {
		c, err := door.Accept()
		if err != nil {
			return
		}
		d, err := net.Dial("tcp", a.node.Address())
		if err != nil {
			return
		}
		mu.Lock()
		cs = append(cs, c, d)
		mu.Unlock()
		go io.Copy(c, d)
		io.Copy(d, c)
	}()
	r := x.opens(a.save(caps.Terms{For: "x"}).At(door.Addr().String()))
	must(t, deskPut.Call(x.ctx(), r, x.desk))
	_, err = x.node.Root(x.ctx(), rpc.SocketOf(a.dir)) // a second link
	must(t, err)
	back, err := deskGet.Call(a.ctx(), a.desk)
	must(t, err)
	adds(t, back, 1, 1)
	door.Close()
	mu.Lock()
	for _, c := range cs {
		c.Close()
	}
	mu.Unlock()
	<-time.After(time.Second)
	adds(t, back, 1, 2) // x is connected to a still, through the socket
}
