package foreign

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// place is where a program that was made with an older schema finds a field.
type place struct {
	ordinal uint16
	offset  uint32
	op      op
}

// places lists where everything stands that a kind shows, by names of ours.
func places(t *testing.T, k sturdy.KindInfo) map[string]place {
	t.Helper()
	i, err := interfaceOf(k)
	check(t, err)
	all := map[string]place{}
	for _, m := range i.methods {
		for _, info := range k.Methods {
			if info.Name == m.name {
				all[m.name] = place{ordinal: m.ordinal}
				inside(all, m.name+"(", &info.Arg, m.params, 0)
				inside(all, m.name+")", &info.Result, m.results, 0)
			}
		}
	}
	return all
}

func inside(all map[string]place, path string, s *caps.Shape, r *record, depth int) {
	if depth > 4 || r == nil {
		return
	}
	if r.bare {
		f := r.only()
		all[path+" "+s.Brief()] = place{f.ordinal, f.offset, f.typ.op}
		part(all, path+" "+s.Brief(), s, &f.typ, depth)
		return
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		n := slices.IndexFunc(r.fields, func(o *field) bool { return !o.gone && o.name == f.Name })
		key := path + "." + f.Name + " " + f.Shape.Brief()
		all[key] = place{r.fields[n].ordinal, r.fields[n].offset, r.fields[n].typ.op}
		part(all, key, &f.Shape, &r.fields[n].typ, depth)
	}
}

func part(all map[string]place, path string, s *caps.Shape, t *typ, depth int) {
	for s.Class == "list" || s.Class == "array" || s.Class == "optional" {
		s = s.Elem
		switch {
		case t.op == opList:
			t = t.elem
		case t.op == opOptional:
			t = &t.of.only().typ
		}
		if t.op == opStruct && t.of.bare {
			t = &t.of.only().typ
		}
	}
	if s.Class == "struct" && t.op == opStruct {
		inside(all, path, s, t.of, depth+1)
	}
	if s.Class == "map" && t.op == opMap {
		part(all, path+"[]", s.Elem, &t.of.fields[1].typ, depth+1)
	}
}

func TestNumbersAndPlacesStayOverManyGenerations(t *testing.T) {
	r := &maker{Rand: seeded(t)}
	const kinds = 8
	var rows []row
	for n := range kinds {
		rows = append(rows, row{Name: fmt.Sprintf("example.org/grown%d", n), Version: 1, Methods: r.methods()})
	}
	first := map[string]place{}
	for generation := range 12 {
		now := remembered(t, rows)
		seen := 0
		for _, k := range now {
			for key, at := range places(t, k) {
				key = k.Name + " " + key
				if was, ok := first[key]; ok && was != at {
					t.Errorf("generation %d: %s was at %v and is at %v", generation, key, was, at)
				} else if !ok {
					first[key] = at
				}
				seen++
			}
		}
		if generation%4 == 3 {
			agree(t, now)
		}
		for i := range rows { // the next program, which finds the list in the world
			n := slices.IndexFunc(now, func(k sturdy.KindInfo) bool { return k.Name == rows[i].Name })
			rows[i].Ordinals = now[n].Ordinals
			rows[i].Methods = r.changed(rows[i].Methods)
		}
		if generation == 11 && seen < 50 {
			t.Errorf("only %d places compared", seen)
		}
	}
}

// changed is the next version of a program: methods and fields come, go, change and move.
func (r *maker) changed(ms []sturdy.MethodInfo) []sturdy.MethodInfo {
	next := slices.Clone(ms)
	if len(next) > 0 && r.IntN(3) == 0 {
		next = slices.Delete(next, 0, 1)
	}
	for i := range next {
		if r.IntN(2) == 0 {
			r.change(&next[i].Arg)
		}
		if r.IntN(2) == 0 {
			r.change(&next[i].Result)
		}
	}
	for _, m := range r.methods() {
		if !slices.ContainsFunc(next, func(o sturdy.MethodInfo) bool { return o.Name == m.Name }) && r.IntN(3) == 0 {
			next = slices.Insert(next, r.IntN(len(next)+1), m)
		}
	}
	return next
}

func (r *maker) change(s *caps.Shape) {
	if s.Class != "struct" || r.IntN(4) == 0 {
		*s = r.shape(1)
		return
	}
	s.Fields = slices.Clone(s.Fields)
	for range 1 + r.IntN(3) {
		i := r.IntN(len(s.Fields))
		name := one(r, fieldPool)
		taken := slices.ContainsFunc(s.Fields, func(f caps.Field) bool { return f.Name == name })
		switch r.IntN(5) {
		case 0:
			if len(s.Fields) > 1 {
				s.Fields = slices.Delete(s.Fields, i, i+1)
			}
		case 1:
			if !taken {
				s.Fields = slices.Insert(s.Fields, i, caps.Field{Name: name, Shape: r.shape(3)})
			}
		case 2:
			s.Fields[i].Shape = r.shape(3)
		case 3:
			if !taken {
				s.Fields[i].Name = name
			}
		case 4:
			r.Shuffle(len(s.Fields), func(i, j int) { s.Fields[i], s.Fields[j] = s.Fields[j], s.Fields[i] })
		}
	}
}

func TestWhatIsNoMoreIsCalledObsoleteAndKeepsItsNumber(t *testing.T) {
	text := caps.Shape{Class: "string"}
	k := sturdy.KindInfo{
		Name: "example.org/account", Version: 3,
		Ordinals: []string{"old", "old( - int64", "pay", "pay( Amount int32", "pay( Amount string", "pay( Sum bool", "pay( Lines []bank.Line", "pay( Total=Sum bool", "bank.Line X int64"},
		Methods: []sturdy.MethodInfo{{Name: "pay", Needs: caps.Write, Result: caps.Shape{Class: "done"}, Arg: caps.Shape{Class: "struct", Fields: []caps.Field{
			{Name: "Total", Shape: caps.Shape{Class: "bool"}}, {Name: "Amount", Shape: text},
		}}}},
	}
	got := agree(t, []sturdy.KindInfo{k})
	for _, want := range []string{
		"obsoleteOld @0 () -> ();\n  # old is no more.",
		"pay @1 (obsoleteAmount :Int32, amount :Text, total :Bool, obsoleteLines :AnyPointer) -> ();\n  # Needs w.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
