package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// attack is a peer that breaks the rules: what it says, after its greeting, and what it is
// told.
type attack struct {
	name  string
	ask   int // so many requests are made of it meanwhile
	say   []byte
	words string // of the bye
}

func attacks() []attack {
	wait := func(id uint64) []byte { return appendRequest(nil, id, &request{op: opCall, method: "wait"}, 0) }
	lim := Limits{}.withDefaults()
	return []attack{
		{name: "a frame that is too large", say: binary.AppendUvarint(nil, leastMessage+1), words: "more than 16384 bytes"},
		{name: "an endless length", say: bytes.Repeat([]byte{0xff}, 12), words: "frame of more"},
		{name: "an empty frame", say: raw(), words: "cut short"},
		{name: "an unknown frame", say: raw(200, 1), words: "kind 200"},
		{name: "garbage", say: raw([]byte("GET / HTTP/1.1\r\n\r\n")...), words: "kind 71"},
		{name: "a second hello", say: appendHello(nil, &lim), words: "one hello"},
		{name: "too many slots", say: appendRequest(nil, 1, &request{op: opCall, slots: make([][]byte, 6)}, 0), words: "6 slots"},
		{name: "slots that do not come", say: raw(byte(kindRequest), 1, byte(opCall), 0, 0, 0, 5), words: "cut short"},
		{name: "a long target", say: appendRequest(nil, 1, &request{op: opCall, target: make([]byte, maxToken+1)}, 0), words: "4097"},
		{name: "an unknown request", say: appendRequest(nil, 1, &request{op: 77}, 0), words: "77"},
		{name: "an id used twice", say: append(wait(1), wait(1)...), words: "request 1 after request 1"},
		{name: "an id that falls", say: append(wait(5), wait(4)...), words: "request 4 after request 5"},
		{name: "an id that wraps", say: append(wait(math.MaxUint64), wait(0)...), words: "request 0"},
		{name: "an answer to nothing", say: appendResponse(nil, 1, &response{}), words: "waits for none"},
		{name: "an error to nothing", say: appendError(nil, 9, &caps.Error{Code: "x"}), words: "waits for none"},
		{name: "an answer given twice", ask: 1, say: append(appendResponse(nil, 1, &response{}), appendResponse(nil, 1, &response{})...), words: "waits for none"},
		{name: "an answer ahead of its request", ask: 1, say: appendResponse(nil, 2, &response{}), words: "waits for none"},
		{name: "an error without a code", ask: 1, say: appendError(nil, 1, &caps.Error{Text: "x"}), words: "without a code"},
		{name: "a cancel of nothing", say: appendHeader(nil, kindCancel, 1, 0), words: "not made"},
		{name: "a pong to nothing", say: appendHeader(nil, kindPong, 0, 0), words: "not sent"},
	}
}

// waiting is a handler that answers "wait" when its context ends, and echoes the rest.
func waiting(ctx context.Context, l *link, q request) (response, error) {
	if q.method == "wait" {
		<-ctx.Done()
		return response{}, ctx.Err()
	}
	return echo(ctx, l, q)
}

// TestWhoBreaksTheRulesIsToldAndEnded has an honest link beside each attack, which goes on.
func TestWhoBreaksTheRulesIsToldAndEnded(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				honest, _ := pair(t, waiting, waiting, Limits{})
				p := play(t, waiting, Limits{MessageBytes: leastMessage, Slots: 5})
				p.greet()
				var all sync.WaitGroup
				for range a.ask {
					all.Go(func() { _, _ = p.l.call(t.Context(), request{op: opCall}) })
					p.expect(kindRequest)
				}
				began := time.Now()
				p.send(a.say)
				if why := string(p.expect(kindBye).reason); !strings.Contains(why, a.words) || !strings.Contains(why, "protocol") {
					t.Errorf("told %q", why)
				}
				if err := p.l.err(); err == nil || !strings.Contains(err.Error(), a.words) {
					t.Errorf("ended because of %v", err)
				}
				<-p.l.done()
				if d := time.Since(began); d > goodbye {
					t.Error("ended after", d)
				}
				all.Wait()
				if got := call(t, honest, "m", "still here"); got != "still here" {
					t.Error(got)
				}
			})
		})
	}
}

func TestAnotherGreetingIsRefused(t *testing.T) {
	lim := Limits{}.withDefaults()
	for first, words := range map[string]string{
		"sturdy/2\n" + string(appendHello(nil, &lim)):           "version",
		"\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00":      "does not speak",
		preface + string(appendHeader(nil, kindPing, 1, 0)):     "begins with one hello",
		preface + string(binary.AppendUvarint(nil, 1<<20)):      "more than 64 bytes",
		preface + string(appendHello(appendBye(nil, ""), &lim)): "ended it",
	} {
		synctest.Test(t, func(t *testing.T) {
			p := play(t, echo, Limits{})
			go p.send([]byte(first))
			_, err := p.l.call(t.Context(), request{op: opCall})
			is(t, err, caps.ErrNotDelivered, words)
		})
	}
}

// TestASlowGreetingEnds has one that sends nothing, and one that sends a byte now and then.
func TestASlowGreetingEnds(t *testing.T) {
	for _, say := range []string{"", preface} {
		synctest.Test(t, func(t *testing.T) {
			p := play(t, echo, Limits{Handshake: 5 * time.Second})
			began := time.Now()
			go func() {
				for i := range say {
					p.send([]byte(say[i : i+1]))
					time.Sleep(time.Second)
				}
			}()
			_, err := p.l.call(t.Context(), request{op: opCall})
			if is(t, err, caps.ErrNotDelivered, "greet"); time.Since(began) != 5*time.Second {
				t.Error(time.Since(began))
			}
			time.Sleep(time.Minute)
		})
	}
}

// TestAFloodIsRefusedAndCostsLittle has a peer make requests without end, of which few are
// served, while its answers are read; and what it sends for them to be canceled changes
// nothing.
func TestAFloodIsRefusedAndCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		release := make(chan struct{})
		stubborn := func(context.Context, *link, request) (response, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-release
			return response{}, nil
		}
		p := play(t, stubborn, Limits{Calls: 5})
		p.greet()
		for id := uint64(1); id <= 2000; id++ {
			p.send(appendRequest(nil, id, &request{op: op(id%5) + opCall}, 0))
			p.send(appendHeader(nil, kindCancel, id, 0))
		}
		p.send(appendHeader(nil, kindPing, 1, 0))
		p.expect(kindPong)
		mu.Lock()
		if most > 5 || p.l.err() != nil {
			t.Errorf("%d at once, %v", most, p.l.err())
		}
		mu.Unlock()
		p.l.mu.Lock()
		if len(p.l.load.serving) != 0 {
			t.Errorf("%d requests are kept", len(p.l.load.serving))
		}
		p.l.mu.Unlock()
		close(release)
	})
}

func TestRequestsHoldBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, waiting, Limits{BytesInFlight: 10 * leastMessage, MessageBytes: leastMessage})
		p.greet()
		for id := range uint64(100) {
			p.send(appendRequest(nil, id+1, &request{op: opCall, method: "wait", body: make([]byte, leastMessage-100)}, 0))
		}
		synctest.Wait()
		p.l.mu.Lock()
		defer p.l.mu.Unlock()
		if p.l.load.held > 10*leastMessage || p.l.load.running != 10 {
			t.Errorf("%d bytes of %d requests", p.l.load.held, p.l.load.running)
		}
	})
}

// TestWhoAsksAndDoesNotReadIsEnded has a peer that pings, or makes requests that are refused,
// without reading an answer.
func TestWhoAsksAndDoesNotReadIsEnded(t *testing.T) {
	for name, frames := range map[string]func(uint64) []byte{
		"pings":    func(n uint64) []byte { return bytes.Repeat(appendHeader(nil, kindPing, n, 0), 100) },
		"requests": func(n uint64) []byte { return appendRequest(nil, n, &request{op: opCall, method: "wait"}, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				honest, _ := pair(t, echo, echo, Limits{})
				p := play(t, waiting, Limits{BytesInFlight: leastMessage, MessageBytes: leastMessage, Calls: 1})
				p.greet()
				synctest.Wait()
				p.deaf <- struct{}{}
				n := uint64(1)
				for ; p.l.err() == nil && n < 10_000; n++ {
					p.send(frames(n))
				}
				if err := p.l.err(); err == nil || !strings.Contains(err.Error(), "reads nothing") {
					t.Errorf("after %d: %v", n, err)
				}
				p.l.mu.Lock()
				if n := p.l.out.waiting(); n > 3*leastMessage {
					t.Errorf("%d bytes wait", n)
				}
				p.l.mu.Unlock()
				call(t, honest, "m", "x")
				<-p.deaf
			})
		})
	}
}

// TestCanceledRequestsThatAreNeverAnsweredAreFew has a peer that heeds no cancel.
func TestCanceledRequestsThatAreNeverAnsweredAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, echo, Limits{Calls: 5})
		p.greet()
		var err error
		for range maxCanceled*5 + 1 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err = p.l.call(ctx, request{op: opCall})
			cancel()
		}
		is(t, err, caps.ErrOverloaded, "20 canceled")
		p.send(appendResponse(nil, 7, &response{})) // a late answer is none to nothing
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = p.l.call(ctx, request{op: opCall})
		is(t, err, caps.ErrMaybeExecuted)
		p.send(appendResponse(nil, 7, &response{})) // and a second one is
		p.expect(kindBye)
	})
}

// TestAResetInTheMiddleOfAMessage cuts connections while both sides talk.
func TestAResetInTheMiddleOfAMessage(t *testing.T) {
	before := runtime.NumGoroutine()
	near, far := ends(t, "tcp")
	honest, beside := newLink(near, "z", echo, Limits{}, quiet()), newLink(far, "a", echo, Limits{}, quiet())
	for range 10 {
		near, far := ends(t, "tcp")
		a, z := newLink(near, "z", echo, Limits{}, quiet()), newLink(far, "a", echo, Limits{}, quiet())
		var all sync.WaitGroup
		for i := range 8 {
			l := []*link{a, z}[i%2]
			all.Go(func() {
				for {
					if _, err := l.call(context.Background(), request{op: opCall, body: make([]byte, 100_000)}); err != nil {
						if !errors.Is(err, caps.ErrNotDelivered) && !errors.Is(err, caps.ErrMaybeExecuted) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		call(t, a, "m", "x")
		if err := far.(*net.TCPConn).SetLinger(0); err != nil {
			t.Error(err)
		}
		far.Close()
		all.Wait()
		<-a.done()
		<-z.done()
	}
	if got := call(t, honest, "m", "still here"); got != "still here" {
		t.Error(got)
	}
	honest.close(nil)
	<-honest.done()
	<-beside.done()
	settle(t, before)
}

// TestWhoIsEndedCanFinishItsSentence: closing on what a peer still sends resets the connection,
// and a reset can overtake the reason.
func TestWhoIsEndedCanFinishItsSentence(t *testing.T) {
	near, far := ends(t, "tcp")
	p := perform(t, newLink(near, "puppet", echo, Limits{}, quiet()), far)
	p.greet()
	if _, err := far.Write(append(raw(99, 1), make([]byte, 4<<20)...)); err != nil {
		t.Error(err)
	}
	if why := string(p.expect(kindBye).reason); !strings.Contains(why, "kind 99") {
		t.Error(why)
	}
}

// TestRandomBytesEndNothingElse sends frames of random bytes, and honest frames with some
// changed.
func TestRandomBytesEndNothingElse(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	honest := appendRequest(nil, 1, &request{op: opCall, target: []byte("t"), method: "wait", slots: [][]byte{{1}}, body: []byte("b")}, 100)
	for range 200 {
		say := make([]byte, random.IntN(60))
		for i := range say {
			say[i] = byte(random.Uint32())
		}
		if random.IntN(2) == 0 {
			say = bytes.Clone(honest)
			say[1+random.IntN(len(say)-1)] = byte(random.Uint32())
		}
		synctest.Test(t, func(t *testing.T) {
			p := play(t, waiting, Limits{})
			p.greet()
			p.send(say)
			p.conn.Close()
			<-p.l.done()
		})
	}
}
