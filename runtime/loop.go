package sturdy

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/sturdyrt/sturdy/objstore"
)

// Loop runs round again and again until it returns false or an error. Each round is a scope:
// its steps are its own, whatever their names, and are forgotten when the round is over, so
// that a thread that loops for years does not grow. After a restart the program comes back to
// the round it was in, and n says which that is: the first is 0. A variable of the program that
// counts would begin anew. Loops can stand inside each other.
func (th *Thread[S]) Loop(name string, round func(n uint64) (more bool, err error)) error {
	s := th.s
	if err := s.usable(); err != nil {
		return err
	}
	path, m := s.begin(name)
	if m.over() {
		return m.failure()
	}
	outer := s.scope
	defer func() { s.scope = outer }()
	for n := s.rounds[path]; ; n++ {
		s.scope = path + "/" + strconv.FormatUint(n, 10) + "/"
		more, err := round(n)
		if err != nil {
			return err
		}
		inner := s.scope
		s.scope = outer
		if err := s.endRound(path, inner, n+1, more); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// endRound forgets the steps of a round, and notes which is next or that there is none.
func (s *strand) endRound(path, scope string, next uint64, more bool) error {
	err := s.update(path, func(t *WriteTurn, _ *thread) error {
		var done []string // up to the byte behind the slash that scope ends with
		for _, space := range []string{"s", "l"} {
			t.r.scan(s.h, space+scope, space+strings.TrimSuffix(scope, "/")+"0", func(elem string, _ objstore.Record) bool {
				done = append(done, elem)
				return true
			})
		}
		for _, elem := range done {
			t.forget(s, elem)
		}
		if more {
			t.change(&element{
				key: objstore.ElementKey(s.h.oid, "l"+path),
				rec: objstore.Record{Body: binary.BigEndian.AppendUint64(nil, next)},
			})
			return nil
		}
		t.forget(s, "l"+path)
		t.record(s, path, memo{State: stepDone, Tries: 1})
		return nil
	})
	if err != nil {
		return err
	}
	for k := range s.memos {
		if strings.HasPrefix(k, scope) {
			delete(s.memos, k)
		}
	}
	for k := range s.rounds {
		if strings.HasPrefix(k, scope) {
			delete(s.rounds, k)
		}
	}
	for k := range s.used {
		if strings.HasPrefix(k, scope) {
			delete(s.used, k)
		}
	}
	s.rounds[path] = next
	if !more {
		s.memos[path] = memo{State: stepDone}
	}
	return nil
}

// forget removes an element of the thread.
func (t *WriteTurn) forget(s *strand, elem string) {
	rt := t.r.vat.rt
	e := &element{key: objstore.ElementKey(s.h.oid, elem), dead: true}
	if strings.HasPrefix(elem, "s") {
		e.kind = rt.bound(rt.threads.def).no
	}
	t.change(e)
}
