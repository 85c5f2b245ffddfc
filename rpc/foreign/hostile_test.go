package foreign

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"capnproto.org/go/capnp/v3"
	rpccp "capnproto.org/go/capnp/v3/std/capnp/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// villain is a program that makes its messages itself.
type villain struct {
	t    testing.TB
	w    *world
	conn net.Conn
	end  chan error
	in   incoming
}

func (w *world) villain() *villain {
	w.t.Helper()
	return w.villainOver(w.serve(Visitor{Owner: true}))
}

func (w *world) villainOver(far net.Conn, end chan error) *villain {
	w.t.Cleanup(func() { far.Close() })
	lim := Limits{}.withDefaults()
	lim.Idle, lim.Frame = 20*time.Second, 20*time.Second
	return &villain{w.t, w, far, end, incoming{conn: far, r: bufio.NewReader(far), lim: lim, busy: func() bool { return false }}}
}

func (v *villain) send(build func(m rpccp.Message) error) {
	v.t.Helper()
	m, err := newMessage()
	must(v.t, err)
	must(v.t, build(m))
	b, err := m.Message().Marshal()
	must(v.t, err)
	v.write(b)
}

// write may fail: it has been thrown out.
func (v *villain) write(b []byte) { _, _ = v.conn.Write(b) }

// ends waits until it is thrown out, and says why.
func (v *villain) ends(words ...string) {
	v.t.Helper()
	go func() { _, _ = io.Copy(io.Discard, v.conn) }()
	select {
	case err := <-v.end:
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				v.t.Errorf("it ended with %v, which has no %q", err, w)
			}
		}
	case <-time.After(20 * time.Second):
		v.t.Errorf("it is let go on: %v", words)
	}
}

func (v *villain) bootstrap(id uint32) {
	v.t.Helper()
	v.send(func(m rpccp.Message) error {
		b, err := m.NewBootstrap()
		b.SetQuestionId(id)
		return err
	})
}

// call calls export to; args, if any, fill the parameters.
func (v *villain) call(id, to uint32, what string, args any, more ...func(rpccp.Call) error) {
	v.t.Helper()
	p := &program{t: v.t, w: v.w, mine: caps.NewMaker()}
	m, s := p.prepare(what, args)
	v.send(func(out rpccp.Message) error {
		c, err := out.NewCall()
		if err != nil {
			return err
		}
		c.SetQuestionId(id)
		c.SetInterfaceId(s.Method.InterfaceID)
		c.SetMethodId(s.Method.MethodID)
		target, err := c.NewTarget()
		if err != nil {
			return err
		}
		target.SetImportedCap(to)
		params, err := c.NewParams()
		if err != nil {
			return err
		}
		body, err := capnp.NewStruct(params.Segment(), m.params.size)
		if err != nil {
			return err
		}
		if err := params.SetContent(body.ToPtr()); err != nil {
			return err
		}
		if args != nil {
			if err := s.PlaceArgs(body); err != nil {
				return err
			}
		}
		for _, f := range more {
			if err := f(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// promise aims a call at a pointer of an answer.
func promise(id uint32, path ...uint16) func(rpccp.Call) error {
	return func(c rpccp.Call) error {
		target, err := c.NewTarget()
		if err != nil {
			return err
		}
		pa, err := target.NewPromisedAnswer()
		if err != nil {
			return err
		}
		pa.SetQuestionId(id)
		ops, err := pa.NewTransform(int32(len(path)))
		for i, p := range path {
			ops.At(i).SetGetPointerField(p)
		}
		return err
	}
}

// with puts capabilities among the arguments; the pointers to them are p 0, 1 and so on.
func with(n int, describe func(i int, d rpccp.CapDescriptor) error) func(rpccp.Call) error {
	return func(c rpccp.Call) error {
		params, err := c.Params()
		if err != nil {
			return err
		}
		list, err := params.NewCapTable(int32(n))
		if err != nil {
			return err
		}
		content, err := params.Content()
		if err != nil {
			return err
		}
		for i := range n {
			if err := describe(i, list.At(i)); err != nil {
				return err
			}
			if i < int(content.Struct().Size().PointerCount) {
				if err := content.Struct().SetPtr(uint16(i), capnp.NewInterface(params.Segment(), capnp.CapabilityID(i)).ToPtr()); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func hosted(first uint32) func(int, rpccp.CapDescriptor) error {
	return func(i int, d rpccp.CapDescriptor) error { d.SetSenderHosted(first + uint32(i)); return nil }
}

func (v *villain) finish(id uint32, release bool) {
	v.t.Helper()
	v.send(func(m rpccp.Message) error {
		f, err := m.NewFinish()
		f.SetQuestionId(id)
		f.SetReleaseResultCaps(release)
		return err
	})
}

// next is the next message that the host sends.
func (v *villain) next() rpccp.Message {
	v.t.Helper()
	m, _, err := v.in.next()
	must(v.t, err)
	return m
}

// answer is the answer to question id; what else comes is passed over. fault is its reason.
func (v *villain) answer(id uint32) (ret rpccp.Return, fault string) {
	v.t.Helper()
	for {
		m := v.next()
		if m.Which() == rpccp.Message_Which_abort {
			e, err := m.Abort()
			must(v.t, err)
			reason, _ := e.Reason()
			v.t.Fatalf("thrown out: %s", reason)
		}
		if m.Which() != rpccp.Message_Which_return {
			continue
		}
		ret, err := m.Return()
		must(v.t, err)
		if ret.AnswerId() != id {
			continue
		}
		if ret.Which() == rpccp.Return_Which_exception {
			e, err := ret.Exception()
			must(v.t, err)
			fault, err = e.Reason()
			must(v.t, err)
		}
		return ret, fault
	}
}

// granted is the export in the first descriptor of an answer.
func (v *villain) granted(id uint32) uint32 {
	v.t.Helper()
	ret, fault := v.answer(id)
	if fault != "" {
		v.t.Fatal(fault)
	}
	p, err := ret.Results()
	must(v.t, err)
	table, err := p.CapTable()
	must(v.t, err)
	return table.At(0).SenderHosted()
}

// desk is the number of the desk.
func (v *villain) desk() uint32 { return v.restored(v.w.desk) }

// restored is the number of what r leads to, by questions 900 and up.
func (v *villain) restored(r caps.Ref) uint32 {
	v.t.Helper()
	v.bootstrap(900)
	host := v.granted(900)
	s, _, err := v.w.rt.Save(context.Background(), r, caps.Terms{})
	must(v.t, err)
	v.call(901, host, "Host.restore", struct1(v.t, "sturdyRef", s.Reveal()))
	d := v.granted(901)
	v.finish(900, false)
	v.finish(901, false)
	return d
}

// honest is served as if nobody else were there.
func (w *world) honest() {
	w.t.Helper()
	p := w.program(false)
	if got := p.call(p.desk(), "desk.echo", "hi").must(); got != "hi" {
		w.t.Errorf("the honest one hears %v", got)
	}
}

func TestWhoBreaksTheRulesIsThrownOut(t *testing.T) {
	w := newWorld(t, Limits{MessageBytes: 64 << 10})
	for name, do := range map[string]func(v *villain, d uint32){
		"question 1 was asked twice": func(v *villain, d uint32) {
			v.call(1, d, "desk.wait", nil)
			v.call(1, d, "desk.wait", nil)
		},
		"finish of question 7":          func(v *villain, _ uint32) { v.finish(7, true) },
		"capability 99":                 func(v *villain, _ uint32) { v.call(1, 99, "desk.total", nil) },
		"promised answer to question 1": func(v *villain, d uint32) { v.call(1, d, "desk.total", nil, promise(1, 0)) },
		"promised answer to question 3": func(v *villain, d uint32) { v.call(1, d, "desk.total", nil, promise(3, 0)) },
		"too many steps": func(v *villain, d uint32) {
			v.call(1, d, "desk.wait", nil)
			v.call(2, d, "desk.total", nil, promise(1, make([]uint16, 65)...))
		},
		"release of 5 references": func(v *villain, d uint32) {
			v.send(func(m rpccp.Message) error {
				r, err := m.NewRelease()
				r.SetId(d)
				r.SetReferenceCount(5)
				return err
			})
		},
		"answer to question 5": func(v *villain, _ uint32) {
			v.send(func(m rpccp.Message) error {
				r, err := m.NewReturn()
				r.SetAnswerId(5)
				return err
			})
		},
		"disembargo": func(v *villain, d uint32) {
			v.send(func(m rpccp.Message) error {
				e, err := m.NewDisembargo()
				if err != nil {
					return err
				}
				e.Context().SetSenderLoopback(1)
				target, err := e.NewTarget()
				target.SetImportedCap(d)
				return err
			})
		},
		"capability 77 was passed": func(v *villain, d uint32) {
			v.call(1, d, "desk.put", nil, with(1, func(_ int, c rpccp.CapDescriptor) error { c.SetReceiverHosted(77); return nil }))
		},
		"1024 segments":   func(v *villain, _ uint32) { v.write(binary.LittleEndian.AppendUint32(nil, 1023)) },
		"MessageBytes":    func(v *villain, _ uint32) { v.write([]byte{0, 0, 0, 0, 0, 0, 0, 0x0f}) },
		"without content": func(v *villain, _ uint32) { v.write(make([]byte, 8)) },
		"middle of a message": func(v *villain, _ uint32) {
			v.write([]byte{0, 0, 0, 0, 2, 0, 0, 0, 1})
			_ = v.conn.(*net.UnixConn).CloseWrite()
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			v := w.villain()
			do(v, v.desk())
			v.ends(name)
		})
	}
	w.honest()
}

func TestWhatIsNotKnownIsSaidToBe(t *testing.T) {
	w := newWorld(t, Limits{})
	v := w.villain()
	d := v.desk()
	for _, build := range []func(rpccp.Message) error{
		func(m rpccp.Message) error { _, err := m.NewProvide(); return err },
		func(m rpccp.Message) error { _, err := m.NewAccept(); return err },
		func(m rpccp.Message) error { _, err := m.NewJoin(); return err },
		func(m rpccp.Message) error { return m.SetObsoleteSave(capnp.Ptr{}) },
	} {
		v.send(build)
		if m := v.next(); m.Which() != rpccp.Message_Which_unimplemented {
			t.Errorf("the answer is %v", m.Which())
		}
	}
	for range 2 { // of the same promise, of which this host has heard nothing
		v.send(func(m rpccp.Message) error {
			r, err := m.NewResolve()
			if err != nil {
				return err
			}
			r.SetPromiseId(3)
			c, err := r.NewCap()
			c.SetSenderHosted(4)
			return err
		})
		if m := v.next(); m.Which() != rpccp.Message_Which_release {
			t.Errorf("the answer is %v", m.Which())
		}
	}
	v.send(func(m rpccp.Message) error { _, err := m.NewUnimplemented(); return err })
	v.call(1, d, "desk.total", nil, func(c rpccp.Call) error { return c.SendResultsTo().SetThirdParty(capnp.Ptr{}) })
	if _, fault := v.answer(1); !strings.HasPrefix(fault, "no such method: ") {
		t.Error(fault)
	}
	v.call(2, d, "desk.total", nil, func(c rpccp.Call) error { c.SetMethodId(999); return nil })
	if _, fault := v.answer(2); !strings.HasPrefix(fault, "no such method: ") {
		t.Error(fault)
	}
	v.call(3, d, "desk.echo", nil) // a null text is an empty one
	if _, fault := v.answer(3); fault != "" {
		t.Error(fault)
	}
}

func TestLimitsAreNamedAndHitNobodyElse(t *testing.T) {
	w := newWorld(t, Limits{Calls: 4, Answers: 8, Exports: 5, Imports: 5, Slots: 7, Records: 2, BytesInFlight: 16 << 10, MessageBytes: 8 << 10})
	t.Run("Calls", func(t *testing.T) {
		v := w.villain()
		d := v.desk()
		for id := range uint32(5) {
			v.call(id, d, "desk.wait", nil)
		}
		if _, fault := v.answer(4); !strings.HasPrefix(fault, "overloaded: ") || !strings.Contains(fault, "Limits.Calls") {
			t.Error(fault)
		}
		v.finish(4, false)
		w.honest()
		v.finish(0, true) // which cancels it
		if ret, _ := v.answer(0); ret.Which() != rpccp.Return_Which_canceled {
			t.Error(ret.Which())
		}
		for { // until it has noticed
			v.call(6, d, "desk.total", nil)
			_, fault := v.answer(6)
			if v.finish(6, true); fault == "" {
				break
			}
		}
	})
	t.Run("Answers", func(t *testing.T) {
		v := w.villain()
		d := v.desk()
		for id := range uint32(9) {
			v.call(id, d, "desk.total", nil)
			if _, fault := v.answer(id); (fault != "") != (id >= 8) || fault != "" && !strings.Contains(fault, "Limits.Answers") {
				t.Error(id, fault)
			}
		}
		w.honest()
		for id := range uint32(9) {
			v.call(10+id, d, "desk.total", nil)
		}
		v.ends("Limits.Answers")
	})
	t.Run("Exports", func(t *testing.T) {
		v := w.villain()
		d := v.desk()
		for id := range uint32(6) {
			v.call(id, d, "desk.make", struct1(t, "N", 1, "By", ""))
			_, fault := v.answer(id)
			if v.finish(id, false); fault != "" {
				if id < 3 || !strings.Contains(fault, "Limits.Exports") || !strings.HasPrefix(fault, "bad result: it happened") {
					t.Error(id, fault)
				}
			}
			if id == 5 && fault == "" {
				t.Error("there is no limit")
			}
		}
	})
	t.Run("Imports", func(t *testing.T) {
		v := w.villain()
		d := v.desk()
		v.call(1, d, "desk.put", nil, with(6, hosted(0)))
		if ret, fault := v.answer(1); !strings.Contains(fault, "Limits.Imports") || !ret.ReleaseParamCaps() {
			t.Error(fault)
		}
		v.call(2, d, "desk.put", nil, with(8, hosted(0)))
		if _, fault := v.answer(2); !strings.Contains(fault, "Limits.Slots") {
			t.Error(fault)
		}
	})
	t.Run("Records", func(t *testing.T) {
		p := w.program(false)
		d := p.desk()
		p.call(d, "Ref.save", struct1(t, "terms", struct1(t, "purpose", "a"))).must()
		p.call(d, "Ref.grant", struct1(t, "terms", struct1(t, "purpose", "b"))).must()
		p.call(d, "Ref.save", struct1(t, "terms", struct1(t, "purpose", "c"))).fails("Limits.Records")
	})
	t.Run("MessageBytes", func(t *testing.T) {
		p := w.program(false)
		d := p.desk()
		p.call(d, "desk.big", 9000).fails("bad result: it happened")
		if got := p.call(d, "desk.big", 7000).must(); len(got.([]byte)) != 7000 {
			t.Error(got)
		}
	})
	t.Run("BytesInFlight", func(t *testing.T) {
		v := w.villain()
		d := v.desk()
		for id := range uint32(3) {
			v.call(id, d, "desk.wait", nil, func(c rpccp.Call) error {
				_, err := capnp.NewData(c.Segment(), make([]byte, 7000))
				return err
			})
		}
		if _, fault := v.answer(2); !strings.Contains(fault, "Limits.BytesInFlight") {
			t.Error(fault)
		}
	})
	w.honest()
}

func TestWhoIsTooSlowIsThrownOut(t *testing.T) {
	w := newWorld(t, Limits{Write: 100 * time.Millisecond, Frame: 100 * time.Millisecond, Idle: time.Second, BytesInFlight: 4 << 20})
	t.Run("drips", func(t *testing.T) {
		v := w.villain()
		v.write([]byte{0, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3})
		v.ends("timeout")
	})
	t.Run("is_silent", func(t *testing.T) { w.villain().ends("timeout") })
	t.Run("does_not_read", func(t *testing.T) {
		v := w.villain()
		d := v.desk()
		go func() {
			for id := range uint32(4000) {
				v.call(id, d, "desk.big", 1_000_000)
				v.finish(id, false)
			}
		}()
		select {
		case err := <-v.end:
			if err == nil || !strings.Contains(err.Error(), "timeout") {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("it is let go on")
		}
	})
	t.Run("waits_for_an_answer", func(t *testing.T) {
		v := w.villain()
		d := v.desk()
		v.call(1, d, "desk.wait", nil)
		select {
		case err := <-v.end:
			t.Error("a call was under way, and it ended with", err)
		case <-time.After(3 * time.Second):
		}
	})
}

func TestAFinishedCallGoesOnForThoseThatWaitForIt(t *testing.T) {
	w := newWorld(t, Limits{})
	v := w.villain()
	d := v.desk()
	v.call(1, d, "desk.make", struct1(t, "N", 5, "By", "me"))
	v.call(2, d, "drawer.add", 2, promise(1, 0))
	v.finish(1, true)
	ret, fault := v.answer(2)
	if fault != "" {
		t.Fatal(fault)
	}
	p, err := ret.Results()
	must(t, err)
	content, err := p.Content()
	must(t, err)
	if got := content.Struct().Uint64(0); got != 7 {
		t.Errorf("add returned %d", got)
	}
	// What waits for a call that does not end ends when nobody wants it any more.
	v.call(3, d, "desk.wait", nil)
	v.call(4, d, "desk.total", nil, promise(3, 0))
	v.finish(3, true)
	v.finish(4, true)
	v.call(3, d, "desk.wait", nil)
	v.call(4, d, "desk.put", nil, with(1, func(_ int, c rpccp.CapDescriptor) error {
		pa, err := c.NewReceiverAnswer()
		pa.SetQuestionId(3)
		return err
	}))
	v.call(5, d, "desk.echo", "still there")
	v.finish(4, true) // behind which it was
	if _, fault := v.answer(5); fault != "" {
		t.Error(fault)
	}
	v.conn.Close()
	select {
	case <-v.end:
	case <-time.After(20 * time.Second):
		t.Error("a call that nobody wants goes on")
	}
}

// TestAPromiseAmongTheArguments has an argument that is the result of a call of the same
// object, which is queued later: each would wait for the other.
func TestAPromiseAmongTheArguments(t *testing.T) {
	w := newWorld(t, Limits{})
	v := w.villain()
	d := v.desk()
	answered := func(id uint32) func(int, rpccp.CapDescriptor) error {
		return func(_ int, c rpccp.CapDescriptor) error {
			pa, err := c.NewReceiverAnswer()
			if err != nil {
				return err
			}
			pa.SetQuestionId(id)
			ops, err := pa.NewTransform(1)
			ops.At(0).SetGetPointerField(0)
			return err
		}
	}
	v.call(0, d, "desk.put", nil, with(1, func(_ int, c rpccp.CapDescriptor) error { c.SetReceiverHosted(d); return nil }))
	v.call(1, d, "desk.get", nil)                                            // the desk
	v.call(2, d, "desk.make", struct1(t, "N", 5, "By", "me"), promise(1, 0)) // of the desk, when that is known
	v.call(3, d, "desk.alike", nil, with(2, answered(2)))                    // of the desk, with what 2 returns, twice
	ret, fault := v.answer(3)
	if fault != "" {
		t.Fatal(fault)
	}
	p, err := ret.Results()
	must(t, err)
	content, err := p.Content()
	must(t, err)
	if !content.Struct().Bit(0) {
		t.Error("what was passed twice is two")
	}
	v.call(4, d, "desk.make", struct1(t, "N", -5, "By", "me"))
	v.call(5, d, "desk.put", nil, with(1, answered(4)))
	if _, fault := v.answer(5); !strings.HasPrefix(fault, string(errCross)) {
		t.Error(fault)
	}
}
