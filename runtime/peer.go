package sturdy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unsafe"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// peer is the state of the object that stands for another host with which letters are
// exchanged. What is answered to that host waits in the peer's mailbox; what comes from it is
// charged to the peer until it is delivered.
type peer struct {
	Host string
	At   string // where it was found last; empty: it called us
	// Marks is the place in each channel of what came last, by the lineage of the other
	// host's world: a world that was copied begins a new channel.
	Marks map[uint64]uint64
	// Since is when this was made: nothing is known of what the host sent before. Heard is when
	// it was heard of last, or when that was counted last as a Silent day, which its letters'
	// outcomes lie here for; see forget.go. Both are in nanoseconds since 1970.
	Since, Heard int64
	Silent       int64
}

func newPeerKind() *KindOf[peer] { return Define[peer]("sturdy/peer") }

const maxAnswerSlots = 1000 // references in the outcome of a letter from another host

const maxMarks = 16 // channels from one host; the lowest lineages are forgotten

// A batch of letters is
//
//	1            the version; 2 if there is a place
//	lineage      of the world that they are from: its channel
//	lineage      of the world that they are for, as far as that is known; else 0
//	place        in the channel: the batch belongs behind that letter
//	letters      each: place in the channel, number, mailbox, kind, then
//	  a message  0; what rights the thread it is from may not use, 0 if there is none; the token of
//	             its target; method; body; how many references, their tokens
//	  an old one 2; how many seconds old it is; the rest as of a message
//	  an answer  1; "ran" or "not run"; channel of the message; body; how many references, their tokens
//
// where numbers are uvarints, and texts have their length in front. Number and mailbox of an
// answer are those of the message. Behind a number 0 stands the token of the target and nothing
// else: that letter was given up, and only its place is told.
//
// The answer to a batch is the lineage of the world that has got it, and a byte for each
// letter, or none if the batch was for another lineage. Messages come in the order of their places, and
// one that is held back holds back those behind it, also those of a batch that belongs behind it.
// Answers have no order: an answer finds its
// letter waiting, or has done so before.
const (
	batchVersion = 1
	batchBehind  = 2
	ranText      = "ran"
	notRunText   = "not run"
	isMessage    = 0
	isAnswer     = 1
	leastParcel  = 32 // bytes, about, of a short letter in a batch

	isOld = 2 // a message that may have been brought before, longer ago than is safe: see forget.go

	noteTaken   = 0
	noteKnown   = 1 // it has come before, so its outcome counts although it was given up
	noteRefused = 2 // its target, or a reference in it, proves nothing
	noteLater   = 3 // there is no room for it now
	noteForgot  = 4 // it may have come before, and what was known of that is forgotten
)

// pack writes a batch.
func (c *courier) pack(ctx context.Context, batch *load) (b []byte, err error) {
	rt := c.rt
	err = rt.View(ctx, func(t *ReadTurn) error {
		b = slices.Grow(batch.header(rt.lineages.Load().Current), batch.guess())
		for i := range batch.ps {
			p := &batch.ps[i]
			l := &p.letter
			if p.failed == nil && !l.answers() {
				p.failed = t.mayLeave(l)
			}
			if p.failed != nil {
				b = appendText(binary.AppendUvarint(binary.AppendUvarint(b, p.seq), 0), t.proof(l))
				continue
			}
			b = t.packOne(b, p, c.host)
		}
		return nil
	})
	return b, err
}

// guess is about how many bytes the letters take in a batch.
func (b *load) guess() (bytes int) {
	for i := range b.ps {
		bytes += leastParcel + b.ps[i].size
	}
	return bytes
}

// header begins a batch of the world of that lineage.
func (b *load) header(own uint64) []byte {
	if b.after == 0 {
		return binary.AppendUvarint(binary.AppendUvarint([]byte{batchVersion}, own), b.theirs)
	}
	h := binary.AppendUvarint(binary.AppendUvarint([]byte{batchBehind}, own), b.theirs)
	return binary.AppendUvarint(h, b.after)
}

// proof is the token of the target of a letter that was given up; empty if it has none.
func (t *ReadTurn) proof(l *letter) string {
	if len(l.slots) == 0 {
		return ""
	}
	h, _, _ := t.vat.rt.open(t.vat.rt.refOf(l.slots[0]))
	if r, err := h.remote(); err == nil && r != nil {
		return string(homeToken(r.Token, caps.Authority{}))
	}
	return ""
}

// mayLeave reports why a letter must not be sent any more: what it goes through has been
// revoked.
func (t *ReadTurn) mayLeave(l *letter) error {
	h, via, _ := t.vat.rt.open(t.vat.rt.refOf(l.slots[0]))
	if r, err := h.remote(); err != nil || r == nil {
		return cmp.Or(err, error(&caps.Error{Object: h.name(), Code: caps.ErrDamaged, Text: "damaged: " + h.name() + " should stand for an object on another host"}))
	}
	if via.Gate != nil {
		if err := via.Gate.Check(l.method, nil); err != nil {
			return outcome(l.method, h, err)
		}
	}
	return nil
}

// packOne appends one letter.
func (t *ReadTurn) packOne(b []byte, p *parcel, host string) []byte {
	rt, l := t.vat.rt, &p.letter
	refs := rt.refs(l.slots)
	args := refs[1:]
	if l.answers() {
		b = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(b, p.seq), l.theirs), l.box)
		b = binary.AppendUvarint(appendText(append(b, isAnswer), l.method), l.channel)
	} else {
		h, via, _ := rt.open(refs[0])
		if via.Narrows() {
			args = narrowed(args, via.Inward())
		}
		sheds := caps.Rights(0)
		if l.ceiling != 0 {
			m, err := t.mayAt(t.vat.handleOf(l.ceiling))
			if err != nil {
				m = &may{nil, &domain{}}
			}
			via.Rights &= m.of(h)
			sheds = everything &^ m.Rights
		}
		to, _ := h.remote()
		b = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(b, p.seq), l.number), h.oid.N)
		if age := p.age(t.Now().UnixNano()); age > 0 {
			b = binary.AppendUvarint(append(b, isOld), uint64(age))
		} else {
			b = append(b, isMessage)
		}
		b = append(b, byte(sheds))
		b = appendText(b, string(homeToken(to.Token, via)))
		b = appendText(b, l.method)
	}
	b = appendText(b, string(l.body))
	b = binary.AppendUvarint(b, uint64(len(args)))
	for _, r := range args {
		b = appendText(b, string(rt.tokenOf(r, host)))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// arrival is one letter of a batch, before anybody has looked what it means.
type arrival struct {
	seq         uint64
	number, box uint64 // where it waits at the other host, or what is answered waits here
	channel     uint64 // of what is answered
	answer, ran bool
	age         uint64      // seconds, if it may have been brought before, and that is too long ago; else 0
	sheds       caps.Rights // what the thread that it is from may not use
	to          caps.Ref
	method      string
	body        []byte
	args        []caps.Ref
	refused     error // its target or its references prove nothing
}

// Accept takes the letters that host has sent with Wire.Send, and returns the answer to it when
// that is durable. at is where host was found, or empty. An error says that the batch does not
// decode, or that nothing of it was accepted.
func (rt *Runtime) Accept(ctx context.Context, host, at string, batch []byte) ([]byte, error) {
	in := intake{host: host, at: at}
	all, err := rt.unpack(&in, batch)
	if err != nil {
		return nil, err
	}
	own := rt.lineages.Load().Current
	answer := binary.AppendUvarint(nil, own)
	if in.expects != 0 && in.expects != own {
		return answer, nil
	}
	begin := len(answer)
	take := func(t *WriteTurn, late bool) error {
		in, answer = intake{t: t, host: host, at: at, lineage: in.lineage, after: in.after}, answer[:begin]
		t.expects(len(all))
		if err := in.begin(); err != nil {
			return err
		}
		if in.after > in.mark {
			if !late {
				return errEarly
			}
			in.held = true
		}
		for i := range all {
			if a := &all[i]; in.h == nil && !a.answer && a.refused == nil && !rt.vat.crowded() {
				if err := in.own(); err != nil { // before any is refused: that is noted then
					return err
				}
			}
		}
		for i := range all {
			note, err := in.take(&all[i])
			if err != nil {
				return err
			}
			answer = append(answer, note)
		}
		return nil
	}
	err = rt.intakes.run(ctx, rt, host, take)
	return answer, err
}

// intake is a batch on its way in. Nothing is kept of a host before one of its letters has
// proven that it was given something: keys cost nothing.
type intake struct {
	t        *WriteTurn
	host, at string
	lineage  uint64          // of the world that it is from
	expects  uint64          // and of that which it is for; 0: any
	after    uint64          // the place behind which it belongs; 0: any
	ended    map[uint64]bool // numbers of what it has answered
	mark     uint64
	since    int64   // when the peer was made
	held     bool    // a message was, so those behind it are
	h        *handle // the peer; nil: there is none yet
	p        *peer   // its state for writing; nil: it has not been written to
}

// begin looks how far the host's letters have come.
func (in *intake) begin() error {
	t := in.t
	rec, ok := t.r.element(t.r.vat.rt.activity, "h"+in.host)
	if !ok {
		return nil
	}
	n, size := binary.Uvarint(rec.Body)
	if size <= 0 {
		return &caps.Error{Op: "accept", Object: in.host, Code: caps.ErrDamaged, Text: "damaged: what says which object stands for a host"}
	}
	in.h = t.r.vat.handleOf(n)
	s, err := t.r.stateOf(in.h, t.r.vat.rt.peers.def)
	if err == nil {
		p := (*peer)(s)
		in.mark, in.since = p.Marks[in.lineage], p.Since
		if in.fades(p) {
			err = in.own()
		}
	}
	return err
}

// take takes one letter.
func (in *intake) take(a *arrival) (note byte, err error) {
	t := in.t
	switch {
	case a.answer:
		return noteTaken, in.takeAnswer(a)
	case in.held:
		return noteLater, nil
	case a.seq <= in.mark && a.number == 0:
		return noteKnown, nil
	case a.seq <= in.mark:
		return noteTaken, nil
	case in.h == nil && a.refused == nil: // there are too many others
		in.held = true
		return noteLater, nil
	case in.h == nil: // nothing in the batch proves anything, nor ever has
		return noteRefused, nil
	case a.number == 0:
		return noteTaken, in.note(a.seq) // so that it is not taken when it comes late by another way
	case t.r.vat.mail.accounts[in.h.oid.N].full():
		in.held = true
		return noteLater, nil
	case in.forgot(a):
		return noteForgot, in.note(a.seq)
	}
	if err := in.note(a.seq); err != nil {
		return 0, err
	}
	v := t.r.vat
	l := letter{from: in.h.oid.N, theirs: a.number, box: a.box, channel: in.lineage, method: a.method}
	err = a.refused
	if err == nil {
		err = t.sendable(caps.Message{To: a.to, Method: a.method, Body: a.body, Slots: a.args})
	}
	if err != nil {
		return noteTaken, t.answer(&l, settled{err: outcome(a.method, nil, err)})
	}
	if a.sheds != 0 {
		l.ceiling = t.plain(everything &^ a.sheds).oid.N
	}
	l.number, l.opening, l.sender, l.at, l.body = v.next, v.rt.incarnation, l.from, t.Now().UnixNano(), a.body
	v.next++
	l.slots = v.rt.slots([]objstore.Slot{v.rt.slot(a.to)}, a.args)
	t.enqueue(l)
	return noteTaken, nil
}

// note notes that the host's letters have come as far as seq.
func (in *intake) note(seq uint64) error {
	in.mark = seq
	if in.p == nil {
		if err := in.own(); err != nil {
			return err
		}
	}
	in.p.Marks[in.lineage] = seq
	return nil
}

// own makes the peer's state writable, and the peer if there is none.
func (in *intake) own() error {
	t, v := in.t, in.t.r.vat
	now := t.Now().UnixNano()
	if in.h == nil {
		in.since = now
		in.h, _, _ = v.rt.open(v.rt.peers.New(t, peer{Host: in.host, Since: now}))
		t.change(&element{key: objstore.ElementKey(v.activityOID(), "h"+in.host), rec: objstore.Record{Body: binary.AppendUvarint(nil, in.h.oid.N)}, kind: v.activityKind})
	}
	s, err := t.ownOf(in.h, v.rt.peers.def)
	if err != nil {
		return err
	}
	in.p = (*peer)(s)
	in.p.At, in.p.Heard, in.p.Silent = cmp.Or(in.at, in.p.At), now, 0
	marks := map[uint64]uint64{} // a new one: that of the version before is still read
	maps.Copy(marks, in.p.Marks)
	for len(marks) >= maxMarks && marks[in.lineage] == 0 {
		delete(marks, slices.Min(slices.Collect(maps.Keys(marks))))
	}
	in.p.Marks = marks
	return nil
}

// answer sends the outcome of a letter that came from another host back to it.
func (t *WriteTurn) answer(l *letter, o settled) error {
	body, slots, err := o.message()
	if err != nil {
		return err
	}
	if len(body) > maxMessage || len(slots) > maxAnswerSlots {
		o = settled{err: &caps.Error{Op: l.method, Code: caps.ErrBadResult, Text: fmt.Sprintf("it happened, but its result of %d bytes and %d references is too large to be brought to another host", len(body), len(slots))}}
		l.ran = true
		if body, slots, err = o.message(); err != nil {
			return err
		}
	}
	for _, r := range slots {
		if err := t.storable(r); err != nil {
			return err
		}
	}
	v := t.r.vat
	ran := ranText
	if o.err != nil && !l.ran {
		ran = notRunText
	}
	to := v.handleOf(l.from)
	if _, err := t.r.stateOf(to, v.rt.peers.def); err != nil {
		return err
	}
	a := letter{number: v.next, sender: l.from, theirs: l.theirs, box: l.box, channel: l.channel, opening: v.rt.incarnation, at: t.Now().UnixNano(), method: ran, body: body}
	v.next++
	a.slots = v.rt.slots([]objstore.Slot{v.rt.slot(v.rt.ref(to, caps.Full()))}, slots)
	t.enqueue(a)
	return nil
}

// takeAnswer ends the letter that an answer is for, if it waits for one from that host.
func (in *intake) takeAnswer(a *arrival) error {
	t, v := in.t, in.t.r.vat
	b := v.mail.boxes[a.box]
	if b == nil || a.channel != v.rt.lineages.Load().Current {
		return nil
	}
	i, ok := b.find(a.number)
	if !ok || in.ended[a.number] || !v.handleOf(a.box).standsAt(in.host) {
		return nil
	}
	if in.ended == nil {
		in.ended = map[uint64]bool{}
	}
	in.ended[a.number] = true
	return t.endWith(b.mails[i], a)
}

// endWith ends a letter with its answer.
func (t *WriteTurn) endWith(ml *mail, a *arrival) error {
	v := t.r.vat
	rec, err := t.rowOf(ml)
	if err != nil {
		return err
	}
	l, err := parseLetter(ml.number, ml.method, rec)
	if err != nil { // it is damaged, which is not to hold up all that comes from that host
		t.dropLetter(a.box, ml)
		return t.conclude(&letter{number: ml.number}, ml, settled{err: err})
	}
	o, err := a.outcome()
	if err != nil {
		o = settled{err: err}
	}
	_, via, _ := v.rt.open(v.rt.refOf(l.slots[0]))
	t.dropLetter(a.box, ml)
	if o.err != nil && !a.ran {
		return t.giveUp(&l, ml, o.err)
	}
	l.ran = true
	for _, r := range o.reply.Slots {
		if err := t.storable(r); err != nil {
			return err
		}
	}
	return t.conclude(&l, ml, o.as(via))
}

// standsAt reports whether h is a stand-in for an object of that host.
func (h *handle) standsAt(host string) bool {
	r, err := h.remote()
	return err == nil && r != nil && r.Host == host
}

// outcome is what an answer says: the inverse of message.
func (a *arrival) outcome() (settled, error) {
	if a.refused != nil {
		return settled{err: a.refused}, nil
	}
	if body, ok := bytes.CutPrefix(a.body, []byte("\x81\xa5Value")); ok {
		return settled{reply: caps.Reply{Body: body, Slots: a.args}}, nil
	}
	if len(a.body) == 1 && a.body[0] == 0x80 {
		return settled{}, nil
	}
	var e caps.Error
	codec, err := caps.CodecFor(reflect.TypeFor[caps.Error]())
	body, ok := bytes.CutPrefix(a.body, []byte("\x81\xa3Err"))
	if err == nil && !ok {
		err = &caps.Error{Op: "send", Code: caps.ErrBadResult, Text: "the other host's answer does not decode"}
	}
	if err == nil {
		err = codec.Decode(unsafe.Pointer(&e), body, nil)
	}
	return settled{err: readable(&e)}, err
}

// readable is an error that a stranger wrote: no longer than it should be, and without what
// would steer a terminal.
func readable(e *caps.Error) *caps.Error {
	clean := func(s string, most int) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return ' '
		}, strings.ToValidUTF8(s[:min(len(s), most)], "?"))
	}
	return &caps.Error{
		Op: clean(e.Op, maxKind), Object: clean(e.Object, maxKind), Code: caps.Code(clean(string(e.Code), maxKind)),
		Cause: caps.Code(clean(string(e.Cause), maxKind)), Text: clean(e.Text, maxErrorText),
	}
}

const maxErrorText = 4 << 10 // bytes of the text of an error from another host
