package sturdy

import (
	"context"
	"fmt"
	"iter"
	"strconv"
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
	)
}

// Letters yields the messages that wait to be delivered, by target, and for each in the order
// of their delivery. An error is the last that is yielded. It needs r.
func (a Activity) Letters(ctx context.Context) iter.Seq2[LetterInfo, error] {
	return pages(ctx, a.Ref, askLetters, func(l LetterInfo) string { return l.Place })
}

// DeadLetters yields the messages that could not be delivered for good: nothing was there, or
// the Ref did not allow it. (A method that ran and failed has answered, through the promise.)
// At most 10,000 are kept, the newest. It needs r.
func (a Activity) DeadLetters(ctx context.Context) iter.Seq2[LetterInfo, error] {
	return pages(ctx, a.Ref, askDead, func(l LetterInfo) string { return l.Place })
}

// Timers yields what waits for its time, by time. It needs r.
func (a Activity) Timers(ctx context.Context) iter.Seq2[TimerInfo, error] {
	return pages(ctx, a.Ref, askTimers, func(t TimerInfo) string { return t.Place })
}

// Resend sends a dead letter again, as if its sender had just sent it. ErrNoName if there is
// none of that ID. It needs w.
func (a Activity) Resend(ctx context.Context, id string) error { return askResend.Call(ctx, a.Ref, id) }

// Discard forgets a dead letter. ErrNoName if there is none of that ID. It needs w.
func (a Activity) Discard(ctx context.Context, id string) error {
	return askDiscard.Call(ctx, a.Ref, id)
}

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
	t.scan(t.self, lo, string(space+1), func(elem string, rec objstore.Record) bool {
		err = add(fmt.Sprintf("%x", elem[1:]), elem, rec)
		q.Limit--
		return err == nil && q.Limit > 0
	})
	return err
}

func (*activity) letters(t *ReadTurn, q pageOf) (ls []LetterInfo, err error) {
	err = t.page('m', q, func(place, elem string, rec objstore.Record) error {
		target, number, _ := parseNumbers(elem[1:])
		l, err := parseLetter(number, rec)
		if err != nil {
			ls = append(ls, LetterInfo{ID: strconv.FormatUint(number, 16), To: t.vat.handleOf(target).name(), Error: err.Error(), Place: place})
			return nil
		}
		info := t.letterInfo(&l, place, rec)
		if info.Held, err = t.receives(t.vat.handleOf(target), l.method); err != nil {
			info.Held = err.Error()
		}
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
		l, err := parseLetter(bigEndian(elem[1:]), rec)
		if err == nil {
			ls = append(ls, t.letterInfo(&l, place, rec))
		}
		return err
	})
	return ls, err
}

func (*activity) timers(t *ReadTurn, q pageOf) (ts []TimerInfo, err error) {
	err = t.page('a', q, func(place, elem string, rec objstore.Record) error {
		due, number, _ := parseNumbers(elem[1:])
		l, err := parseLetter(number, rec)
		if err == nil {
			info := t.timerInfo(int64(due), &l)
			info.Place = place
			ts = append(ts, info)
		}
		return err
	})
	return ts, err
}

// deadLetter takes the dead letter of that ID out.
func (t *WriteTurn) deadLetter(id string) (l letter, err error) {
	n, err := strconv.ParseUint(id, 16, 64)
	rec, ok := t.r.element(t.r.vat.rt.activity, activityElem('d', n))
	if err != nil || !ok {
		return l, &caps.Error{Code: ErrNoName, Text: fmt.Sprintf("there is no dead letter %q", id)}
	}
	t.dropDead(n)
	return parseLetter(n, rec)
}

func (*activity) discard(t *WriteTurn, id string) error {
	_, err := t.deadLetter(id)
	return err
}

func (*activity) resend(t *WriteTurn, id string) error {
	l, err := t.deadLetter(id)
	if err != nil {
		return err
	}
	l.number, l.code, l.text, l.opening, l.at = t.r.vat.next, "", "", t.r.vat.rt.incarnation, t.Now().UnixNano()
	t.r.vat.next++
	t.enqueue(l)
	return nil
}
