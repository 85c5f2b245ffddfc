package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// worldPlayer plays scripts on a real world: w's, or one on disk in dir.
type worldPlayer struct {
	w        *runtimetest.World
	dir      string
	rt       *sturdy.Runtime // of dir
	migrated bool
	crash    bool
	first    thingMaker
}

// thingMaker is the New of whichever version of the kind is in use.
type thingMaker struct{ kind sturdy.Kind }

func (m thingMaker) make(t *sturdy.WriteTurn) caps.Ref {
	switch k := m.kind.(type) {
	case *sturdy.KindOf[thing1]:
		return k.New(t, thing1{})
	case *sturdy.KindOf[thing2]:
		return k.New(t, thing2{})
	}
	panic("no kind")
}

func (p *worldPlayer) runtime() *sturdy.Runtime {
	if p.w != nil {
		return p.w.Runtime
	}
	return p.rt
}

func (p *worldPlayer) kind() sturdy.Kind {
	if p.first.kind == nil {
		p.first.kind = thingKind(1)
		if p.migrated {
			p.first.kind = thingKind(2)
		}
		if p.w != nil {
			p.w.Restart(p.first.kind)
		}
	}
	return p.first.kind
}

func (p *worldPlayer) open(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	rt, err := sturdy.Options{Dir: p.dir, Kinds: []sturdy.Kind{p.kind()}, Log: quiet}.Open()
	must(t, err)
	p.rt = rt
}

func (p *worldPlayer) close() { _ = p.runtime().Close() }

// after does to the world what a script wants. What is Relaxed is synced before a crash, or
// the players would not end up with the same.
func (p *worldPlayer) after(t *testing.T, what string) {
	switch what {
	case "":
		return
	case "evict":
		must(t, p.runtime().Sync(t.Context()))
		p.runtime().Evict()
		return
	case "migrate":
		p.migrated, p.first.kind = true, nil
	}
	switch {
	case p.w == nil:
		must(t, p.rt.Close())
		p.open(t)
	case what == "crash":
		must(t, p.w.Sync(t.Context()))
		p.w.Crash()
	case what == "migrate":
		p.kind()
	default:
		p.w.Reopen()
	}
}

func (p *worldPlayer) play(turn scripted) string {
	p.kind()
	ctx, rt := context.Background(), p.runtime()
	if turn.Mode == "relaxed" {
		ctx = sturdy.Relaxed(ctx)
	}
	var out []string
	if turn.Mode == "view" {
		// A View reads what is durable; the model has no other state.
		if err := rt.Sync(ctx); err != nil {
			return err.Error()
		}
		err := rt.View(ctx, func(t *sturdy.ReadTurn) error { return p.turn(t, nil, turn, &out) })
		return strings.Join(out, ", ") + " => " + told(err)
	}
	err := rt.Update(ctx, func(t *sturdy.WriteTurn) error { return p.turn(t, t, turn, &out) })
	return strings.Join(out, ", ") + " => " + told(err)
}

// turn is the body; w is nil in a View.
func (p *worldPlayer) turn(t sturdy.Turn, w *sturdy.WriteTurn, turn scripted, out *[]string) error {
	*out = nil
	for _, s := range turn.Steps {
		*out = append(*out, p.step(t, w, s))
	}
	switch turn.End {
	case "abort":
		return errMess
	case "panic":
		panic("boom")
	}
	return nil
}

// told is an error as the model knows it: its code.
func told(err error) string {
	for _, code := range []caps.Code{
		errMess, sturdy.ErrNoName, caps.ErrNoRight, caps.ErrNoMethod, caps.ErrPanicked, caps.ErrBadArgument,
	} {
		if errors.Is(err, code) {
			return string(code)
		}
	}
	if err != nil {
		return "unexpected: " + err.Error()
	}
	return "ok"
}

func answer[T any](v T, err error) string {
	if err != nil {
		return told(err)
	}
	return fmt.Sprint(v)
}

// step does one step.
func (p *worldPlayer) step(t sturdy.Turn, w *sturdy.WriteTurn, s step) string {
	root := p.runtime().Root()
	if strings.HasPrefix(s.Do, "new ") {
		if w == nil {
			return "no"
		}
		return told(root.Put(t, varName(s.V), p.create(w, s.Do)))
	}
	v, err := root.Get(t, varName(s.V))
	if err != nil {
		return told(err)
	}
	switch s.Do {
	case "attenuate":
		return told(root.Put(t, varName(s.W), v.Attenuate(rightsOf(s.N))))
	case "plus":
		return answer(thPlus.Call(t, v, s.N))
	case "untyped plus":
		n, err := caps.ValueOf(s.N)
		if err != nil {
			return told(err)
		}
		r, err := thPlusUntyped.Call(t, v, n)
		return answer(r.Any(), err)
	case "sum":
		return answer(thSum.Call(t, v))
	case "say":
		return told(thSay.Call(t, v, fmt.Sprint(s.N)))
	case "said":
		return answer(thSaid.Call(t, v))
	case "mess":
		return told(thMess.Call(t, v, s.N))
	case "put", "get", "delete", "list names":
		return p.directory(t, sturdy.Directory{Ref: v}, s)
	}
	return p.collection(t, w, v, s)
}

func (p *worldPlayer) create(w *sturdy.WriteTurn, what string) caps.Ref {
	switch what {
	case "new map":
		return sturdy.NewMap[int64, string](w).Ref
	case "new list":
		return sturdy.NewList[int64](w).Ref
	case "new cell":
		return sturdy.NewCell(w, "none").Ref
	case "new directory":
		return sturdy.NewDirectory(w).Ref
	}
	return p.first.make(w)
}

func varName(i int) string { return fmt.Sprint("v", i) }

func rightsOf(n int64) caps.Rights {
	return []caps.Rights{caps.Read, caps.Write, caps.Read | caps.Write, caps.Read | caps.Shallow, 0, caps.Shallow, caps.Read | caps.Write | caps.Run, caps.Run}[n%8]
}

// directory works on v as a directory whose names are those of variables.
func (p *worldPlayer) directory(t sturdy.Turn, d sturdy.Directory, s step) string {
	root, name := p.runtime().Root(), fmt.Sprint("n", s.N%4)
	if info, err := p.runtime().Describe(t, d.Ref); err == nil && info.Kind.Name != "sturdy/directory" && s.Do != "put" {
		return string(caps.ErrNoMethod) // a Map has a get and a length, too
	}
	switch s.Do {
	case "put":
		ref, err := root.Get(t, varName(s.W))
		if err != nil {
			return told(err)
		}
		return told(d.Put(t, name, ref))
	case "get":
		ref, err := d.Get(t, name)
		if err != nil {
			return told(err)
		}
		return told(root.Put(t, varName(s.W), ref))
	case "delete":
		return told(d.Delete(t, name))
	}
	n, err := d.Len(t)
	if err != nil {
		return told(err)
	}
	var names []string
	for name, ref := range d.All(t) {
		names = append(names, name+" "+ref.Rights().String())
	}
	return fmt.Sprint(n, names)
}

// collection works on v as a collection. Only what is one and allows it is used, as the
// turn would end otherwise; that has a proof of its own.
func (p *worldPlayer) collection(t sturdy.Turn, w *sturdy.WriteTurn, v caps.Ref, s step) string {
	info, err := p.runtime().Describe(t, v)
	if err != nil {
		return told(err)
	}
	kind, writes := collectionOf(s.Do)
	need := caps.Read
	if writes {
		need = caps.Write
	}
	if info.Kind.Name != "sturdy/"+kind || v.Rights()&need == 0 || writes && w == nil {
		return "no"
	}
	m, l, c := sturdy.Map[int64, string]{Ref: v}, sturdy.List[int64]{Ref: v}, sturdy.Cell[string]{Ref: v}
	switch s.Do {
	case "map put":
		m.Put(w, s.N, fmt.Sprint(s.W))
	case "map delete":
		m.Delete(w, s.N)
	case "map get":
		text, ok := m.Get(t, s.N)
		return fmt.Sprint(text, ok)
	case "map range":
		var rows []string
		for k, text := range m.Range(t, s.N, s.N+4) {
			rows = append(rows, fmt.Sprint(k, text))
		}
		return fmt.Sprint(m.Len(t), rows)
	case "append":
		l.Append(w, s.N)
	case "list set":
		return fmt.Sprint(l.Set(w, int(s.N), int64(s.W)))
	case "list at":
		n, ok := l.At(t, int(s.N))
		return fmt.Sprint(n, ok)
	case "list range":
		var rows []string
		for i, n := range l.Range(t, int(s.N)-2, int(s.N)+3) {
			rows = append(rows, fmt.Sprint(i, n))
		}
		return fmt.Sprint(l.Len(t), rows)
	case "cell set":
		c.Set(w, fmt.Sprint(s.N))
	case "cell get":
		return c.Get(t)
	}
	return "ok"
}

// collectionOf says what kind a step is for, and whether it writes.
func collectionOf(do string) (kind string, writes bool) {
	switch do {
	case "map put", "map delete":
		return "map", true
	case "map get", "map range":
		return "map", false
	case "append", "list set":
		return "list", true
	case "list at", "list range":
		return "list", false
	case "cell set":
		return "cell", true
	}
	return "cell", false
}

// dump shows everything that the variables reach.
func (p *worldPlayer) dump() string {
	var b strings.Builder
	for i := range scriptVars {
		var out []string
		turn := scripted{End: "commit", Mode: "view", Steps: dumpSteps(i)}
		err := p.runtime().Sync(context.Background())
		if err == nil {
			err = p.runtime().View(context.Background(), func(t *sturdy.ReadTurn) error { return p.turn(t, nil, turn, &out) })
		}
		fmt.Fprintln(&b, varName(i), out, told(err))
	}
	return b.String()
}

func dumpSteps(v int) []step {
	return []step{{"sum", v, 0, 0}, {"said", v, 0, 0}, {"map range", v, 0, 0}, {"map range", v, 0, 4}, {"list range", v, 0, 2}, {"list range", v, 0, 7}, {"cell get", v, 0, 0}, {"list names", v, 0, 0}}
}
