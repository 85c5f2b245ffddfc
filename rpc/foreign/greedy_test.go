package foreign

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// small are limits that are soon reached.
func small() Limits {
	return Limits{BytesInFlight: 16 << 10, MessageBytes: 8 << 10, Slots: 7, Exports: 5, Answers: 8, Calls: 50}
}

// TestWhoNeverPausesIsAnswered: nobody writes while messages come without a gap, and what waits
// for the peer is then more than may wait.
func TestWhoNeverPausesIsAnswered(t *testing.T) {
	w := newWorld(t, small())
	v := w.villain()
	m, err := newMessage()
	must(t, err)
	_, err = m.NewProvide()
	must(t, err)
	b, err := m.Message().Marshal()
	must(t, err)
	const times = 2000
	go v.write(bytes.Repeat(b, times))
	for range times {
		if m := v.next(); m.Which() != rpccp.Message_Which_unimplemented {
			t.Fatal(m.Which())
		}
	}
}

// TestCapabilitiesWithoutArguments has nothing in a message but its capabilities.
func TestCapabilitiesWithoutArguments(t *testing.T) {
	w := newWorld(t, Limits{})
	v := w.villain()
	v.call(1, v.desk(), "desk.put", nil, with(2, hosted(0)), func(c rpccp.Call) error {
		p, err := c.Params()
		if err != nil {
			return err
		}
		return p.SetContent(capnp.Ptr{})
	})
	if _, fault := v.answer(1); strings.Contains(fault, "panicked") {
		t.Error(fault)
	}
}

// TestATargetOfAnUnknownSort: whose capabilities were counted already lets go of them itself.
func TestATargetOfAnUnknownSort(t *testing.T) {
	w := newWorld(t, Limits{})
	v := w.villain()
	v.call(1, v.desk(), "desk.put", nil, with(1, hosted(0)), func(c rpccp.Call) error {
		target, err := c.Target()
		capnp.Struct(target).SetUint16(4, 7)
		return err
	})
	if ret, fault := v.answer(1); !strings.Contains(fault, "target") || ret.ReleaseParamCaps() {
		t.Error(fault, ret.ReleaseParamCaps())
	}
}

// TestResultsThatAreKeptCountAlsoForWhoAsksOneByOne.
func TestResultsThatAreKeptCountAlsoForWhoAsksOneByOne(t *testing.T) {
	lim := small()
	lim.Exports = 100
	w := newWorld(t, lim)
	v := w.villain()
	d := v.desk()
	for id := range uint32(4) {
		v.call(id, d, "desk.make", struct1(t, "N", 1, "By", strings.Repeat("x", 5000)))
		_, fault := v.answer(id)
		if fault != "" && !strings.Contains(fault, "Limits.BytesInFlight") || id == 3 && fault == "" {
			t.Error(id, fault)
		}
	}
	v.finish(0, true)
	v.finish(1, true)
	v.call(9, d, "desk.total", nil)
	if _, fault := v.answer(9); fault != "" {
		t.Error(fault)
	}
}

// TestCapabilitiesAreCountedAsBytes: what says nothing of a capability takes no byte of a message.
func TestCapabilitiesAreCountedAsBytes(t *testing.T) {
	lim := small()
	lim.Slots, lim.Imports = 200, 1000
	w := newWorld(t, lim)
	v := w.villain()
	d := v.desk()
	for id := range uint32(5) {
		v.call(id, d, "desk.wait", nil, with(100, func(int, rpccp.CapDescriptor) error { return nil }))
	}
	if _, fault := v.answer(4); !strings.Contains(fault, "Limits.BytesInFlight") {
		t.Error(fault)
	}
}

// dialed is a server that is spoken to by hand, and the capability 0 of it as a kind.
func (w *world) dialed(kind string) (*villain, caps.Ref) {
	w.t.Helper()
	near, far := pipe(w.t)
	w.t.Cleanup(func() { far.Close() })
	v := &villain{w.t, w, far, nil, incoming{conn: far, r: bufio.NewReader(far), lim: Limits{}.withDefaults(), busy: func() bool { return false }}}
	go func() {
		b, err := v.next().Bootstrap()
		must(v.t, err)
		v.returns(b.QuestionId(), 0)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	plain, gone, err := w.h.Connect(ctx, near, Visitor{})
	must(w.t, err)
	w.t.Cleanup(func() {
		cancel()
		<-gone
	})
	ref, err := w.h.AsKind(w.t.Context(), plain, kind)
	must(w.t, err)
	return v, ref
}

// returns answers question id with capability n of its own: alone, and in the first field.
func (v *villain) returns(id, n uint32) {
	v.send(func(m rpccp.Message) error {
		ret, err := m.NewReturn()
		if err != nil {
			return err
		}
		ret.SetAnswerId(id)
		ret.SetReleaseParamCaps(false)
		p, err := ret.NewResults()
		if err != nil {
			return err
		}
		list, err := p.NewCapTable(1)
		if err != nil {
			return err
		}
		list.At(0).SetSenderHosted(n)
		if n == 0 {
			return p.SetContent(capnp.NewInterface(p.Segment(), 0).ToPtr())
		}
		s, err := capnp.NewStruct(p.Segment(), capnp.ObjectSize{PointerCount: 1})
		if err != nil {
			return err
		}
		return errors.Join(s.SetPtr(0, capnp.NewInterface(p.Segment(), 0).ToPtr()), p.SetContent(s.ToPtr()))
	})
}

// asked is the next question that the host asks.
func (v *villain) asked() uint32 {
	for {
		if m := v.next(); m.Which() == rpccp.Message_Which_call {
			c, err := m.Call()
			must(v.t, err)
			return c.QuestionId()
		}
	}
}

// TestWhatIsObtainedThroughADeepRefIsReadOnly also if it is another program's.
func TestWhatIsObtainedThroughADeepRefIsReadOnly(t *testing.T) {
	w := newWorld(t, Limits{})
	v, desk := w.dialed("test.example/desk")
	for to, want := range map[caps.Rights]caps.Rights{caps.Read: caps.Read, caps.Read | caps.Shallow: caps.Read | caps.Write | caps.Run} {
		go func() { v.returns(v.asked(), 1) }()
		got, err := deskGet.Call(t.Context(), desk.Attenuate(to))
		if err != nil || got.Rights() != want {
			t.Errorf("through %v it is %v, %v", to, got, err)
		}
	}
}

// TestACallThatIsPassedOnHasBegunWhenItIsSent: the next need not wait for its answer.
func TestACallThatIsPassedOnHasBegunWhenItIsSent(t *testing.T) {
	w := newWorld(t, Limits{})
	v, desk := w.dialed("test.example/desk")
	begun := make(chan struct{})
	go func() {
		id := v.asked()
		select {
		case <-begun:
		case <-time.After(10 * time.Second):
			t.Error("it has not begun")
		}
		v.returns(id, 1)
	}()
	if _, err := w.rt.Deliver(t.Context(), desk, caps.Message{Method: "get"}, func() { close(begun) }); err != nil {
		t.Error(err)
	}
}

// TestACallerDoesNotWaitForAProgramThatReadsNothing longer than it says.
func TestACallerDoesNotWaitForAProgramThatReadsNothing(t *testing.T) {
	w := newWorld(t, Limits{BytesInFlight: 1 << 20, MessageBytes: 1 << 20})
	_, desk := w.dialed("test.example/desk")
	start := time.Now()
	for range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := deskEcho.Call(ctx, desk, strings.Repeat("x", 500_000))
		cancel()
		if err == nil || time.Since(start) > 20*time.Second {
			t.Fatal(time.Since(start), err)
		}
	}
}

// TestWhatAProgramDidNotTakeItDoesNotHold.
func TestWhatAProgramDidNotTakeItDoesNotHold(t *testing.T) {
	w := newWorld(t, Limits{Exports: 5, Slots: 4})
	v, desk := w.dialed("test.example/desk")
	for i := range 8 {
		go func() {
			id := v.asked()
			v.send(func(m rpccp.Message) error {
				u, err := m.NewUnimplemented()
				if err != nil {
					return err
				}
				c, err := u.NewCall()
				c.SetQuestionId(id)
				return err
			})
		}()
		var fresh caps.Ref
		must(t, w.rt.Update(t.Context(), func(t *sturdy.WriteTurn) error { fresh = drawerKind.New(t, drawer{}); return nil }))
		if err := deskPut.Call(t.Context(), desk, fresh); !errors.Is(err, caps.ErrNoMethod) {
			t.Fatal(i, err)
		}
	}
	// What it takes and keeps is bounded.
	go func() {
		for range 5 {
			v.returns(v.asked(), 1)
		}
	}()
	var err error
	for range 8 {
		var fresh caps.Ref
		must(t, w.rt.Update(t.Context(), func(t *sturdy.WriteTurn) error { fresh = drawerKind.New(t, drawer{}); return nil }))
		if err = deskPut.Call(t.Context(), desk, fresh); err != nil {
			break
		}
	}
	if !errors.Is(err, caps.ErrOverloaded) || !strings.Contains(err.Error(), "Limits.Exports") {
		t.Error(err)
	}
}

// A program that ends does not wait for all answers, which is nothing to tell anybody.
func TestAProgramMayGoBeforeItHasReadEverything(t *testing.T) {
	w := newWorld(t, Limits{})
	for range 10 {
		v := w.villain()
		d := v.desk()
		for id := range uint32(50) {
			v.call(id, d, "desk.big", 100_000)
		}
		_ = v.conn.Close()
		if err := <-v.end; err != nil {
			t.Fatal(err)
		}
	}
}
