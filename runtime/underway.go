package sturdy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Activity is the capability to look at what is under way in a world, and to put right what went
// wrong: messages, timers, dead letters. It is an ordinary object: attenuate it to read,
// grant it, store it.
type Activity struct{ caps.Ref }

// Activity returns the object that has what is under way, with every right.
func (rt *Runtime) Activity() Activity { return Activity{rt.ref(rt.activity, caps.Full())} }

// LetterInfo is a message that was sent and not yet delivered, or that could not be.
type LetterInfo struct {
	ID     string // hexadecimal, unique in its world for ever; later messages have higher ones
	To     string // kind and short ID of the target
	Method string
	From   string    // kind and short ID of the object whose method sent it, or "the program"
	Sent   time.Time // or, of a timer's, when it went off
	Bytes  int64     // on disk, about
	Held   string    // why it is not delivered now: "waits for promise 7f"; empty: it will be
	Error  string    // of a dead letter: why it could not be delivered
	Place  string    // where it stands among the others: what a page goes on behind
}

// What can be asked of the activity.
const (
	askLetters caps.Method[pageOf, []LetterInfo] = "letters"
	askDead    caps.Method[pageOf, []LetterInfo] = "deadletters"
	askTimers  caps.Method[pageOf, []TimerInfo]  = "timers"
	askResend  caps.Command[string]              = "resend"
	askDiscard caps.Command[string]              = "discard"
)

// pageOf asks for the rows behind After, at most Limit of them.
type pageOf struct {
	After string
	Limit int64
}

func newActivityKind() *KindOf[activity] {
	return Define("sturdy/activity",
		Method(askLetters, (*activity).letters),
		Method(askDead, (*activity).dead),
		Method(askTimers, (*activity).timers),
		Method(askThreads, (*activity).threads),
		Command(askResend, (*activity).resend),
		Command(askDiscard, (*activity).discard),
		Method(askDiscardHost, (*activity).discardHost),
	)
}

// Letters yields the messages that wait to be delivered, by target, and for each in the order
// of their delivery. An error is the last that is yielded. It needs r.
func (a Activity) Letters(ctx context.Context) iter.Seq2[LetterInfo, error] {
	return pages(ctx, a.Ref, askLetters, func(l LetterInfo) string { return l.Place })
}

// DeadLetters yields the messages that could not be delivered for good: nothing was there, or
// the Ref did not allow it. (A method that ran and failed has answered, through the promise.)
// At most 10,000 are kept, the newest. Of one that is damaged, ID and Error are all there is. It
// needs r.
func (a Activity) DeadLetters(ctx context.Context) iter.Seq2[LetterInfo, error] {
	return pages(ctx, a.Ref, askDead, func(l LetterInfo) string { return l.Place })
}

// Timers yields what waits for its time, by time. It needs r.
func (a Activity) Timers(ctx context.Context) iter.Seq2[TimerInfo, error] {
	return pages(ctx, a.Ref, askTimers, func(t TimerInfo) string { return t.Place })
}

// Resend sends a dead letter again, as if its sender had just sent it: at his cost, and under
// the ceiling that he had when he first sent it. Whoever resends lends it nothing of his own, so
// a letter that died of that ceiling dies again. ErrNoName if there is none of that ID,
// [caps.ErrDamaged] if it cannot be read, and it stays where it is. It needs w.
func (a Activity) Resend(ctx context.Context, id string) error { return askResend.Call(ctx, a.Ref, id) }

// pages yields what m returns, page by page; each page is a turn of its own outside of turns.
func pages[R any](ctx context.Context, ref caps.Ref, m caps.Method[pageOf, []R], place func(R) string) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		q := pageOf{Limit: pageRows}
		for {
			rows, err := m.Call(ctx, ref, q)
			if err != nil {
				yield(*new(R), err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
			if len(rows) < pageRows {
				return
			}
			q.After = place(rows[len(rows)-1])
		}
	}
}

const pageRows = 500

// page calls add for each element of Self in a space, behind q.After. Places are the keys
// in hexadecimal.
func (t *ReadTurn) page(space byte, q pageOf, add func(place, elem string, rec objstore.Record) error) (err error) {
	lo := string(space)
	if q.After != "" {
		var after []byte
		if _, err := fmt.Sscanf(q.After, "%x", &after); err != nil {
			return &caps.Error{Code: caps.ErrBadArgument, Text: fmt.Sprintf("%q is no place", q.After)}
		}
		lo += string(after) + "\x00"
	}
	if q.Limit <= 0 || q.Limit > maxRows {
		q.Limit = maxRows
	}
	t.scanDamaged(t.self, lo, string(space+1), func(elem string, rec objstore.Record) bool {
		err = add(fmt.Sprintf("%x", elem[1:]), elem, rec)
		q.Limit--
		return err == nil && q.Limit > 0
	})
	return err
}

// scanDamaged is scan of Self that goes on behind a record which is damaged, and yields an empty
// one for it: one that was damaged on disk must not hide the others.
func (t *ReadTurn) scanDamaged(of *handle, lo, hi string, yield func(elem string, rec objstore.Record) bool) {
	more := true
	pass := func(elem string, rec objstore.Record) bool {
		lo = elem + "\x00"
		more = yield(elem, rec)
		return more
	}
	for more {
		damage := damageIn(func() { t.scan(of, lo, hi, pass) })
		if damage == nil {
			return
		}
		at, ok := t.firstDamaged(of, lo, hi)
		if !ok {
			panic(unwind{damage})
		}
		t.scan(of, lo, at, pass) // what stands before it, and was not yielded for its sake
		if rec, ok := t.mended(of, at); ok && more {
			pass(at, rec)
		}
		lo = at + "\x00"
	}
}

// mended is the element at whose record on disk is damaged: empty, unless it was written anew and
// that is not on disk yet. ok is false if it was removed.
func (t *ReadTurn) mended(of *handle, at string) (rec objstore.Record, ok bool) {
	if damage := damageIn(func() { rec, ok = t.element(of, at) }); damage != nil {
		return objstore.Record{}, true
	}
	return rec, ok
}

// firstDamaged is the first element of Self from lo on and below hi that is damaged on disk.
func (t *ReadTurn) firstDamaged(of *handle, lo, hi string) (elem string, ok bool) {
	src := t.sources()
	defer src.done()
	first, _ := objstore.ElementRange(of.oid)
	err := src.store.Scan(first+objstore.Key(lo), first+objstore.Key(hi), func(objstore.Key, objstore.Record) bool { return true })
	var d *objstore.DamagedError
	if !errors.As(err, &d) {
		return "", false
	}
	elem, ok = strings.CutPrefix(string(d.Key), string(first))
	return elem, ok && elem >= lo && elem < hi
}

// damageIn is the damage that do meets, where others fail the turn.
func damageIn(do func()) (err error) {
	defer func() {
		p := recover()
		if u, ok := p.(unwind); ok && errors.Is(u.err, caps.ErrDamaged) {
			err = u.err
		} else if p != nil {
			panic(p)
		}
	}()
	do()
	return nil
}

func (*activity) letters(t *ReadTurn, q pageOf) (ls []LetterInfo, err error) {
	err = t.page('m', q, func(place, elem string, rec objstore.Record) error {
		target, number, _ := parseNumbers(elem[1:])
		l, err := parseLetter(number, "", rec)
		if err != nil {
			ls = append(ls, LetterInfo{ID: strconv.FormatUint(number, 16), To: t.vat.handleOf(target).name(), Error: err.Error(), Place: place})
			return nil
		}
		info := t.letterInfo(&l, place, rec)
		if info.Held, err = t.receives(t.vat.handleOf(target), l.method); err != nil {
			info.Held = err.Error()
		}
		info.Held = cmp.Or(info.Held, t.vat.mail.postponed.of(target))
		ls = append(ls, info)
		return nil
	})
	return ls, err
}

func (t *ReadTurn) letterInfo(l *letter, place string, rec objstore.Record) LetterInfo {
	h := t.vat.handleOf(l.to())
	_, _ = t.state(h) // its name says its kind when it is loaded
	return LetterInfo{
		ID: strconv.FormatUint(l.number, 16), To: h.name(), Method: l.method, From: t.vat.rt.senderName(l.sender),
		Sent: time.Unix(0, l.at).UTC(), Bytes: int64(len(rec.Body)), Error: l.text, Place: place,
	}
}

func (*activity) dead(t *ReadTurn, q pageOf) (ls []LetterInfo, err error) {
	err = t.page('d', q, func(place, elem string, rec objstore.Record) error {
		number := bigEndian(elem[1:])
		l, err := parseLetter(number, "", rec)
		if err != nil {
			ls = append(ls, LetterInfo{ID: strconv.FormatUint(number, 16), Bytes: int64(len(rec.Body)), Error: err.Error(), Place: place})
			return nil
		}
		ls = append(ls, t.letterInfo(&l, place, rec))
		return nil
	})
	return ls, err
}

func (*activity) timers(t *ReadTurn, q pageOf) (ts []TimerInfo, err error) {
	err = t.page('a', q, func(place, elem string, rec objstore.Record) error {
		due, number, _ := parseNumbers(elem[1:])
		l, err := parseLetter(number, "", rec)
		info := TimerInfo{ID: strconv.FormatUint(number, 16), Due: time.Unix(0, int64(due)).UTC()}
		if err == nil {
			info = t.timerInfo(int64(due), &l)
		} else {
			info.Error = err.Error()
		}
		info.Place = place
		ts = append(ts, info)
		return nil
	})
	return ts, err
}

func parseID(id string) (uint64, error) { return strconv.ParseUint(id, 16, 64) }

// deadLetter takes the dead letter of that ID out: what is left of it, if it is damaged.
func (t *WriteTurn) deadLetter(id string) (number uint64, rec objstore.Record, err error) {
	number, err = parseID(id)
	ok := false
	if err == nil {
		rec, ok = t.r.mended(t.r.self, activityElem('d', number))
	}
	if !ok {
		return number, rec, &caps.Error{Code: ErrNoName, Text: fmt.Sprintf("there is no dead letter %q", id)}
	}
	t.dropDead(number)
	return number, rec, nil
}

func (*activity) resend(t *WriteTurn, id string) error {
	number, rec, err := t.deadLetter(id)
	if err != nil {
		return err
	}
	l, err := parseLetter(number, "", rec)
	if err != nil {
		return err
	}
	l.number, l.code, l.text, l.opening, l.at = t.r.vat.next, "", "", t.r.vat.rt.incarnation, t.Now().UnixNano()
	l.seq, l.from, l.theirs, l.box, l.channel = 0, 0, 0, 0, 0
	t.r.vat.next++
	t.enqueue(l)
	return nil
}
