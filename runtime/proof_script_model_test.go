package sturdy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// model is the dumb twin: objects are Go values, a turn is a copy of everything.
type model struct {
	objects []*modelObject
	vars    map[string]modelRef
}

// modelRef is a capability.
type modelRef struct {
	object int
	caps.Authority
}

// modelObject is an object of any kind.
type modelObject struct {
	kind  string
	n     int64
	lines []string
	rows  map[int64]string
	list  []int64
	cell  string
	names map[string]modelRef
}

func newModel() *model { return &model{vars: map[string]modelRef{}} }

func (m *model) clone() *model {
	c := &model{vars: maps.Clone(m.vars)}
	for _, o := range m.objects {
		d := *o
		d.lines, d.rows, d.list, d.names = slices.Clone(o.lines), maps.Clone(o.rows), slices.Clone(o.list), maps.Clone(o.names)
		c.objects = append(c.objects, &d)
	}
	return c
}

func (m *model) play(turn scripted) string {
	work := m.clone()
	var out []string
	for _, s := range turn.Steps {
		out = append(out, work.step(s, turn.Mode == "view"))
	}
	end := "ok"
	switch turn.End {
	case "abort":
		end = string(errMess)
	case "panic":
		end = string(caps.ErrPanicked)
	default:
		*m = *work
	}
	return strings.Join(out, ", ") + " => " + end
}

// refused says why a method cannot be called, or "".
func (m *model) refused(r modelRef, kind string, need caps.Rights, view bool) string {
	switch {
	case m.objects[r.object].kind != kind:
		return string(caps.ErrNoMethod)
	case !r.Allows(need), view && need == caps.Write:
		return string(caps.ErrNoRight)
	}
	return ""
}

// set is a Put into the root.
func (m *model) set(v int, r modelRef, view bool) string {
	if view {
		return string(caps.ErrNoRight)
	}
	m.vars[varName(v)] = r
	return "ok"
}

func (m *model) step(s step, view bool) string {
	if kind, ok := strings.CutPrefix(s.Do, "new "); ok {
		if view {
			return "no"
		}
		m.objects = append(m.objects, &modelObject{kind: kind, cell: "none", rows: map[int64]string{}, names: map[string]modelRef{}})
		return m.set(s.V, modelRef{len(m.objects) - 1, caps.Full()}, view)
	}
	r, ok := m.vars[varName(s.V)]
	if !ok {
		return string(sturdy.ErrNoName)
	}
	switch s.Do {
	case "attenuate":
		return m.set(s.W, modelRef{r.object, modelAttenuate(r.Authority, rightsOf(s.N))}, view)
	case "plus", "untyped plus", "sum", "say", "said", "mess":
		return m.thing(r, s, view)
	case "put", "get", "delete", "list names":
		return m.directory(r, s, view)
	}
	return m.collection(r, s, view)
}

// modelAttenuate says again, in other words, what Attenuate does.
func modelAttenuate(a caps.Authority, to caps.Rights) caps.Authority {
	left := caps.Authority{Deep: a.Deep}
	for _, right := range []caps.Rights{caps.Read, caps.Write, caps.Run} {
		if a.Rights&right != 0 && to&right != 0 {
			left.Rights |= right
		}
	}
	onlyReads := left.Rights == caps.Read || left.Rights == 0
	left.Deep = left.Deep || onlyReads && to&caps.Shallow == 0
	return left
}

func (m *model) thing(r modelRef, s step, view bool) string {
	need := caps.Write
	if s.Do == "sum" || s.Do == "said" {
		need = caps.Read
	}
	if why := m.refused(r, "thing", need, view); why != "" {
		return why
	}
	o := m.objects[r.object]
	switch s.Do {
	case "plus", "untyped plus":
		o.n += s.N
		return fmt.Sprint(o.n)
	case "sum":
		return fmt.Sprint(o.n)
	case "say":
		o.lines = append(o.lines, fmt.Sprint(s.N))
		return "ok"
	case "mess":
		o.n += s.N
		return string(errMess)
	}
	return fmt.Sprint(o.lines)
}

func (m *model) directory(r modelRef, s step, view bool) string {
	if _, ok := m.vars[varName(s.W)]; !ok && s.Do == "put" {
		return string(sturdy.ErrNoName)
	}
	need := caps.Write
	if s.Do == "get" || s.Do == "list names" {
		need = caps.Read
	}
	if why := m.refused(r, "directory", need, view); why != "" {
		if s.Do == "get" || s.Do == "delete" || s.Do == "put" || s.Do == "list names" {
			return why
		}
	}
	o, name := m.objects[r.object], fmt.Sprint("n", s.N%4)
	switch s.Do {
	case "put":
		o.names[name] = m.vars[varName(s.W)]
		return "ok"
	case "get":
		found, ok := o.names[name]
		if !ok {
			return string(sturdy.ErrNoName)
		}
		return m.set(s.W, modelRef{found.object, modelThrough(found.Authority, r.Authority)}, view)
	case "delete":
		delete(o.names, name)
		return "ok"
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(o.names)) {
		a := modelThrough(o.names[name].Authority, r.Authority)
		names = append(names, name+" "+a.Rights.String())
	}
	return fmt.Sprint(len(o.names), names)
}

// modelThrough is what is left of an authority that came through another.
func modelThrough(a, via caps.Authority) caps.Authority {
	if via.Deep {
		return caps.Authority{Rights: a.Rights & caps.Read, Deep: true}
	}
	return a
}

func (m *model) collection(r modelRef, s step, view bool) string {
	kind, writes := collectionOf(s.Do)
	need := caps.Read
	if writes {
		need = caps.Write
	}
	if m.refused(r, kind, need, view) != "" {
		return "no"
	}
	o := m.objects[r.object]
	switch s.Do {
	case "map put":
		o.rows[s.N] = fmt.Sprint(s.W)
	case "map delete":
		delete(o.rows, s.N)
	case "map get":
		text, ok := o.rows[s.N]
		return fmt.Sprint(text, ok)
	case "map range":
		var rows []string
		for k := s.N; k < s.N+4; k++ {
			if text, ok := o.rows[k]; ok {
				rows = append(rows, fmt.Sprint(k, text))
			}
		}
		return fmt.Sprint(len(o.rows), rows)
	case "append":
		o.list = append(o.list, s.N)
	case "cell set":
		o.cell = fmt.Sprint(s.N)
	case "cell get":
		return o.cell
	default:
		return o.element(s)
	}
	return "ok"
}

func (o *modelObject) element(s step) string {
	exists := s.N < int64(len(o.list))
	switch {
	case s.Do == "list range":
		var rows []string
		for i := max(s.N-2, 0); i < min(s.N+3, int64(len(o.list))); i++ {
			rows = append(rows, fmt.Sprint(i, o.list[i]))
		}
		return fmt.Sprint(len(o.list), rows)
	case s.Do == "list set":
		if exists {
			o.list[s.N] = int64(s.W)
		}
		return fmt.Sprint(exists)
	case exists:
		return fmt.Sprint(o.list[s.N], true)
	}
	return fmt.Sprint(0, false)
}

func (m *model) dump() string {
	var b strings.Builder
	for i := range scriptVars {
		var out []string
		for _, s := range dumpSteps(i) {
			out = append(out, m.step(s, true))
		}
		fmt.Fprintln(&b, varName(i), out, "ok")
	}
	return b.String()
}
