package foreign

import (
	"context"
	"errors"
	"strings"
	"testing"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// payloads are arguments that stand for more than they take, and what is said of them.
func payloads(t testing.TB) map[string]func(s capnp.Struct) string {
	return map[string]func(s capnp.Struct) string{
		"pointers_to_one_list": func(s capnp.Struct) string {
			inner, _ := capnp.NewInt8List(s.Segment(), 1000)
			setPtr(t, s, 0, fan(t, s, fan(t, s, inner.ToPtr())))
			return "too many bytes"
		},
		"pointers_to_one_struct": func(s capnp.Struct) string {
			inner, _ := capnp.NewStruct(s.Segment(), capnp.ObjectSize{})
			setPtr(t, s, 0, fan(t, s, fan(t, s, inner.ToPtr())))
			return "too many"
		},
		"itself": func(s capnp.Struct) string {
			setPtr(t, s, 0, s.ToPtr())
			return "nested deeper"
		},
		"itself_twice": func(s capnp.Struct) string {
			setPtr(t, s, 0, s.ToPtr())
			setPtr(t, s, 1, s.ToPtr())
			return "nested deeper"
		},
		"a_list_of_itself": func(s capnp.Struct) string {
			l, _ := capnp.NewPointerList(s.Segment(), 2)
			must(t, l.Set(0, l.ToPtr()))
			must(t, l.Set(1, l.ToPtr()))
			setPtr(t, s, 0, l.ToPtr())
			return "nested deeper"
		},
		"a_capability_that_was_not_sent": func(s capnp.Struct) string {
			setPtr(t, s, 0, capnp.NewInterface(s.Segment(), 7).ToPtr())
			return "capability 7 of 0"
		},
	}
}

// TestAPayloadIsMeasuredBeforeItIsCopied.
func TestAPayloadIsMeasuredBeforeItIsCopied(t *testing.T) {
	blank := func() capnp.Struct {
		_, seg, err := capnp.NewMessage(capnp.SingleSegment(nil))
		must(t, err)
		s, err := capnp.NewRootStruct(seg, capnp.ObjectSize{DataSize: 8, PointerCount: 4})
		must(t, err)
		return s
	}
	for name, fill := range payloads(t) {
		s := blank()
		says := fill(s)
		s.Message().ResetReadLimit(1 << 40) // ours is the limit that is looked at here
		r := &reader{elements: 100_000, bytes: 1 << 20}
		if f := r.measure(s.ToPtr(), 1); f == nil || !strings.Contains(f.outcome().Error(), says) {
			t.Errorf("%s: %v", name, f.outcome())
		}
	}
	for name, words := range map[string][]uint64{
		"of_empty_structs": {1 << 48, 1 | 7<<32, (1<<29 - 1) << 2},
		"of_void":          {1 << 48, 1 | (1<<29-1)<<35},
		"fewer_than_none":  {1 << 48, 1 | 7<<32, 0xffff_fffc},
	} {
		s := rooted(t, raw(words...))
		s.Message().ResetReadLimit(1 << 40)
		if f := (&reader{elements: 100_000, bytes: 1 << 20}).measure(s.ToPtr(), 1); f == nil || !strings.Contains(f.outcome().Error(), "too many values") {
			t.Errorf("%s: %v", name, f.outcome())
		}
	}
	// What is honest is charged with at least what its copy takes, and not much more.
	s := blank()
	must(t, s.SetText(0, strings.Repeat("x", 5001)))
	bits, _ := capnp.NewBitList(s.Segment(), 999)
	setPtr(t, s, 1, bits.ToPtr())
	structs, _ := capnp.NewCompositeList(s.Segment(), capnp.ObjectSize{DataSize: 16, PointerCount: 1}, 50)
	for i := range structs.Len() {
		must(t, structs.Struct(i).SetText(0, "abcdefg"))
	}
	setPtr(t, s, 2, structs.ToPtr())
	words, _ := capnp.NewUInt64List(s.Segment(), 30)
	setPtr(t, s, 3, words.ToPtr())
	r := &reader{elements: 100_000, bytes: 1 << 20}
	if f := r.measure(s.ToPtr(), 1); f != nil {
		t.Fatal(f.outcome())
	}
	if charged, size := 1<<20-r.bytes, messageSize(s.Message()); charged < size-16 || charged > size+size/4+64 {
		t.Errorf("%d bytes are charged for %d", charged, size)
	}
}

// TestWhatStandsForTooMuchIsNotPassedOn, and harms nobody.
func TestWhatStandsForTooMuchIsNotPassedOn(t *testing.T) {
	w := newWorld(t, Limits{MessageBytes: 64 << 10, Values: 10_000})
	a := w.program(false)
	a.leave("own", a.ref(capnp.NewClient(newEnvoy(func(_ context.Context, _ capnp.Method, _ capnp.Struct, results func() capnp.Struct) error {
		results().SetUint64(0, 42)
		return nil
	}))))
	v := w.villain()
	v.call(1, v.restored(w.exchange), "exchange.take", "own")
	own, id := v.granted(1), uint32(2)
	ask := func(fill func(capnp.Struct) string) string {
		id++
		v.call(id, own, "desk.total", nil, func(c rpccp.Call) error {
			c.SetInterfaceId(parley.InterfaceID)
			p, err := c.Params()
			must(t, err)
			s, err := capnp.NewStruct(p.Segment(), capnp.ObjectSize{DataSize: 8, PointerCount: 4})
			must(t, err)
			fill(s)
			return p.SetContent(s.ToPtr())
		})
		_, fault := v.answer(id)
		return fault
	}
	for name, fill := range payloads(t) {
		if fault := ask(fill); !strings.HasPrefix(fault, "bad argument: ") {
			t.Errorf("%s: %q", name, fault)
		}
	}
	if fault := ask(func(capnp.Struct) string { return "" }); fault != "" {
		t.Error(fault)
	}
	w.honest()
}

// TestWhatIsPassedOnCountsAsKept for the program that asked.
func TestWhatIsPassedOnCountsAsKept(t *testing.T) {
	w := newWorld(t, Limits{BytesInFlight: 16 << 10, MessageBytes: 8 << 10})
	near, far := pipe(t)
	defer far.Close()
	c := w.h.connect(t.Context(), near, Visitor{})
	defer c.end(errEnded)
	_, seg, err := capnp.NewMessage(capnp.SingleSegment(nil))
	must(t, err)
	data, err := capnp.NewData(seg, make([]byte, 7000))
	must(t, err)
	carry := func(id uint32) (*answer, error) {
		c.mu.Lock()
		a, err := c.newAnswer(id, 0)
		c.mu.Unlock()
		must(t, err)
		out, err := newReturn(id, false)
		must(t, err)
		to, err := out.ret.NewResults()
		must(t, err)
		return a, a.carry(data.ToPtr(), to, false)
	}
	first, err := carry(1)
	must(t, err)
	_, err = carry(2)
	must(t, err)
	if _, err := carry(3); !errors.Is(err, caps.ErrOverloaded) || !strings.Contains(err.Error(), "Limits.BytesInFlight") {
		t.Error(err)
	}
	c.mu.Lock()
	c.fail(c.answers[3], canceled())
	c.fail(first, canceled())
	c.mu.Unlock()
	_, err = carry(4)
	must(t, err)
}

// TestWhoAsksAProgramTooMuchIsRefused, whoever else asks it.
func TestWhoAsksAProgramTooMuchIsRefused(t *testing.T) {
	w := newWorld(t, Limits{Calls: 4})
	a := w.program(false)
	began, release := make(chan struct{}), make(chan struct{})
	a.leave("own", a.ref(capnp.NewClient(newEnvoy(func(_ context.Context, _ capnp.Method, _ capnp.Struct, results func() capnp.Struct) error {
		began <- struct{}{}
		<-release
		results()
		return nil
	}))))
	var all []*capnp.Answer
	for range 2 {
		b := w.program(false)
		theirs := b.take("own")
		for range 2 {
			ans, done := asks(minute(t), theirs, parley, nil)
			defer done()
			all = append(all, ans)
			<-began
		}
	}
	ans, done := asks(minute(t), w.program(false).take("own"), parley, nil)
	defer done()
	if _, err := ans.Struct(); err == nil || !strings.Contains(err.Error(), "Limits.Calls") {
		t.Error(err)
	}
	w.honest()
	close(release)
	for _, ans := range all {
		_, err := ans.Struct()
		must(t, err)
	}
}
