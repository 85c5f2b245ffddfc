package rpc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
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

// child is another process that is one of this binary's tests, told what is in order.
type child struct {
	b   *testing.B
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startChild(b *testing.B, test, env string, order any) *child {
	text, err := json.Marshal(order)
	fine(b, err)
	c := &child{b: b, cmd: exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.timeout=60s")}
	c.cmd.Env = append(os.Environ(), env+"="+string(text))
	out, err := c.cmd.StdoutPipe()
	fine(b, err)
	c.in, err = c.cmd.StdinPipe()
	fine(b, err)
	c.out = bufio.NewScanner(out)
	fine(b, c.cmd.Start())
	return c
}

// says is what follows word in the next line that begins with it.
func (c *child) says(word string) string {
	for c.out.Scan() {
		if rest, ok := strings.CutPrefix(c.out.Text(), word); ok {
			return rest
		}
	}
	c.b.Fatal("a child has ended")
	return ""
}

func (c *child) end() {
	_ = c.in.Close()
	for c.out.Scan() {
	}
	_ = c.cmd.Wait()
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
func drawn(t testing.TB, r caps.Ref, d time.Duration) (p50, p99 time.Duration) {
	var took []time.Duration
	start := time.Now()
	for due := time.Duration(0); due < d && time.Since(start) < 3*d; due += pace {
		from := due
		if early := due - time.Since(start); early > 0 {
			<-time.After(early)
			from = time.Since(start) // a timer that is late is not the host's
		}
		_, err := wellDraw.Call(t.Context(), r)
		fine(t, err)
		took = append(took, time.Since(start)-from)
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100]
}

// TestHonestChild is the honest caller: it does nothing in an ordinary run. For each line that comes
// in it draws for a while, and says how long that took.
func TestHonestChild(t *testing.T) {
	var text string
	if json.Unmarshal([]byte(os.Getenv("STURDY_HONEST")), &text) != nil {
		t.Skip("only as a child of BenchmarkSiege")
	}
	s, err := caps.ParseSturdyRef(text)
	fine(t, err)
	there, err := sturdy.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}.Open()
	fine(t, err)
	n, err := Attach(there, Options{})
	fine(t, err)
	r, err := there.Restore(t.Context(), s)
	fine(t, err)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		_, _ = drawn(t, r, 200*time.Millisecond)
		p50, p99 := drawn(t, r, 1500*time.Millisecond)
		fmt.Println("took", p50.Microseconds(), p99.Microseconds())
	}
	fine(t, errors.Join(n.Close(), there.Close()))
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
	home, err := sturdy.Options{Dir: b.TempDir(), Kinds: []sturdy.Kind{wellKind}, Log: slog.New(slog.DiscardHandler)}.Open()
	fine(b, err)
	node, err := Attach(home, Options{Listen: "127.0.0.1:0"})
	fine(b, err)
	b.Cleanup(func() { fine(b, errors.Join(node.Close(), home.Close())) })
	made, err := home.Root().Ensure(b.Context(), "well", func(t *sturdy.WriteTurn) caps.Ref { return wellKind.New(t, well{}) })
	fine(b, err)
	s, _, err := home.Save(b.Context(), made, caps.Terms{For: "everybody"})
	fine(b, err)
	honest := startChild(b, "TestHonestChild", "STURDY_HONEST", s.Reveal())
	defer honest.end()
	draw := func() (p50, p99 float64) {
		_, err := io.WriteString(honest.in, "draw\n")
		fine(b, err)
		_, err = fmt.Sscan(honest.says("took"), &p50, &p99)
		fine(b, err)
		return p50, p99
	}
	alone50, alone99 := draw()
	besieger := startChild(b, "TestBesiegerChild", "STURDY_SIEGE", siege{Way: way, Address: node.Address(), Host: home.Host(), Text: s.Reveal(), Hands: hands})
	besieger.says("begins")
	p50, p99 := draw()
	besieger.end()
	b.ReportMetric(alone50, "alone-p50-µs")
	b.ReportMetric(alone99, "alone-p99-µs")
	b.ReportMetric(p50, "p50-µs")
	b.ReportMetric(p99, "p99-µs")
	b.ReportMetric(p50/alone50, "p50-ratio")
	b.ReportMetric(p99/alone99, "p99-ratio")
	b.ReportMetric(0, "ns/op")
}
