package rpc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// What an honest caller notices of one who is not, at the same host. The besieger is a process of
// its own, so that the two share the machine and not a scheduler.

const (
	wellDraw caps.Query[int64]  = "draw"
	wellPour caps.Query[[]byte] = "pour"
)

type well struct{ N int64 }

var wellKind = sturdy.Define("test.example/well",
	sturdy.Query(wellDraw, func(w *well, _ *sturdy.ReadTurn) (int64, error) { return w.N, nil }),
	sturdy.Query(wellPour, func(*well, *sturdy.ReadTurn) ([]byte, error) { return make([]byte, 900_000), nil }))

// siege is what a besieger is told.
type siege struct {
	Way, Address, Host, Text string
	Hands                    int // how many do it at once
}

// besiegers do what they do until the context ends. One that is thrown out comes again.
var besiegers = map[string]func(ctx context.Context, t testing.TB, s siege, seed byte){
	"only takes a core": func(ctx context.Context, _ testing.TB, _ siege, _ byte) {
		for n := 0; ctx.Err() == nil; {
			for range 1_000_000 {
				n++
			}
		}
	},
	"floods with calls": func(ctx context.Context, t testing.TB, s siege, seed byte) {
		s.raw(ctx, t, seed, true, request{op: opCall, method: "draw"}, 200)
	},
	"never reads": func(ctx context.Context, t testing.TB, s siege, seed byte) {
		s.raw(ctx, t, seed, false, request{op: opCall, method: "pour"}, 10)
	},
	"sends huge frames": func(ctx context.Context, t testing.TB, s siege, seed byte) {
		s.raw(ctx, t, seed, true, request{op: opCall, method: "draw", body: make([]byte, Limits{}.withDefaults().MessageBytes-4096)}, 1)
	},
	"connects and goes": func(ctx context.Context, t testing.TB, s siege, seed byte) {
		for ctx.Err() == nil {
			if conn, err := s.enter(ctx, t, seed); err == nil {
				_ = carrier(conn).Close()
			}
		}
	},
}

// enter makes a connection as the host of that seed.
func (s siege) enter(ctx context.Context, t testing.TB, seed byte) (net.Conn, error) {
	raw, err := net.Dial("tcp", s.Address)
	if err != nil {
		return nil, err
	}
	conn, _, err := secure(ctx, raw, newIdentity(t, seed), false, s.Host, Limits{})
	if err != nil {
		_ = raw.Close()
	}
	return conn, err
}

// raw writes q over and over, so many in one write, whatever the host says. reads says that it takes
// the answers off the wire.
func (s siege) raw(ctx context.Context, t testing.TB, seed byte, reads bool, q request, together int) {
	lim := Limits{}.withDefaults()
	for ctx.Err() == nil {
		conn, err := s.enter(ctx, t, seed)
		if err != nil {
			continue
		}
		l := newLink(conn, s.Host, echo, Limits{}, quiet())
		r, err := l.call(ctx, request{op: opRestore, body: []byte(s.Text)})
		l.close(nil)
		<-l.done()
		if err != nil {
			continue
		}
		q.target = homeOf(allRights, r.slots[0])
		if conn, err = s.enter(ctx, t, seed); err != nil {
			continue
		}
		end := context.AfterFunc(ctx, func() { _ = carrier(conn).Close() })
		if reads {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
		_, err = conn.Write(appendHello([]byte(preface), &lim))
		var b []byte
		for id := uint64(1); err == nil; {
			b = b[:0]
			for range together {
				b = appendRequest(b, id, &q, 0)
				id++
			}
			_, err = conn.Write(b)
		}
		end()
		_ = carrier(conn).Close()
	}
}

// TestBesiegerChild is the besieger: it does nothing in an ordinary run.
func TestBesiegerChild(t *testing.T) {
	var s siege
	if json.Unmarshal([]byte(os.Getenv("STURDY_SIEGE")), &s) != nil {
		t.Skip("only as a child of BenchmarkSiege")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range s.Hands {
		all.Go(func() { besiegers[s.Way](ctx, t, s, byte(100+i)) })
	}
	os.Stdout.WriteString("begins\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	all.Wait()
}

// begin starts the process, and returns what ends it.
func (s siege) begin(b *testing.B) (end func()) {
	order, err := json.Marshal(s)
	fine(b, err)
	child := exec.Command(os.Args[0], "-test.run=^TestBesiegerChild$", "-test.timeout=60s")
	child.Env = append(os.Environ(), "STURDY_SIEGE="+string(order))
	out, err := child.StdoutPipe()
	fine(b, err)
	in, err := child.StdinPipe()
	fine(b, err)
	fine(b, child.Start())
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "begins"); {
	}
	return sync.OnceFunc(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = child.Wait()
	})
}

func fine(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pace is how often a call is due: seldom enough that one that is slow does not make the next late.
const pace = 5 * time.Millisecond

// drawn is how long calls took of which one was due at each pace for so long: the median, and what
// one of a hundred exceeds. A call that could not be made in time, as the one before was slow, took
// from when it was due: else the one that waits would count as one among all that did not.
func drawn(b *testing.B, r caps.Ref, d time.Duration) (p50, p99 time.Duration) {
	var took []time.Duration
	start := time.Now()
	for due := time.Duration(0); due < d && time.Since(start) < 3*d; due += pace {
		from := due
		if early := due - time.Since(start); early > 0 {
			<-time.After(early)
			from = time.Since(start) // a timer that is late is not the host's
		}
		_, err := wellDraw.Call(b.Context(), r)
		fine(b, err)
		took = append(took, time.Since(start)-from)
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100]
}

// BenchmarkSiege is the latency of an honest caller alone and beside each besieger. What one that
// only takes a core costs is what the machine lacks; the rest is the host's.
func BenchmarkSiege(b *testing.B) {
	for _, way := range []string{"only takes a core", "floods with calls", "never reads", "sends huge frames", "connects and goes"} {
		for _, hands := range []int{1, 4} {
			b.Run(way+"/"+string('0'+rune(hands)), func(b *testing.B) { besiege(b, way, hands) })
		}
	}
}

func besiege(b *testing.B, way string, hands int) {
	log := slog.New(slog.DiscardHandler)
	open := func(name string, o Options) (*sturdy.Runtime, *Node) {
		rt, err := sturdy.Options{Dir: filepath.Join(b.TempDir(), name), Kinds: []sturdy.Kind{wellKind}, Log: log}.Open()
		fine(b, err)
		n, err := Attach(rt, o)
		fine(b, err)
		b.Cleanup(func() { fine(b, errors.Join(n.Close(), rt.Close())) })
		return rt, n
	}
	home, node := open("home", Options{Listen: "127.0.0.1:0"})
	there, _ := open("there", Options{})
	made, err := home.Root().Ensure(b.Context(), "well", func(t *sturdy.WriteTurn) caps.Ref { return wellKind.New(t, well{}) })
	fine(b, err)
	s, _, err := home.Save(b.Context(), made, caps.Terms{For: "everybody"})
	fine(b, err)
	r, err := there.Restore(b.Context(), s)
	fine(b, err)
	_, _ = drawn(b, r, 200*time.Millisecond)
	alone50, alone99 := drawn(b, r, 1500*time.Millisecond)
	end := siege{Way: way, Address: node.Address(), Host: home.Host(), Text: s.Reveal(), Hands: hands}.begin(b)
	defer end()
	_, _ = drawn(b, r, 200*time.Millisecond)
	p50, p99 := drawn(b, r, 1500*time.Millisecond)
	us := func(d time.Duration) float64 { return float64(d.Microseconds()) }
	b.ReportMetric(us(alone50), "alone-p50-µs")
	b.ReportMetric(us(alone99), "alone-p99-µs")
	b.ReportMetric(us(p50), "p50-µs")
	b.ReportMetric(us(p99), "p99-µs")
	b.ReportMetric(us(p50)/us(alone50), "p50-ratio")
	b.ReportMetric(us(p99)/us(alone99), "p99-ratio")
	b.ReportMetric(0, "ns/op")
}
